//! Followers: a walk over a stream, and then what comes next.

use std::str::FromStr;

use jiff::Timestamp;
use metrics::Histogram;
use store::log::FrameNumber;
use tokio::sync::watch;

use crate::{
    Error,
    position::StreamPlace,
    streams::blocking,
    walk::{Followed, Walk},
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

/// Gives every record of a stream, in the order of the log, and waits for more. It holds one piece of the log at most.
pub struct Follower {
    walk: Walk,
    applied: watch::Receiver<FrameNumber>,
    lag: Histogram,
}

impl Follower {
    pub(crate) fn new(walk: Walk, applied: watch::Receiver<FrameNumber>) -> Follower {
        metrics::gauge!("thalweg_streams_followers").increment(1);
        Follower { walk, applied, lag: metrics::histogram!("thalweg_streams_follower_lag_seconds") }
    }

    /// The next records, at least one, as soon as there is one; none once the stream is over (disabled, or its table
    /// deleted). [`store::Error::Closed`] if the store closes. May be dropped while it waits; nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Vec<Followed>>, Error> {
        while !self.walk.has_ended() {
            self.applied.borrow_and_update();
            if self.walk.is_behind() {
                let mut walk = self.walk.clone();
                let (walk, followed) = blocking(move || walk.step().map(|followed| (walk, followed))).await?;
                self.walk = walk;
                if let Some(newest) = followed.last() {
                    let lag_us = self.walk.now_us().saturating_sub(newest.record.created_at_us);
                    self.lag.record(lag_us as f64 / 1e6);
                    return Ok(Some(followed));
                }
            } else {
                self.applied.changed().await.map_err(|_| Error::Store(store::Error::Closed))?;
            }
        }
        Ok(None)
    }

    /// See [`Walk::position`].
    pub fn position(&self) -> String {
        self.walk.position()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        metrics::gauge!("thalweg_streams_followers").decrement(1);
    }
}
