//! The thread of a core, held up by itself: a signal would stop the whole process.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// A core's thread that was stopped as a debugger does, while all others go on. It goes on when this is
/// dropped, which is to be in the thread that made it.
pub struct StoppedCore(Pid);

impl StoppedCore {
    /// That of the first core of a server.
    pub fn stop(server: u32) -> StoppedCore {
        let tasks = format!("/proc/{server}/task");
        let threads = std::fs::read_dir(tasks).expect("its threads");
        let cores = threads
            .map(|thread| thread.expect("a thread").path())
            .filter(|thread| {
                let name = std::fs::read_to_string(thread.join("comm"));
                name.is_ok_and(|name| name.starts_with("core-"))
            })
            .filter_map(|thread| thread.file_name()?.to_str()?.parse().ok());
        // The executors' helpers have the name, too, and come after them.
        let core = Pid::from_raw(cores.min().expect("a core"));
        ptrace::seize(core, ptrace::Options::empty()).expect("its tracer");
        ptrace::interrupt(core).expect("it is traced");
        waitpid(core, Some(WaitPidFlag::__WALL)).expect("it stops");
        StoppedCore(core)
    }
}

impl Drop for StoppedCore {
    fn drop(&mut self) {
        // If it was killed meanwhile its process ends when its tracer has taken note of it.
        if ptrace::detach(self.0, None).is_err() {
            let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
        }
    }
}
