//! `thalweg config check`: the configuration as `serve` would read it, by the names of the file.

use super::Output;
use crate::{cli::ServeArguments, config::Config};

pub(crate) fn run(arguments: &ServeArguments, output: Output) -> anyhow::Result<()> {
    let told = Config::load(arguments)?.told;
    let mut answer = serde_json::to_value(&told)?;
    if told.file.is_none() {
        answer["file"] = "none".into();
    }
    output.print(&answer);
    Ok(())
}
