//! `pinion`: parse the command line, run it, leave with its exit code.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pinion::run::run(pinion::cli::Cli::parse())
}
