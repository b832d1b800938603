//! Which messages in quarantine the log tells of: of each client one a minute, with a count of those in between. Pure.

use std::{collections::BTreeMap, sync::Arc};

/// A client is told of so often.
const INTERVAL_US: u64 = 60_000_000;
/// So many clients are remembered; more are not told of within the same minute.
const CLIENTS_MAX: usize = 1000;

/// What was told of whom, and when.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    clients: BTreeMap<Arc<str>, Told>,
}

#[derive(Debug)]
struct Told {
    at_us: u64,
    /// Messages since then.
    since: u64,
}

impl Warnings {
    /// A message of `client` goes to quarantine. If it is time to tell of it: how many were not told of before.
    pub(crate) fn due(&mut self, now_us: u64, client: &Arc<str>) -> Option<u64> {
        let is_recent = |told: &Told| now_us < told.at_us.saturating_add(INTERVAL_US);
        if let Some(told) = self.clients.get_mut(client) {
            if is_recent(told) {
                told.since += 1;
                return None;
            }
            told.at_us = now_us;
            return Some(std::mem::take(&mut told.since));
        }
        if self.clients.len() >= CLIENTS_MAX {
            self.clients.retain(|_, told| is_recent(told));
        }
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        self.clients.insert(client.clone(), Told { at_us: now_us, since: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_is_told_of_once_a_minute() {
        let mut warnings = Warnings::default();
        let (a, b) = ("a".into(), "b".into());
        assert_eq!(warnings.due(0, &a), Some(0));
        assert_eq!(warnings.due(1, &b), Some(0));
        assert_eq!(warnings.due(2, &a), None);
        assert_eq!(warnings.due(INTERVAL_US - 1, &a), None);
        assert_eq!(warnings.due(INTERVAL_US, &a), Some(2));
        assert_eq!(warnings.due(INTERVAL_US + 1, &a), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut warnings = Warnings::default();
        let told = (0..2 * CLIENTS_MAX).filter(|number| warnings.due(5, &number.to_string().into()).is_some());
        assert_eq!(told.count(), CLIENTS_MAX);
        assert_eq!(warnings.due(5 + INTERVAL_US, &"new".into()), Some(0));
        assert_eq!(warnings.clients.len(), 1);
    }
}
