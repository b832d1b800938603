//! Where bytes of strangers enter: each [`Entry`] is a function of bytes that must return, whatever they are.
//!
//! The fuzz targets beside this crate call them with what libFuzzer makes up; `tests/mutants.rs` calls them with a bounded
//! number of mutants of the [`seeds`], so that every test run has a short version of the same. An entry asserts what must
//! hold of what it was given: an answer, a refusal in words, the same bytes after decoding and encoding.

mod codec;
mod expression;
mod payload;
mod request;
pub mod seeds;
mod session;

pub use request::Served;

/// One way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A condition or filter expression.
    Condition,
    /// An update expression.
    Update,
    /// A projection expression.
    Projection,
    /// A key condition expression.
    KeyCondition,
    /// A PartiQL statement.
    Statement,
    /// Requests, one after the other, to a new server.
    Requests,
    /// A request to a server that has keys: its signature, in headers or in its query.
    Signature,
    /// What a device publishes: the topic up to the first line feed, then the payload.
    Payload,
    /// What comes over an MQTT connection.
    Session,
    /// An item's image, as the log and files hold it.
    Image,
    /// Events, and the schemas in them, as the log holds them.
    Event,
    /// A key, and a number's text.
    Key,
}

impl Entry {
    /// All of them.
    pub const ALL: [Entry; 12] = [
        Entry::Condition,
        Entry::Update,
        Entry::Projection,
        Entry::KeyCondition,
        Entry::Statement,
        Entry::Requests,
        Entry::Signature,
        Entry::Payload,
        Entry::Session,
        Entry::Image,
        Entry::Event,
        Entry::Key,
    ];

    /// The name of its fuzz target and of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Entry::Condition => "condition",
            Entry::Update => "update",
            Entry::Projection => "projection",
            Entry::KeyCondition => "key_condition",
            Entry::Statement => "statement",
            Entry::Requests => "requests",
            Entry::Signature => "signature",
            Entry::Payload => "payload",
            Entry::Session => "session",
            Entry::Image => "image",
            Entry::Event => "event",
            Entry::Key => "key",
        }
    }

    /// Takes `bytes` in.
    ///
    /// # Panics
    ///
    /// That is what is looked for.
    pub fn take(self, bytes: &[u8]) {
        match self {
            Entry::Condition => expression::condition(bytes),
            Entry::Update => expression::update(bytes),
            Entry::Projection => expression::projection(bytes),
            Entry::KeyCondition => expression::key_condition(bytes),
            Entry::Statement => request::statement(bytes),
            Entry::Requests => request::requests(bytes),
            Entry::Signature => request::signature(bytes),
            Entry::Payload => payload::payload(bytes),
            Entry::Session => session::session(bytes),
            Entry::Image => codec::image(bytes),
            Entry::Event => codec::event(bytes),
            Entry::Key => codec::key(bytes),
        }
    }
}
