//! Contract tests that every `Log` must pass. A log that outlives its process also passes [`run_reopening`].

use bytes::Bytes;
use item::{Actor, Change, Event, Image, Item, Key, Old, SequenceNumber, ShardId, TableId, Value};

use super::{Body, Draft, Frame, FrameNumber, Log};
use crate::Error;

/// Shards of the logs under test.
pub(crate) const SHARDS: u16 = 3;

/// Numbers events and times as an owner would.
pub(crate) struct Author {
    next: Vec<u64>,
    time_us: u64,
}

impl Author {
    pub(crate) fn new() -> Author {
        Author { next: vec![1; usize::from(SHARDS)], time_us: 1_000 }
    }

    /// A frame with `counts` events per shard, of about `bytes` each, ten microseconds after the one before.
    pub(crate) fn draft(&mut self, counts: [u64; SHARDS as usize], bytes: usize) -> Draft {
        self.time_us += 10;
        let first_sequences = self.next.iter().copied().map(SequenceNumber).collect();
        let mut body = Vec::new();
        for (shard, count) in (0..).zip(counts) {
            for _ in 0..count {
                let sequence = SequenceNumber(self.next[usize::from(shard)]);
                self.next[usize::from(shard)] += 1;
                event(ShardId(shard), sequence, bytes).encode(&mut body);
            }
        }
        Draft { committed_at_us: self.time_us, first_sequences, body: Body::from(body) }
    }

    fn append(&mut self, log: &dyn Log, counts: [u64; SHARDS as usize]) -> (FrameNumber, Draft) {
        let draft = self.draft(counts, 100);
        (log.append(draft.clone()).unwrap(), draft)
    }
}

fn event(shard: ShardId, sequence: SequenceNumber, bytes: usize) -> Event {
    let key = Key { partition: Bytes::from_static(b"\x01device\x00\x01"), sort: Bytes::new() };
    let filler = Value::String("x".repeat(bytes));
    let new = Image::encode(&Item([("filler".to_owned(), filler)].into()));
    let change = Change::Put { key, new, old: Old::Absent };
    Event { shard, sequence, actor: Actor::User, table: TableId(1000), schema_version: 1, change }
}

/// Every kept frame, read in small pieces.
pub(crate) fn read_all(log: &dyn Log, bytes_max: usize) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut next = log.trim_point();
    loop {
        let more = log.read(next, bytes_max).unwrap();
        if more.is_empty() {
            assert_eq!(next, log.tail());
            return frames;
        }
        let bytes: u64 = more.iter().map(|frame| frame.bytes()).sum();
        assert!(more.len() == 1 || bytes <= bytes_max as u64);
        for frame in more {
            assert_eq!(frame.number, next, "frames are numbered without gaps");
            next = next.next();
            frames.push((*frame).clone());
        }
    }
}

pub(crate) fn is(frame: &Frame, number: FrameNumber, draft: &Draft) -> bool {
    frame.number == number
        && frame.committed_at_us == draft.committed_at_us
        && frame.first_sequences == draft.first_sequences
        && frame.body == draft.body.bytes()
}

/// What every log does while it is open.
pub(crate) fn run<L: Log>(make: impl Fn() -> L) {
    begins_with_an_empty_frame(&make());
    reads_back_what_was_appended(&make());
    never_lets_time_go_back(&make());
    finds_frames_by_sequence_and_time(&make());
    trims_from_the_front(&make());
    refuses_appends_after_close(&make());
}

/// What a log does whose frames outlive it. `open` opens the same log again; the one before is dropped.
pub(crate) fn run_reopening<L: Log>(open: impl Fn() -> L) {
    let mut author = Author::new();
    let mut expected: Vec<Frame> = Vec::new();
    for round in 0..6 {
        let log = open();
        let kept = read_all(&log, 1 << 20);
        let (epoch_frame, before) = kept.split_last().unwrap();
        assert_eq!(before, expected, "round {round}");
        assert!(epoch_frame.body.is_empty());
        assert!(before.last().is_none_or(|last| last.epoch < epoch_frame.epoch), "a new owner has a new epoch");
        let next: Vec<_> = author.next.iter().copied().map(SequenceNumber).collect();
        assert_eq!(epoch_frame.first_sequences, next, "an empty frame knows what follows");
        for _ in 0..round * 3 {
            author.append(&log, [round, 0, 1]);
        }
        expected = read_all(&log, 1 << 20);
        if round % 2 == 1 {
            log.close().unwrap();
        }
    }
}

fn begins_with_an_empty_frame(log: &dyn Log) {
    assert_eq!((log.trim_point(), log.tail()), (FrameNumber(1), FrameNumber(2)));
    let frames = read_all(log, 1 << 20);
    assert!(frames[0].body.is_empty());
    assert_eq!(frames[0].first_sequences, vec![SequenceNumber(1); usize::from(SHARDS)]);
}

fn reads_back_what_was_appended(log: &dyn Log) {
    let mut author = Author::new();
    let appended: Vec<_> = (0..40).map(|at| author.append(log, [at % 3, 1, at % 50])).collect();
    for bytes_max in [0, 1, 5_000, 20_000, 1 << 20] {
        let read = read_all(log, bytes_max);
        assert_eq!(read.len(), appended.len() + 1);
        for (frame, (number, draft)) in read[1..].iter().zip(&appended) {
            assert!(is(frame, *number, draft));
        }
    }
    assert!(log.read(log.tail(), 1 << 20).unwrap().is_empty());
    assert!(log.read(FrameNumber(u64::MAX), 1 << 20).unwrap().is_empty());
}

fn never_lets_time_go_back(log: &dyn Log) {
    let mut author = Author::new();
    author.append(log, [1, 0, 0]);
    let early = Draft { committed_at_us: 5, ..author.draft([1, 0, 0], 10) };
    log.append(early).unwrap();
    let frames = read_all(log, 1 << 20);
    assert_eq!(frames[2].committed_at_us, frames[1].committed_at_us);
}

fn finds_frames_by_sequence_and_time(log: &dyn Log) {
    let mut author = Author::new();
    let appended: Vec<_> = (0..60).map(|at| author.append(log, [at % 2, 2, u64::from(at % 7 == 0)])).collect();
    for (number, draft) in &appended {
        for event in Event::decode_all(&Bytes::copy_from_slice(draft.body.bytes())).unwrap() {
            assert_eq!(log.find_sequence(event.shard, event.sequence).unwrap(), *number);
        }
        assert_eq!(log.find_time(draft.committed_at_us).unwrap(), *number);
        assert_eq!(log.find_time(draft.committed_at_us - 9).unwrap(), *number);
    }
    let (last, draft) = appended.last().unwrap();
    let to_come = log.find_sequence(ShardId(1), SequenceNumber(author.next[1])).unwrap();
    assert!(to_come >= *last);
    assert_eq!(log.find_time(draft.committed_at_us + 1).unwrap(), log.tail());
    assert_eq!(log.find_time(0).unwrap(), FrameNumber(1));
}

fn trims_from_the_front(log: &dyn Log) {
    let mut author = Author::new();
    let appended: Vec<_> = (0..60).map(|_| author.append(log, [1, 2, 0])).collect();
    let held = log.bytes();
    log.trim(FrameNumber(1)).unwrap();
    assert_eq!(log.trim_point(), FrameNumber(1));
    for to in [FrameNumber(20), FrameNumber(45)] {
        log.trim(to).unwrap();
        let trim_point = log.trim_point();
        assert!(trim_point <= to);
        let mut kept = read_all(log, 9_000);
        kept.retain(|frame| !frame.body.is_empty());
        let expected = &appended[appended.len() - kept.len()..];
        assert!(kept.iter().zip(expected).all(|(frame, (number, draft))| is(frame, *number, draft)));
        if trim_point > FrameNumber(1) {
            let before = FrameNumber(trim_point.0 - 1);
            assert!(matches!(log.read(before, 1), Err(Error::Trimmed { trim_point: told }) if told == trim_point.0));
            let lost = log.find_sequence(ShardId(0), SequenceNumber(1));
            assert!(matches!(lost, Err(Error::Trimmed { trim_point: told }) if told == trim_point.0));
            assert_eq!(log.find_time(0).unwrap(), trim_point);
            let first = kept[0].first_sequences[0];
            assert_eq!(log.find_sequence(ShardId(0), first).unwrap(), trim_point);
        }
    }
    log.trim(log.tail()).unwrap();
    assert!(log.trim_point() < log.tail(), "the last frame stays");
    assert!(log.bytes() < held || log.trim_point() == FrameNumber(1));
    let (number, draft) = author.append(log, [1, 1, 1]);
    assert!(is(&log.read(number, 1).unwrap()[0], number, &draft));
}

fn refuses_appends_after_close(log: &dyn Log) {
    let mut author = Author::new();
    author.append(log, [1, 1, 1]);
    log.close().unwrap();
    assert!(matches!(log.append(author.draft([1, 0, 0], 10)), Err(Error::Closed)));
    assert_eq!(read_all(log, 1 << 20).len(), 2);
}
