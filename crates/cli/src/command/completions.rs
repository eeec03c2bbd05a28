//! `thermogate completions`.

use std::io::Write;

use clap::CommandFactory;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output;

/// Prints the script of a shell.
pub fn run(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "thermogate", &mut script);
    output::settled(std::io::stdout().write_all(&script))?;
    Ok(0)
}
