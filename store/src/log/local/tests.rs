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

    /// Where the frames of segment `id` lie now.
    fn file(&self, id: u64) -> PathBuf {
        let archive = self.dir.path().join(archive::path(id));
        if archive.exists() { archive } else { self.segment(id) }
    }

    /// What is in the log's directory, by name.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path().join(DIR)).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.iter().map(|name| name.trim_start_matches('0').to_owned()).collect()
    }

    fn overwrite(&self, id: u64, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.file(id)).unwrap();
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
    for lost in [&[1][..], &[2], &[3], &[3, 4]] {
        let home = Home::new(16_384, Preparation::Inline);
        fill(&home, &mut Author::new(), 14);
        assert_eq!(home.names(), ["1.archive", "2.archive", "3.segment", "4.segment"]);
        for id in lost {
            fs::remove_file(home.file(*id)).unwrap();
        }
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
    // The first chunk of an archive.
    home.overwrite(1, 4096 + 20, b"damage");
    assert_eq!(corrupt_place(home.try_open(0)).0, archive::path(1));
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

#[test]
fn what_follows_an_archive_was_durable() {
    let home = Home::new(16_384, Preparation::Inline);
    fill(&home, &mut Author::new(), 9);
    assert_eq!(home.names(), ["1.archive", "2.segment", "3.segment"]);
    home.overwrite(2, 90, b"damage");
    let (path, offset, what) = corrupt_place(home.try_open(0));
    assert_eq!((path, offset), (segment::path(2), 0), "{what}");
}

#[test]
fn a_crash_between_the_steps_of_archiving_changes_nothing() {
    let home = Home::new(16_384, Preparation::Inline);
    let mut author = Author::new();
    fill(&home, &mut author, 5);
    assert_eq!(home.names(), ["1.segment", "2.segment"]);
    // An archive that was being written.
    let staged = home.dir.path().join(archive::path(1)).with_extension("archive.new");
    fs::write(&staged, b"half").unwrap();
    fill(&home, &mut author, 3);
    assert!(!staged.exists());
    let before = read_all(&home.open(), 1 << 20);
    assert_eq!(home.names(), ["1.archive", "2.segment", "3.segment"]);
    // The archive was named, its segment not yet used again.
    fs::write(home.segment(1), vec![1; 16_384]).unwrap();
    let log = home.open();
    assert_eq!(home.names(), ["1.archive", "2.segment", "3.segment"]);
    assert_eq!(read_all(&log, 1 << 20)[..before.len()], before);
}

#[test]
fn segments_that_cannot_be_archived_stay_as_they_are() {
    let home = Home::new(16_384, Preparation::Inline);
    let log = home.open();
    let mut author = Author::new();
    let staged = home.dir.path().join(archive::path(1)).with_extension("archive.new");
    fs::create_dir(&staged).unwrap();
    let mut append = |count: u64| {
        for _ in 0..count {
            log.append(author.draft([1, 0, 0], 100)).unwrap();
        }
    };
    append(12);
    assert_eq!(home.names(), ["1.archive.new", "1.segment", "2.segment", "3.segment", "4.segment"]);
    fs::remove_dir(&staged).unwrap();
    // Two for each segment that is needed.
    append(8);
    assert_eq!(home.names(), ["1.archive", "2.archive", "3.archive", "4.archive", "5.segment", "6.segment"]);
    assert_eq!(read_all(&log, 1 << 20).len(), 21);
    assert!(log.bytes() < 2 * 16_384 + 4 * 8192);
}

/// Else the log would begin with a gap at the next open.
#[test]
fn trimming_takes_the_file_of_an_archived_segment_too() {
    let home = Home::new(16_384, Preparation::Inline);
    let mut author = Author::new();
    fill(&home, &mut author, 5);
    let left = fs::read(home.segment(1)).unwrap();
    fill(&home, &mut author, 8);
    let log = home.try_open(8).unwrap();
    assert_eq!(home.names(), ["1.archive", "2.archive", "3.segment", "4.segment"]);
    // It could be neither removed nor used again.
    fs::write(home.segment(1), left).unwrap();
    log.trim(FrameNumber(9)).unwrap();
    drop(log);
    assert_eq!(home.names(), ["3.segment", "4.segment"]);
    assert_eq!(home.try_open(8).unwrap().trim_point(), FrameNumber(9));
}

#[test]
fn a_damaged_head_of_an_archive_is_reported_with_its_place() {
    let home = Home::new(16_384, Preparation::Inline);
    fill(&home, &mut Author::new(), 9);
    home.overwrite(1, 30, b"damage");
    assert_eq!(corrupt_place(home.try_open(9)).0, archive::path(1));
}

#[test]
fn readers_find_every_frame_while_segments_are_archived_and_used_again_under_them() {
    let mut home = Home::new(65_536, Preparation::Ahead);
    home.config.recent_bytes_max = 0;
    let log = home.open();
    let writing = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        let reader = || {
            let mut rounds = 0;
            while writing.load(std::sync::atomic::Ordering::Relaxed) || rounds == 0 {
                let mut next = FrameNumber::FIRST;
                while next < log.tail() {
                    for frame in log.read(next, 20_000).unwrap() {
                        assert_eq!(frame.number, next);
                        next = next.next();
                    }
                }
                rounds += 1;
            }
        };
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        let mut author = Author::new();
        for _ in 0..600 {
            log.append(author.draft([1, 1, 0], 100)).unwrap();
        }
        writing.store(false, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert!(home.names().iter().filter(|name| name.ends_with(".archive")).count() > 30);
    assert!(home.names().iter().filter(|name| name.ends_with(".segment")).count() <= 3);
}

#[test]
fn frames_without_an_event_of_the_table_are_passed_over() {
    let mut home = Home::new(16_384, Preparation::Inline);
    home.config.recent_bytes_max = 0;
    let log = home.open();
    let mut author = Author::new();
    // Segments 1 to 4 hold events of shard 0 only, up to frame 15; the next has one of shard 1.
    for at in 0..30 {
        log.append(author.draft([1, u64::from(at == 17), 0], 100)).unwrap();
    }
    let find = |shard, from| log.find_table(TableId(1000), ShardId(shard), FrameNumber(from)).unwrap();
    assert_eq!(find(0, 3), FrameNumber(3));
    let found = find(1, 1);
    assert!(FrameNumber(15) < found && found <= FrameNumber(19), "{found:?}");
    // What is not archived might hold one.
    let unarchived = find(2, 1);
    assert!(unarchived > FrameNumber(19) && unarchived < log.tail(), "{unarchived:?}");
    assert_eq!(find(0, 40), FrameNumber(40));
}
