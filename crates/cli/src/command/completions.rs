//! `thermogate completions`.

use clap::CommandFactory;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Prints the script of a shell.
pub fn run(shell: clap_complete::Shell) -> Result<u8, Failure> {
    clap_complete::generate(shell, &mut Arguments::command(), "thermogate", &mut std::io::stdout());
    Ok(0)
}
