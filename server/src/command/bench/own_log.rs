//! Thalweg's own log, appended to as the store does: events encoded into a frame, the frame written and synced.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use item::{Actor, Change, Event, Image, Item, Key, Old, SequenceNumber, ShardId, Table, Value, table::system};
use store::{
    Config,
    env::{Clock, OsClock, OsDisk},
    log::{Draft, FrameNumber, LocalLog, Log, LogConfig},
};

/// Bytes of one encoded event: a reading of ten numbers with its key.
const EVENT_BYTES: usize = 150;

/// A log in a directory of its own.
pub(super) struct OwnLog {
    log: LocalLog,
    shards: u16,
    event: Event,
    /// Events of one append.
    events: usize,
}

impl OwnLog {
    /// A new log at `path`, to which about `bytes` of events are appended at once.
    pub(super) fn open(path: &Path, bytes: usize) -> anyhow::Result<OwnLog> {
        let disk = OsDisk::open(path).context("the log's directory")?;
        let config = Config::default();
        let settings = LogConfig::new(&config, disk.directory());
        let log = LocalLog::open(Arc::new(disk), settings, FrameNumber(0)).context("the log")?;
        Ok(OwnLog { log, shards: config.shards, event: event()?, events: (bytes / EVENT_BYTES).max(1) })
    }

    /// Appends; returns when the frame is on stable storage.
    pub(super) fn append(&mut self) -> anyhow::Result<()> {
        let mut first_sequences = vec![SequenceNumber(1); usize::from(self.shards)];
        first_sequences[0] = self.event.sequence;
        let mut body = Vec::with_capacity(self.events * (EVENT_BYTES + 8));
        for _ in 0..self.events {
            self.event.encode(&mut body);
            self.event.sequence.0 += 1;
        }
        let draft = Draft { committed_at_us: OsClock.now_us(), first_sequences, body: Bytes::from(body) };
        let number = self.log.append(draft).context("appending to the log")?;
        // Trimmed as a server would, so that the disk does not fill; whole segments go at once.
        if number.0 % TRIM_EVERY == 0 {
            self.log.trim(number).context("trimming the log")?;
        }
        Ok(())
    }
}

/// Frames between two trims.
const TRIM_EVERY: u64 = 1000;

/// One put of [`EVENT_BYTES`], with a number of eight digits.
fn event() -> anyhow::Result<Event> {
    let table: Table = system::retained();
    let item = Item::from([("topic", Value::from("bench/a1b2c/0000000"))]);
    let key = Key::of_item(&table, &item).context("the event's key")?;
    let with = |image: usize| Event {
        shard: ShardId(0),
        sequence: SequenceNumber(1),
        actor: Actor::User,
        table: table.id,
        schema_version: 1,
        change: Change::Put { key: key.clone(), new: Image::from_bytes(vec![0x5A; image].into()), old: Old::Absent },
    };
    let mut empty = Vec::new();
    with(0).encode(&mut empty);
    Ok(with(EVENT_BYTES.saturating_sub(empty.len())))
}
