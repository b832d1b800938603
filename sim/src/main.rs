//! `cargo sim`: runs seeds and prints what each did, or the first promise that was broken.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use clap::Parser;
use sim::{
    Violation,
    disk::Fault,
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
    /// A mistake to be found: the seed must then break.
    #[arg(long)]
    fault: Option<Fault>,
}

fn main() -> ExitCode {
    let Arguments { seed, seeds, ops, threads, fault } = Arguments::parse();
    let options = Options { operations: ops, fault };
    let mut results: Vec<Result<Report, Violation>> = Vec::new();
    run_all(seed, seeds, threads, options, |result| {
        match &result {
            Ok(report) => println!("{report}"),
            Err(violation) => println!("BROKEN {violation}"),
        }
        results.push(result);
    });
    if seeds > 1 {
        println!("{}", total(&results));
    }
    let idle = results.iter().flatten().filter(|report| ops >= 1000 && !is_a_whole_life(report)).count();
    if idle > 0 {
        println!("{idle} seeds had fewer than 3 crashes, a flush and a merge: they show too little");
    }
    match idle == 0 && results.iter().all(Result::is_ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs every seed on one thread, some at a time; tells the results in the order of the seeds.
fn run_all(first: u64, count: u64, threads: u64, options: Options, mut tell: impl FnMut(Result<Report, Violation>)) {
    let next = AtomicU64::new(0);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count || sender.send((at, run(first + at, options))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut told = 0;
        for (at, result) in results {
            early.insert(at, result);
            while let Some(result) = early.remove(&told) {
                tell(result);
                told += 1;
            }
        }
    });
}

/// Did everything happen that a seed is there to show?
fn is_a_whole_life(report: &Report) -> bool {
    report.crashes() >= 3 && report.flushes >= 1 && report.merges >= 1
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
        line("fills", |report| report.fills),
        line("expired", |report| report.expired),
        line("frames", |report| report.frames),
    ];
    format!("{} seeds, {} broken: {}", results.len(), results.len() - good.len(), lines.join(", "))
}
