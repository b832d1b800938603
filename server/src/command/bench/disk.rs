//! What the disk itself can do: bytes written and synced, one write after the other, as a log must.
//!
//! Three kinds of write take turns of a tenth of a second, because how fast a disk syncs changes from minute to minute:
//! at the end of a growing file; over zeros that are there already, through the page cache; and over zeros, past it
//! (`O_DIRECT`, `O_DSYNC`). A fourth kind, if asked for, is Thalweg's own log with as many bytes of events. Files of zeros are made
//! anew when they are full, and all are of one length: a disk may be faster over a few blocks again and again.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    arguments::DiskArguments,
    histogram::{Histogram, rounded},
    own_log::OwnLog,
};

/// A kind's turn.
const TURN: Duration = Duration::from_millis(100);
/// Length of a file; then it is begun again.
const FILE_BYTES: u64 = 256 << 20;
/// What direct writes are made of.
const BLOCK_BYTES: usize = 4096;

/// Writes at each size, and tells how long that took.
pub(super) fn run(arguments: &DiskArguments) -> anyhow::Result<Value> {
    let parent = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let directory = tempfile::Builder::new().prefix("thalweg-bench-").tempdir_in(&parent);
    let directory = directory.with_context(|| format!("temporary directory in {}", parent.display()))?;
    let mut writes = Vec::new();
    for bytes in &arguments.bytes {
        writes.extend(at_size(directory.path(), *bytes as usize, arguments)?);
    }
    directory.close().context("removing the bench's directory")?;
    Ok(json!({ "file_system": file_system(&parent), "writes": writes }))
}

/// Where the writes of one kind go.
trait Writes {
    /// Makes ready for the next write; not timed.
    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Writes the next `bytes` and returns when they are on stable storage.
    fn write(&mut self) -> anyhow::Result<()>;
}

fn at_size(directory: &Path, bytes: usize, arguments: &DiskArguments) -> anyhow::Result<Vec<Value>> {
    let mut kinds: Vec<(&str, Box<dyn Writes>, Histogram)> = vec![
        ("append_fdatasync", Box::new(Append::new(directory.join("append"), bytes)?), Histogram::default()),
        ("overwrite_fdatasync", Box::new(Overwrite::new(directory.join("overwrite"), bytes)?), Histogram::default()),
    ];
    // Some file systems have no such writes.
    if let Some(direct) = Direct::new(directory.join("direct"), bytes)? {
        kinds.push(("direct_dsync", Box::new(direct), Histogram::default()));
    }
    if arguments.log {
        kinds.push((
            "thalweg_log",
            Box::new(OwnLog::open(&directory.join("log"), bytes, FILE_BYTES)?),
            Histogram::default(),
        ));
    }
    let rounds = (arguments.seconds / TURN.as_secs_f64()).ceil() as u64;
    for _ in 0..rounds {
        for (_, kind, latencies) in &mut kinds {
            let turn = Instant::now();
            while turn.elapsed() < TURN {
                kind.prepare()?;
                let began = Instant::now();
                kind.write()?;
                latencies.record(began.elapsed());
            }
        }
    }
    let mut rows = Vec::new();
    for (name, _, latencies) in &kinds {
        let latency_us = latencies.to_json();
        let mb_per_second = bytes as f64 / latency_us["mean"].as_f64().unwrap_or(f64::INFINITY);
        rows.push(json!({
            "bytes": bytes,
            "kind": name,
            "writes": latencies.count(),
            "mb_per_second": rounded(mb_per_second),
            "p50_us": latency_us["p50"],
            "p99_us": latency_us["p99"],
            "max_us": latency_us["max"],
        }));
    }
    for name in ["append", "overwrite", "direct"] {
        let path = directory.join(name);
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    if arguments.log {
        std::fs::remove_dir_all(directory.join("log")).context("removing the log")?;
    }
    Ok(rows)
}

/// At the end of a growing file.
struct Append {
    path: PathBuf,
    file: File,
    offset: u64,
    content: Vec<u8>,
}

impl Append {
    fn new(path: PathBuf, bytes: usize) -> anyhow::Result<Append> {
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Append { path, file, offset: 0, content: content(bytes) })
    }
}

impl Writes for Append {
    fn prepare(&mut self) -> anyhow::Result<()> {
        if is_full(self.offset, self.content.len()) {
            self.file = File::create(&self.path).context("beginning the growing file again")?;
            self.offset = 0;
        }
        Ok(())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.file.write_all_at(&self.content, self.offset).context("writing")?;
        self.offset += self.content.len() as u64;
        self.file.sync_data().context("syncing")
    }
}

/// Over zeros.
struct Overwrite {
    path: PathBuf,
    file: File,
    offset: u64,
    content: Vec<u8>,
}

impl Overwrite {
    fn new(path: PathBuf, bytes: usize) -> anyhow::Result<Overwrite> {
        let file = zeros(&path, 0)?;
        Ok(Overwrite { path, file, offset: 0, content: content(bytes) })
    }
}

impl Writes for Overwrite {
    fn prepare(&mut self) -> anyhow::Result<()> {
        if is_full(self.offset, self.content.len()) {
            self.file = zeros(&self.path, 0)?;
            self.offset = 0;
        }
        Ok(())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.file.write_all_at(&self.content, self.offset).context("writing")?;
        self.offset += self.content.len() as u64;
        self.file.sync_data().context("syncing")
    }
}

/// Over zeros, past the page cache, synced by the write itself.
struct Direct {
    path: PathBuf,
    file: File,
    offset: u64,
    /// Holds the content from the first place on that direct writes can begin at.
    buffer: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl Direct {
    const FLAGS: i32 = libc::O_DIRECT | libc::O_DSYNC;

    fn new(path: PathBuf, bytes: usize) -> anyhow::Result<Option<Direct>> {
        let probe =
            File::create(&path).and_then(|_| OpenOptions::new().write(true).custom_flags(Self::FLAGS).open(&path));
        match probe {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            probe => drop(probe.with_context(|| path.display().to_string())?),
        }
        let file = zeros(&path, Self::FLAGS)?;
        // Whole blocks are written, so that what is short is filled up.
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        let buffer = content(bytes + BLOCK_BYTES);
        let start = buffer.as_ptr().align_offset(BLOCK_BYTES);
        Ok(Some(Direct { path, file, offset: 0, buffer, start, bytes }))
    }
}

impl Writes for Direct {
    fn prepare(&mut self) -> anyhow::Result<()> {
        if is_full(self.offset, self.bytes) {
            self.file = zeros(&self.path, Self::FLAGS)?;
            self.offset = 0;
        }
        Ok(())
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let content = &self.buffer[self.start..self.start + self.bytes];
        self.file.write_all_at(content, self.offset).context("writing past the page cache")?;
        self.offset += self.bytes as u64;
        Ok(())
    }
}

impl Writes for OwnLog {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.make_room()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.append()
    }
}

/// Has a file no room for `bytes` more?
fn is_full(offset: u64, bytes: usize) -> bool {
    offset + bytes as u64 > FILE_BYTES
}

/// Makes a file of zeros that are written, not only promised, and opens it to be written over.
fn zeros(path: &Path, flags: i32) -> anyhow::Result<File> {
    let at = || path.display().to_string();
    let file = File::create(path).with_context(at)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset).context("writing zeros")?;
    }
    file.sync_all().context("syncing zeros")?;
    OpenOptions::new().write(true).custom_flags(flags).open(path).with_context(at)
}

/// Bytes that do not compress.
fn content(bytes: usize) -> Vec<u8> {
    let words = (0..bytes.div_ceil(8) as u64).flat_map(|word| super::reading::mixed(word).to_le_bytes());
    words.take(bytes).collect()
}

/// The type of the file system that holds `path`: on one in memory a sync costs nothing, and figures say nothing.
fn file_system(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && path.starts_with(fields[1]));
    holding.max_by_key(|fields| fields[1].len()).map(|fields| fields[2].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_write_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let arguments =
            DiskArguments { dir: Some(directory.path().to_owned()), bytes: vec![5000], seconds: 0.2, log: true };
        let told = run(&arguments).unwrap();
        let rows = told["writes"].as_array().unwrap();
        for kind in ["append_fdatasync", "overwrite_fdatasync", "thalweg_log"] {
            let row = rows.iter().find(|row| row["kind"] == kind).unwrap();
            assert!(row["writes"].as_u64().unwrap() > 0 && row["mb_per_second"].as_f64().unwrap() > 0.0, "{row}");
        }
        assert!(told["file_system"].is_string());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
