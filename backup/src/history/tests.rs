use std::path::Path;

use item::{
    Actor, Image, Item, Key, SequenceNumber, ShardId, Value,
    arbitrary::{events, items},
};
use proptest::prelude::*;
use store::env::OsDisk;

use super::*;

const TABLE: TableId = TableId(1001);
const DIR: &str = "pitr/1001/history";

fn disk(dir: &Path) -> Arc<dyn Disk> {
    Arc::new(OsDisk::open(dir).unwrap())
}

fn write(disk: &Arc<dyn Disk>, events: &[(u64, Event)]) -> HistoryFile {
    disk.create_dir(DIR).unwrap();
    let mut writer = HistoryWriter::create(disk, DIR, TABLE).unwrap();
    events.iter().for_each(|(at_us, event)| writer.push(*at_us, event).unwrap());
    writer.finish(FrameNumber(3), FrameNumber(9)).unwrap()
}

fn read(disk: &Arc<dyn Disk>, file: &HistoryFile) -> Result<Vec<(u64, Event)>, Error> {
    let mut reader = HistoryReader::open(disk.as_ref(), DIR, file, TABLE)?;
    let mut events = Vec::new();
    while let Some(some) = reader.next_chunk()? {
        events.extend(some);
    }
    Ok(events)
}

/// As it is read: nobody needs the old image.
fn without_old((at_us, event): &(u64, Event)) -> (u64, Event) {
    let mut event = event.clone();
    if let Change::Put { old, .. } | Change::Remove { old, .. } = &mut event.change {
        *old = Old::Unknown;
    }
    (*at_us, event)
}

fn put(sequence: u64, bytes: usize) -> Event {
    let mut item = Item::new();
    item.insert("text", Value::from("x".repeat(bytes)));
    let key = Key { partition: sequence.to_string().into(), sort: "".into() };
    let change = Change::Put { key, new: Image::encode(&item), old: Old::Absent };
    let (shard, sequence) = (ShardId(0), SequenceNumber(sequence));
    Event { shard, sequence, actor: Actor::User, table: TABLE, schema_version: 1, change }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(mut given in proptest::collection::vec((0..5u64, events()), 0..40)) {
        given.sort_by_key(|(at_us, _)| *at_us);
        let root = tempfile::tempdir().unwrap();
        let disk = disk(root.path());
        let file = write(&disk, &given);
        let expected: Vec<_> = given.iter().map(without_old).collect();
        prop_assert_eq!(read(&disk, &file).unwrap(), expected);
        prop_assert_eq!(HistoryFile::list(disk.as_ref(), DIR).unwrap(), vec![file]);
    }

    #[test]
    fn no_byte_may_change(at in 0.0..1.0f64, flip in 1..=255u8, item in items()) {
        let root = tempfile::tempdir().unwrap();
        let disk = disk(root.path());
        let mut event = put(1, 10);
        event.change = Change::Put {
            key: Key { partition: "k".into(), sort: "".into() },
            new: Image::encode(&item),
            old: Old::Unknown,
        };
        let given = [(1, event), (2, put(2, 500))];
        let file = write(&disk, &given);
        let path = root.path().join(DIR).join(file.name());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = (bytes.len() as f64 * at) as usize;
        bytes[at] ^= flip;
        std::fs::write(&path, &bytes).unwrap();
        prop_assert!(read(&disk, &file).is_err(), "byte {at}");
    }
}

#[test]
fn large_events_make_chunks_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let disk = disk(root.path());
    let given: Vec<(u64, Event)> = (1..=40).map(|at| (at / 7, put(at, 50_000 * (at as usize % 9)))).collect();
    let file = write(&disk, &given);
    let mut reader = HistoryReader::open(disk.as_ref(), DIR, &file, TABLE).unwrap();
    let mut found = Vec::new();
    let mut chunks = 0;
    while let Some(some) = reader.next_chunk().unwrap() {
        chunks += 1;
        found.extend(some);
    }
    assert!(chunks > 10, "{chunks}");
    assert_eq!(found, given.iter().map(without_old).collect::<Vec<_>>());
}

#[test]
fn a_file_that_is_cut_is_told() {
    let root = tempfile::tempdir().unwrap();
    let disk = disk(root.path());
    let file = write(&disk, &[(1, put(1, 100)), (2, put(2, 100))]);
    let path = root.path().join(DIR).join(file.name());
    let bytes = std::fs::read(&path).unwrap();
    for end in 0..bytes.len() {
        std::fs::write(&path, &bytes[..end]).unwrap();
        assert!(matches!(read(&disk, &file), Err(Error::Corrupt { .. })), "{end}");
    }
    std::fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    assert!(matches!(read(&disk, &file), Err(Error::Corrupt { .. })));
}

#[test]
fn what_was_not_finished_is_no_history() {
    let root = tempfile::tempdir().unwrap();
    let disk = disk(root.path());
    disk.create_dir(DIR).unwrap();
    let mut writer = HistoryWriter::create(&disk, DIR, TABLE).unwrap();
    writer.push(1, &put(1, 300_000)).unwrap();
    drop(writer);
    assert_eq!(HistoryFile::list(disk.as_ref(), DIR).unwrap(), vec![]);
    let file = write(&disk, &[(5, put(1, 1))]);
    assert_eq!(read(&disk, &file).unwrap().len(), 1);
}
