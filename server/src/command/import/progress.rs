//! How far an import is: a bar on a terminal, else a plain line now and then. Always on standard error.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// How often a plain line is printed.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Progress in bytes of the file.
pub(crate) struct Progress {
    bytes_total: u64,
    rows: u64,
    bar: Option<ProgressBar>,
    printed_at: Instant,
}

impl Progress {
    /// Begins at zero of `bytes_total`.
    pub(crate) fn new(bytes_total: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{wide_bar} {bytes}/{total_bytes} {msg} eta {eta}";
            let style = ProgressStyle::with_template(style).expect("the template above is well formed");
            ProgressBar::new(bytes_total).with_style(style)
        });
        Progress { bytes_total, rows: 0, bar, printed_at: Instant::now() }
    }

    /// So many bytes have been read, and so many more rows acknowledged.
    pub(crate) fn advance(&mut self, offset: u64, rows: u64) {
        self.rows += rows;
        if let Some(bar) = &self.bar {
            bar.set_position(offset);
            bar.set_message(format!("{} rows", self.rows));
        } else if self.printed_at.elapsed() >= LINE_INTERVAL {
            self.printed_at = Instant::now();
            eprintln!("{} rows, {} % of the file", self.rows, 100 * offset / self.bytes_total.max(1));
        }
    }

    /// Prints a line without breaking the bar.
    pub(crate) fn warn(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
