//! The command `thermogate`: every way a person or a pipeline talks to it. No logic that a test cannot reach.

mod arguments; // what can be typed: read this first
mod client; // connections to a running service
mod command; // one file a command
mod documents; // files of objectives, policies, sites and mappings
mod driver; // recorded files through front and evaluator
mod export_folder; // an exported run as a folder
mod failure; // what can go wrong, with its exit code
mod files; // recorded files
mod output; // standard output, which may be closed at any time
mod past; // who answers about past runs
mod terminal; // colour and tables for people, plain text for pipes
mod watching; // groups of signals without physics, row by row

use std::process::ExitCode;

use clap::Parser;

pub use arguments::{Arguments, Command};
pub use failure::Failure;

/// Runs what was typed and gives its exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("thermogate: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

/// Runs one command.
///
/// # Errors
/// A [`Failure`] with the message for stderr and the exit code.
pub fn run(arguments: Arguments) -> Result<u8, Failure> {
    match arguments.command {
        Command::Demo(arguments) => command::demo::run(&arguments),
        Command::Serve(arguments) => command::serve::run(&arguments),
        Command::Status(arguments) => command::status::run(&arguments),
        Command::Gate(command) => command::gate::run(command),
        Command::Run(command) => command::run::run(command),
        Command::Maintenance(command) => command::maintenance::run(command),
        Command::Calibrate(arguments) => command::calibrate::run(arguments),
        Command::Sql(arguments) => command::sql::run(&arguments),
        Command::Forecast(arguments) => command::forecast::run(&arguments),
        Command::Replay(arguments) => command::replay::run(&arguments),
        Command::Export(arguments) => command::export::run(&arguments),
        Command::Backtest(arguments) => command::backtest::run(&arguments),
        Command::Import(arguments) => command::import::run(&arguments),
        Command::Simulate(arguments) => command::simulate::run(&arguments),
        Command::Drill(command) => command::drill::run(&command),
        Command::Check(arguments) => command::check::run(&arguments),
        Command::Completions { shell } => command::completions::run(shell),
    }
}
