//! The commands, one a file. Each takes its arguments and answers when it is done.

mod bench;
mod compact;
mod config_check;
mod demo;
mod import;
mod key;
mod metrics;
mod quarantine;
mod reload;
mod serve;
mod status;
mod tail;
mod verify;

pub(crate) use self::bench::BenchArguments;
use crate::cli::{Command, ConfigCommand};

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs: one JSON value a line.
    Json,
}

impl Output {
    /// Prints an answer.
    fn print(self, answer: &serde_json::Value) {
        match self {
            Output::Text => print!("{}", crate::text::of(answer)),
            Output::Json => println!("{answer}"),
        }
    }
}

/// Runs what the command line asks for.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Serve(arguments) => serve::run(&arguments, output).await,
        Command::Bench(arguments) => bench::run(arguments, output).await,
        Command::Demo(arguments) => demo::run(arguments, output).await,
        Command::Verify(arguments) => verify::run(&arguments, output).await,
        Command::Import(arguments) => import::run(arguments, output).await,
        Command::Tail(arguments) => tail::run(&arguments).await,
        Command::Compact(arguments) => compact::run(&arguments, output).await,
        Command::Status(arguments) => status::run(&arguments, output).await,
        Command::Reload(arguments) => reload::run(&arguments, output).await,
        Command::Config { command: ConfigCommand::Check(arguments) } => config_check::run(&arguments, output),
        Command::Metrics => metrics::run(output),
        Command::Key { command } => key::run(command, output).await,
        Command::Quarantine { command } => quarantine::run(command, output).await,
    }
}
