use proptest::prelude::*;

use super::*;

fn limits(bytes_max: u64, entries_max: u64) -> QuarantineLimits {
    QuarantineLimits { bytes_max, entries_max }
}

/// Admits and settles; answers what was evicted.
fn admit(ledger: &mut Ledger, client: &str, bytes: u64) -> (EntryId, Vec<EntryId>) {
    let (id, evicted) = ledger.admit(10, client.into(), bytes);
    ledger.settle(id);
    (id, evicted.into_iter().map(|(_, id)| id).collect())
}

#[test]
fn the_oldest_entries_of_the_noisiest_client_go() {
    let mut ledger = Ledger::new(limits(100, 100));
    let (quiet, _) = admit(&mut ledger, "quiet", 30);
    let (first, _) = admit(&mut ledger, "noisy", 30);
    let (second, _) = admit(&mut ledger, "noisy", 35);
    assert_eq!(ledger.bytes(), 95);
    assert_eq!(admit(&mut ledger, "other", 10).1, [first]);
    let (newest, evicted) = admit(&mut ledger, "other", 26);
    assert_eq!(evicted, [EntryId(13)], "the newcomer's own client is the noisiest now");
    let left: Vec<_> = ledger.after(EntryId(0), 9).into_iter().map(|(_, id)| id).collect();
    assert_eq!(left, [quiet, second, newest]);
}

#[test]
fn numbers_follow_the_clock_and_never_repeat() {
    let mut ledger = Ledger::new(limits(1000, 100));
    ledger.load(EntryId(500), "a".into(), 1);
    assert_eq!(admit(&mut ledger, "a", 1).0, EntryId(501), "the clock was set back");
    assert_eq!(ledger.admit(900, "a".into(), 1).0, EntryId(900));
}

#[test]
fn what_is_on_its_way_is_not_evicted_or_listed() {
    let mut ledger = Ledger::new(limits(1000, 1));
    let (first, evicted) = ledger.admit(1, "a".into(), 1);
    assert!(evicted.is_empty());
    let (second, evicted) = ledger.admit(2, "a".into(), 1);
    assert!(evicted.is_empty() && ledger.after(EntryId(0), 9).is_empty());
    ledger.settle(first);
    ledger.settle(second);
    let (_, evicted) = ledger.admit(3, "b".into(), 1);
    assert_eq!(evicted.into_iter().map(|(_, id)| id).collect::<Vec<_>>(), [first, second]);
}

proptest! {
    /// However entries come and go, the sums are right and the bounds hold.
    #[test]
    fn accounts_add_up(steps in proptest::collection::vec((0u8..5, 1u64..60, any::<bool>()), 0..200)) {
        let mut ledger = Ledger::new(limits(200, 10));
        let mut kept = BTreeMap::new();
        for (client, bytes, remove) in steps {
            let (id, evicted) = admit(&mut ledger, &client.to_string(), bytes);
            kept.insert(id, bytes);
            for id in evicted {
                prop_assert!(kept.remove(&id).is_some());
            }
            if remove {
                let (id, _) = kept.pop_last().unwrap();
                prop_assert!(ledger.remove(id).is_some());
            }
            prop_assert_eq!(ledger.bytes(), kept.values().sum::<u64>());
            prop_assert_eq!(ledger.len(), kept.len());
            prop_assert!(ledger.bytes() <= 200 && ledger.len() <= 10);
        }
    }
}
