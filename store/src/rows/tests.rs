use item::ShardId;

use super::*;
use crate::{Catalog, files::FileSet, memtable::Memtable};

const TABLE: TableId = TableId(1000);

fn key(number: u64) -> Key {
    Key { partition: number.to_be_bytes().to_vec().into(), sort: Bytes::new() }
}

fn state(sequence: u64, image: &'static [u8]) -> State {
    State { sequence: SequenceNumber(sequence), image: Some(Image::from_bytes(Bytes::from_static(image))) }
}

fn current() -> CurrentView {
    CurrentView::new(View {
        active: Arc::new(vec![Memtable::default()]),
        sealed: Vec::new(),
        files: Arc::new(FileSet::default()),
        catalog: Arc::new(Catalog::default()),
        rows: RowCache::off(),
    })
}

/// Apply: the memtable first, the row cache second.
fn apply(rows: &RowCache, current: &CurrentView, number: u64, state: State) {
    current.get().active[usize::from(ShardId(0).0)].insert(TABLE, &key(number), &state);
    rows.renew(TABLE, &key(number), || state);
}

/// A flush: what is in memory is in other files now.
fn flush(current: &CurrentView) {
    current.change(|view| {
        view.active = Arc::new(vec![Memtable::default()]);
        view.files = Arc::new(FileSet::default());
    });
}

fn image(rows: &RowCache, number: u64) -> Option<Option<Vec<u8>>> {
    rows.get(TABLE, &key(number)).map(|state| state.image.map(|image| image.bytes().to_vec()))
}

#[test]
fn what_is_kept_is_found_also_that_there_is_nothing() {
    let (rows, current) = (RowCache::new(1 << 20), current());
    assert_eq!(image(&rows, 1), None);
    rows.keep(TABLE, &key(1), Some(state(1, b"one")), &current.get(), &current);
    rows.keep(TABLE, &key(2), None, &current.get(), &current);
    assert_eq!(image(&rows, 1), Some(Some(b"one".to_vec())));
    assert_eq!(image(&rows, 2), Some(None));
    assert_eq!(rows.get(TableId(1001), &key(1)).map(|state| state.sequence), None, "another table's key");
}

#[test]
fn a_write_renews_what_is_kept_and_nothing_else() {
    let (rows, current) = (RowCache::new(1 << 20), current());
    rows.keep(TABLE, &key(1), None, &current.get(), &current);
    apply(&rows, &current, 1, state(5, b"five"));
    apply(&rows, &current, 2, state(6, b"six"));
    flush(&current);
    assert_eq!(image(&rows, 1), Some(Some(b"five".to_vec())));
    assert_eq!(image(&rows, 2), None, "nobody asked for it");
    apply(&rows, &current, 1, State { sequence: SequenceNumber(7), image: None });
    assert_eq!(image(&rows, 1), Some(None));
}

/// A look-up takes a view and finds the key in no memtable; before its answer from a file is there, the key is written.
#[test]
fn an_answer_that_a_write_overtook_is_not_kept() {
    let (rows, current) = (RowCache::new(1 << 20), current());
    let view = current.get();
    apply(&rows, &current, 1, state(5, b"five"));
    rows.keep(TABLE, &key(1), Some(state(1, b"one")), &view, &current);
    assert_eq!(image(&rows, 1), None);
}

/// The same, and the write is flushed before: no memtable has it any more.
#[test]
fn an_answer_that_a_flush_overtook_is_not_kept() {
    let (rows, current) = (RowCache::new(1 << 20), current());
    let view = current.get();
    apply(&rows, &current, 1, state(5, b"five"));
    flush(&current);
    rows.keep(TABLE, &key(1), Some(state(1, b"one")), &view, &current);
    assert_eq!(image(&rows, 1), None);
}

#[test]
fn bytes_are_bounded_and_what_is_asked_for_stays() {
    let (rows, current) = (RowCache::new(256 << 10), current());
    let view = current.get();
    rows.keep(TABLE, &key(0), Some(state(1, b"hot")), &view, &current);
    for number in 1..20_000 {
        rows.keep(TABLE, &key(number), Some(state(1, b"cold")), &view, &current);
        assert!(rows.bytes() <= 256 << 10, "{}", rows.bytes());
        assert_eq!(image(&rows, 0), Some(Some(b"hot".to_vec())), "after {number}");
    }
    assert_eq!(image(&rows, 1), None, "nobody asked for it since");
    assert!(rows.bytes() > 64 << 10);
    static LARGE: [u8; 64 << 10] = [7; 64 << 10];
    rows.keep(TABLE, &key(0), Some(state(2, &LARGE)), &view, &current);
    assert_eq!(image(&rows, 0), None, "it would take too much");
}

#[test]
fn off_keeps_nothing() {
    let (rows, current) = (RowCache::new(0), current());
    rows.keep(TABLE, &key(1), None, &current.get(), &current);
    assert_eq!((image(&rows, 1), rows.bytes()), (None, 0));
}

/// Readers keep what a slow file told them while a writer goes on and memory is flushed: nobody ever finds less than what was
/// applied before he asked.
#[test]
fn nothing_stale_is_found_while_writes_and_flushes_go_on() {
    use std::sync::atomic::AtomicU64;

    let (rows, current) = (RowCache::new(1 << 20), current());
    // What the files say: set when memory is flushed.
    let (applied, flushed) = (AtomicU64::new(0), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    let least = applied.load(Ordering::SeqCst);
                    let view = current.get();
                    let in_memory = view.active[0].get(TABLE, &key(1));
                    let found = in_memory.or_else(|| rows.get(TABLE, &key(1)));
                    let sequence = match found {
                        Some(state) => state.sequence.0,
                        None => {
                            // A view's files are from the moment of the view.
                            let in_files = flushed.load(Ordering::SeqCst);
                            if !Arc::ptr_eq(&view.files, &current.get().files) {
                                continue;
                            }
                            std::thread::yield_now();
                            rows.keep(TABLE, &key(1), Some(state(in_files, b"x")), &view, &current);
                            in_files
                        }
                    };
                    assert!(sequence >= least, "{sequence} was found after {least} was applied");
                }
            });
        }
        for sequence in 1..20_000 {
            apply(&rows, &current, 1, state(sequence, b"x"));
            applied.store(sequence, Ordering::SeqCst);
            if sequence % 7 == 0 {
                current.change(|view| {
                    flushed.store(sequence, Ordering::SeqCst);
                    view.active = Arc::new(vec![Memtable::default()]);
                    view.files = Arc::new(FileSet::default());
                });
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}
