//! Memory that all requests share: what they hold at once is bounded, and who wants more than there is waits, but not for
//! ever.
//!
//! There are three budgets, which a request takes from in this order and never in another: the bytes of its body, what they
//! become when parsed, and its answer. What is held of one is never waited with for more of the same, so nobody waits for
//! somebody who waits for him. Answers go back to the budget when the client has taken them.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Response,
    body::{Body, Frame, SizeHint},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, wire::Payload};

/// Answers up to this size are not counted: the bound on connections bounds them too.
pub(crate) const SMALL_ANSWER_BYTES: usize = 32 << 10;

/// A bounded number of bytes, counted in KiB.
pub(crate) struct Budget {
    kib: Arc<Semaphore>,
    kib_max: u32,
    patience: Duration,
    of: &'static str,
}

/// Some of a budget, given back when dropped.
pub(crate) struct Share(OwnedSemaphorePermit);

impl Budget {
    /// A budget of `bytes_max` for `of`; who gets nothing of it within `patience` is refused.
    pub(crate) fn new(of: &'static str, bytes_max: usize, patience: Duration) -> Budget {
        let kib_max = u32::try_from(bytes_max >> 10).unwrap_or(u32::MAX).max(1);
        Budget { kib: Arc::new(Semaphore::new(kib_max as usize)), kib_max, patience, of }
    }

    /// All of it.
    pub(crate) fn bytes_max(&self) -> usize {
        (self.kib_max as usize) << 10
    }

    /// Waits for room for `bytes`; more than there is at all is taken as all.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Share, Error> {
        let kib = Arc::clone(&self.kib);
        let kib = match kib.try_acquire_many_owned(self.kib_of(bytes)) {
            Ok(permit) => return Ok(Share(permit)),
            Err(_) => Arc::clone(&self.kib),
        };
        match tokio::time::timeout(self.patience, kib.acquire_many_owned(self.kib_of(bytes))).await {
            Ok(Ok(permit)) => Ok(Share(permit)),
            _ => Err(self.exhausted()),
        }
    }

    /// A share of no bytes.
    pub(crate) fn nothing(&self) -> Share {
        let none = Arc::clone(&self.kib).try_acquire_many_owned(0);
        Share(none.expect("none is always to be had of a semaphore that nobody closes"))
    }

    /// Makes `share` one of `bytes`, if it is larger or there is room; answers whether it is.
    pub(crate) fn resize(&self, share: &mut Share, bytes: usize) -> bool {
        let (held, wanted) = (share.0.num_permits(), self.kib_of(bytes) as usize);
        if wanted <= held {
            drop(share.0.split(held - wanted));
            return true;
        }
        let missing = u32::try_from(wanted - held).unwrap_or(u32::MAX);
        match Arc::clone(&self.kib).try_acquire_many_owned(missing) {
            Ok(permit) => share.0.merge(permit),
            Err(_) => return false,
        }
        true
    }

    pub(crate) fn exhausted(&self) -> Error {
        Error::Throttled(format!("too many bytes of {} are in memory at once", self.of))
    }

    fn kib_of(&self, bytes: usize) -> u32 {
        u32::try_from((bytes >> 10) + 1).unwrap_or(u32::MAX).min(self.kib_max)
    }
}

/// What one answer takes of the budget of all answers: first, while it is made, an estimate, then what it has become.
pub(crate) struct Room<'b> {
    budget: &'b Budget,
    share: Option<Share>,
}

impl<'b> Room<'b> {
    /// For an answer that is small, until something is reserved.
    pub(crate) fn none(budget: &'b Budget) -> Room<'b> {
        Room { budget, share: None }
    }

    /// Waits for `bytes`. To be called once, before anything large is in memory.
    pub(crate) async fn reserve(&mut self, bytes: usize) -> Result<(), Error> {
        self.share = Some(self.budget.take(bytes).await?);
        Ok(())
    }

    /// Makes the reservation one of `bytes`, unless there is no room: then it stays, and the answer is false.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        self.share.as_mut().is_none_or(|share| self.budget.resize(share, bytes))
    }

    /// Like [`Room::resize`], but it is an error if there is no room.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        if self.resize(bytes) { Ok(()) } else { Err(self.budget.exhausted()) }
    }

    /// Counts `response` as what it is, until its body is sent or dropped. One that is larger than what was reserved for
    /// it is still sent.
    pub(crate) fn hold(mut self, response: Response<Payload>) -> Response<Payload> {
        let bytes = response.body().size_hint().exact().map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if bytes <= SMALL_ANSWER_BYTES {
            return response;
        }
        self.resize(bytes);
        match self.share {
            Some(share) => response.map(|body| Tied { body, share: Arc::new(share) }.boxed_unsync()),
            None => response,
        }
    }
}

/// A body whose bytes hold a share: the connection drops the body itself as soon as it has queued the bytes.
struct Tied {
    body: Payload,
    share: Arc<Share>,
}

impl Body for Tied {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let tie = |bytes| Bytes::from_owner(Held { bytes, _share: Arc::clone(&self.share) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(tie))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Held {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
