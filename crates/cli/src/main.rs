//! The binary `thermogate`: everything it does is in the library, where tests reach it.

/// Many threads make and drop small values, and others drop them: what is free is used again, or given back within
/// seconds, and does not grow from minute to minute.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
