//! Times as signatures write them: `20260131T120000Z`.

use jiff::{Timestamp, civil::DateTime, fmt::rfc2822, tz::TimeZone};

/// A time, in microseconds since 1970; none if the text is not in the basic format of ISO 8601.
pub(super) fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes[at].is_ascii_digit();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' || !(0..8).chain(9..15).all(is_digit) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i16>().ok();
    let part = |from: usize| number(from, from + 2).and_then(|number| i8::try_from(number).ok());
    let civil = DateTime::new(number(0, 4)?, part(4)?, part(6)?, part(9)?, part(11)?, part(13)?, 0).ok()?;
    micros(TimeZone::UTC.to_timestamp(civil).ok()?)
}

/// A time as the header `Date` has it.
pub(super) fn parse_http(text: &str) -> Option<u64> {
    micros(rfc2822::parse(text).ok()?.timestamp())
}

/// A time in the basic format of ISO 8601, to the second.
pub(super) fn show(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(Timestamp::MAX);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn micros(time: Timestamp) -> Option<u64> {
    u64::try_from(time.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let us = parse("20150830T123600Z").unwrap();
        assert_eq!(us, 1_440_938_160_000_000);
        assert_eq!(show(us + 999_999), "20150830T123600Z");
        assert_eq!(parse_http("Sun, 30 Aug 2015 12:36:00 GMT"), Some(us));
        for text in
            ["", "20150830T123600", "2015-08-30T12:36Z", "20151330T123600Z", "2015083\u{e9}123600Z", "19690101T000000Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(!show(u64::MAX).is_empty());
    }
}
