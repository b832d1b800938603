//! A request's body that tells whether all of it was read: a connection on which some is left cannot be used again.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};

/// A body; `ended` is set when its end was reached.
pub(crate) struct Watched<'e, B> {
    pub(crate) body: B,
    pub(crate) ended: &'e AtomicBool,
}

impl<B: Body + Unpin> Body for Watched<'_, B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Watched { body, ended } = self.get_mut();
        let polled = Pin::new(&mut *body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || body.is_end_stream() {
            ended.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
