//! `pinion`: parse the command line, run it, leave with its exit code.

#![allow(unexpected_cfgs)] // system_allocator, which scripts/sanitize sets

use std::process::ExitCode;

#[cfg(not(system_allocator))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pinion::run::run(pinion::cli::Cli::from_command_line())
}
