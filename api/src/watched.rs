//! A request's body that tells whether all of it was read: a connection on which some is left cannot be used again, so what
//! is left is read and forgotten if it is little.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};

/// Of a body that nobody wants so much is read; making a new connection costs both sides more.
const REST_BYTES_MAX: usize = 64 << 10;
/// And for so long: it is on its way, or it does not come.
const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// A body; `ended` is set when its end was reached.
pub(crate) struct Watched<'e, B> {
    pub(crate) body: &'e mut B,
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
        let polled = Pin::new(&mut **body).poll_frame(context);
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

/// Reads what is left of a body, if it is little; answers whether its end was reached.
pub(crate) async fn finish<B: Body + Unpin>(body: &mut B) -> bool {
    let announced = body.size_hint();
    if announced.lower() > REST_BYTES_MAX as u64 {
        return false;
    }
    let rest = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, Buf::remaining);
            if bytes > REST_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(REST_TIMEOUT, rest).await.unwrap_or(false)
}
