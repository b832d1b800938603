//! `GET /streams/<table>`: a table's changes as JSON lines, live.
//!
//! Each line is a record as GetRecords tells it, with the position from which following goes on behind it. The answer
//! ends when the stream does, when the server stops, or with a line `{"error": ...}` when reading fails.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{Response, StatusCode, body::Frame, header, header::HeaderValue};
use serde::Serialize;
use streams::{FollowFrom, Followed, Follower};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};

use crate::{
    Error, Keys, Service,
    access::AccessKey,
    metrics,
    operations::StreamRecord,
    parameters,
    wire::{self, Payload},
};

/// One line.
#[derive(Serialize)]
struct Line {
    position: String,
    #[serde(flatten)]
    record: StreamRecord,
}

/// An answer under way.
struct Following {
    follower: Follower,
    shutdown: watch::Receiver<bool>,
    /// Whose key it is, and when that ends by itself.
    key: Option<(Arc<AccessKey>, Option<Instant>)>,
    keys: Keys,
    /// Counts against the bound of all followers.
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Counts one follower while it lives.
struct Counted;

impl Counted {
    fn new() -> Counted {
        ::metrics::gauge!(metrics::FOLLOWERS).increment(1);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ::metrics::gauge!(metrics::FOLLOWERS).decrement(1);
    }
}

/// Follows `table` from where the query says, by default from now on, and as long as `key` is good, if there is one.
pub(crate) async fn answer(
    service: &Service,
    key: Option<&Arc<AccessKey>>,
    table: &str,
    query: Option<&str>,
) -> Response<Payload> {
    let refuse = |text: &str| wire::refusal(StatusCode::BAD_REQUEST, text);
    let from = match parameters::parse(query, &["from"]) {
        Ok(parameters) => parameters.get("from").map_or(Ok(FollowFrom::Latest), |from| from.parse()),
        Err(text) => return refuse(&text),
    };
    let Ok(from) = from else {
        return refuse("from must be trim-horizon, latest, a position, or a time as in RFC 3339");
    };
    let Ok(place) = Arc::clone(&service.followers).try_acquire_owned() else {
        return wire::refusal(StatusCode::SERVICE_UNAVAILABLE, "too many clients follow streams already");
    };
    let follower = match service.app.streams.follow(table, from).await {
        Ok(follower) => follower,
        Err(error) => return wire::failure(&error.into()),
    };
    let shutdown = service.shutdown.clone();
    let key = key.map(|key| {
        let left = |until_us: u64| Duration::from_micros(until_us.saturating_sub(service.now_us()));
        (Arc::clone(key), key.until_us.map(|until_us| Instant::now() + left(until_us)))
    });
    let keys = service.app.keys.clone();
    let following = Following { follower, shutdown, key, keys, _place: place, _counted: Counted::new() };
    let lines = stream::unfold(Some(following), |following| async {
        let mut following = following?;
        let (lines, ended) = following.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(lines)), (!ended).then_some(following)))
    });
    let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

impl Following {
    /// The next lines, and whether they are the last; none at the end.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        let followed = tokio::select! {
            followed = self.follower.next() => followed,
            _ = self.shutdown.wait_for(|stop| *stop) => return None,
            () = ended(&self.key, &self.keys) => return None,
        };
        match followed {
            Ok(records) => Some((lines(records?), false)),
            Err(error) => {
                let mut line = serde_json::json!({ "error": Error::from(error).to_string() }).to_string();
                line.push('\n');
                Some((line.into(), true))
            }
        }
    }
}

/// Returns when the key is good no longer, or, without one, when one is needed.
async fn ended(key: &Option<(Arc<AccessKey>, Option<Instant>)>, keys: &Keys) {
    let Some((key, until)) = key else { return keys.closed().await };
    let mut revoked = key.revoked();
    let over = async {
        match until {
            Some(until) => tokio::time::sleep_until(*until).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = revoked.wait_for(|revoked| *revoked) => {}
        () = over => {}
    }
}

fn lines(records: Vec<Followed>) -> Bytes {
    let mut lines = Vec::new();
    for Followed { record, position } in records {
        let line = Line { position, record: StreamRecord::of(record) };
        serde_json::to_writer(&mut lines, &line).expect("a vector takes whatever is written to it");
        lines.push(b'\n');
    }
    lines.into()
}
