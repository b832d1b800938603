//! `thalweg quarantine`: what was received and could not be stored as an item.

use bytes::Bytes;

use super::Output;
use crate::{
    cli::QuarantineCommand,
    client::{Server, escape},
};

pub(crate) async fn run(command: QuarantineCommand, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        QuarantineCommand::List(server) => Server::new(&server.http)?.get("/admin/quarantine").await?,
        QuarantineCommand::Show { id, server } => {
            Server::new(&server.http)?.get(&format!("/admin/quarantine/{}", escape(&id))).await?
        }
        QuarantineCommand::Replay { id, server } => {
            let path = match id {
                Some(id) => format!("/admin/quarantine/{}/replay", escape(&id)),
                None => "/admin/quarantine/replay".to_owned(),
            };
            Server::new(&server.http)?.post(&path, Bytes::new()).await?
        }
    };
    output.print(&answer);
    Ok(())
}
