//! `cargo run -p entry --bin seeds DIRECTORY`: writes the seeds of every fuzz target to a directory of its name there.

use std::{env, fs, io::Result, path::PathBuf};

use entry::{Entry, seeds};

fn main() -> Result<()> {
    let directory = env::args_os().nth(1).map_or_else(|| PathBuf::from("fuzz/corpus"), PathBuf::from);
    for entry in Entry::ALL {
        let corpus = directory.join(entry.name());
        fs::create_dir_all(&corpus)?;
        let seeds = seeds::of(entry)?;
        for (place, seed) in seeds.iter().enumerate() {
            fs::write(corpus.join(format!("seed-{place:03}")), seed)?;
        }
        println!("{}: {} seeds", entry.name(), seeds.len());
    }
    Ok(())
}
