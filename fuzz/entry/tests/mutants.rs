//! The fuzz targets in short: every entry takes its seeds, and a bounded number of mutants of them. Which ones is the same in
//! every run; more of them with `THALWEG_MUTANTS=100000 cargo test -p entry --release`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use entry::{Entry, seeds};
use sim::random::Random;

/// Mutants of one seed grow no longer than this.
const MUTANT_BYTES_MAX: usize = 20_000;

/// Takes the seeds of `entry`, and so many mutants, each made from the one before or from a seed.
fn take(entry: Entry, mutants: usize) {
    let mutants = std::env::var("THALWEG_MUTANTS").map_or(mutants, |count| count.parse().unwrap());
    let seeds: Vec<Vec<u8>> = seeds::of(entry).unwrap().into_iter().collect();
    assert!(!seeds.is_empty(), "{} has seeds", entry.name());
    seeds.iter().for_each(|seed| try_one(entry, seed));
    let mut random = Random::new(entry as u64);
    let mut mutant = Vec::new();
    for _ in 0..mutants {
        if random.percent(60) || mutant.is_empty() || mutant.len() > MUTANT_BYTES_MAX {
            mutant.clone_from(random.pick(&seeds));
        }
        for _ in 0..random.between(1, 4) {
            let other: &Vec<u8> = random.pick(&seeds);
            mutate(&mut mutant, other, &mut random);
        }
        try_one(entry, &mutant);
    }
}

/// A failure shows the bytes that it takes, to become a seed or a test.
fn try_one(entry: Entry, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| entry.take(bytes))).is_err() {
        panic!("{} does not take {:?}", entry.name(), String::from_utf8_lossy(bytes));
    }
}

/// Changes a little, somewhere.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let mut range = |length: usize| {
        let mut place = || random.below(length as u64 + 1) as usize;
        let (one, two) = (place(), place());
        (one.min(two), one.max(two))
    };
    let (at, until) = range(bytes.len());
    let (from, to) = range(other.len());
    match random.below(8) {
        0 => drop(bytes.drain(at..until.min(at + 8))),
        1 => drop(bytes.drain(at..until)),
        2 => drop(bytes.splice(at..at, other[from..to].iter().copied())),
        3 => drop(bytes.splice(at..until, other[from..to].iter().copied())),
        4 => {
            let again = bytes[at..until].to_vec();
            drop(bytes.splice(at..at, again));
        }
        5 => {
            const ODD: &[&[u8]] =
                &[b"\0", b"\xff", b"(", b"[", b"{", b"\"", b"'", b"#", b":", b"-", b"1e9", b"\xff\xff\xff\xff\x0f"];
            drop(bytes.splice(at..at, random.pick(ODD).iter().copied()));
        }
        _ if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1 << random.below(8)),
        _ => {}
    }
}

macro_rules! entries {
    ($($name:ident: $entry:ident, $mutants:literal;)*) => {
        $(#[test]
        fn $name() {
            take(Entry::$entry, $mutants);
        })*
    };
}

entries! {
    conditions: Condition, 3000;
    updates: Update, 3000;
    projections: Projection, 3000;
    key_conditions: KeyCondition, 3000;
    statements: Statement, 200;
    requests: Requests, 100;
    signatures: Signature, 200;
    payloads: Payload, 200;
    sessions: Session, 5000;
    images: Image, 5000;
    events: Event, 5000;
    keys: Key, 5000;
}
