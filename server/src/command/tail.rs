//! `thalweg tail`: the change stream of a table as JSON lines, until Ctrl-C.

use std::io::{ErrorKind, Write};

use crate::{
    cli::TailArguments,
    client::{Lines, Server, escape},
    shutdown::Signals,
};

pub(crate) async fn run(arguments: &TailArguments) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let server = Server::new(&arguments.server.http)?;
    let path = format!("/streams/{}?from={}", escape(&arguments.table), escape(&arguments.from));
    let mut lines = server.lines(&path).await?;
    tokio::select! {
        ended = print(&mut lines) => ended,
        () = signals.requested() => Ok(()),
    }
}

async fn print(lines: &mut Lines) -> anyhow::Result<()> {
    while let Some(line) = lines.next().await? {
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        match written {
            // `thalweg tail t | head` has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    anyhow::bail!("the server has ended the stream")
}
