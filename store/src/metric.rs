//! How a crate lists the metrics that it emits: each keeps one table `METRICS`, from which the reference is made.
//!
//! Names are stable: `thalweg_<area>_<what>_<unit>`, counters end in `_total`. A meaning may become clearer, a name may be
//! added; a name that changes is a change of the interface.

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How its value moves.
    pub kind: Kind,
    /// Names of its labels. Their values are of our choice, or the operator's, never a device's.
    pub labels: &'static [&'static str],
    /// What it counts or measures.
    pub meaning: &'static str,
}

/// How a metric's value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from 0 at every start.
    Counter,
    /// Up and down.
    Gauge,
    /// How many observations were at most each of some bounds, and their sum.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// A counter without labels.
    pub const fn counter(name: &'static str, meaning: &'static str) -> Metric {
        Metric { name, kind: Kind::Counter, labels: &[], meaning }
    }

    /// A gauge without labels.
    pub const fn gauge(name: &'static str, meaning: &'static str) -> Metric {
        Metric { name, kind: Kind::Gauge, labels: &[], meaning }
    }

    /// A histogram without labels.
    pub const fn histogram(name: &'static str, meaning: &'static str) -> Metric {
        Metric { name, kind: Kind::Histogram, labels: &[], meaning }
    }

    /// The same with labels.
    pub const fn by(self, labels: &'static [&'static str]) -> Metric {
        Metric { labels, ..self }
    }

    /// What one of its value is, as its name says; `1` is a count.
    pub fn unit(&self) -> &'static str {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        match name.rsplit_once('_') {
            Some((_, "seconds")) => "seconds",
            Some((_, "bytes")) => "bytes",
            _ => "1",
        }
    }

    /// Tells the recorder its meaning, and that it is there if it has no labels: what has not happened yet is 0, not missing.
    pub fn register(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.meaning),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.meaning),
            Kind::Histogram => metrics::describe_histogram!(self.name, self.meaning),
        }
        match self.kind {
            Kind::Counter if self.labels.is_empty() => metrics::counter!(self.name).increment(0),
            Kind::Gauge if self.labels.is_empty() => metrics::gauge!(self.name).increment(0.0),
            Kind::Histogram if self.labels.is_empty() => drop(metrics::histogram!(self.name)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_unit() {
        for (name, unit) in [("a_seconds", "seconds"), ("a_bytes_total", "bytes"), ("a_frames_total", "1"), ("a", "1")]
        {
            assert_eq!(Metric::counter(name, "").unit(), unit, "{name}");
        }
    }

    #[test]
    fn what_has_not_happened_yet_is_zero() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            Metric::counter("a_total", "what a is").register();
            Metric::counter("b_total", "").by(&["l"]).register();
        });
        let rendered = recorder.handle().render();
        assert!(rendered.contains("# HELP a_total what a is\n") && rendered.contains("\na_total 0\n"), "{rendered}");
        assert!(!rendered.contains("b_total 0"), "{rendered}");
    }
}
