//! What the demo shows: a board that is redrawn on a terminal, else one line a second.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
};

use serde_json::{Value, json};

use super::super::Output;

/// Trucks whose last values are shown.
const TRUCKS_SHOWN: usize = 6;

/// One second of the demo.
#[derive(Clone, Debug, Default)]
pub(super) struct Second {
    /// Seconds since the start.
    pub(super) second: u64,
    /// Readings published and acknowledged since the last second, and since the start.
    pub(super) published: u64,
    pub(super) acknowledged: u64,
    pub(super) acknowledged_total: u64,
    /// Changes told on the stream since the last second, and since the start.
    pub(super) told: u64,
    pub(super) told_total: u64,
    /// From publish to PUBACK, milliseconds: middle and 99 % of this second.
    pub(super) puback_ms: Option<(f64, f64)>,
    /// From a reading's own time to its change being told on the stream, milliseconds, the same two.
    pub(super) lag_ms: Option<(f64, f64)>,
    /// The last item of each truck.
    pub(super) last: BTreeMap<String, Value>,
    /// The last failure of a connection.
    pub(super) failure: Option<String>,
}

/// The middle and the 99 % value of some microseconds, in milliseconds.
pub(super) fn percentiles_ms(mut values_us: Vec<u64>) -> Option<(f64, f64)> {
    values_us.sort_unstable();
    let at =
        |share: usize| values_us.get((values_us.len().saturating_sub(1)) * share / 100).map(|us| *us as f64 / 1000.0);
    Some((at(50)?, at(99)?))
}

/// Draws seconds.
pub(super) struct Board {
    output: Output,
    terminal: bool,
    lines_drawn: usize,
}

impl Board {
    pub(super) fn new(output: Output) -> Board {
        Board { output, terminal: std::io::stdout().is_terminal(), lines_drawn: 0 }
    }

    /// Shows one second.
    pub(super) fn draw(&mut self, second: &Second) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        match (self.output, self.terminal) {
            (Output::Json, _) => writeln!(out, "{}", json_of(second))?,
            (Output::Text, false) => writeln!(out, "{:>4} s  {}", second.second, rates(second))?,
            (Output::Text, true) => {
                let lines = lines(second);
                if self.lines_drawn > 0 {
                    // Up to the first line of the board, and clear from there.
                    write!(out, "\x1b[{}A\x1b[J", self.lines_drawn)?;
                }
                // A line that is longer than the terminal is wide is cut, not wrapped, so that lines can be counted.
                write!(out, "\x1b[?7l")?;
                for line in &lines {
                    writeln!(out, "{line}")?;
                }
                write!(out, "\x1b[?7h")?;
                self.lines_drawn = lines.len();
            }
        }
        out.flush()
    }
}

/// One second on one line, for logs.
fn rates(second: &Second) -> String {
    let mut text = format!(
        "published {}/s, acknowledged {}/s ({}), told on the stream {}/s (lag {}), {} stored in all",
        second.published,
        second.acknowledged,
        between(second.puback_ms),
        second.told,
        between(second.lag_ms),
        second.acknowledged_total,
    );
    if let Some(failure) = &second.failure {
        text.push_str(&format!("; last failure: {failure}"));
    }
    text
}

/// One second as a board.
fn lines(second: &Second) -> Vec<String> {
    let mut lines = vec![
        format!("published           {:>6}/s   {} acknowledged in all", second.published, second.acknowledged_total),
        format!("acknowledged        {:>6}/s   after {}", second.acknowledged, between(second.puback_ms)),
        format!("told on the stream  {:>6}/s   lag {}", second.told, between(second.lag_ms)),
        second.failure.as_ref().map(|failure| format!("last failure: {failure}")).unwrap_or_default(),
    ];
    for (truck, item) in second.last.iter().take(TRUCKS_SHOWN) {
        lines.push(format!("{truck}  {}", short(item)));
    }
    if second.last.len() > TRUCKS_SHOWN {
        lines.push(format!("... and {} more", second.last.len() - TRUCKS_SHOWN));
    }
    lines
}

fn between(pair: Option<(f64, f64)>) -> String {
    match pair {
        Some((middle, most)) => format!("p50 {middle:.1} ms, p99 {most:.1} ms"),
        None => "-".to_owned(),
    }
}

/// An item's attributes as `name value`.
fn short(item: &Value) -> String {
    let Some(fields) = item.as_object() else { return item.to_string() };
    let texts = fields.iter().map(|(name, value)| match value {
        Value::Object(inner) => short_list(name, inner.values()),
        value => format!("{} {value}", name.replace('_', " ")),
    });
    texts.collect::<Vec<_>>().join("  ")
}

fn short_list<'a>(name: &str, values: impl Iterator<Item = &'a Value>) -> String {
    let values: Vec<String> = values.map(Value::to_string).collect();
    format!("{name} {}", values.join(" "))
}

fn json_of(second: &Second) -> Value {
    let pair = |pair: Option<(f64, f64)>| pair.map(|(middle, most)| json!({"p50": middle, "p99": most}));
    json!({
        "second": second.second,
        "published_per_second": second.published,
        "acknowledged_per_second": second.acknowledged,
        "acknowledged": second.acknowledged_total,
        "told_per_second": second.told,
        "told": second.told_total,
        "puback_ms": pair(second.puback_ms),
        "lag_ms": pair(second.lag_ms),
        "last": second.last,
        "failure": second.failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        assert_eq!(percentiles_ms(vec![]), None);
        assert_eq!(percentiles_ms(vec![2000]), Some((2.0, 2.0)));
        assert_eq!(percentiles_ms((1..=101).rev().map(|n| n * 1000).collect()), Some((51.0, 100.0)));
    }

    #[test]
    fn the_board_is_short() {
        let last = (0..20).map(|n| (format!("demo/truck-{n:02}"), json!({"speed": n}))).collect();
        let lines = lines(&Second { last, ..Second::default() });
        assert_eq!(lines.len(), 4 + TRUCKS_SHOWN + 1);
        assert!(lines[4] == "demo/truck-00  speed 0" && lines[10] == "... and 14 more");
    }

    #[test]
    fn an_item_is_told_shortly() {
        let item = json!({"doors_closed": true, "position": {"latitude": 48.2, "longitude": 11.6}, "speed": 61.5});
        assert_eq!(short(&item), "doors closed true  position 48.2 11.6  speed 61.5");
    }
}
