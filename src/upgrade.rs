//! `pinion upgrade`: has a running server's program started again in its place, and waits for what comes of it.
//!
//! It is SIGUSR2 and a look at the processes: nothing has to be open to whoever may send it a signal.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// How often the processes are looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long the server may take to start the new process.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Why a server was not upgraded.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Upgrades the server of this process id, and gives that of the one which serves in its place. Waits until the
/// old one has ended what it had begun, or for `patience`.
pub fn upgrade(server: u32, patience: Duration) -> Result<u32, Error> {
    let pid = i32::try_from(server).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error(format!("{server} is no process id")))?;
    if !takes_signal(server) {
        return Err(Error(format!(
            "process {server} is no server that can be upgraded"
        )));
    }
    kill_process(pid, Signal::USR2).map_err(|error| {
        Error(match error {
            Errno::PERM => format!("process {server} is another user's"),
            error => format!("process {server}: {error}"),
        })
    })?;
    let start = Instant::now();
    let mut new: Option<u32> = None;
    while is_alive(server) {
        // Also one that somebody else has asked for just before: there is one upgrade at a time. A server has no
        // other children.
        new = new.or_else(|| children(server).into_iter().find(|&it| is_alive(it)));
        let has_failed = match new {
            Some(child) => !is_alive(child) && is_alive(server),
            // One that ends at once may not be seen.
            None => start.elapsed() > START_PATIENCE,
        };
        if has_failed {
            return Err(Error(format!(
                "no new process has come up; process {server} goes on, and its log says why"
            )));
        }
        if start.elapsed() > patience {
            return Err(Error(format!(
                "process {server} is still there after {patience:?}; its log says what it waits for"
            )));
        }
        thread::sleep(INTERVAL);
    }
    new.filter(|&child| is_alive(child))
        .ok_or_else(|| Error(format!("process {server} has ended, and no other serves")))
}

/// Whether it is a server that knows the signal, which ends a program that does not. Its file may be called by its
/// version, `pinion-1.2`.
fn takes_signal(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(known, _)| *known == name)
            .map(|it| it.1.trim())
    };
    let caught = field("SigCgt").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let bit = 1 << (Signal::USR2.as_raw() - 1);
    let is_ours = field("Name").is_some_and(|name| name.starts_with("pinion"));
    is_ours && caught.is_some_and(|mask| mask & bit != 0)
}

/// Running, and no zombie.
fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|&id| stat(id).is_some_and(|(_, parent)| parent == pid))
        .collect()
}

/// State and parent (proc_pid_stat(5)); the name before them may hold anything.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}
