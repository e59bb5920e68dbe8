//! Metrics of the process, under the names that every exporter has for them, and of the program.

use std::fs;

use super::Standing;
use super::family::{Family, Value};

/// All of them. What the kernel does not tell is left out.
pub(super) fn families(standing: &Standing) -> Vec<Family> {
    let mut families = vec![
        gauge(
            "pinion_ready",
            "Whether every check of /readyz is fine.",
            u64::from(standing.ready),
        ),
        gauge(
            "pinion_last_reload_successful",
            "Whether the last reload, if there was one, has been taken over.",
            u64::from(standing.reloaded),
        ),
        gauge(
            "pinion_connections_max",
            "Client connections that the cores take together.",
            standing.connections_max as u64,
        ),
        gauge(
            "pinion_in_flight_max",
            "Requests that the cores answer from Postgres at a time.",
            standing.in_flight_max as u64,
        ),
        Family::counter(
            "pinion_log_lines_dropped",
            "Lines that the log has lost, as they came faster than they were read.",
        )
        .with([], Value::Whole(crate::log::dropped())),
        build(),
    ];
    families.extend(stat());
    families.extend(descriptors());
    families
}

fn build() -> Family {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let labels = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("build", build.to_owned()),
        ("arch", std::env::consts::ARCH.to_owned()),
    ];
    Family::gauge("pinion_build_info", "What runs; always 1.").with(labels, Value::Whole(1))
}

/// From `/proc/self/stat` (proc(5)).
fn stat() -> Vec<Family> {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else {
        return Vec::new();
    };
    // The second field is the program's name, which may hold anything.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    // The first of these is the third of all.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as u64;
    let mut families = Vec::new();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        let seconds = Value::Real((user + system) as f64 / ticks);
        let help = "Time of all threads on a CPU, user and system.";
        families.push(Family::counter("process_cpu_seconds", help).with([], seconds));
    }
    if let Some(threads) = field(20) {
        families.push(gauge("process_threads", "Threads.", threads));
    }
    if let (Some(since), Some(boot)) = (field(22), boot_seconds()) {
        let start = Value::Real(boot as f64 + since as f64 / ticks);
        let help = "When the process began, in seconds since 1970.";
        families.push(Family::gauge("process_start_time_seconds", help).with([], start));
    }
    if let Some(bytes) = field(23) {
        let help = "Address space.";
        families.push(gauge("process_virtual_memory_bytes", help, bytes));
    }
    if let Some(pages) = field(24) {
        let help = "Memory that is resident.";
        families.push(gauge("process_resident_memory_bytes", help, pages * page));
    }
    families
}

fn descriptors() -> Vec<Family> {
    let mut families = Vec::new();
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The one that reads the directory is not there any more.
        let open = entries.count().saturating_sub(1) as u64;
        families.push(gauge("process_open_fds", "Open file descriptors.", open));
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(most) = limit.current {
        let help = "File descriptors that may be open.";
        families.push(gauge("process_max_fds", help, most));
    }
    families
}

/// When the kernel started, in seconds since 1970.
fn boot_seconds() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn gauge(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::gauge(name, help).with([], Value::Whole(value))
}
