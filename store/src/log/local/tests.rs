//! The local log on a real directory: the contract, and what damage is told apart from a torn tail.

use std::{fs, os::unix::fs::FileExt, path::PathBuf};

use tempfile::TempDir;

use super::*;
use crate::{
    env::OsDisk,
    log::conformance::{self, Author, SHARDS, read_all},
};

struct Home {
    dir: TempDir,
    config: LogConfig,
}

impl Home {
    fn new(segment_bytes: u64, preparation: Preparation) -> Home {
        let config = LogConfig {
            directory: DirectoryId(7),
            shards: SHARDS,
            segment_bytes,
            durability: Durability::Fsync,
            // Most reads go to the disk.
            recent_bytes_max: 20_000,
            preparation,
        };
        Home { dir: tempfile::tempdir().unwrap(), config }
    }

    fn try_open(&self, flushed: u64) -> Result<LocalLog, Error> {
        let disk = Arc::new(OsDisk::open(self.dir.path()).unwrap());
        LocalLog::open(disk, self.config.clone(), FrameNumber(flushed))
    }

    fn open(&self) -> LocalLog {
        self.try_open(0).unwrap()
    }

    fn segment(&self, id: u64) -> PathBuf {
        self.dir.path().join(segment::path(id))
    }

    fn segments(&self) -> usize {
        let names = fs::read_dir(self.dir.path().join(DIR)).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "segment")).count()
    }

    fn overwrite(&self, id: u64, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.segment(id)).unwrap();
        file.write_all_at(bytes, offset).unwrap();
    }
}

/// Appends `count` frames of one block each; drops the log without closing it.
fn fill(home: &Home, author: &mut Author, count: u64) {
    let log = home.open();
    for _ in 0..count {
        log.append(author.draft([1, 1, 0], 100)).unwrap();
    }
}

fn corrupt_place(result: Result<LocalLog, Error>) -> (String, u64, String) {
    match result {
        Err(Error::Corrupt { path, offset, what }) => (path, offset, what),
        Err(other) => panic!("expected corruption, got {other}"),
        Ok(_) => panic!("expected corruption, but the log opened"),
    }
}

#[test]
fn keeps_the_contract() {
    for preparation in [Preparation::Inline, Preparation::Ahead] {
        for segment_bytes in [16_384, 65_536, 4 << 20] {
            let homes = std::cell::RefCell::new(Vec::new());
            conformance::run(|| {
                let home = Home::new(segment_bytes, preparation);
                let log = home.open();
                homes.borrow_mut().push(home);
                log
            });
            let home = Home::new(segment_bytes, preparation);
            conformance::run_reopening(|| home.open());
        }
    }
}

#[test]
fn keeps_the_contract_without_syncs() {
    let mut home = Home::new(65_536, Preparation::Ahead);
    home.config.durability = Durability::Memory;
    conformance::run_reopening(|| home.open());
}

#[test]
fn a_torn_tail_is_cut_and_written_over() {
    let home = Home::new(1 << 20, Preparation::Inline);
    let mut author = Author::new();
    fill(&home, &mut author, 5);
    // Frame 6 was never answered: its block holds half of what was written.
    home.overwrite(1, 5 * 4096 + 100, &[0; 100]);
    let log = home.open();
    let frames = read_all(&log, 1 << 20);
    assert_eq!(frames.len(), 6);
    assert!(frames[5].body.is_empty());
    assert_eq!(frames[5].epoch, 2);
    drop(log);
    // And what lay behind a cut does not come back.
    assert_eq!(home.open().tail(), FrameNumber(8));
}

#[test]
fn a_damaged_acknowledged_frame_is_reported_with_its_place() {
    for at in 0..4 {
        let home = Home::new(1 << 20, Preparation::Inline);
        fill(&home, &mut Author::new(), 5);
        home.overwrite(1, at * 4096 + 90, b"damage");
        let (path, offset, what) = corrupt_place(home.try_open(0));
        assert_eq!((path, offset), (segment::path(1), at * 4096), "{what}");
        // Nothing was changed: it is still reported.
        corrupt_place(home.try_open(0));
    }
}

#[test]
fn a_missing_segment_is_reported() {
    for lost in 1..=3 {
        let home = Home::new(16_384, Preparation::Inline);
        fill(&home, &mut Author::new(), 14);
        assert_eq!(home.segments(), 4);
        fs::remove_file(home.segment(lost)).unwrap();
        corrupt_place(home.try_open(0));
    }
}

#[test]
fn a_closed_log_must_end_where_it_was_closed() {
    let home = Home::new(1 << 20, Preparation::Inline);
    let log = home.open();
    let mut author = Author::new();
    for _ in 0..5 {
        log.append(author.draft([1, 0, 0], 100)).unwrap();
    }
    log.close().unwrap();
    drop(log);
    // Without the record this would pass for a torn tail.
    home.overwrite(1, 5 * 4096 + 100, b"damage");
    let (path, offset, _) = corrupt_place(home.try_open(0));
    assert_eq!((path, offset), (segment::path(1), 5 * 4096));
}

#[test]
fn a_log_that_ends_before_a_flushed_frame_is_refused() {
    let home = Home::new(1 << 20, Preparation::Inline);
    fill(&home, &mut Author::new(), 5);
    corrupt_place(home.try_open(7));
    assert_eq!(home.try_open(6).unwrap().tail(), FrameNumber(8));
    corrupt_place(Home::new(1 << 20, Preparation::Inline).try_open(1));
}

#[test]
fn a_trimmed_log_opens_only_if_what_was_trimmed_is_flushed() {
    let home = Home::new(16_384, Preparation::Inline);
    fill(&home, &mut Author::new(), 14);
    let log = home.try_open(9).unwrap();
    log.trim(FrameNumber(10)).unwrap();
    assert_eq!(log.trim_point(), FrameNumber(9));
    drop(log);
    corrupt_place(home.try_open(0));
    let log = home.try_open(8).unwrap();
    assert_eq!(read_all(&log, 1 << 20).first().unwrap().number, FrameNumber(9));
}

#[test]
fn flushed_segments_are_not_read_at_open() {
    let home = Home::new(16_384, Preparation::Inline);
    fill(&home, &mut Author::new(), 14);
    home.overwrite(1, 2 * 4096 + 200, b"damage");
    corrupt_place(home.try_open(0));
    let log = home.try_open(9).unwrap();
    // But a reader is told.
    assert!(matches!(log.read(FrameNumber(1), 1 << 20), Err(Error::Corrupt { .. })));
    assert_eq!(log.read(FrameNumber(5), 1 << 20).unwrap()[0].number, FrameNumber(5));
}

#[test]
fn a_frame_may_be_larger_than_a_segment() {
    let home = Home::new(16_384, Preparation::Inline);
    let mut author = Author::new();
    {
        let log = home.open();
        for bytes in [100, 100_000, 100, 200_000] {
            log.append(author.draft([1, 0, 0], bytes)).unwrap();
        }
    }
    let log = home.open();
    let bytes: Vec<_> = read_all(&log, 1 << 20).iter().map(|frame| frame.body.len() / 100_000).collect();
    assert_eq!(bytes, [0, 0, 1, 0, 2, 0]);
}

#[test]
fn a_segment_that_was_being_made_is_made_anew() {
    let home = Home::new(16_384, Preparation::Inline);
    let mut author = Author::new();
    fill(&home, &mut author, 2);
    fs::write(home.segment(2), [0; 5000]).unwrap();
    fill(&home, &mut author, 5);
    assert_eq!(read_all(&home.open(), 1 << 20).len(), 10);
}

#[test]
fn a_segment_of_another_directory_is_not_taken_for_ours() {
    let home = Home::new(1 << 20, Preparation::Inline);
    fill(&home, &mut Author::new(), 3);
    let mut other = home.config.clone();
    other.directory = DirectoryId(8);
    let disk = Arc::new(OsDisk::open(home.dir.path()).unwrap());
    let (path, offset, _) = corrupt_place(LocalLog::open(disk, other, FrameNumber(0)));
    assert_eq!((path, offset), (segment::path(1), 0));
}

#[test]
fn a_full_disk_is_retryable_and_stores_nothing() {
    let home = Home::new(16_384, Preparation::Inline);
    let log = home.open();
    let mut author = Author::new();
    for _ in 0..3 {
        log.append(author.draft([1, 0, 0], 100)).unwrap();
    }
    // The next segment cannot be made: its name is taken by a directory.
    fs::create_dir(home.segment(2)).unwrap();
    let draft = author.draft([1, 0, 0], 100);
    assert!(matches!(log.append(draft.clone()), Err(Error::Io { .. })));
    assert_eq!(log.tail(), FrameNumber(5));
    fs::remove_dir(home.segment(2)).unwrap();
    assert_eq!(log.append(draft).unwrap(), FrameNumber(5));
}
