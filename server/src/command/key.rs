//! `thalweg key`: who may ask.

use bytes::Bytes;
use serde_json::json;

use super::Output;
use crate::{
    cli::KeyCommand,
    client::{Server, escape},
};

pub(crate) async fn run(command: KeyCommand, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        KeyCommand::Create { allow, table, device, session_seconds, server } => {
            let allow = if allow.is_empty() { vec!["admin".to_owned()] } else { allow };
            let permissions = allow.iter().map(|action| json!({ "action": action, "table": table, "device": device }));
            let mut request = json!({ "permissions": permissions.collect::<Vec<_>>() });
            if let Some(seconds) = session_seconds {
                request["session_seconds"] = json!(seconds);
            }
            Server::of(&server)?.post("/admin/keys", Bytes::from(request.to_string())).await?
        }
        KeyCommand::List { server } => Server::of(&server)?.get("/admin/keys").await?,
        KeyCommand::Revoke { access_key, server } => {
            let path = format!("/admin/keys/{}/revoke", escape(&access_key));
            Server::of(&server)?.post(&path, Bytes::new()).await?
        }
    };
    output.print(&answer);
    Ok(())
}
