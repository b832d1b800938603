//! What a process has used, as Linux tells it under `/proc`.

use std::{fs, path::PathBuf};

use anyhow::Context;

/// Linux counts processor time in hundredths of a second towards programs, on every machine.
const TICK_US: u64 = 10_000;

/// A running process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    directory: PathBuf,
}

/// What it has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Processor time in user and system mode, microseconds.
    pub(super) cpu_us: u64,
    /// Bytes that it caused to be written to storage; zero where that may not be asked.
    pub(super) written_bytes: u64,
    /// The most memory that it has had resident.
    pub(super) resident_bytes_max: u64,
}

impl Process {
    /// The process `pid`.
    pub(super) fn of(pid: u32) -> Process {
        Process { directory: format!("/proc/{pid}").into() }
    }

    /// This process.
    pub(super) fn own() -> Process {
        Process { directory: "/proc/self".into() }
    }

    /// What it has used until now.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |name: &str| {
            let path = self.directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
        };
        let ticks = ticks(&read("stat")?).with_context(|| format!("reading {}/stat", self.directory.display()))?;
        Ok(Usage {
            cpu_us: ticks * TICK_US,
            written_bytes: read("io").ok().and_then(|text| field(&text, "write_bytes:")).unwrap_or(0),
            resident_bytes_max: read("status").ok().and_then(|text| field(&text, "VmHWM:")).unwrap_or(0) * 1024,
        })
    }
}

/// User and system time in a `stat` line. The second field, the name, may hold anything but ends with the last `)`.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// The number behind a name.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_that_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0 99";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let used = Process::own().usage().unwrap();
        assert!(used.resident_bytes_max > 1 << 20);
        assert!(Process::of(u32::MAX).usage().is_err());
    }
}
