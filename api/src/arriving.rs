//! Bodies that arrive from senders who have not shown yet that they know a key's secret: their signature is of the body, so
//! it can only be checked when all of it is here.
//!
//! Whoever knows the name of a key can send such bodies. So they have a budget of their own, and take from it what has
//! arrived, not what was announced: who sends nothing or little holds nothing, and who signs the body's hash in a header does not
//! meet them there. When the budget is used up one of them at a time may go on
//! without it, so that bodies which are nearly here never wait for each other.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    Error,
    budget::{Budget, Share},
};

/// What all such bodies hold.
pub(crate) struct Arrivals {
    budget: Budget,
    beyond: Semaphore,
    patience: Duration,
}

/// What one of them holds.
pub(crate) struct Arriving<'a> {
    arrivals: &'a Arrivals,
    share: Share,
    /// Set while it may go on without the budget.
    beyond: Option<SemaphorePermit<'a>>,
}

impl Arrivals {
    /// A budget of `bytes_max`; who cannot go on for `patience` is refused.
    pub(crate) fn new(bytes_max: usize, patience: Duration) -> Arrivals {
        let budget = Budget::new("unsigned requests", bytes_max, patience);
        Arrivals { budget, beyond: Semaphore::new(1), patience }
    }

    /// For a body of which nothing is here.
    pub(crate) fn begin(&self) -> Arriving<'_> {
        Arriving { arrivals: self, share: self.budget.nothing(), beyond: None }
    }
}

impl Arriving<'_> {
    /// Of the body `bytes` are here; waits while that is too much.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        if self.beyond.is_some() || self.arrivals.budget.resize(&mut self.share, bytes) {
            return Ok(());
        }
        let beyond = tokio::time::timeout(self.arrivals.patience, self.arrivals.beyond.acquire()).await;
        match beyond {
            Ok(Ok(permit)) => self.beyond = Some(permit),
            _ => return Err(self.arrivals.budget.exhausted()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_goes_on_when_nothing_is_left() {
        let arrivals = Arrivals::new(64 << 10, Duration::from_secs(60));
        let (mut one, mut two, mut three) = (arrivals.begin(), arrivals.begin(), arrivals.begin());
        one.grow(30 << 10).await.unwrap();
        two.grow(30 << 10).await.unwrap();
        two.grow(40 << 10).await.unwrap();
        two.grow(1 << 20).await.unwrap();
        assert!(one.grow(60 << 10).now_or_never().is_none(), "two has not ended");
        three.grow(1).await.unwrap();
        drop(two);
        one.grow(1 << 20).await.unwrap();
        drop((one, three));
        arrivals.begin().grow(60 << 10).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_go_on_is_refused_in_the_end() {
        let arrivals = Arrivals::new(64 << 10, Duration::from_secs(60));
        let (mut one, mut two) = (arrivals.begin(), arrivals.begin());
        one.grow(1 << 20).await.unwrap();
        one.grow(2 << 20).await.unwrap();
        two.beyond = Some(arrivals.beyond.acquire().await.unwrap());
        let mut three = arrivals.begin();
        assert!(matches!(three.grow(2 << 10).await, Err(Error::Throttled(_))));
    }
}
