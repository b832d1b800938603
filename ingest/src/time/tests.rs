use proptest::prelude::*;

use super::*;

/// 2024-06-01T12:00:00Z.
const NOW_US: u64 = 1_717_243_200_000_000;

fn found(candidate: impl Into<Value>) -> Found {
    find(&candidate.into(), &TimeZone::UTC, NOW_US)
}

fn time(ms: &str) -> Found {
    Found::Time { ms: ms.parse().unwrap(), local: false }
}

fn local(ms: &str) -> Found {
    Found::Time { ms: ms.parse().unwrap(), local: true }
}

#[test]
fn texts() {
    for (text, expected) in [
        ("2022-07-18T09:34:15.775023242+00:00", time("1658136855775.023242")),
        ("2020-02-12T15:15:46.014773143Z", time("1581520546014.773143")),
        ("2020-02-12t15:15:46z", time("1581520546000")),
        ("2020-02-12 15:15:46Z", time("1581520546000")),
        ("2020-02-12T17:15:46+02:00", time("1581520546000")),
        ("2020-02-12T15:15:46.123456789012345Z", time("1581520546123.456789012345")),
        ("2017-02-16T10:13:52", local("1487240032000")),
        ("2013-12-02 21:15:00", local("1386018900000")),
        ("2013-12-02 21:15:00.25", local("1386018900250")),
        (" 1541021024 ", time("1541021024000")),
        ("1541021024.5", time("1541021024500")),
        ("1999-12-31T23:59:59Z", Found::OutOfRange),
        ("1969-01-01T00:00:00Z", Found::OutOfRange),
        ("9998-12-31T23:59:59Z", Found::OutOfRange),
        ("-5", Found::OutOfRange),
        ("123456789012345678901234567890123456789012345678901234567890", Found::OutOfRange),
        ("", Found::NotATime),
        ("soon", Found::NotATime),
        ("12:30", Found::NotATime),
        ("2020-13-01T00:00:00Z", Found::NotATime),
        ("2020-02-12T15:15:46.Z", Found::NotATime),
        ("2020-02-12T15:15:46+02.5", Found::NotATime),
        ("2020-02-12T15:15:46Zürich", Found::NotATime),
    ] {
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn other_values_are_no_times() {
    for value in [Value::Null, Value::Bool(true), Value::List(vec![]), Value::Binary(Default::default())] {
        assert_eq!(found(value), Found::NotATime);
    }
}

#[test]
fn local_times_in_the_zone_resolve_gaps_and_folds() {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let in_berlin = |text: &str| find(&text.into(), &berlin, NOW_US);
    assert_eq!(in_berlin("2024-01-15T12:00:00"), local("1705316400000"));
    // 02:30 does not exist on this day and is taken as an hour later; on the other it exists twice and the first counts.
    assert_eq!(in_berlin("2024-03-31T02:30:00"), local("1711848600000"));
    assert_eq!(in_berlin("2023-10-29T02:30:00"), local("1698539400000"));
}

#[test]
fn arrivals_and_stored_times() {
    assert_eq!(of_arrival(1_717_243_200_000_001).to_string(), "1717243200000.001");
    assert_eq!(of_stored(1_700_000_000_123_456, 1_234_007).to_string(), "1700000000123.456007");
    let _ = (of_arrival(u64::MAX), of_stored(u64::MAX, u64::MAX));
}

proptest! {
    /// Each unit gives the same time, with its fraction.
    #[test]
    fn units_are_told_apart_by_size(ns in 946_684_800_000_000_000u64..1_717_243_200_000_000_000) {
        let expected = Number::from_parts(false, ns.into(), -6).unwrap();
        for exponent in [0, -3, -6, -9] {
            let number = Number::from_parts(false, ns.into(), exponent).unwrap();
            prop_assert_eq!(found(number), Found::Time { ms: expected, local: false });
            prop_assert_eq!(found(number.to_string()), Found::Time { ms: expected, local: false });
        }
    }

    /// What jiff prints, we read.
    #[test]
    fn timestamps_round_trip(seconds in 946_684_800i64..1_717_243_200, ns in 0i32..1_000_000_000) {
        let text = Timestamp::new(seconds, ns).unwrap().to_string();
        let expected = Number::from_parts(false, seconds as u128 * 1_000_000_000 + ns as u128, -6).unwrap();
        prop_assert_eq!(found(text), Found::Time { ms: expected, local: false });
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}", digits in "[0-9T:.Z+ -]{0,40}") {
        let _ = (found(text), found(digits));
    }
}
