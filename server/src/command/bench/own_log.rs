//! Thalweg's own log: one thread encodes the events of the next frame while another puts the frame's header before those of this
//! one, writes the frame, and syncs. (A store encodes and writes by turns, and mostly plans and applies; `docs/core.md`.)
//!
//! The frames lie in one segment of zeros, as long as the files of raw writes over zeros; before it is full another log is begun,
//! as those files are, which is not timed. What becomes of frames later (compressed into archives, behind the appends) is no part of this figure.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use anyhow::Context;
use item::{Actor, Change, Event, Image, Item, Key, Old, SequenceNumber, ShardId, Table, Value, table::system};
use store::{
    Config,
    env::{Clock, OsClock, OsDisk},
    log::{Body, Draft, FrameNumber, LocalLog, Log, LogConfig, Pool, Preparation},
};

/// Bytes of one encoded event: a reading of ten numbers with its key.
const EVENT_BYTES: usize = 150;

/// A log in a directory of its own.
pub(super) struct OwnLog {
    directory: PathBuf,
    /// Events and padding of one append, and the header's block.
    frame_bytes: u64,
    segment_bytes: u64,
    left_bytes: u64,
    log: Option<LocalLog>,
    drafts: Option<mpsc::Receiver<Draft>>,
    author: Option<JoinHandle<()>>,
}

impl OwnLog {
    /// A new log at `directory`, to which about `bytes` of events are appended at once, `segment_bytes` before it is begun
    /// again.
    pub(super) fn open(directory: &Path, bytes: usize, segment_bytes: u64) -> anyhow::Result<OwnLog> {
        let frame_bytes = (bytes + 2 * 4096) as u64;
        let (sender, drafts) = mpsc::sync_channel(1);
        let events = (bytes / EVENT_BYTES).max(1);
        let event = event()?;
        let author =
            thread::Builder::new().name("author".to_owned()).spawn(move || write_drafts(event, events, &sender));
        let mut own = OwnLog {
            directory: directory.to_owned(),
            frame_bytes,
            segment_bytes: segment_bytes.max(4 * frame_bytes),
            left_bytes: 0,
            log: None,
            drafts: Some(drafts),
            author: Some(author.context("starting a thread")?),
        };
        own.make_room()?;
        Ok(own)
    }

    /// Begins another log when this one is full.
    pub(super) fn make_room(&mut self) -> anyhow::Result<()> {
        if self.left_bytes >= self.frame_bytes {
            return Ok(());
        }
        if self.log.take().is_some() {
            std::fs::remove_dir_all(&self.directory).context("removing the log")?;
        }
        let disk = OsDisk::open(&self.directory).context("the log's directory")?;
        let settings = LogConfig {
            segment_bytes: self.segment_bytes,
            preparation: Preparation::Inline,
            ..LogConfig::new(&Config::default(), disk.directory())
        };
        self.log = Some(LocalLog::open(Arc::new(disk), settings, FrameNumber(0)).context("the log")?);
        // The log's first frame is its own.
        self.left_bytes = self.segment_bytes - 4096;
        Ok(())
    }

    /// Appends; returns when the frame is on stable storage.
    pub(super) fn append(&mut self) -> anyhow::Result<()> {
        self.make_room()?;
        let draft = self.drafts.as_ref().and_then(|drafts| drafts.recv().ok()).context("the author has ended")?;
        self.log.as_ref().context("a log is open")?.append(draft).context("appending to the log")?;
        self.left_bytes -= self.frame_bytes;
        Ok(())
    }
}

impl Drop for OwnLog {
    fn drop(&mut self) {
        // The author ends when nobody takes what it writes.
        self.drafts = None;
        if let Some(author) = self.author.take() {
            let _ = author.join();
        }
    }
}

/// Encodes `events` events for each frame, until nobody takes them.
fn write_drafts(mut event: Event, events: usize, drafts: &mpsc::SyncSender<Draft>) {
    let bodies = Pool::default();
    let shards = usize::from(Config::default().shards);
    loop {
        let mut first_sequences = vec![SequenceNumber(1); shards];
        first_sequences[0] = event.sequence;
        let mut body = Body::new(&bodies, shards);
        for _ in 0..events {
            body.push(&event);
            event.sequence.0 += 1;
        }
        let draft = Draft { committed_at_us: OsClock.now_us(), first_sequences, body };
        if drafts.send(draft).is_err() {
            return;
        }
    }
}

/// The first event's number: as many bytes long as those of all that follow.
const FIRST_SEQUENCE: SequenceNumber = SequenceNumber(10_000_000);

/// One put of [`EVENT_BYTES`].
fn event() -> anyhow::Result<Event> {
    let table: Table = system::retained();
    let item = Item::from([("topic", Value::from("bench/a1b2c/0000000"))]);
    let key = Key::of_item(&table, &item).context("the event's key")?;
    let with = |image: usize| Event {
        shard: ShardId(0),
        sequence: FIRST_SEQUENCE,
        actor: Actor::User,
        table: table.id,
        schema_version: 1,
        change: Change::Put { key: key.clone(), new: Image::from_bytes(vec![0x5A; image].into()), old: Old::Absent },
    };
    let mut empty = Vec::new();
    with(0).encode(&mut empty);
    Ok(with(EVENT_BYTES.saturating_sub(empty.len())))
}
