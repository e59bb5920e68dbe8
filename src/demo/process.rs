//! The processes of an installation: running its programs, finding and ending its server.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::account::Account;
use super::directory::absent_is_fine;
use super::error::Error;

/// How long a server may take to stop after each signal: first in order (SIGINT, it writes a
/// checkpoint), then at once (SIGQUIT), then by the kernel (SIGKILL).
const STOP_STEPS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// How often a start or a stop is looked after.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The server process of a cluster, as its pid file tells of it.
pub(super) struct Postmaster {
    pub(super) cluster: PathBuf,
}

impl Postmaster {
    /// Ends a server that still runs on the cluster. With the lock held, no living Pinion owns it.
    pub(super) fn end_left_over(&self) -> Result<(), Error> {
        let pid_file = self.cluster.join("postmaster.pid");
        let Some(pid) = self.pid_file().and_then(|text| first_pid(&text)) else {
            return Ok(());
        };
        if self.is_running(pid) {
            tracing::warn!(
                pid = pid.as_raw_pid(),
                "taking over the Postgres of a killed pinion"
            );
            return end(pid, || !self.is_running(pid));
        }
        // Postgres clears a stale pid file by itself, unless its number has meanwhile gone to another
        // process of the same user, which it can't tell from a server.
        fs::remove_file(&pid_file)
            .or_else(absent_is_fine)
            .map_err(Error::file("remove", &pid_file))
    }

    /// The process id of the server if it accepts connections.
    pub(super) fn ready_pid(&self) -> Option<Pid> {
        // Line 8 of the pid file is the state that pg_ctl waits for as well.
        let text = self.pid_file()?;
        let ready = text.lines().nth(7)?.trim() == "ready";
        first_pid(&text).filter(|_| ready)
    }

    fn pid_file(&self) -> Option<String> {
        fs::read_to_string(self.cluster.join("postmaster.pid")).ok()
    }

    /// Whether `pid` is a living server on this very cluster: a server's working directory is its
    /// data directory. That of a zombie, or of a process whose number was reused, is not.
    fn is_running(&self, pid: Pid) -> bool {
        let directory = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_pid()));
        directory.is_ok_and(|directory| directory == self.cluster)
    }
}

/// A program, run by `account`, undisturbed by the caller's environment.
pub(super) fn program(path: &Path, account: &Account) -> Command {
    let mut command = Command::new(path);
    // PGHOST, PGOPTIONS, PGDATA and their kin are meant for the user's own databases.
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(variable);
        }
    }
    // The other account may not be allowed into the current directory.
    command.env("LC_ALL", "C").current_dir("/");
    account.apply(&mut command);
    command
}

/// Runs a program to its end with `input` on its stdin; returns its stdout, or its stderr as error.
pub(super) fn run(mut command: Command, input: &str) -> Result<String, Error> {
    let name = PathBuf::from(command.get_program());
    let spawn_fault = |source| Error::Spawn {
        program: name.clone(),
        source,
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(spawn_fault)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // On a thread of its own, because a program that is not being read from may stop reading.
        // One that ends early breaks the pipe; its status tells why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    let output = output.map_err(spawn_fault)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let output = if said.trim().is_empty() {
        output.status.to_string()
    } else {
        said.trim().to_owned()
    };
    Err(Error::Program {
        program: name,
        output,
    })
}

/// Ends a server by ever firmer signals until `is_gone` says that it is.
pub(super) fn end(pid: Pid, mut is_gone: impl FnMut() -> bool) -> Result<(), Error> {
    for (signal, patience) in STOP_STEPS {
        // A process that has just ended can't be signalled, which is no fault; one that may not be
        // signalled will still be there in the end.
        let _ = rustix::process::kill_process(pid, signal);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if is_gone() {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    Err(Error::NotStopped(pid.as_raw_pid()))
}

/// The process id in the first line of a pid file. A negative one is of a single-user server.
fn first_pid(text: &str) -> Option<Pid> {
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    if pid > 0 { Pid::from_raw(pid) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_are_read_and_nonsense_in_them_is_not() {
        assert_eq!(first_pid("4711\n/data\n").map(Pid::as_raw_pid), Some(4711));
        for text in ["", "\n", "0\n", "-4711\n", "x\n", "99999999999\n"] {
            assert_eq!(first_pid(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_failing_program_tells_its_last_words_even_if_it_reads_nothing() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such luck >&2; exit 3"]);
        let error = run(command, &"x".repeat(1 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh failed: no such luck");
    }
}
