//! Room on the disk: how much is left, and what may still be done with it.
//!
//! ```text
//!   free:   fine  |  low: warn, keep less of the log  |  full: refuse what grows; the reserve is left
//!   --------------+-----------------------------------+-------------------------------------------
//! ```
//! The reserve is for what makes room again: a flush, its manifest, a segment for removals. Somebody asks the disk a few times a
//! second ([`crate::Store::check_room`]); nothing else is needed to recover.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::{Config, Error, env::Space, request::Request};

/// How much room is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    #[default]
    Fine,
    /// Less than the disk should have: the log is kept for less long, and merges must fit.
    Low,
    /// No more than the reserve: only what removes something is taken.
    Full,
}

/// Where low and full begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Below so many percent of the disk room is low.
    pub low_percent: u64,
    /// Below so many bytes it is full.
    pub reserve_bytes: u64,
}

/// Manifests are small, but there are two for a moment.
const MANIFESTS_BYTES: u64 = 1 << 20;

impl RoomLimits {
    /// Those of the settings.
    pub fn new(config: &Config) -> RoomLimits {
        let needed = config.memtable_bytes_max as u64 + config.segment_bytes + MANIFESTS_BYTES;
        RoomLimits {
            low_percent: u64::from(config.disk_low_percent.min(100)),
            reserve_bytes: config.disk_reserve_bytes.unwrap_or(needed),
        }
    }

    /// What there is, where it was `before`. It takes an eighth of the reserve more to get better than to get worse, so that it
    /// does not flutter.
    pub fn judge(&self, space: Space, before: Room) -> Room {
        let slack = self.reserve_bytes / 8;
        let slack_of = |room: Room| if before >= room { slack } else { 0 };
        let share = u128::from(space.total_bytes) * u128::from(self.low_percent) / 100;
        let low_bytes = u64::try_from(share).unwrap_or(u64::MAX).max(self.reserve_bytes.saturating_add(slack));
        if space.free_bytes < self.reserve_bytes.saturating_add(slack_of(Room::Full)) {
            Room::Full
        } else if space.free_bytes < low_bytes.saturating_add(slack_of(Room::Low)) {
            Room::Low
        } else {
            Room::Fine
        }
    }
}

/// What the disk told last.
pub(crate) struct RoomWatch {
    limits: RoomLimits,
    told: Mutex<(Room, Option<Space>)>,
    /// For those who wait for room.
    news: watch::Sender<Room>,
}

impl RoomWatch {
    pub(crate) fn new(limits: RoomLimits) -> RoomWatch {
        RoomWatch { limits, told: Mutex::default(), news: watch::Sender::new(Room::Fine) }
    }

    /// Room as it was last told.
    pub(crate) fn get(&self) -> (Room, Option<Space>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the disk tells now.
    pub(crate) fn tell(&self, space: Option<Space>) -> Room {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.0;
        let room = space.map_or(Room::Fine, |space| self.limits.judge(space, before));
        *told = (room, space);
        self.news.send_if_modified(|known| std::mem::replace(known, room) != room);
        drop(told);
        if room != before {
            self.log(room, before, space);
        }
        room
    }

    /// Returns once the disk is not full.
    pub(crate) async fn wait(&self) {
        // Its sender is ours, so it stays.
        let _ = self.news.subscribe().wait_for(|room| *room != Room::Full).await;
    }

    fn log(&self, room: Room, before: Room, space: Option<Space>) {
        let free_bytes = space.map(|space| space.free_bytes);
        let reserve_bytes = self.limits.reserve_bytes;
        match room {
            Room::Full => tracing::error!(free_bytes, reserve_bytes, "the disk is full: writes are refused"),
            Room::Low if before == Room::Full => {
                tracing::warn!(free_bytes, reserve_bytes, "writes are taken again; room on the disk is low");
            }
            Room::Low => {
                tracing::warn!(free_bytes, reserve_bytes, "room on the disk is low: the log is kept for less long")
            }
            Room::Fine => tracing::info!(free_bytes, "there is room on the disk again"),
        }
    }

    /// How many bytes may be taken without touching the reserve, as last told; none if the disk does not tell.
    pub(crate) fn spare_bytes(&self) -> Option<u64> {
        self.get().1.map(|space| space.free_bytes.saturating_sub(self.limits.reserve_bytes))
    }

    /// Refuses what grows while the disk is full.
    pub(crate) fn check(&self, grows: impl FnOnce() -> bool) -> Result<(), Error> {
        if self.get().0 == Room::Full && grows() { Err(self.error()) } else { Ok(()) }
    }

    pub(crate) fn error(&self) -> Error {
        let free_bytes = self.get().1.map_or(0, |space| space.free_bytes);
        Error::Full { free_bytes, reserve_bytes: self.limits.reserve_bytes }
    }
}

/// Does one of them store something?
pub(crate) fn grow(requests: &[Request]) -> bool {
    requests.iter().any(Request::grows)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RoomLimits = RoomLimits { low_percent: 10, reserve_bytes: 80 };

    fn judge(free_bytes: u64, before: Room) -> Room {
        LIMITS.judge(Space { free_bytes, total_bytes: 10_000 }, before)
    }

    #[test]
    fn a_tenth_is_low_and_the_reserve_is_full() {
        for (free, room) in
            [(10_000, Room::Fine), (1000, Room::Fine), (999, Room::Low), (80, Room::Low), (79, Room::Full)]
        {
            assert_eq!(judge(free, Room::Fine), room, "{free} bytes free");
        }
    }

    #[test]
    fn it_takes_more_to_get_better_than_to_get_worse() {
        assert_eq!([judge(89, Room::Full), judge(90, Room::Full)], [Room::Full, Room::Low]);
        assert_eq!([judge(1009, Room::Low), judge(1010, Room::Low)], [Room::Low, Room::Fine]);
        assert_eq!(judge(5000, Room::Full), Room::Fine);
    }

    #[test]
    fn on_a_small_disk_low_begins_before_full() {
        let space = |free_bytes| Space { free_bytes, total_bytes: 200 };
        assert_eq!(LIMITS.judge(space(89), Room::Fine), Room::Low);
        assert_eq!(LIMITS.judge(space(90), Room::Fine), Room::Fine);
        let none = RoomLimits { low_percent: 0, reserve_bytes: 0 };
        assert_eq!(none.judge(space(0), Room::Full), Room::Fine);
    }

    #[test]
    fn while_it_is_full_only_what_removes_is_taken() {
        let watch = RoomWatch::new(LIMITS);
        assert_eq!(watch.tell(Some(Space { free_bytes: 10, total_bytes: 10_000 })), Room::Full);
        assert!(matches!(watch.check(|| true), Err(Error::Full { free_bytes: 10, reserve_bytes: 80 })));
        assert!(watch.check(|| false).is_ok());
        assert_eq!(watch.spare_bytes(), Some(0));
        assert_eq!(watch.tell(Some(Space { free_bytes: 500, total_bytes: 10_000 })), Room::Low);
        assert!(watch.check(|| true).is_ok());
        assert_eq!(watch.spare_bytes(), Some(420));
    }
}
