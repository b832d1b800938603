//! The rules: from a decoded payload to the items that it puts. A pure function.
//!
//! Each reading of a payload gets a device (its partition key), a time (its sort key), and its fields as attributes. A
//! field that has a key's name without being that key is kept under its name with `_` behind it. What cannot be mapped
//! becomes a [`Problem`]; whoever calls puts the whole message into quarantine with them.

use item::{Item, Number, Value, key::PARTITION_BYTES_MAX};

use crate::{
    StoredTime,
    format::{self, Document, Fields, Findings},
    routes::Mapping,
    template::scalar_text,
    time::{self, Found},
    topic::Captures,
};

/// What is known of a message besides its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    /// Its topic or subject.
    pub(crate) topic: &'a str,
    /// What its route captured of it.
    pub(crate) captures: &'a Captures<'a>,
    /// When JetStream stored it.
    pub(crate) stored: Option<StoredTime>,
    /// The arrival of its first reading in microseconds; the others follow it.
    pub(crate) arrival_us: u64,
}

/// Where an item's time came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeOrigin {
    /// The payload.
    Own,
    /// JetStream.
    Stored,
    /// Our clock.
    Arrival,
}

/// One reading, mapped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Put {
    /// Which of the payload's readings it is.
    pub(crate) position: usize,
    /// The item, keys included.
    pub(crate) item: Item,
    /// Where its time came from.
    pub(crate) time: TimeOrigin,
}

/// Why something is not stored. The names are stable: metrics and the quarantine show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ProblemKind {
    /// No payload of its format.
    Malformed,
    /// A field, or an element of an array.
    BadField,
    /// No device, or one that is no key.
    Device,
    /// No time where one is needed.
    Time,
    /// Over the size of an item.
    TooLarge,
    /// No route takes the topic.
    NoRoute,
    /// The table has other keys, or cannot be.
    Table,
    /// A stored value would change.
    Collision,
}

impl ProblemKind {
    /// Its name in metrics and in the quarantine.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ProblemKind::Malformed => "malformed",
            ProblemKind::BadField => "bad_field",
            ProblemKind::Device => "device",
            ProblemKind::Time => "time",
            ProblemKind::TooLarge => "too_large",
            ProblemKind::NoRoute => "no_route",
            ProblemKind::Table => "table",
            ProblemKind::Collision => "collision",
        }
    }
}

/// Why something of a message is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What kind.
    pub(crate) kind: ProblemKind,
    /// What and where.
    pub(crate) text: String,
}

/// What the rules noticed and count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Candidates for the time that were out of range.
    pub(crate) times_out_of_range: u64,
    /// Times without offset, read in the zone.
    pub(crate) local_times: u64,
    /// NaN and infinities that became NULL.
    pub(crate) not_finite: u64,
    /// Numbers that became text.
    pub(crate) number_as_text: u64,
    /// Names that came more than once in an object.
    pub(crate) repeated_names: u64,
}

/// What became of one message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mapped {
    /// The items, in the payload's order.
    pub(crate) puts: Vec<Put>,
    /// What could not be mapped.
    pub(crate) problems: Vec<Problem>,
    /// What is counted.
    pub(crate) counts: Counts,
}

impl Mapped {
    /// A message of which nothing can be stored.
    pub(crate) fn refused(kind: ProblemKind, text: impl ToString) -> Mapped {
        Mapped { problems: vec![Problem { kind, text: text.to_string() }], ..Mapped::default() }
    }
}

/// A payload that was read but not yet mapped. The number of its readings is needed to give them arrivals.
#[derive(Debug)]
pub(crate) struct Decoded {
    document: Result<Document, format::Malformed>,
    findings: Findings,
}

impl Decoded {
    /// Reads `payload`.
    pub(crate) fn new(payload: &[u8], mapping: &Mapping) -> Decoded {
        let mut findings = Findings::default();
        let document = format::decode(payload, mapping.format, &mut findings);
        Decoded { document, findings }
    }

    /// How many readings it has.
    pub(crate) fn readings(&self) -> usize {
        match &self.document {
            Ok(Document::Objects(objects)) => objects.len(),
            _ => 1,
        }
    }

    /// Maps it.
    pub(crate) fn map(self, envelope: Envelope<'_>, mapping: &Mapping) -> Mapped {
        let Decoded { document, findings } = self;
        let mut mapped = match document {
            Ok(document) => map_document(document, findings.bad_count > 0, envelope, mapping),
            Err(malformed) => Mapped::refused(ProblemKind::Malformed, malformed),
        };
        for bad in &findings.bad {
            let place = if bad.path.is_empty() { "the payload" } else { &bad.path };
            let text = format!("{place}, byte {}: {}", bad.offset, bad.what);
            mapped.problems.push(Problem { kind: ProblemKind::BadField, text });
        }
        if findings.bad_count > findings.bad.len() {
            let text = format!("and {} more bad fields", findings.bad_count - findings.bad.len());
            mapped.problems.push(Problem { kind: ProblemKind::BadField, text });
        }
        mapped.counts.not_finite = findings.not_finite;
        mapped.counts.number_as_text = findings.number_as_text;
        mapped.counts.repeated_names = findings.repeated_names;
        mapped
    }
}

fn map_document(document: Document, damaged: bool, envelope: Envelope<'_>, mapping: &Mapping) -> Mapped {
    let mut mapped = Mapped::default();
    match document {
        Document::Scalar(Some(_)) | Document::Objects(_) if mapping.rows => {
            return Mapped::refused(ProblemKind::Malformed, "a row must be one JSON object");
        }
        // What is wrong with it has been noted.
        Document::Scalar(None) => {}
        Document::Scalar(Some(value)) => {
            let name = if mapping.metric { envelope.captures.get("metric").unwrap_or_default() } else { "reading" };
            let fields = Fields::from([(name_or_underscore(name), value)]);
            map_reading(0, fields, Body::Scalar, damaged, envelope, mapping, &mut mapped);
        }
        Document::Object(fields) => map_reading(0, fields, Body::Object, damaged, envelope, mapping, &mut mapped),
        Document::Objects(objects) => {
            mapped.puts.reserve(objects.len());
            for (position, fields) in objects.into_iter().enumerate() {
                match fields {
                    Some(fields) => {
                        map_reading(position, fields, Body::Object, damaged, envelope, mapping, &mut mapped)
                    }
                    None => mapped.problems.push(Problem {
                        kind: ProblemKind::BadField,
                        text: format!("[{position}]: the element is not an object"),
                    }),
                }
            }
        }
    }
    mapped
}

/// What a reading was in its payload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Scalar,
    Object,
}

fn map_reading(
    position: usize,
    fields: Fields,
    body: Body,
    damaged: bool,
    envelope: Envelope<'_>,
    mapping: &Mapping,
    mapped: &mut Mapped,
) {
    if fields.is_empty() && damaged {
        return;
    }
    match reading(position, fields, body, envelope, mapping, &mut mapped.counts) {
        Ok(put) => mapped.puts.push(put),
        Err(mut problem) => {
            if body == Body::Object && position > 0 {
                problem.text = format!("[{position}]: {}", problem.text);
            }
            mapped.problems.push(problem);
        }
    }
}

fn reading(
    position: usize,
    mut fields: Fields,
    body: Body,
    envelope: Envelope<'_>,
    mapping: &Mapping,
    counts: &mut Counts,
) -> Result<Put, Problem> {
    let device = device(&fields, body, envelope, mapping)?;
    let (ts, time, own_field) = time_of(position, &fields, body, envelope, mapping, counts)?;
    let mut made = Vec::with_capacity(mapping.attributes.len());
    for (name, template) in &mapping.attributes {
        let text = template.fill(envelope.topic, envelope.captures, &fields).map_err(|unfilled| Problem {
            kind: ProblemKind::BadField,
            text: format!("attribute `{name}`: {unfilled}"),
        })?;
        made.push((name.as_str(), Value::String(text)));
    }
    if mapping.metric && body == Body::Object {
        // The metric is a level of the topic, and no level is dropped: the object stays whole below its name.
        let name = name_or_underscore(envelope.captures.get("metric").unwrap_or_default());
        fields = Fields::from([(name, Value::Map(fields))]);
    } else if own_field == Some(mapping.time_key.as_str()) {
        fields.remove(&mapping.time_key);
    }
    if fields.get(&mapping.device_key).is_some_and(|value| is_text(value, &device)) {
        fields.remove(&mapping.device_key);
    }
    made.push((&mapping.device_key, Value::String(device)));
    made.push((&mapping.time_key, Value::Number(ts)));
    for (name, value) in made {
        if let Some(field) = fields.insert(name.to_owned(), value) {
            keep_beside(&mut fields, name, field);
        }
    }
    let item = Item(fields);
    item.check().map_err(|error| Problem {
        kind: match error {
            item::ItemError::TooLarge { .. } => ProblemKind::TooLarge,
            _ => ProblemKind::BadField,
        },
        text: error.to_string(),
    })?;
    Ok(Put { position, item, time })
}

fn device(fields: &Fields, body: Body, envelope: Envelope<'_>, mapping: &Mapping) -> Result<String, Problem> {
    let problem = |text: String| Problem { kind: ProblemKind::Device, text };
    let device = match &mapping.device {
        Some(template) => template
            .fill(envelope.topic, envelope.captures, fields)
            .map_err(|unfilled| problem(format!("the device is not known: {unfilled}")))?,
        None => {
            let own = if body == Body::Object { fields.get(&mapping.device_key) } else { None };
            own.and_then(scalar_text).filter(|text| !text.is_empty()).unwrap_or_else(|| envelope.topic.to_owned())
        }
    };
    match device.len() {
        0 => Err(problem("the device is empty".into())),
        1..=PARTITION_BYTES_MAX => Ok(device),
        bytes => Err(problem(format!("the device has {bytes} bytes, over the limit of {PARTITION_BYTES_MAX}"))),
    }
}

/// The time, where it came from, and the path of the field that it was.
fn time_of<'a>(
    position: usize,
    fields: &Fields,
    body: Body,
    envelope: Envelope<'_>,
    mapping: &'a Mapping,
    counts: &mut Counts,
) -> Result<(Number, TimeOrigin, Option<&'a str>), Problem> {
    let candidates = mapping.times.iter().filter(|_| body == Body::Object);
    for path in candidates {
        let Some(candidate) = path.find(fields) else {
            continue;
        };
        match time::find(candidate, &mapping.zone, envelope.arrival_us) {
            Found::Time { ms, local } => {
                counts.local_times += u64::from(local);
                return Ok((ms, TimeOrigin::Own, Some(path.as_str())));
            }
            Found::OutOfRange => counts.times_out_of_range += 1,
            Found::NotATime => {}
        }
    }
    if mapping.rows {
        let names: Vec<_> = mapping.times.iter().map(|path| format!("`{}`", path.as_str())).collect();
        let text = format!("{} is not a time between 2000 and a day from now", names.join(", "));
        return Err(Problem { kind: ProblemKind::Time, text });
    }
    let later = position as u64;
    Ok(match envelope.stored {
        Some(stored) => {
            (time::of_stored(stored.time_us.saturating_add(later), stored.sequence), TimeOrigin::Stored, None)
        }
        None => (time::of_arrival(envelope.arrival_us.saturating_add(later)), TimeOrigin::Arrival, None),
    })
}

/// An attribute has a name.
fn name_or_underscore(name: &str) -> String {
    if name.is_empty() { "_".to_owned() } else { name.to_owned() }
}

/// Is `value` the one that became the key `text`?
fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        other => scalar_text(other).is_some_and(|own| own == text),
    }
}

/// Keeps a field whose name was needed, under the first free name with `_` behind.
fn keep_beside(fields: &mut Fields, name: &str, value: Value) {
    let mut beside = format!("{name}_");
    while fields.contains_key(&beside) {
        beside.push('_');
    }
    fields.insert(beside, value);
}

#[cfg(test)]
mod tests;
