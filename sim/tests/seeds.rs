//! Some seeds must keep every promise, twice the same way; and every mistake planted on purpose must be found.

use sim::{
    disk::Fault,
    run::{Options, run},
};

#[test]
fn some_seeds_keep_every_promise() {
    // Long enough that each seed meets all of it.
    let options = Options { operations: 1500, ..Options::default() };
    let mut expired = 0;
    for seed in 1..=6 {
        let report = run(seed, options).unwrap();
        assert!(report.operations() >= 1000 && report.crashes() >= 3, "{report}");
        assert!(report.flushes >= 1 && report.merges >= 1, "{report}");
        expired += report.expired;
        assert!(report.done_transactions >= 20 && report.transactions > report.done_transactions, "{report}");
    }
    assert!(expired >= 10, "{expired} items expired");
}

#[test]
fn a_seed_always_does_the_same() {
    let options = Options { operations: 300, ..Options::default() };
    for seed in 100..103 {
        let (first, second) = (run(seed, options).unwrap(), run(seed, options).unwrap());
        assert_eq!(first.to_string(), second.to_string());
    }
}

/// Few seeds are enough to find `fault`.
fn is_found(fault: Fault) {
    let options = Options { operations: 400, fault: Some(fault) };
    let found = (1..=40).find_map(|seed| run(seed, options).err());
    assert!(found.is_some(), "{fault:?} was not found");
}

#[test]
fn a_dropped_sync_of_the_log_is_found() {
    is_found(Fault::LogSyncDropped);
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    is_found(Fault::AcknowledgedBeforeSync);
}

#[test]
fn a_dropped_sync_of_directories_is_found() {
    is_found(Fault::DirectorySyncDropped);
}

#[test]
fn a_manifest_published_before_its_files_are_synced_is_found() {
    is_found(Fault::ManifestBeforeData);
}

/// Rare, because a key must be looked up in files, written, flushed, and asked for again within one life.
#[test]
fn a_row_cache_that_writes_do_not_renew_is_found() {
    let options = Options { operations: 1000, fault: Some(Fault::RowsNotRenewed) };
    let found = (1..=40).find_map(|seed| run(seed, options).err());
    assert!(found.is_some());
}

#[test]
fn a_transaction_in_two_parts_is_found() {
    is_found(Fault::TransactionTorn);
}
