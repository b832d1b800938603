//! `thalweg metrics`: what `/metrics` shows: names, types, units, labels, meanings.

use super::Output;
use crate::metrics;

pub(crate) fn run(output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => print!("{}", metrics::reference()),
        Output::Json => println!("{}", metrics::listed()),
    }
    Ok(())
}
