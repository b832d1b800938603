//! One bound on memory, what it divides into, and what the process takes of it.
//!
//! Parts get shares of the limit, or what is configured for them. They do not fill it: what is left is for code, stacks,
//! connections, and for what an allocator keeps between uses.

use std::{fmt, path::Path, str::FromStr};

use anyhow::bail;
use serde::{Deserialize, Serialize};
use store::metric::Metric;

/// The least limit with which a server works as meant.
pub(crate) const LIMIT_MIN: u64 = 128 << 20;

/// Metrics of memory; what its parts take, they tell.
pub(crate) const METRICS: &[Metric] =
    &[Metric::gauge("thalweg_memory_limit_bytes", "`memory_limit`: the bound on the memory of the process")];

/// `memory_limit`: bytes, or a number with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Written", into = "u64")]
pub(crate) struct Limit(pub(crate) u64);

/// As it is in the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bytes(u64),
    Text(String),
}

/// Text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size, such as 1GiB, 512MiB, or a number of bytes")]
pub(crate) struct SizeError(String);

impl TryFrom<Written> for Limit {
    type Error = SizeError;

    fn try_from(written: Written) -> Result<Self, SizeError> {
        match written {
            Written::Bytes(bytes) => Ok(Limit(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Limit> for u64 {
    fn from(limit: Limit) -> u64 {
        limit.0
    }
}

impl FromStr for Limit {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            "TiB" => 40,
            _ => return Err(SizeError(text.to_owned())),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Limit).ok_or_else(|| SizeError(text.to_owned()))
    }
}

/// What is configured for parts, by the names of the file; none: a share of the limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overrides {
    /// `store.memtable_bytes_max`.
    pub(crate) memtable: Option<usize>,
    /// `cache.memory_bytes`.
    pub(crate) cache: Option<usize>,
    /// `cache.row_bytes`.
    pub(crate) rows: Option<usize>,
}

/// The limit, divided. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Division {
    /// All of it.
    pub(crate) memory_limit: u64,
    /// One set of memtables.
    pub(crate) memtable_set: usize,
    /// Memtables: the set that is written to, as many sealed ones as may wait, and half a set of memory to be used again.
    pub(crate) memtables: usize,
    /// Cold pages.
    pub(crate) cache: usize,
    /// Single cold rows.
    pub(crate) rows: usize,
    /// Greatest sort keys of devices.
    pub(crate) high_keys: usize,
    /// The newest frames of the log.
    pub(crate) recent_frames: usize,
    /// Writes that are admitted and not answered.
    pub(crate) admission: usize,
    /// Flushes and merges.
    pub(crate) compactor: usize,
    /// HTTP requests: bodies, what they are parsed to, answers.
    pub(crate) requests: usize,
    /// What is left.
    pub(crate) rest: u64,
}

/// From this limit on huge pages are used, if the system has them: they save processor time.
const HUGE_PAGES_LIMIT_MIN: u64 = 2 << 30;

/// Shares are in so many parts of the limit.
const PARTS: u64 = 64;
/// What all that is divided may come to.
const DIVIDED_MAX: u64 = 56;
const MEMTABLE_SET: u64 = 4;
const CACHE: u64 = 4;
const ROWS: u64 = 2;
const HIGH_KEYS: u64 = 5;
const RECENT_FRAMES: u64 = 2;
const ADMISSION: u64 = 3;
const COMPACTOR: u64 = 10;
const REQUESTS: u64 = 7;

impl Division {
    /// Divides `limit`, or, if there is none, a quarter of what the machine has, and more if what is configured needs it.
    /// `sealed_max` sealed sets of memtables may wait.
    pub(crate) fn new(limit: Option<Limit>, overrides: Overrides, sealed_max: usize) -> anyhow::Result<Division> {
        let Some(Limit(limit)) = limit else {
            let mut limit = (machine_bytes() / 4).max(LIMIT_MIN);
            while Division::of(limit, overrides, sealed_max).divided() > limit / PARTS * DIVIDED_MAX {
                limit += limit / 4;
            }
            return Ok(Division::of(limit, overrides, sealed_max));
        };
        if limit < LIMIT_MIN {
            bail!("memory_limit = {limit}: at least {LIMIT_MIN} (128MiB) is needed");
        }
        let division = Division::of(limit, overrides, sealed_max);
        if division.divided() > limit / PARTS * DIVIDED_MAX {
            let Division { memtable_set, memtables, cache, rows, .. } = division;
            let mut told = Vec::new();
            if overrides.memtable.is_some() {
                told.push(format!(
                    "store.memtable_bytes_max = {memtable_set}, which is taken {}.5 times ({memtables})",
                    sealed_max + 1
                ));
            }
            if overrides.cache.is_some() {
                told.push(format!("cache.memory_bytes = {cache}"));
            }
            if overrides.rows.is_some() {
                told.push(format!("cache.row_bytes = {rows}"));
            }
            bail!(
                "{} and the shares of other parts come to {}, more than seven eighths of memory_limit = {limit}",
                told.join(", "),
                division.divided()
            );
        }
        Ok(division)
    }

    fn of(limit: u64, overrides: Overrides, sealed_max: usize) -> Division {
        let share = |parts: u64, max: usize| usize::try_from(limit / PARTS * parts).unwrap_or(usize::MAX).min(max);
        let memtable_set = overrides.memtable.unwrap_or_else(|| share(MEMTABLE_SET, 64 << 20));
        let mut division = Division {
            memory_limit: limit,
            memtable_set,
            memtables: memtable_set.saturating_mul(sealed_max + 1).saturating_add(memtable_set / 2),
            cache: overrides.cache.unwrap_or_else(|| share(CACHE, usize::MAX)),
            rows: overrides.rows.unwrap_or_else(|| share(ROWS, usize::MAX)),
            high_keys: share(HIGH_KEYS, 256 << 20),
            recent_frames: share(RECENT_FRAMES, 32 << 20),
            admission: share(ADMISSION, 64 << 20),
            compactor: share(COMPACTOR, 160 << 20),
            requests: share(REQUESTS, 768 << 20),
            rest: 0,
        };
        division.rest = limit.saturating_sub(division.divided());
        division
    }

    fn divided(&self) -> u64 {
        let Division { memtables, cache, rows, high_keys, recent_frames, admission, compactor, requests, .. } = *self;
        let parts = [memtables, cache, rows, high_keys, recent_frames, admission, compactor, requests];
        parts.into_iter().fold(0, |sum: u64, part| sum.saturating_add(part as u64))
    }

    /// Asks the system for no huge pages where memory is short: one small thing that is in use holds 2 MiB of one. To be called
    /// before much is allocated.
    pub(crate) fn choose_pages(&self) {
        if self.memory_limit < HUGE_PAGES_LIMIT_MIN
            && let Err(error) = rustix::thread::disable_transparent_huge_pages(true)
        {
            tracing::warn!(%error, "huge pages could not be turned off: more memory may be taken than is in use");
        }
    }

    /// Events of one frame at most, in encoded bytes: they are in memory a few times over.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        (self.admission / 6).clamp(1 << 20, 8 << 20)
    }

    /// Bounds of HTTP requests.
    pub(crate) fn requests(&self) -> api::Config {
        let eighth = self.requests / 8;
        api::Config {
            bodies_bytes_max: 2 * eighth,
            parsed_bytes_max: 3 * eighth,
            answers_bytes_max: 3 * eighth,
            ..api::Config::default()
        }
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes >> 20;
        write!(
            f,
            "{} MiB: memtables {}, cache {}, rows {}, high keys {}, recent frames {}, admission {}, compactor {}, requests {}, rest {}",
            self.memory_limit >> 20,
            mib(self.memtables),
            mib(self.cache),
            mib(self.rows),
            mib(self.high_keys),
            mib(self.recent_frames),
            mib(self.admission),
            mib(self.compactor),
            mib(self.requests),
            self.rest >> 20
        )
    }
}

/// Memory that this process may use: the machine's, or what its control group leaves it.
fn machine_bytes() -> u64 {
    let total = kib_of("/proc/meminfo", "MemTotal:").unwrap_or(4 << 20) << 10;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    // A group is bound by those that it is in, too.
    let limits = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let limits = limits.ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup"));
    let limit = |path: &Path| std::fs::read_to_string(path.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    limits.filter_map(limit).fold(total, u64::min)
}

/// The number of KiB after `name` in a file of the system's.
fn kib_of(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_bytes_or_has_a_unit() {
        assert_eq!("1GiB".parse(), Ok(Limit(1 << 30)));
        assert_eq!("512 MiB".parse(), Ok(Limit(512 << 20)));
        assert_eq!("4096".parse(), Ok(Limit(4096)));
        for wrong in ["", "GiB", "1GB", "-1", "1.5GiB", "99999999999999TiB"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_divided_leaves_room_at_every_limit() {
        for limit in [LIMIT_MIN, 256 << 20, 1 << 30, 6 << 30, 1 << 40] {
            let division = Division::new(Some(Limit(limit)), Overrides::default(), 4).unwrap();
            assert!(division.rest >= limit / 8 && division.divided() + division.rest == limit, "{division:?}");
        }
    }

    #[test]
    fn what_is_configured_must_fit_the_limit_and_both_are_told() {
        let overrides = Overrides { memtable: Some(200 << 20), cache: Some(1 << 20), rows: None };
        let error = Division::new(Some(Limit(1 << 30)), overrides, 4).unwrap_err().to_string();
        for told in
            ["store.memtable_bytes_max = 209715200", "5.5 times", "cache.memory_bytes", "memory_limit = 1073741824"]
        {
            assert!(error.contains(told), "{told}: {error}");
        }
        assert!(Division::new(Some(Limit(1 << 20)), Overrides::default(), 4).is_err());
        // Without a limit it is as large as what is configured needs.
        let large = Overrides { memtable: Some(16 << 30), ..Overrides::default() };
        assert!(Division::new(None, large, 4).unwrap().memory_limit > 80 << 30);
    }
}
