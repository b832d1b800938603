//! `thalweg compact`: everything acknowledged before now is in Parquet, merged, when this returns.

use bytes::Bytes;

use super::Output;
use crate::{
    cli::CompactArguments,
    client::{Server, escape},
};

pub(crate) async fn run(arguments: &CompactArguments, output: Output) -> anyhow::Result<()> {
    let server = Server::of(&arguments.server)?;
    let path = match &arguments.table {
        Some(table) => format!("/admin/compact?table={}", escape(table)),
        None => "/admin/compact".to_owned(),
    };
    let written = server.post(&path, Bytes::new()).await?;
    output.print(&written);
    Ok(())
}
