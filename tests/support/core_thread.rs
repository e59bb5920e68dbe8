//! The thread of a core, held up by itself: a signal would stop the whole process.

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::process::core_thread;

/// A core's thread that was stopped as a debugger does, while all others go on. It goes on when this is
/// dropped, which is to be in the thread that made it.
pub struct StoppedCore(Pid);

impl StoppedCore {
    /// That of the first core of a server.
    pub fn stop(server: u32) -> StoppedCore {
        let core = Pid::from_raw(core_thread(server) as i32);
        ptrace::seize(core, ptrace::Options::PTRACE_O_TRACESYSGOOD).expect("its tracer");
        ptrace::interrupt(core).expect("it is traced");
        let core = StoppedCore(core);
        core.wait();
        core
    }

    /// The same, when it has just woken another thread (futex(2), FUTEX_WAKE) and is still about to return
    /// from that.
    pub fn stop_as_it_wakes(server: u32) -> StoppedCore {
        let core = StoppedCore::stop(server);
        while !core.wakes() {
            core.to_next_call();
        }
        core.to_next_call(); // the same one's end
        core
    }

    /// Whether it stands in such a call: its number, then its arguments in hexadecimal (proc(5)).
    fn wakes(&self) -> bool {
        let file = format!("/proc/{0}/syscall", self.0);
        let call = std::fs::read_to_string(file).expect("where it stands");
        let mut words = call.split_whitespace();
        let is_futex = words.next() == Some(&libc::SYS_futex.to_string());
        let operation = words.nth(1).and_then(|word| word.strip_prefix("0x"));
        let operation = operation.and_then(|word| i32::from_str_radix(word, 16).ok());
        let wakes = |operation| operation & libc::FUTEX_CMD_MASK == libc::FUTEX_WAKE;
        is_futex && operation.is_some_and(wakes)
    }

    /// Lets it run until a system call begins or ends.
    fn to_next_call(&self) {
        ptrace::syscall(self.0, None).expect("it goes on");
        self.wait();
    }

    fn wait(&self) {
        waitpid(self.0, Some(WaitPidFlag::__WALL)).expect("it stops");
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
