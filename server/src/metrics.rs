//! Every metric that `/metrics` shows, and how histograms are cut.

use store::metric::Metric;

/// Of each part, its title and its metrics.
pub(crate) const PARTS: &[(&str, &[Metric])] = &[
    ("Log", store::log::METRICS),
    ("Disk", store::env::METRICS),
    ("Planner", store::PLANNER_METRICS),
    ("High keys", store::HIGH_KEYS_METRICS),
    ("Store and memtables", store::METRICS),
    ("Cache of pages", store::cache::METRICS),
    ("Row cache", store::rows::METRICS),
    ("Compactor", compactor::METRICS),
    ("Backups", backup::METRICS),
    ("Background jobs", jobs::METRICS),
    ("Change streams", streams::METRICS),
    ("Entrances: MQTT and NATS", ingest::traffic::METRICS),
    ("Rules and quarantine", ingest::metrics::METRICS),
    ("HTTP", api::METRICS),
    ("Memory", crate::memory::METRICS),
    ("Process", api::process::METRICS),
];

/// Bounds of histograms of seconds: what one request, write or sync takes.
pub(crate) const SECONDS: &[f64] =
    &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// And of what may take an hour.
pub(crate) const LONG_SECONDS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];
/// Which those are.
pub(crate) const LONG: &[&str] = &["thalweg_compactor_job_seconds", "thalweg_streams_follower_lag_seconds"];
/// Bounds of histograms of bytes.
pub(crate) const BYTES: &[f64] = &[4096.0, 8192.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// Metrics of all parts.
pub(crate) fn all() -> impl Iterator<Item = &'static Metric> {
    PARTS.iter().flat_map(|(_, metrics)| metrics.iter())
}

/// The reference, in Markdown.
pub(crate) fn reference() -> String {
    let mut out = REFERENCE_HEAD.to_owned();
    for (title, metrics) in PARTS {
        out.push_str(&format!("\n## {title}\n\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n"));
        for metric in *metrics {
            let Metric { name, kind, labels, meaning } = metric;
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let (kind, unit, labels) = (kind.name(), metric.unit(), labels.join(", "));
            out.push_str(&format!("| `{name}` | {kind} | {unit} | {labels} | {meaning} |\n"));
        }
    }
    let bounds = |bounds: &[f64]| bounds.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    out.push_str("\n## Bounds of histograms\n\n| of | bounds |\n|---|---|\n");
    let long: Vec<String> = LONG.iter().map(|name| format!("`{name}`")).collect();
    out.push_str(&format!("| {} | {} |\n", long.join(", "), bounds(LONG_SECONDS)));
    out.push_str(&format!("| other seconds | {} |\n| bytes | {} |\n", bounds(SECONDS), bounds(BYTES)));
    out
}

const REFERENCE_HEAD: &str = "\
# Metrics

`GET /metrics` shows them in the format of Prometheus. This page is what `thalweg metrics` prints.

Names are stable: one may be added, none changes its meaning. They end in their unit, counters in `_total`; the unit of what is only
counted is 1. No label has a device's words in it, so their number does not grow with the fleet. A metric without labels is there
from the start; one with labels is there for each of their values once that has happened, those of background jobs from the start.
";

/// The same for programs.
pub(crate) fn listed() -> serde_json::Value {
    let listed = PARTS.iter().flat_map(|(part, metrics)| {
        metrics.iter().map(move |metric| {
            serde_json::json!({
                "name": metric.name, "type": metric.kind.name(), "unit": metric.unit(), "labels": metric.labels,
                "part": part, "meaning": metric.meaning,
            })
        })
    });
    listed.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store::metric::Kind;

    use super::*;

    #[test]
    fn names_are_unique_and_end_as_their_kind_does() {
        let names: BTreeSet<&str> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
        for metric in all().filter(|metric| metric.name.starts_with("thalweg_")) {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.unit() != "1", "{}: its bounds are by unit", metric.name);
        }
        assert!(LONG.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn the_reference_in_the_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let kept = std::fs::read_to_string(path).unwrap();
        assert_eq!(kept, reference(), "run: thalweg metrics > docs/metrics.md");
    }
}
