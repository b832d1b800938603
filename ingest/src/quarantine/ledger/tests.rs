use proptest::prelude::*;

use super::*;

fn limits(bytes_max: u64, entries_max: u64) -> QuarantineLimits {
    QuarantineLimits { bytes_max, entries_max }
}

/// Admits and settles; answers what was evicted.
fn admit(ledger: &mut Ledger, client: &str, bytes: u64) -> (EntryId, Vec<EntryId>) {
    let (id, mut evicted) = ledger.admit(10, client.into(), bytes);
    evicted.extend(ledger.settle(id));
    (id, ids(evicted))
}

fn ids(evicted: impl IntoIterator<Item = Evicted>) -> Vec<EntryId> {
    evicted.into_iter().map(|evicted| evicted.id).collect()
}

/// What is shown.
fn shown(ledger: &Ledger) -> Vec<EntryId> {
    ledger.ids()
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
    assert_eq!(shown(&ledger), [quiet, second, newest]);
}

#[test]
fn numbers_follow_the_clock_and_never_repeat() {
    let mut ledger = Ledger::new(limits(1000, 100));
    ledger.load(EntryId(500), "a".into(), 1);
    assert_eq!(admit(&mut ledger, "a", 1).0, EntryId(501), "the clock was set back");
    assert_eq!(ledger.admit(900, "a".into(), 1).0, EntryId(900));
}

/// A burst of a noisy client is on its way to the disk, all of it, when the bound is reached. It once cost the quiet client
/// its entries, because nothing of the noisy one could be removed yet.
#[test]
fn a_noisy_client_pays_for_itself_while_its_entries_are_on_their_way() {
    let mut ledger = Ledger::new(limits(100, 100));
    let (quiet, _) = admit(&mut ledger, "quiet", 30);
    let (first, evicted) = ledger.admit(20, "noisy".into(), 40);
    assert!(evicted.is_empty());
    let (second, evicted) = ledger.admit(30, "noisy".into(), 40);
    assert!(evicted.is_empty(), "a removal now could overtake the put: {evicted:?}");
    assert_eq!((ledger.len(), ledger.bytes()), (2, 70), "it counts no more");
    assert_eq!(shown(&ledger), [quiet]);
    assert_eq!(ledger.settle(second), None);
    assert_eq!(ledger.settle(first), Some(Evicted { id: first, client: "noisy".into() }));
    assert_eq!(ledger.settle(first), None, "once");
    assert_eq!(shown(&ledger), [quiet, second]);
}

#[test]
fn an_entry_that_is_put_again_leaves_after_that() {
    let mut ledger = Ledger::new(limits(1000, 1));
    let (first, _) = admit(&mut ledger, "a", 1);
    assert!(ledger.put_again(first));
    assert_eq!(shown(&ledger), [first], "it is there all the time");
    let (second, evicted) = ledger.admit(20, "b".into(), 1);
    assert!(evicted.is_empty());
    assert!(!ledger.put_again(first), "it is gone");
    assert_eq!(ids(ledger.settle(first)), [first]);
    assert_eq!(ledger.settle(second), None);
    assert_eq!(shown(&ledger), [second]);
}

#[test]
fn of_equally_noisy_clients_the_oldest_entry_goes() {
    let mut ledger = Ledger::new(limits(1000, 2));
    let (first, _) = admit(&mut ledger, "b", 1);
    let (second, _) = admit(&mut ledger, "a", 1);
    assert_eq!(admit(&mut ledger, "c", 1).1, [first]);
    assert_eq!(admit(&mut ledger, "d", 1).1, [second]);
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
