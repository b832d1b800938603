//! Lines of a text, each bounded.

use std::io::{self, BufRead};

/// Longest line, in bytes. An item of 400 KB takes eight times as much as JSON at most, but for white space.
pub(super) const LINE_BYTES_MAX: usize = 8 * 400 * 1024 + 64 * 1024;

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    /// Longer than may be: nothing of it is kept.
    TooLong,
}

/// Reads lines from `0`.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    /// Bytes that the lines so far took, their ends included.
    pub(super) bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Lines<R> {
        Lines { reader, line: Vec::new(), bytes: 0 }
    }

    /// The next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let (mut is_too_long, mut began) = (false, false);
        loop {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                filled => filled?,
            };
            if available.is_empty() {
                break;
            }
            began = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            if self.line.len() + part.len() > LINE_BYTES_MAX {
                is_too_long = true;
                self.line.clear();
            }
            if !is_too_long {
                self.line.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end.is_some());
            self.bytes += taken as u64;
            self.reader.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(match (began, is_too_long) {
            (false, _) => None,
            (true, true) => Some(Line::TooLong),
            (true, false) => Some(Line::Whole(&self.line)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_a_line_feed_or_with_the_text() {
        let mut lines = Lines::new(io::BufReader::with_capacity(3, &b"one\n\r\ntwo\r\nlast"[..]));
        for expected in [&b"one"[..], b"", b"two", b"last"] {
            assert_eq!(lines.next().unwrap(), Some(Line::Whole(expected)));
        }
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.bytes, 15);
    }

    #[test]
    fn a_line_without_end_is_passed_over_and_the_next_one_found() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let text = [&long[..LINE_BYTES_MAX], b"\n", &long, b"\nnext"].concat();
        let mut lines = Lines::new(&text[..]);
        assert!(matches!(lines.next().unwrap(), Some(Line::Whole(line)) if line.len() == LINE_BYTES_MAX));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert!(lines.line.is_empty());
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"next")));
    }
}
