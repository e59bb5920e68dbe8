//! The steps of a request, each alone: nanoseconds and instructions per iteration (`cargo bench`).
//!
//! Time moves by a third from one minute to the next on a shared machine; the number of instructions
//! doesn't, so that is what a baseline holds and what a comparison judges. Hardware counters are missing
//! on many virtual machines, hence valgrind, which counts on any.
//!
//! No library does this with one command on a fresh machine: gungraun (once iai-callgrind) needs a
//! runner of exactly its version, installed by hand, and leaves time to a second library; criterion and
//! divan know time alone. What is needed of them is less than their set-up.

mod baseline;
mod cases;
mod counting;
mod shop;
mod timing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use baseline::Baseline;
use cases::{CASES, Case};

/// As in the server, whose instructions these are to be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time and instructions of each step of a request.
#[derive(Parser)]
#[command(name = "cargo bench --")]
struct Arguments {
    /// Write the instruction counts to this file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Show the change of each instruction count against this file
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// End with 1 if a count has grown by more than this
    #[arg(long, value_name = "PERCENT", requires = "compare")]
    fail_above: Option<f64>,
    /// Run this case alone, for valgrind, which counts it
    #[arg(long, hide = true)]
    counted: Option<String>,
    /// Cargo says this to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every count is within its bound.
fn run(arguments: &Arguments) -> Result<bool, String> {
    if let Some(name) = &arguments.counted {
        let case = CASES.iter().find(|case| case.name == name);
        counting::run(case.ok_or("no such case")?);
        return Ok(true);
    }
    let before = arguments.compare.as_deref().map(Baseline::read);
    let before = before.transpose()?;
    let can_count = counting::is_possible();
    if !can_count && (before.is_some() || arguments.save.is_some()) {
        return Err(format!("only instructions are compared: {ADVICE}"));
    }
    let mut now = Baseline::of_this_machine();
    if let Some(before) = &before {
        now.say_what_differs(before);
    }
    println!("{:<22}{:>10}{:>14}", "case", "median ns", "instructions");
    let mut worst = f64::NEG_INFINITY;
    for case in CASES {
        let instructions = can_count
            .then(|| counting::instructions(case))
            .transpose()?;
        now.counts
            .extend(instructions.map(|count| (case.name.to_owned(), count)));
        let change = before.as_ref().zip(instructions);
        let change = change.map(|(before, count)| before.change(case.name, count));
        print_row(case, instructions, change);
        worst = worst.max(change.flatten().unwrap_or(worst));
    }
    if let Some(before) = &before {
        for name in before.names_missing_in(&now) {
            println!("{name:<22}{:>10}{:>14}   gone", "–", "–");
        }
    }
    if !can_count {
        println!("{ADVICE}");
    }
    if let Some(path) = &arguments.save {
        now.write(path)?;
    }
    match arguments.fail_above {
        Some(bound) if worst > bound => {
            println!("a count has grown by more than {bound} %");
            Ok(false)
        }
        _ => Ok(true),
    }
}

const ADVICE: &str = "valgrind counts them, and is not installed (apt install valgrind)";

/// `change`: `None` without a baseline, `Some(None)` for a case that it doesn't have.
fn print_row(case: &Case, instructions: Option<u64>, change: Option<Option<f64>>) {
    let time = timing::median_ns(&mut (case.prepare)());
    let instructions = instructions.map_or("–".to_owned(), |count| count.to_string());
    let change = match change {
        None => String::new(),
        Some(None) => "   new".to_owned(),
        Some(Some(percent)) if percent.abs() < 0.05 => "   =".to_owned(),
        Some(Some(percent)) => format!("   {percent:+.1} %"),
    };
    println!("{:<22}{time:>10.1}{instructions:>14}{change}", case.name);
}
