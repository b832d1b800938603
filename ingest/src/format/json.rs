//! JSON as devices send it.
//!
//! A parser of our own, because three things are needed together that parsers do not give: numbers with their exact text,
//! repeated names seen, and *damage kept local*. A value that cannot be taken (a string that is not UTF-8, a word such
//! as `undefined`, too deep nesting) costs the member that holds it and nothing else; only broken structure costs the
//! whole payload. NaN and infinities, which C and Python print, are NULL.
//!
//! Recursion is bounded by [`DEPTH_MAX`]; what is deeper is skipped without recursion.

use std::str;

use item::Value;

use super::{BOM, Document, Fields, Findings, Malformed, literal, without_trailing};

/// Levels of maps and lists that an attribute may have, as in DynamoDB.
const DEPTH_MAX: usize = Value::DEPTH_MAX;

/// The longest attribute name in bytes.
const NAME_BYTES_MAX: usize = 65_535;

/// Reads a whole payload. An array with an object among its elements is several readings; another array is one value.
pub(crate) fn decode(payload: &[u8], findings: &mut Findings) -> Result<Document, Malformed> {
    let start = if payload.starts_with(BOM) { BOM.len() } else { 0 };
    let end = start + without_trailing(&payload[start..]).len();
    let mut parser = Parser { bytes: &payload[..end], at: start, path: Vec::new(), findings };
    parser.skip_blanks();
    let document = match parser.peek() {
        Some(b'{') => Document::Object(parser.object(0)?),
        Some(b'[') => parser.readings()?,
        _ => Document::Scalar(parser.value(1)?),
    };
    parser.skip_blanks();
    match parser.peek() {
        None => Ok(document),
        Some(_) => Err(parser.malformed("text after the value")),
    }
}

/// The text of a JSON string that is all of `payload`; none if it is not one.
pub(crate) fn quoted(payload: &[u8]) -> Option<String> {
    let mut findings = Findings::default();
    let mut parser = Parser { bytes: payload, at: 0, path: Vec::new(), findings: &mut findings };
    let text = parser.string().ok()?.ok()?;
    (parser.at == payload.len()).then_some(text)
}

struct Parser<'a, 'f> {
    bytes: &'a [u8],
    at: usize,
    /// Names and list positions that lead to here.
    path: Vec<Step<'a>>,
    findings: &'f mut Findings,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    /// As the payload spells it, escapes and all.
    Name(&'a [u8]),
    Position(usize),
}

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn malformed(&self, what: &'static str) -> Malformed {
        Malformed::Json { offset: self.at, what }
    }

    /// Notes that the value at `offset` cannot be taken.
    fn bad(&mut self, offset: usize, what: &'static str) {
        let path = &self.path;
        self.findings.note(|| show(path), offset, what);
    }

    /// A top-level array.
    fn readings(&mut self) -> Result<Document, Malformed> {
        let mut elements = Vec::new();
        let mut objects = false;
        self.elements(|parser| {
            if parser.peek() == Some(b'{') {
                objects = true;
                elements.push(Some(Value::Map(parser.object(0)?)));
            } else {
                elements.push(parser.value(2)?);
            }
            Ok(())
        })?;
        if !objects {
            return Ok(Document::Scalar(elements.into_iter().collect::<Option<Vec<_>>>().map(Value::List)));
        }
        let fields = elements.into_iter().map(|element| match element {
            Some(Value::Map(fields)) => Some(fields),
            _ => None,
        });
        Ok(Document::Objects(fields.collect()))
    }

    /// Any value; none if it is bad, which is noted. `depth` is the level that it has if it is a map or list.
    fn value(&mut self, depth: usize) -> Result<Option<Value>, Malformed> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => match self.string()? {
                Ok(text) => Ok(Some(Value::String(text))),
                Err(what) => {
                    self.bad(start, what);
                    Ok(None)
                }
            },
            Some(b'{' | b'[') if depth > DEPTH_MAX => {
                self.skip_nested()?;
                self.bad(start, "nested deeper than 32 levels");
                Ok(None)
            }
            Some(b'{') => self.object(depth).map(|fields| Some(Value::Map(fields))),
            Some(b'[') => self.list(depth),
            _ => self.word(),
        }
    }

    /// An object's members; `depth` is its own level.
    fn object(&mut self, depth: usize) -> Result<Fields, Malformed> {
        let mut fields = Fields::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(fields);
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.malformed("expected a name in quotes"));
            }
            let start = self.at;
            let name = self.string()?;
            self.path.push(Step::Name(&self.bytes[start + 1..self.at - 1]));
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.malformed("expected `:` after a name"));
            }
            self.at += 1;
            self.skip_blanks();
            let value = self.value(depth + 1)?;
            match name {
                Err(what) => self.bad(start, what),
                Ok(name) if name.len() > NAME_BYTES_MAX => self.bad(start, "the name is longer than 64 KB"),
                Ok(name) => {
                    let name = if name.is_empty() { "_".to_owned() } else { name };
                    if let Some(value) = value
                        && fields.insert(name, value).is_some()
                    {
                        self.findings.repeated_names += 1;
                    }
                }
            }
            self.path.pop();
            if !self.more(b'}', "expected `,` or `}` in an object")? {
                return Ok(fields);
            }
        }
    }

    /// A list; none if one of its elements is bad, since the others would change their places.
    fn list(&mut self, depth: usize) -> Result<Option<Value>, Malformed> {
        let mut values = Some(Vec::new());
        self.elements(|parser| {
            match (parser.value(depth + 1)?, &mut values) {
                (Some(value), Some(values)) => values.push(value),
                _ => values = None,
            }
            Ok(())
        })?;
        Ok(values.map(Value::List))
    }

    /// Walks the elements of an array, each read by `read`.
    fn elements(&mut self, mut read: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for position in 0.. {
            self.skip_blanks();
            self.path.push(Step::Position(position));
            read(self)?;
            self.path.pop();
            if !self.more(b']', "expected `,` or `]` in an array")? {
                break;
            }
        }
        Ok(())
    }

    /// After an element: is there another one, or was this the last?
    fn more(&mut self, close: u8, expected: &'static str) -> Result<bool, Malformed> {
        self.skip_blanks();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.malformed(expected)),
        }
    }

    /// A number, literal, or a word that is neither.
    fn word(&mut self) -> Result<Option<Value>, Malformed> {
        let start = self.at;
        let ends =
            |byte: &u8| matches!(byte, b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        let length = self.bytes[start..].iter().position(ends).unwrap_or(self.bytes.len() - start);
        if length == 0 {
            return Err(self.malformed("expected a value"));
        }
        self.at += length;
        let value = literal(&self.bytes[start..self.at], self.findings);
        if value.is_none() {
            self.bad(start, "not a JSON value");
        }
        Ok(value)
    }

    /// A string: its text, or what is wrong with it. Either way it has been passed.
    fn string(&mut self) -> Result<Result<String, &'static str>, Malformed> {
        let start = self.at + 1;
        let mut at = start;
        let (mut escaped, mut control) = (false, false);
        loop {
            match self.bytes.get(at) {
                None => return Err(self.malformed("a string does not end")),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(byte) => {
                    control |= *byte < 0x20;
                    at += 1;
                }
            }
        }
        let raw = &self.bytes[start..at];
        self.at = at + 1;
        if control {
            return Ok(Err("a control character in a string"));
        }
        if escaped {
            return Ok(unescape(raw));
        }
        Ok(str::from_utf8(raw).map(str::to_owned).map_err(|_| "a string is not UTF-8"))
    }

    /// Passes a map or list of any depth without recursion.
    fn skip_nested(&mut self) -> Result<(), Malformed> {
        let mut closers = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.malformed("an object or array does not end")),
                Some(b'"') => {
                    // What is in it does not matter, only where it ends.
                    let _ = self.string()?;
                    continue;
                }
                Some(b'{') => closers.push(b'}'),
                Some(b'[') => closers.push(b']'),
                Some(close @ (b'}' | b']')) => {
                    if closers.pop() != Some(close) {
                        return Err(self.malformed("brackets do not match"));
                    }
                }
                Some(_) => {}
            }
            self.at += 1;
            if closers.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Resolves escapes.
fn unescape(raw: &[u8]) -> Result<String, &'static str> {
    let mut text = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            text.push(raw[at]);
            at += 1;
            continue;
        }
        let plain = match raw.get(at + 1) {
            Some(b'u') => {
                let (character, length) = unicode_escape(&raw[at..])?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
                continue;
            }
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => b'/',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            _ => return Err("an unknown escape in a string"),
        };
        text.push(plain);
        at += 2;
    }
    String::from_utf8(text).map_err(|_| "a string is not UTF-8")
}

/// The character of a `\uXXXX` or a pair of them, and how many bytes they take.
fn unicode_escape(raw: &[u8]) -> Result<(char, usize), &'static str> {
    let unit = |at: usize| {
        let digits = raw.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"))?;
        let mut unit = 0;
        for digit in &digits[2..] {
            unit = unit * 16 + char::from(*digit).to_digit(16)?;
        }
        Some(unit)
    };
    let first = unit(0).ok_or("an unknown escape in a string")?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, 6));
    }
    let second = unit(6).filter(|second| (0xDC00..0xE000).contains(second));
    match second {
        Some(second) if first < 0xDC00 => {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            Ok((char::from_u32(code).expect("a surrogate pair is below 0x110000"), 12))
        }
        _ => Err("half of a surrogate pair in a string"),
    }
}

/// A path for people, bounded.
fn show(path: &[Step<'_>]) -> String {
    const STEPS_MAX: usize = 8;
    const NAME_BYTES_MAX: usize = 64;
    let mut text = String::new();
    for step in path.iter().take(STEPS_MAX) {
        match step {
            Step::Name(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES_MAX)]));
            }
            Step::Position(position) => text.push_str(&format!("[{position}]")),
        }
    }
    if path.len() > STEPS_MAX {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;
