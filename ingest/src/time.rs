//! When a reading was taken: numbers of any unit and texts, to milliseconds with their exact fraction.

use item::{Number, Value};
use jiff::{Timestamp, civil, tz::TimeZone};

/// 2000-01-01, in milliseconds since 1970: no reading is older.
const EARLIEST_MS: u128 = 946_684_800_000;

/// How far a device's clock may be ahead of ours, in microseconds.
const AHEAD_US: u128 = 24 * 60 * 60 * 1_000_000;

/// What a candidate for the time turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A time.
    Time {
        /// Milliseconds since 1970, exact.
        ms: Number,
        /// It had no offset and was read in the zone.
        local: bool,
    },
    /// A number or time before 2000 or more than a day after the arrival.
    OutOfRange,
    /// Something else.
    NotATime,
}

/// Reads a candidate: a number (its unit told by its size), a numeric string, RFC 3339, or a local time in `zone`.
pub(crate) fn find(candidate: &Value, zone: &TimeZone, arrival_us: u64) -> Found {
    let (ms, local) = match candidate {
        Value::Number(number) => (from_number(*number), false),
        Value::String(text) => match from_text(text.trim_ascii(), zone) {
            Some(found) => found,
            None => return Found::NotATime,
        },
        _ => return Found::NotATime,
    };
    match ms.filter(|ms| in_range(*ms, arrival_us)) {
        Some(ms) => Found::Time { ms, local },
        None => Found::OutOfRange,
    }
}

/// An arrival in microseconds, as milliseconds.
pub(crate) fn of_arrival(us: u64) -> Number {
    Number::from_parts(false, u128::from(us), -3).expect("20 digits fit into 38")
}

/// A time stored by JetStream. Its number in the stream stands in the three digits below the microsecond, so that two
/// messages of one microsecond differ and a redelivery does not.
pub(crate) fn of_stored(us: u64, sequence: u64) -> Number {
    Number::from_parts(false, u128::from(us) * 1000 + u128::from(sequence % 1000), -6).expect("23 digits fit into 38")
}

/// Below 1e11 seconds, 1e14 milliseconds, 1e17 microseconds, else nanoseconds.
fn from_number(number: Number) -> Option<Number> {
    let shift = match whole(number)? {
        0..100_000_000_000 => 3,
        100_000_000_000..100_000_000_000_000 => 0,
        100_000_000_000_000..100_000_000_000_000_000 => -3,
        _ => -6,
    };
    shifted(number, shift)
}

/// The integer part of a number that is not negative and has at most 30 digits there.
fn whole(number: Number) -> Option<u128> {
    let exponent = i32::from(number.exponent());
    match exponent {
        _ if number.is_negative() || number.magnitude() > 30 => None,
        0.. => number.digits().checked_mul(10u128.checked_pow(exponent.unsigned_abs())?),
        _ => Some(10u128.checked_pow(exponent.unsigned_abs()).map_or(0, |power| number.digits() / power)),
    }
}

fn shifted(number: Number, shift: i32) -> Option<Number> {
    Number::from_parts(number.is_negative(), number.digits(), i32::from(number.exponent()) + shift).ok()
}

fn in_range(ms: Number, arrival_us: u64) -> bool {
    let latest_us = u128::from(arrival_us) + AHEAD_US;
    let us = shifted(ms, 3).and_then(whole);
    us.is_some_and(|us| us >= EARLIEST_MS * 1000 && us <= latest_us)
}

/// Milliseconds (none if they cannot be held or are before 1970), and whether the text had no offset; none if it is no
/// time at all.
fn from_text(text: &str, zone: &TimeZone) -> Option<(Option<Number>, bool)> {
    if super::format::is_number(text.as_bytes()) {
        return Some((text.parse().ok().and_then(from_number), false));
    }
    // Cheap: most texts are no times, and none is long.
    if !text.as_bytes().first()?.is_ascii_digit() || text.len() > 64 {
        return None;
    }
    let (whole, fraction) = split_fraction(text)?;
    let (time, local) = match whole.parse::<Timestamp>() {
        Ok(time) => (time, false),
        Err(_) => {
            let local: civil::DateTime = whole.parse().ok()?;
            (zone.to_ambiguous_timestamp(local).compatible().ok()?, true)
        }
    };
    Some((seconds_with_fraction(time.as_second(), &fraction), local))
}

/// Cuts the digits after the seconds out of the text, since they may be more than a clock of ours would keep.
fn split_fraction(text: &str) -> Option<(String, String)> {
    let Some(point) = text.find('.') else {
        return Some((text.to_owned(), String::new()));
    };
    let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    // A sign before the point (the date's own aside) would make it a fraction of the offset.
    if text.get(10..point)?.contains(['+', '-']) {
        return None;
    }
    let after = point + 1 + digits;
    Some((format!("{}{}", &text[..point], &text[after..]), text[point + 1..after].to_owned()))
}

fn seconds_with_fraction(seconds: i64, fraction: &str) -> Option<Number> {
    let fraction = fraction.trim_end_matches('0');
    let digits: u128 = format!("{}{fraction}", u64::try_from(seconds).ok()?).parse().ok()?;
    Number::from_parts(false, digits, 3 - i32::try_from(fraction.len()).ok()?).ok()
}

#[cfg(test)]
mod tests;
