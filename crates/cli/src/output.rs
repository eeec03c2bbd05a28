//! Standard output: every command → **output** → a terminal, a file or a pipe.
//!
//! Whoever closes a pipe has seen enough: the command goes on and ends with its own exit code, so that
//! `thermogate gate evaluate … | head` still tells the verdict.

use std::fmt;
use std::io::{self, Write};

use crate::failure::Failure;

/// Prints without a line's end; see [`say`].
macro_rules! print_out {
    ($($text:tt)*) => {{ $crate::output::say(format_args!($($text)*)); }};
}

/// Prints a line; see [`say`].
macro_rules! print_line {
    () => { $crate::output::print_out!("\n") };
    ($($text:tt)*) => { $crate::output::print_out!("{}\n", format_args!($($text)*)) };
}

pub(crate) use {print_line, print_out};

/// Writes text out, and says whether anybody still reads. Where output fails otherwise (a full disk) the program ends
/// with the message: what follows would be missing from what it prints.
pub fn say(text: fmt::Arguments<'_>) -> bool {
    let mut out = io::stdout().lock();
    let written = out.write_fmt(text).and_then(|()| out.flush());
    let is_read = written.is_ok();
    if let Err(failure) = settled(written) {
        eprintln!("thermogate: {failure}");
        std::process::exit(failure.code.into());
    }
    is_read
}

/// What became of writing out: a closed pipe is no failure.
///
/// # Errors
/// Any other reason that it failed for.
pub fn settled(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::unreachable(format!("the output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
