//! How many instructions an iteration takes: this program runs itself under callgrind, a process for
//! each case, so that no case changes the memory that another finds.

use std::env;
use std::hint::black_box;
use std::process::Command;

use crate::cases::{Case, Work};

const ITERATIONS: u64 = 1000;
/// Buffers have grown and the allocator has its pages after so many.
const WARM_UP: u64 = 100;

pub fn is_possible() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Instructions per iteration, rounded.
pub fn instructions(case: &Case) -> Result<u64, String> {
    let program = env::current_exe().map_err(|fault| fault.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*counted_iterations*")
        .arg(program)
        .args(["--counted", case.name])
        // The allocator reads the environment.
        .env_clear()
        .envs(env::var_os("PATH").map(|path| ("PATH", path)))
        .output()
        .map_err(|fault| format!("valgrind: {fault}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let total = said
        .lines()
        .filter_map(|line| line.split_once("Collected :"))
        .find_map(|(_, total)| total.trim().parse::<u64>().ok())
        .filter(|&total| total > 0 && output.status.success())
        .ok_or_else(|| format!("valgrind has not counted {}:\n{said}", case.name))?;
    Ok((total + ITERATIONS / 2) / ITERATIONS)
}

/// What valgrind runs.
pub fn run(case: &Case) {
    let mut work = (case.prepare)();
    for _ in 0..WARM_UP {
        work();
    }
    counted_iterations(black_box(&mut work), ITERATIONS);
}

/// Counting begins and ends with this function, which valgrind knows by its name.
#[inline(never)]
fn counted_iterations(work: &mut Work, iterations: u64) {
    for _ in 0..iterations {
        work();
    }
}
