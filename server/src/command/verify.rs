//! `thalweg verify`: a data directory that no server uses is sound, or what is wrong with it, and where. Nothing is written.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use serde_json::json;
use store::env::{Disk, OsDisk};

use super::Output;
use crate::cli::VerifyArguments;

pub(crate) async fn run(arguments: &VerifyArguments, output: Output) -> anyhow::Result<()> {
    let directory = std::path::absolute(&arguments.data_dir)?;
    let checked = tokio::task::spawn_blocking(move || verify(&directory).map(|verified| (directory, verified)));
    let (directory, verified) = checked.await.context("verify")??;
    let problems: Vec<String> = verified.problems.iter().map(ToString::to_string).collect();
    output.print(&json!({
        "data_directory": directory.display().to_string(),
        "sound": problems.is_empty(),
        "log": {
            "segments": verified.log.segments,
            "frames": verified.log.frames,
            "events": verified.log.events,
            "tail": verified.log.tail.0,
        },
        "cold": {
            "manifest": verified.manifest,
            "files": verified.files,
            "rows": verified.rows,
            "bytes": verified.bytes,
        },
        "backup": {
            "bases": verified.bases,
            "history_files": verified.history_files,
        },
        "problems": problems,
        "notes": verified.notes,
    }));
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}: {} problems", directory.display(), problems.len())
}

fn verify(directory: &Path) -> anyhow::Result<compactor::Verified> {
    // Opening makes a directory that is missing, so whoever mistypes would be told that all is well.
    if !directory.join("FORMAT").is_file() {
        bail!("{} is not a thalweg data directory: it has no FORMAT file", directory.display());
    }
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(directory)?);
    let verified = compactor::verify(disk.as_ref()).and_then(|mut verified| {
        verified.check_backups(&disk)?;
        Ok(verified)
    });
    verified.with_context(|| directory.display().to_string())
}
