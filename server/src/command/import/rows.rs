//! Rows of a file, read lazily, each turned into one JSON object without touching the digits of its numbers.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader, Read},
    path::Path,
    rc::Rc,
};

use anyhow::{Context, bail};
use serde_json::value::RawValue;

/// A longer row is refused; in CSV it is most likely a quote that is never closed.
const ROW_BYTES_MAX: u64 = 8 << 20;

/// Which columns say whose reading it is, and when.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// The device's column; none if every row is of one device.
    pub(crate) device: Option<String>,
    /// The time's column.
    pub(crate) time: String,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where it begins, counted from 1.
    pub(crate) line: u64,
    /// The row as one JSON object, without a line end.
    pub(crate) json: Vec<u8>,
    /// A hash of device and time as they are written, the same for every row of one device and time.
    pub(crate) key: u64,
}

/// A row that cannot be sent, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    /// Where it begins, counted from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) what: String,
}

/// Rows of one file, first to last.
pub(crate) enum Rows {
    /// `.csv`
    Csv(Box<CsvRows>),
    /// `.jsonl`, `.ndjson`
    JsonLines(JsonRows),
}

impl Rows {
    /// Opens `path`; the name's end tells the format. Errors say what is wrong with the file as a whole.
    pub(crate) fn open(path: &Path, columns: &Columns) -> anyhow::Result<Rows> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("csv") => Ok(Rows::Csv(Box::new(CsvRows::new(open(path)?, columns)?))),
            Some("jsonl" | "ndjson") => Ok(Rows::JsonLines(JsonRows::new(open(path)?, columns))),
            _ => bail!("the name must end with .csv, .jsonl or .ndjson, so that the format is known"),
        }
    }

    /// The next row; none after the last. An error is final: the rest of the file cannot be read.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Result<Row, BadRow>>> {
        match self {
            Rows::Csv(rows) => rows.next(),
            Rows::JsonLines(rows) => rows.next(),
        }
    }

    /// Bytes of the file that have been read.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Rows::Csv(rows) => rows.reader.position().byte(),
            Rows::JsonLines(rows) => rows.offset,
        }
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        bail!("this is a directory");
    }
    Ok(file)
}

fn key_of(device: &[u8], time: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    device.hash(&mut hasher);
    time.hash(&mut hasher);
    hasher.finish()
}

/// Rows of a CSV file (RFC 4180, with a header line).
pub(crate) struct CsvRows {
    reader: csv::Reader<Bounded>,
    since_row: Rc<Cell<u64>>,
    /// Column names, each as JSON text.
    names: Vec<Vec<u8>>,
    device: Option<usize>,
    time: usize,
    record: csv::ByteRecord,
}

impl CsvRows {
    fn new(file: File, columns: &Columns) -> anyhow::Result<CsvRows> {
        let since_row = Rc::new(Cell::new(0));
        let bounded = Bounded { file, since_row: since_row.clone() };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bounded);
        let mut header = reader.headers().context("line 1, the header")?.clone();
        if let Some(first) = header.get(0).and_then(|first| first.strip_prefix('\u{feff}')) {
            header = std::iter::once(first).chain(header.iter().skip(1)).collect();
        }
        if header.is_empty() {
            bail!("the file is empty; its first line must name the columns");
        }
        let place = |name: &str| {
            let Some(place) = header.iter().position(|column| column == name) else {
                let all: Vec<&str> = header.iter().collect();
                bail!("there is no column `{name}`; line 1 names {}", all.join(", "));
            };
            Ok(place)
        };
        let mut seen = BTreeMap::new();
        for (index, name) in header.iter().enumerate() {
            if let Some(before) = seen.insert(name, index) {
                bail!("line 1 names `{name}` twice, as column {} and {}", before + 1, index + 1);
            }
        }
        Ok(CsvRows {
            device: columns.device.as_deref().map(place).transpose()?,
            time: place(&columns.time)?,
            names: header.iter().map(json_text).collect(),
            reader,
            since_row,
            record: csv::ByteRecord::new(),
        })
    }

    fn next(&mut self) -> anyhow::Result<Option<Result<Row, BadRow>>> {
        self.since_row.set(0);
        let begun = self.reader.position().line();
        if !self.reader.read_byte_record(&mut self.record).with_context(|| format!("line {begun}"))? {
            return Ok(None);
        }
        let line = self.record.position().map_or(begun, csv::Position::line);
        Ok(Some(self.row(line).map_err(|what| BadRow { line, what })))
    }

    fn row(&self, line: u64) -> Result<Row, String> {
        if self.record.len() != self.names.len() {
            return Err(format!("{} fields, but the header has {}", self.record.len(), self.names.len()));
        }
        let mut json = Vec::with_capacity(self.record.as_slice().len() + 16 * self.names.len());
        json.push(b'{');
        for (index, (name, cell)) in self.names.iter().zip(&self.record).enumerate() {
            let cell = std::str::from_utf8(cell).map_err(|_| format!("column {} is not UTF-8", index + 1))?.trim();
            if cell.is_empty() {
                continue;
            }
            if json.len() > 1 {
                json.push(b',');
            }
            json.extend_from_slice(name);
            json.push(b':');
            push_cell(cell, &mut json);
        }
        json.push(b'}');
        let device = self.device.map_or(&b""[..], |index| &self.record[index]);
        Ok(Row { line, json, key: key_of(device, &self.record[self.time]) })
    }
}

/// Appends a cell as JSON: a number, true, false or null as it is written, everything else as text. What programs write
/// for no number is left to the server too, which takes it for NULL and counts it.
fn push_cell(cell: &str, json: &mut Vec<u8>) {
    let unsigned = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let not_finite = ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    if matches!(cell, "true" | "false" | "null") || not_finite || is_json_number(cell) {
        json.extend_from_slice(cell.as_bytes());
    } else {
        json.extend_from_slice(&json_text(cell));
    }
}

fn json_text(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("text is always JSON")
}

/// Does JSON's grammar take `text` as a number? `007` and `+49` are not: they are names, and stay text.
fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}

/// A file whose reader says when a row ends, so that an endless row is noticed.
struct Bounded {
    file: File,
    since_row: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.since_row.get() > ROW_BYTES_MAX {
            return Err(std::io::Error::other(format!(
                "a row of more than {ROW_BYTES_MAX} bytes: is a quote never closed?"
            )));
        }
        let length = self.file.read(buffer)?;
        self.since_row.set(self.since_row.get() + length as u64);
        Ok(length)
    }
}

/// Rows of a JSON lines file.
pub(crate) struct JsonRows {
    reader: BufReader<File>,
    columns: Columns,
    line: u64,
    offset: u64,
}

impl JsonRows {
    fn new(file: File, columns: &Columns) -> JsonRows {
        JsonRows { reader: BufReader::new(file), columns: columns.clone(), line: 0, offset: 0 }
    }

    fn next(&mut self) -> anyhow::Result<Option<Result<Row, BadRow>>> {
        loop {
            let mut json = Vec::new();
            self.line += 1;
            let length = (&mut self.reader).take(ROW_BYTES_MAX).read_until(b'\n', &mut json)?;
            self.offset += length as u64;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 == ROW_BYTES_MAX && !json.ends_with(b"\n") {
                bail!("line {}: longer than {ROW_BYTES_MAX} bytes", self.line);
            }
            let text = json.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let line = self.line;
            return Ok(Some(Ok(Row { line, json: text.to_vec(), key: self.key(text) })));
        }
    }

    /// What is no JSON to us has a key of its own: the server takes from it what it can, and the rest to quarantine.
    fn key(&self, text: &[u8]) -> u64 {
        let Ok(object) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(text) else {
            return key_of(text, b"");
        };
        let value = |name: &str| object.get(name).map_or(&b""[..], |value| value.get().as_bytes());
        key_of(self.columns.device.as_deref().map_or(&b""[..], value), value(&self.columns.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(name: &str, text: &[u8]) -> anyhow::Result<Vec<Result<Row, BadRow>>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let columns = Columns { device: Some("sensor".into()), time: "timestamp".into() };
        let mut rows = Rows::open(&path, &columns)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(row);
        }
        assert_eq!(rows.offset(), text.len() as u64);
        Ok(all)
    }

    fn json(row: &Result<Row, BadRow>) -> &str {
        std::str::from_utf8(&row.as_ref().unwrap().json).unwrap()
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = b"timestamp,sensor,value\n2013-12-02 21:15:00,a,74.93588199999998000\n,007,-1E+2\n1,true,NaN\n";
        let rows = rows("series.csv", text).unwrap();
        assert_eq!(json(&rows[0]), r#"{"timestamp":"2013-12-02 21:15:00","sensor":"a","value":74.93588199999998000}"#);
        assert_eq!(json(&rows[1]), r#"{"sensor":"007","value":-1E+2}"#);
        assert_eq!(json(&rows[2]), r#"{"timestamp":1,"sensor":true,"value":NaN}"#);
    }

    /// `NAN` was sent as text: it made a device of that name, while the rows of `nan` went to quarantine.
    #[test]
    fn what_stands_for_no_value_is_no_device() {
        let text = b"timestamp,sensor\n1,nan\n2,NAN\n3,-Inf\n4,null\n5,\n6,\"  \"\n7,Nancy\n";
        let rows = rows("a.csv", text).unwrap();
        assert_eq!(
            rows.iter().map(json).collect::<Vec<_>>(),
            [
                r#"{"timestamp":1,"sensor":nan}"#,
                r#"{"timestamp":2,"sensor":NAN}"#,
                r#"{"timestamp":3,"sensor":-Inf}"#,
                r#"{"timestamp":4,"sensor":null}"#,
                r#"{"timestamp":5}"#,
                r#"{"timestamp":6}"#,
                r#"{"timestamp":7,"sensor":"Nancy"}"#,
            ]
        );
    }

    #[test]
    fn rows_of_one_device_and_time_have_one_key() {
        let rows = rows("a.csv", b"timestamp,sensor,value\n1,a,1\n1,a,2\n1,b,1\n").unwrap();
        let keys: Vec<u64> = rows.iter().map(|row| row.as_ref().unwrap().key).collect();
        assert!(keys[0] == keys[1] && keys[0] != keys[2]);
    }

    #[test]
    fn a_bad_row_costs_only_itself_and_names_its_line() {
        let rows = rows("a.csv", b"timestamp,sensor\n1,\"two\nlines\"\n2\n3,\xff\n4,d\n").unwrap();
        assert_eq!(json(&rows[0]), "{\"timestamp\":1,\"sensor\":\"two\\nlines\"}");
        assert_eq!(rows[1], Err(BadRow { line: 4, what: "1 fields, but the header has 2".into() }));
        assert_eq!(rows[2], Err(BadRow { line: 5, what: "column 2 is not UTF-8".into() }));
        assert_eq!(rows[3].as_ref().unwrap().line, 6);
    }

    #[test]
    fn a_header_that_cannot_be_right_is_refused() {
        let error = |text: &[u8]| format!("{:#}", rows("a.csv", text).unwrap_err());
        assert!(error(b"time,sensor\n").contains("no column `timestamp`; line 1 names time, sensor"));
        assert!(error(b"timestamp,sensor,timestamp\n").contains("`timestamp` twice"));
        assert!(format!("{:#}", rows("a.txt", b"").unwrap_err()).contains(".csv"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_name() {
        let rows = rows("a.csv", b"\xef\xbb\xbftimestamp,sensor\n1,a\n").unwrap();
        assert_eq!(json(&rows[0]), r#"{"timestamp":1,"sensor":"a"}"#);
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_fill_the_memory() {
        let mut text = b"timestamp,sensor\n1,\"".to_vec();
        text.resize(3 * ROW_BYTES_MAX as usize, b'x');
        let error = format!("{:#}", rows("a.csv", &text).unwrap_err());
        assert!(error.contains("line 2") && error.contains("quote"), "{error}");
    }

    #[test]
    fn json_lines_are_sent_as_they_are() {
        let rows = rows("a.jsonl", b"{\"timestamp\": 1.50, \"sensor\":\"a\"}\n\n[1]\n {\"timestamp\": 1.50}").unwrap();
        assert_eq!(json(&rows[0]), r#"{"timestamp": 1.50, "sensor":"a"}"#);
        // The server says what is wrong with it, and keeps it in quarantine.
        assert_eq!(json(&rows[1]), "[1]");
        assert_eq!(rows[2].as_ref().unwrap().line, 4);
    }

    #[test]
    fn what_json_takes_as_a_number() {
        for number in ["0", "-0.5", "10", "1e5", "1.25E-30", "74.93588199999998"] {
            assert!(is_json_number(number), "{number}");
        }
        for text in ["", "-", "007", "+1", ".5", "5.", "1e", "1e+", "0x1", "1 2", "NaN", "1.2.3", "１"] {
            assert!(!is_json_number(text), "{text}");
        }
    }
}
