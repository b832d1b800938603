//! A process died while it archived a segment: the archive had its name, which was not durable yet. The next start took the archive
//! for the segment and removed that; then the power went, and with it the archive's name. The log missed a segment, and did
//! not open any more. The simulation found this (seed 748); now a start makes names durable before it removes anything.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use item::SequenceNumber;
use sim::{
    disk::{Crash, SimDisk},
    random::Random,
};
use store::{
    Config, Error,
    env::{DirectoryId, Disk},
    log::{Body, Draft, FrameNumber, LocalLog, Log, LogConfig, Preparation},
};

/// Four of them, the log's own first frame included, fill a segment; the first segment is archived to become the third.
const FRAMES: u64 = 8;

fn open(disk: &SimDisk) -> Result<LocalLog, Error> {
    let config =
        Config { shards: 1, segment_bytes: 16 << 10, log_preparation: Preparation::Inline, ..Config::default() };
    LocalLog::open(Arc::new(disk.clone()), LogConfig::new(&config, DirectoryId(1)), FrameNumber(0))
}

/// Appends until it fails; answers how many frames the log has answered.
fn fill(log: &LocalLog) -> u64 {
    let draft = || Draft { committed_at_us: 1, first_sequences: vec![SequenceNumber(1)], body: Body::default() };
    (0..FRAMES).take_while(|_| log.append(draft()).is_ok()).count() as u64
}

/// A log whose process died at the given operation of filling it; answers also its last answered frame.
fn interrupted(seed: u64, operation: u64) -> (SimDisk, FrameNumber) {
    let disk = SimDisk::new(Random::new(seed));
    let log = open(&disk).unwrap();
    disk.crash(Crash::At(disk.operations() + operation));
    let answered = FrameNumber(1 + fill(&log));
    disk.kill();
    (disk, answered)
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list("log").unwrap()
}

#[test]
fn an_archive_that_a_start_has_read_stays() {
    let is_visible = |operation: &u64| {
        let names = names(&interrupted(0, *operation).0);
        let has = |suffix: &str| names.iter().any(|name| name.ends_with(&format!("1.{suffix}")));
        has("archive") && has("segment")
    };
    let named = (1..200).find(is_visible).unwrap();
    for seed in 0..40 {
        let mut operation = 0;
        let mut opened = false;
        while !opened {
            operation += 1;
            let (disk, answered) = interrupted(seed, named);
            disk.crash(Crash::At(disk.operations() + operation));
            opened = open(&disk).is_ok();
            disk.cut_power();

            let context = format!("seed {seed}, the power went at operation {operation} of the start");
            let log = open(&disk).expect(&context);
            let frames = log.read(FrameNumber(1), usize::MAX).expect(&context);
            assert!(frames.last().is_some_and(|last| last.number >= answered), "{context}");
        }
    }
}
