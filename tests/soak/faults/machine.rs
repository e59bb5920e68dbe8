//! Cores that are shared, descriptors that run out. Each ends on drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::process::{by_id, descriptors_if_any};

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
        let open = descriptors_if_any(pid)? as u64;
        let pid = by_id(pid);
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
