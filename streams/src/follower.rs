//! Followers: a whole stream, all shards, and then what comes next.

use std::{str::FromStr, sync::Arc};

use jiff::Timestamp;

use crate::{
    Error, Record,
    lineage::Lineage,
    position::StreamPlace,
    streams::{Source, blocking},
};

/// Where a follower begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowFrom {
    /// At the oldest record that is kept.
    TrimHorizon,
    /// After the newest one.
    Latest,
    /// Behind the record that came with this position.
    Position(String),
    /// At the first record committed at this time or later, microseconds since 1970.
    Time(u64),
}

/// `trim-horizon`, `latest`, a time in RFC 3339, or a position.
impl FromStr for FollowFrom {
    type Err = Error;

    fn from_str(text: &str) -> Result<FollowFrom, Error> {
        match text {
            "trim-horizon" => Ok(FollowFrom::TrimHorizon),
            "latest" => Ok(FollowFrom::Latest),
            _ => match text.parse::<Timestamp>() {
                Ok(time) => Ok(FollowFrom::Time(u64::try_from(time.as_microsecond()).unwrap_or(0))),
                Err(_) => StreamPlace::decode(text).map(|_| FollowFrom::Position(text.to_owned())),
            },
        }
    }
}

/// A record that a follower gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// The record.
    pub record: Record,
    /// A position from which following goes on behind this record.
    pub position: String,
}

/// Gives every record of a stream, in the order of the log, and waits for more. It holds one piece of the log at most.
pub struct Follower {
    source: Source,
    stream: Arc<Lineage>,
    place: StreamPlace,
    has_ended: bool,
}

impl Follower {
    pub(crate) fn new(source: Source, stream: Arc<Lineage>, place: StreamPlace) -> Follower {
        metrics::gauge!("thalweg_streams_followers").increment(1);
        Follower { source, stream, place, has_ended: false }
    }

    /// The next records, at least one, as soon as there is one; none once the stream is over (disabled, or its table
    /// deleted). [`store::Error::Closed`] if the store closes. May be dropped while it waits; nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Vec<Followed>>, Error> {
        while !self.has_ended {
            self.source.applied.borrow_and_update();
            if self.is_behind() {
                let followed = self.step().await?;
                if !followed.is_empty() {
                    return Ok(Some(followed));
                }
            } else {
                self.source.applied.changed().await.map_err(|_| Error::Store(store::Error::Closed))?;
            }
        }
        Ok(None)
    }

    /// Is there an applied frame that was not seen?
    pub(crate) fn is_behind(&self) -> bool {
        !self.has_ended && self.place.frame < *self.source.applied.borrow()
    }

    /// Reads one piece of the applied log.
    pub(crate) async fn step(&mut self) -> Result<Vec<Followed>, Error> {
        let (log, stream, mut place) = (self.source.applied_log(), self.stream.clone(), self.place);
        let (records, place, has_ended) = blocking(move || {
            let (records, has_ended) = log.stream_records(&stream, &mut place)?;
            Ok((records, place, has_ended))
        })
        .await?;
        (self.place, self.has_ended) = (place, has_ended);
        let key = self.stream.key;
        Ok(records.into_iter().map(|(record, place)| Followed { record, position: place.encode(key) }).collect())
    }

    /// A position from which following goes on behind everything that was given or passed over so far. Newer than the
    /// last record's while a table is quiet, so whoever keeps it is not overtaken by the trim point.
    pub fn position(&self) -> String {
        self.place.encode(self.stream.key)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        metrics::gauge!("thalweg_streams_followers").decrement(1);
    }
}
