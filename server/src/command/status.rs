//! `thalweg status`: what runs, how much, how far behind.

use super::Output;
use crate::{cli::ServerArguments, client::Server};

pub(crate) async fn run(arguments: &ServerArguments, output: Output) -> anyhow::Result<()> {
    let status = Server::of(arguments)?.get("/admin/status").await?;
    output.print(&status);
    Ok(())
}
