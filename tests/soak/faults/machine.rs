//! Processes that stand still, cores that are shared, descriptors that run out. Each ends on drop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Resource, Rlimit, kill_process, prlimit};

use crate::support::Signal;

/// Processes that are stopped (SIGSTOP).
pub struct Frozen(Vec<Pid>);

impl Frozen {
    pub fn freeze(pids: &[u32]) -> Frozen {
        let pids: Vec<Pid> = pids.iter().copied().filter_map(process).collect();
        for pid in &pids {
            // One may have ended by itself meanwhile.
            let _ = kill_process(*pid, Signal::STOP);
        }
        Frozen(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.0.iter().rev() {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// The children of a process, by their ids.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

/// Threads that compute on given cores.
pub struct Hogs(Arc<AtomicBool>);

impl Hogs {
    pub fn start(cores: &[usize], count: usize) -> Hogs {
        let over = Arc::<AtomicBool>::default();
        for core in cores.iter().cycle().take(cores.len() * count) {
            let (over, id) = (over.clone(), core_affinity::CoreId { id: *core });
            std::thread::spawn(move || {
                core_affinity::set_for_current(id);
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Hogs(over)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A process that gets no more descriptors than a few.
pub struct Shortage {
    pid: Pid,
    before: Rlimit,
}

impl Shortage {
    /// Leaves room for `spare` more; `None` when the process is gone.
    pub fn begin(pid: u32, spare: u64) -> Option<Shortage> {
        let open = descriptors(pid)? as u64;
        let pid = process(pid)?;
        let before = limits_of(pid)?;
        let few = Rlimit {
            current: Some(open + spare),
            ..before
        };
        prlimit(Some(pid), Resource::Nofile, few).ok()?;
        Some(Shortage { pid, before })
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        let _ = prlimit(Some(self.pid), Resource::Nofile, self.before);
    }
}

/// The limits of open files of a process. (`prlimit` can only be asked for while it sets.)
fn limits_of(pid: Pid) -> Option<Rlimit> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_pid())).ok()?;
    let line = limits
        .lines()
        .find_map(|it| it.strip_prefix("Max open files"))?;
    let mut values = line.split_whitespace().map(|value| value.parse().ok());
    Some(Rlimit {
        current: values.next()?,
        maximum: values.next()?,
    })
}

/// The open descriptors of a process.
pub fn descriptors(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// The resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(Path::new(&format!("/proc/{pid}/status"))).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn process(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
