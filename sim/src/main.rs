//! `cargo sim`: runs seeds and prints what each did, or the first promise that was broken.

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use clap::Parser;
use sim::{
    Violation,
    report::Report,
    run::{Options, run},
};

/// Simulates whole lives of the store. Standard output holds only what the seeds determine.
#[derive(Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Operations of clients in each.
    #[arg(long, default_value_t = 1000)]
    ops: u64,
    /// Seeds at a time; what is printed does not depend on it.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let Arguments { seed, seeds, ops, threads } = Arguments::parse();
    let options = Options { operations: ops, ..Options::default() };
    let results = run_all(seed, seeds, threads, options);
    let mut broken = 0_u64;
    for result in &results {
        match result {
            Ok(report) => println!("{report}"),
            Err(violation) => {
                println!("BROKEN {violation}");
                broken += 1;
            }
        }
    }
    if seeds > 1 {
        println!("{}", total(&results));
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every seed, on its own thread each; answers in their order.
fn run_all(first: u64, count: u64, threads: u64, options: Options) -> Vec<Result<Report, Violation>> {
    let next = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let result = run(first + at, options);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn total(results: &[Result<Report, Violation>]) -> String {
    let good: Vec<&Report> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
    let sum = |count: fn(&Report) -> u64| good.iter().map(|report| count(report)).sum::<u64>();
    let least = |count: fn(&Report) -> u64| good.iter().map(|report| count(report)).min().unwrap_or(0);
    let line =
        |name: &str, count: fn(&Report) -> u64| format!("{} {name} (at least {} a seed)", sum(count), least(count));
    let lines = [
        line("operations", Report::operations),
        line("crashes", Report::crashes),
        line("flushes", |report| report.flushes),
        line("merges", |report| report.merges),
        line("frames", |report| report.frames),
    ];
    format!("{} seeds, {} broken: {}", results.len(), results.len() - good.len(), lines.join(", "))
}
