//! `thalweg reload`: the server reads its certificate again.

use bytes::Bytes;

use super::Output;
use crate::{cli::ServerArguments, client::Server};

pub(crate) async fn run(arguments: &ServerArguments, output: Output) -> anyhow::Result<()> {
    let read = Server::of(arguments)?.post("/admin/reload", Bytes::new()).await?;
    output.print(&read);
    Ok(())
}
