//! One measurement: warm up, load, wait until everything that the load caused is done, and say what it took.

use std::{rc::Rc, time::Instant};

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::{
    arguments::LoadArguments,
    histogram::rounded,
    load::{self, Phase, Tally},
    pace::{End, Pace},
    process::{Process, Usage},
    target::Target,
};

/// What was measured.
pub(super) struct Measured {
    tally: Tally,
    /// Operations with those of the warm-up.
    operations: u64,
    /// By the server, while it served; and behind, until caught up with all operations.
    server: Option<(Usage, Usage)>,
    /// By this process, while it loaded.
    generator: Usage,
    open_loop: bool,
}

/// Loads `target` through `workers`. `settled` is told how many operations there were since the first and returns when
/// whoever else waits for them (followers, subscribers) has seen them, and when that was. `catch_up`: the load
/// writes, so what the server does behind is counted too.
pub(super) async fn measure<W, F>(
    target: &Target,
    load: &LoadArguments,
    mut workers: Vec<W>,
    work: impl Fn(W, Rc<Phase>) -> F,
    settled: impl AsyncFn(u64, bool) -> anyhow::Result<Option<Instant>>,
    catch_up: bool,
) -> anyhow::Result<Measured>
where
    W: 'static,
    F: Future<Output = anyhow::Result<W>> + 'static,
{
    let pace = |end| match load.rate {
        Some(rate) => Pace::open(rate, end),
        None => Pace::closed(end),
    };
    let mut before_operations = 0;
    let mut operations = 0;
    if let Some(before) = load.before {
        let end = End::Count(before);
        let first;
        (workers, first) = load::run(workers, || Pace::closed(end), end, &work).await?;
        if let Some(why) = first.first_failure {
            bail!("before the load: {why}");
        }
        settled(first.operations, false).await?;
        before_operations = first.operations;
        target.catch_up().await?;
    }
    if let Some(end) = load.warm_up.map(|seconds| End::After(std::time::Duration::from_secs_f64(seconds))) {
        let warmed;
        (workers, warmed) = load::run(workers, || pace(end), end, &work).await?;
        operations += warmed.operations;
        settled(before_operations + operations, false).await?;
    }
    let before = (target.usage()?, Process::own().usage()?);
    let end = load.end();
    let (_workers, mut tally) = load::run(workers, || pace(end), end, &work).await?;
    operations += tally.operations;
    if let Some(at) = settled(before_operations + operations, true).await? {
        tally.ended = tally.ended.max(at);
    }
    let served = (target.usage()?, Process::own().usage()?);
    if catch_up {
        target.catch_up().await?;
    }
    let server = match (before.0, served.0, target.usage()?) {
        (Some(before), Some(served), Some(after)) => Some((since(before, served), since(served, after))),
        _ => None,
    };
    let generator = since(before.1, served.1);
    Ok(Measured { tally, operations, server, generator, open_loop: load.rate.is_some() })
}

/// For loads whose end is the last answer's.
pub(super) async fn nobody_else(_operations: u64, _measured: bool) -> anyhow::Result<Option<Instant>> {
    Ok(None)
}

fn hundredth(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn since(before: Usage, after: Usage) -> Usage {
    Usage {
        cpu_us: after.cpu_us - before.cpu_us,
        written_bytes: after.written_bytes.saturating_sub(before.written_bytes),
        resident_bytes_max: after.resident_bytes_max,
    }
}

impl Measured {
    /// Did anything go well?
    pub(super) fn failed_altogether(&self) -> Option<&str> {
        self.tally.first_failure.as_deref().filter(|_| self.tally.operations == 0)
    }

    /// The answer of the command.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let tally = &self.tally;
        let seconds = tally.ended.duration_since(tally.started).as_secs_f64();
        // None if nothing was done.
        let each = |cpu_us: u64, operations: u64| Some(cpu_us as f64 / operations as f64).filter(|us| us.is_finite());
        let mut answer = Map::new();
        let mut tell = |name: &str, value: Value| answer.insert(name.to_owned(), value);
        tell("operations", tally.operations.into());
        tell("answers", tally.latencies.count().into());
        tell("failures", tally.failures.into());
        tell("first_failure", tally.first_failure.clone().into());
        tell("seconds", ((seconds * 1000.0).round() / 1000.0).into());
        tell("per_second", rounded(tally.operations as f64 / seconds.max(1e-9)).into());
        tell("latency_us", tally.latencies.to_json());
        if self.open_loop {
            tell("generator_late_us", tally.lateness.to_json());
        }
        if let Some((serving, behind)) = self.server {
            let while_serving = each(serving.cpu_us, tally.operations);
            let altogether = while_serving.zip(each(behind.cpu_us, self.operations)).map(|(one, other)| one + other);
            tell(
                "server",
                json!({
                    "cpu_us_per_operation": altogether.map(hundredth),
                    "cpu_us_per_operation_while_serving": while_serving.map(hundredth),
                    "cores_while_serving": hundredth(serving.cpu_us as f64 / 1e6 / seconds.max(1e-9)),
                    "written_bytes": serving.written_bytes + behind.written_bytes,
                    "resident_bytes_max": behind.resident_bytes_max,
                }),
            );
        }
        tell(
            "generator",
            json!({
                "cpu_us_per_operation": each(self.generator.cpu_us, tally.operations).map(hundredth),
                "cores": hundredth(self.generator.cpu_us as f64 / 1e6 / seconds.max(1e-9)),
            }),
        );
        answer
    }
}
