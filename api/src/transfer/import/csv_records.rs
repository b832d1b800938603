//! CSV: a header of attribute names, then an item a record. Every value is a string but those of key attributes, which are of their
//! key's type: a number as DynamoDB writes it, bytes in base64. An empty field is no attribute.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::BTreeMap,
    io::{self, Read},
    rc::Rc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use item::{EncodedItem, ItemEncoder, Key, KeyType, Table, Value};

use super::{FIELD_CHARACTERS, lines::LINE_BYTES_MAX, shown};
use crate::validate;

/// Records of CSV, and what their fields are.
pub(super) struct Records<R> {
    reader: csv::Reader<Bounded<R>>,
    left: Rc<Cell<usize>>,
    /// The first record's names, unless they were given.
    header: Option<Vec<String>>,
    record: csv::StringRecord,
}

/// A record, or what is wrong with it, and its line.
pub(super) struct Record<'a> {
    pub(super) line: u64,
    pub(super) fields: Result<&'a csv::StringRecord, String>,
}

/// Refuses to go on with a record that has no end.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left.get());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other(format!("a record is over {LINE_BYTES_MAX} bytes: the rest is not read")));
        }
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - read);
        Ok(read)
    }
}

impl<R: Read> Records<R> {
    pub(super) fn new(inner: R, delimiter: u8, header: Option<Vec<String>>) -> Records<R> {
        let left = Rc::new(Cell::new(LINE_BYTES_MAX));
        let bounded = Bounded { inner, left: left.clone() };
        let reader =
            csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(bounded);
        Records { reader, left, header, record: csv::StringRecord::new() }
    }

    /// Names of the attributes, from the first record unless they were given; an error if that is no header.
    pub(super) fn header(&mut self) -> Result<Vec<String>, String> {
        if let Some(header) = &self.header {
            return Ok(header.clone());
        }
        let names = match self.next().map_err(|error| error.to_string())? {
            None => return Ok(Vec::new()),
            Some(record) => record.fields?.iter().map(str::to_owned).collect::<Vec<_>>(),
        };
        check_header(&names)?;
        self.header = Some(names.clone());
        Ok(names)
    }

    /// The next record; none at the end. An error is one of reading: what comes after it is lost.
    pub(super) fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        self.left.set(LINE_BYTES_MAX);
        let read = self.reader.read_record(&mut self.record);
        let line_of = |position: Option<&csv::Position>| position.map_or(0, csv::Position::line);
        match read {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(Record { line: line_of(self.record.position()), fields: Ok(&self.record) })),
            Err(error) => match error.kind() {
                csv::ErrorKind::Utf8 { pos, .. } => {
                    Ok(Some(Record { line: line_of(pos.as_ref()), fields: Err("it is no UTF-8".to_owned()) }))
                }
                _ => Err(match error.into_kind() {
                    csv::ErrorKind::Io(error) => error,
                    other => io::Error::other(format!("{other:?}")),
                }),
            },
        }
    }

    /// Bytes read so far, as a text.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.position().byte()
    }
}

/// Refuses names that are no attributes' names.
pub(crate) fn check_header(names: &[String]) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if name.is_empty() {
            return Err("the header has an empty name".to_owned());
        }
        if !seen.insert(name) {
            return Err(format!("the header has the name {:?} twice", cut(name)));
        }
    }
    Ok(())
}

/// The item of a record and its key, or what is wrong with it.
pub(super) fn item(
    fields: Result<&csv::StringRecord, String>,
    header: &[String],
    table: &Table,
) -> Result<(Key, EncodedItem), String> {
    let fields = fields?;
    if fields.len() != header.len() {
        return Err(format!("it has {} fields, the header has {}", fields.len(), header.len()));
    }
    let types: BTreeMap<&str, KeyType> =
        table.all_key_attributes().map(|key| (key.name.as_str(), key.key_type)).collect();
    let mut encoder = ItemEncoder::default();
    for (name, text) in header.iter().zip(fields).filter(|(_, text)| !text.is_empty()) {
        encoder.put(name, &value(name, text, types.get(name.as_str()))?);
    }
    let item = encoder.finish().map_err(|error| crate::Error::from(error).to_string())?;
    let key = validate::encoded_item_key(table, &item).map_err(|error| error.to_string())?;
    Ok((key, item))
}

fn value(name: &str, text: &str, key_type: Option<&KeyType>) -> Result<Value, String> {
    match key_type {
        None | Some(KeyType::S) => Ok(Value::String(text.to_owned())),
        Some(KeyType::N) => match text.trim().parse() {
            Ok(number) => Ok(Value::Number(number)),
            Err(error) => Err(format!("{}: {:?} is no number: {error}", cut(name), cut(text))),
        },
        Some(KeyType::B) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Binary(bytes.into())),
            Err(_) => Err(format!("{}: {:?} is no base64", cut(name), cut(text))),
        },
    }
}

/// As much of a field as is told.
fn cut(text: &str) -> Cow<'_, str> {
    shown(text, FIELD_CHARACTERS)
}

#[cfg(test)]
mod tests {
    use item::{Item, KeyAttribute, table::system};

    use super::*;

    fn table() -> Table {
        let sort_key = Some(KeyAttribute::new("at", KeyType::N));
        Table { partition_key: KeyAttribute::new("id", KeyType::S), sort_key, ..system::retained() }
    }

    /// Items, or what is wrong, each with its line.
    fn read(text: &[u8], delimiter: u8) -> Vec<(u64, Result<Item, String>)> {
        let mut records = Records::new(text, delimiter, None);
        let header = records.header().unwrap();
        let mut read = Vec::new();
        while let Some(Record { line, fields }) = records.next().unwrap() {
            read.push((line, item(fields, &header, &table()).map(|(_, item)| item.decode())));
        }
        read
    }

    #[test]
    fn of_a_long_field_the_beginning_is_told() {
        let long = "é".repeat(1 << 20);
        let read = read(format!("id,at\nx,{long}\n").as_bytes(), b',');
        let problem = read[0].1.as_ref().unwrap_err();
        assert!(problem.starts_with("at: \"éé") && problem.contains("is no number"), "{problem:.100}");
        assert!(problem.chars().count() < 200);
    }

    #[test]
    fn keys_have_their_types_and_everything_else_is_text() {
        let read = read(b"id,at,v,note\nx,1.50,7,\"a, \"\"b\"\"\nc\"\ny,2,,z\n", b',');
        let text = |text: &str| Value::String(text.to_owned());
        let first = &read[0].1.as_ref().unwrap().0;
        assert_eq!(first["at"], Value::Number("1.5".parse().unwrap()));
        assert_eq!((&first["v"], &first["note"]), (&text("7"), &text("a, \"b\"\nc")));
        let second = read[1].1.as_ref().unwrap();
        assert_eq!((read[1].0, second.get("v"), second.get("note")), (4, None, Some(&text("z"))));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let read = read(b"id;at\nx;1\nx\ny;no\n;3\nz\xff;4\nw;5\n", b';');
        let told: Vec<(u64, bool)> = read.iter().map(|(line, item)| (*line, item.is_ok())).collect();
        assert_eq!(told, [(2, true), (3, false), (4, false), (5, false), (6, false), (7, true)]);
        assert_eq!(read[1].1, Err("it has 1 fields, the header has 2".into()));
        assert!(read[2].1.as_ref().unwrap_err().contains("\"no\" is no number"));
    }

    #[test]
    fn a_header_has_no_name_twice_and_a_record_has_an_end() {
        let header = |text: &'static [u8]| Records::new(text, b',', None).header();
        assert!(header(b"a,a\n").unwrap_err().contains("twice") && header(b"a,,b\n").unwrap_err().contains("empty"));
        assert_eq!(header(b"").unwrap(), Vec::<String>::new());
        let endless = io::Read::chain(&b"id,at\n\""[..], io::repeat(b'x'));
        let mut records = Records::new(endless, b',', None);
        records.header().unwrap();
        assert!(records.next().err().unwrap().to_string().contains("is over"));
    }
}
