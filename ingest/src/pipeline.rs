//! Batches on their way from one connection into [`Ingest`].

use futures::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesOrdered,
};

use tokio::time::Instant;

use crate::{Error, Ingest, Received, traffic::Traffic};

/// Batches that ingest has at once: one is planned while another is synced.
const BATCHES_MAX: usize = 2;

/// Collects readings into a batch, and keeps a few batches with ingest, in order.
pub(crate) struct Pipeline {
    ingest: Ingest,
    traffic: Traffic,
    /// The next batch.
    pub(crate) pending: Vec<Received>,
    /// Readings of one batch at most.
    batch_readings_max: usize,
    /// Oldest first.
    batches: FuturesOrdered<BoxFuture<'static, (usize, Result<(), Error>)>>,
    /// A batch was not stored: nothing after it may be acknowledged, or acknowledgements would be out of order.
    failed: Option<Error>,
}

impl Pipeline {
    pub(crate) fn new(ingest: Ingest, traffic: Traffic, batch_readings_max: usize) -> Pipeline {
        let batches = FuturesOrdered::new();
        Pipeline { ingest: ingest.in_order(), traffic, pending: Vec::new(), batch_readings_max, batches, failed: None }
    }

    /// Hands the next batch to ingest, if there is one and room for it.
    pub(crate) fn submit(&mut self) {
        if !self.can_submit() {
            return;
        }
        let rest = self.pending.split_off(self.pending.len().min(self.batch_readings_max));
        let batch = std::mem::replace(&mut self.pending, rest);
        self.traffic.received(&batch);
        let (ingest, readings) = (self.ingest.clone(), batch.len());
        let (duration, began) = (self.traffic.duration.clone(), Instant::now());
        let durable = async move {
            let received = ingest.receive(batch).await;
            duration.record(began.elapsed());
            (readings, received)
        };
        self.batches.push_back(durable.boxed());
    }

    /// Whether [`Pipeline::submit`] would do something.
    pub(crate) fn can_submit(&self) -> bool {
        !self.pending.is_empty() && self.has_room()
    }

    /// Whether ingest would be given another batch.
    pub(crate) fn has_room(&self) -> bool {
        self.batches.len() < BATCHES_MAX
    }

    /// Whether ingest has nothing of ours.
    pub(crate) fn is_idle(&self) -> bool {
        self.batches.is_empty()
    }

    /// Waits for the oldest batch, forever if there is none: how many readings, the oldest that were not told yet, are
    /// durable. After an error there are only errors. Nothing is lost if the future is dropped.
    pub(crate) async fn durable(&mut self) -> Result<usize, Error> {
        let Some((readings, result)) = self.batches.next().await else { return std::future::pending().await };
        match (&self.failed, result) {
            (None, Ok(())) => Ok(readings),
            (Some(error), _) => Err(error.clone()),
            (None, Err(error)) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Hands over everything and waits for it, telling `durable` of each batch that became durable.
    pub(crate) async fn drain(&mut self, mut durable: impl FnMut(usize)) -> Result<(), Error> {
        loop {
            self.submit();
            if self.is_idle() {
                return self.failed.clone().map_or(Ok(()), Err);
            }
            if let Ok(readings) = self.durable().await {
                durable(readings);
            }
        }
    }
}
