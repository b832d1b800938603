//! `thalweg quarantine`: what was received and could not be stored as an item.

use bytes::Bytes;
use serde_json::Value;

use super::Output;
use crate::{
    cli::QuarantineCommand,
    client::{Server, escape},
    text,
};

pub(crate) async fn run(command: QuarantineCommand, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        QuarantineCommand::List { limit, before, server } => {
            let mut path = format!("/admin/quarantine?limit={limit}");
            if let Some(before) = before {
                path.push_str(&format!("&before={}", escape(&before)));
            }
            let listed = Server::of(&server)?.get(&path).await?;
            if output == Output::Text {
                print!("{}", list(&listed));
                return Ok(());
            }
            listed
        }
        QuarantineCommand::Show { id, server } => {
            Server::of(&server)?.get(&format!("/admin/quarantine/{}", escape(&id))).await?
        }
        QuarantineCommand::Replay { id, server } => {
            let path = match id {
                Some(id) => format!("/admin/quarantine/{}/replay", escape(&id)),
                None => "/admin/quarantine/replay".to_owned(),
            };
            Server::of(&server)?.post(&path, Bytes::new()).await?
        }
    };
    output.print(&answer);
    Ok(())
}

/// A list as text, ended by how much of the whole it is.
fn list(listed: &Value) -> String {
    let shown = listed["entries"].as_array().map_or(0, Vec::len);
    let total = listed["total"].as_u64().unwrap_or_default();
    if total == 0 {
        return "the quarantine is empty\n".to_owned();
    }
    let older = listed["before"].as_str().map(|id| format!("; older ones with --before {id}")).unwrap_or_default();
    format!("{}showing {shown} of {total}, newest first{older}\n", text::of(&listed["entries"]))
}
