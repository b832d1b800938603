//! Those who are told what was written: followers of a change stream, subscribers of topics.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::bail;
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

use super::{histogram::Histogram, reading::Readings};

/// Nobody waits longer than this for the next reading to be told.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What all who listen have been told, and how late.
pub(super) struct Audience {
    readings: Readings,
    listeners: u64,
    since: Instant,
    /// When each reading was meant to be sent, nanoseconds from `since`; by number, zero if it was not.
    sent_ns: RefCell<Vec<u64>>,
    told: Cell<u64>,
    last_told: Cell<Instant>,
    lags: RefCell<Histogram>,
}

impl Audience {
    /// So many listeners to these readings.
    pub(super) fn new(readings: &Readings, listeners: u64) -> Rc<Audience> {
        let now = Instant::now();
        Rc::new(Audience {
            readings: readings.clone(),
            listeners,
            since: now,
            sent_ns: RefCell::default(),
            told: Cell::new(0),
            last_told: Cell::new(now),
            lags: RefCell::default(),
        })
    }

    /// A reading is sent, or was meant to be at `intended`.
    pub(super) fn sent(&self, number: u64, intended: Instant) {
        let mut sent_ns = self.sent_ns.borrow_mut();
        let index = number as usize;
        if sent_ns.len() <= index {
            sent_ns.resize(index + 1, 0);
        }
        sent_ns[index] = intended.duration_since(self.since).as_nanos() as u64;
    }

    /// A listener was told of the reading of that device and time.
    pub(super) fn told(&self, device: &str, time_ms: u64) -> anyhow::Result<()> {
        let number = self.readings.number(device, time_ms);
        let sent_ns = self.sent_ns.borrow();
        let Some(sent_ns) = number.and_then(|number| sent_ns.get(number as usize)).filter(|sent_ns| **sent_ns > 0)
        else {
            bail!("told of a reading that was never sent: {device} at {time_ms}");
        };
        let now = Instant::now();
        self.lags.borrow_mut().record((now - self.since).saturating_sub(Duration::from_nanos(*sent_ns)));
        self.told.set(self.told.get() + 1);
        self.last_told.set(now);
        Ok(())
    }

    /// Waits until every listener has been told of `readings` since the first; answers when that was. Lags are kept from the
    /// measured run only.
    pub(super) async fn all_told(&self, readings: u64, measured: bool) -> anyhow::Result<Option<Instant>> {
        let wanted = readings * self.listeners;
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut told, mut changed) = (self.told.get(), Instant::now());
        while self.told.get() < wanted {
            ticks.tick().await;
            if told != self.told.get() {
                (told, changed) = (self.told.get(), Instant::now());
            } else if changed.elapsed() > SILENCE_MAX {
                bail!("{told} of {wanted} readings were told, and then none for {} s", SILENCE_MAX.as_secs());
            }
        }
        if self.told.get() > wanted {
            bail!("{} readings were told, but only {wanted} were sent", self.told.get());
        }
        if !measured {
            *self.lags.borrow_mut() = Histogram::default();
        }
        Ok(Some(self.last_told.get()))
    }

    /// How late they were told.
    pub(super) fn to_json(&self) -> Value {
        json!({ "listeners": self.listeners, "lag_us": self.lags.borrow().to_json() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lags_count_from_the_intended_time() {
        let readings = Readings::new("a1b2c", 10, 1, 0);
        let audience = Audience::new(&readings, 2);
        audience.sent(12, Instant::now());
        let device = format!("{}0000002", readings.prefix());
        let time_ms = 1_767_225_600_000 + super::super::reading::STEP_MS;
        assert!(audience.told(&device, time_ms + 1000).is_err());
        audience.told(&device, time_ms).unwrap();
        audience.told(&device, time_ms).unwrap();
        assert!(audience.all_told(1, true).await.unwrap().is_some());
        assert!(audience.to_json()["lag_us"]["max"].as_f64().unwrap() > 0.0);
        audience.told(&device, time_ms).unwrap();
        assert!(audience.all_told(1, true).await.is_err(), "told twice");
    }
}
