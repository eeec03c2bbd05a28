//! The binary `thermogate`: everything it does is in the library, where tests reach it.

fn main() -> std::process::ExitCode {
    cli::main()
}
