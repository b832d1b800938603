//! A frame is bounded by what its events hold, not by what was asked for.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use item::{Event, Value};
use store::{
    Config, Store,
    log::FrameNumber,
    write::{Action, Write},
};
use support::{create, key, number, open, put, reading, readings, write};

const ITEM_BYTES: usize = 64 << 10;
const FRAME_BYTES_MAX: usize = 256 << 10;

fn config() -> Config {
    Config { frame_bytes_max: FRAME_BYTES_MAX, memtable_bytes_max: 1 << 20, ..Config::default() }
}

/// Frames that hold events, in bytes of events.
fn frames(store: &Store) -> Vec<usize> {
    let mut next = FrameNumber::FIRST;
    let mut bytes = Vec::new();
    loop {
        let frames = store.log().read(next, 1 << 20).unwrap();
        let Some(last) = frames.last() else { return bytes };
        next = last.number.next();
        let full = frames.iter().filter(|frame| !Event::decode_all(&frame.body).unwrap().is_empty());
        bytes.extend(full.map(|frame| frame.body.len()));
    }
}

#[tokio::test]
async fn a_batch_of_small_merges_into_a_large_item_is_cut_into_frames() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), config());
    let table = create(&store, readings("plants", true)).await;
    let filler = Value::String("x".repeat(ITEM_BYTES));
    store.write(vec![put(&table, reading("pump", 1, &[("filler", filler.clone())]))]).await.unwrap();

    let names: Vec<String> = (0..200).map(|number| format!("a{number}")).collect();
    let merge = |name: &String| write(&table, reading("pump", 1, &[(name, number(1))]), Action::Merge);
    let batch: Vec<Write> = names.iter().map(merge).collect();
    let written = store.write(batch).await.unwrap();
    let sequences: Vec<u64> = written.iter().map(|w| w.as_ref().unwrap().sequence.unwrap().0).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{sequences:?}");

    let mut whole: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), number(1))).collect();
    whole.push(("filler", filler));
    let stored = store.get(&table, &key(&table, "pump", 1)).await.unwrap().unwrap();
    assert_eq!(stored, reading("pump", 1, &whole));
    let largest = frames(&store).into_iter().max().unwrap();
    assert!(largest < FRAME_BYTES_MAX + 4 * ITEM_BYTES, "{largest} bytes in one frame");
    store.close().await.unwrap();
}
