//! What the process has used, as Linux tells it under `/proc`, by the names that Prometheus clients share.

use std::{fs, path::Path};

use store::metric::Metric;

/// Every metric of the process. What the system does not tell stays 0.
pub const METRICS: &[Metric] = &[
    Metric::gauge(CPU, "Processor time in user and system mode, by hundredths of a second; only grows"),
    Metric::gauge(RESIDENT, "Memory that is resident"),
    Metric::gauge(RESIDENT_MAX, "The most memory that was resident"),
    Metric::gauge(THREADS, "Threads"),
    Metric::gauge(OPEN_FILES, "Open files, sockets included"),
    Metric::gauge(OPEN_FILES_MAX, "How many may be open; 0 if there is no limit"),
    Metric::counter(READ, "Bytes read from devices"),
    Metric::counter(WRITTEN, "Bytes written, or to be written, to devices"),
];

const CPU: &str = "process_cpu_seconds_total";
const RESIDENT: &str = "process_resident_memory_bytes";
const RESIDENT_MAX: &str = "process_resident_memory_max_bytes";
const THREADS: &str = "process_threads";
const OPEN_FILES: &str = "process_open_fds";
const OPEN_FILES_MAX: &str = "process_max_fds";
const READ: &str = "process_read_bytes_total";
const WRITTEN: &str = "process_written_bytes_total";

/// Linux counts processor time in hundredths of a second towards programs, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of this process that is resident, in bytes; none if the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    field(&read("status")?, "VmRSS:").map(|kilobytes| kilobytes * 1024)
}

/// Sets the gauges.
pub(crate) fn observe() {
    if let Some(ticks) = read("stat").as_deref().and_then(ticks) {
        metrics::gauge!(CPU).set(ticks as f64 / TICKS_PER_SECOND);
    }
    if let Some(status) = read("status") {
        for (name, key, unit) in [(RESIDENT, "VmRSS:", 1024), (RESIDENT_MAX, "VmHWM:", 1024), (THREADS, "Threads:", 1)]
        {
            if let Some(value) = field(&status, key) {
                metrics::gauge!(name).set((value * unit) as f64);
            }
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is read here.
        metrics::gauge!(OPEN_FILES).set(open.count().saturating_sub(1) as f64);
    }
    if let Some(limits) = read("limits") {
        metrics::gauge!(OPEN_FILES_MAX).set(field(&limits, "Max open files").unwrap_or(0) as f64);
    }
    if let Some(io) = read("io") {
        for (name, key) in [(READ, "read_bytes:"), (WRITTEN, "write_bytes:")] {
            metrics::counter!(name).absolute(field(&io, key).unwrap_or(0));
        }
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/self").join(name)).ok()
}

/// User and system time in a `stat` line. The second field, the name, may hold anything but ends with the last `)`.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        assert!(resident_bytes().unwrap() > 1 << 20);
        assert!(read("stat").as_deref().and_then(ticks).is_some());
        assert!(field(&read("limits").unwrap(), "Max open files").unwrap() > 0);
    }

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(ticks("1 (a ) b) S 0 0 0 0 0 0 0 0 0 0 40 2 0"), Some(42));
        assert_eq!(field("Max open files            unlimited", "Max open files"), None);
    }
}
