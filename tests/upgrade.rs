//! SIGUSR2 and `pinion upgrade`: another process in the place of the one that serves, without a request that is
//! lost.

mod support;

#[path = "upgrade/cores.rs"]
mod cores;
#[path = "upgrade/faults.rs"]
mod faults;
#[path = "upgrade/load.rs"]
mod load;
#[path = "upgrade/times.rs"]
mod times;
#[path = "support/versions.rs"]
mod versions;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use support::process::signal_all;
use support::{Postgres, Server, Signal, TempDir, echo, ended, pinion, send_signal, wait_until};

/// What the log says when this process has left it to another one.
const UPGRADED: &str = "upgraded: another process serves";
/// What it says when there is no other one.
const KEPT: &str = "no upgrade";

/// A server, whatever process it is by now.
struct Fixture {
    /// As it was started.
    server: Server,
    /// The process that serves now.
    pid: u32,
    routes: PathBuf,
    _postgres: Arc<Postgres>,
}

fn fixture(flags: &[&str]) -> Fixture {
    fixture_in(TempDir::new(), flags)
}

fn fixture_in(directory: TempDir, flags: &[&str]) -> Fixture {
    let cores = ["--cores", versions::cores()];
    let cores = if flags.contains(&cores[0]) {
        &[][..]
    } else {
        &cores
    };
    fixture_of(pinion(&[]), directory, &[flags, cores].concat())
}

/// A server that this command starts, which is given its arguments.
fn fixture_of(mut command: Command, directory: TempDir, flags: &[&str]) -> Fixture {
    let postgres = echo::postgres();
    let routes = directory.file("routes.toml", &versions::routes(1));
    command.args(["serve", "--listen", "http://127.0.0.1:0"]);
    command.args(["--database-url", &postgres.url(), "--routes"]);
    command.arg(&routes).args(flags);
    let server = Server::run(command, directory);
    Fixture {
        pid: server.pid(),
        server: versions::ready(server),
        routes,
        _postgres: postgres,
    }
}

impl Fixture {
    /// Has another process take over; whether the old one ends is for others to look at.
    fn begin_upgrade(&mut self) -> u32 {
        self.server.forget_log();
        send_signal(self.pid, Signal::USR2);
        self.follow_upgrade()
    }

    /// Waits until another process has taken over: the old one.
    fn follow_upgrade(&mut self) -> u32 {
        let line = self.server.wait_for_line(UPGRADED);
        let pid = line.split("pid=").nth(1).expect("a process id");
        let pid = pid.split_whitespace().next().expect("a process id");
        std::mem::replace(&mut self.pid, pid.parse().expect("a process id"))
    }

    /// The same, until the old process has ended.
    fn upgrade(&mut self) {
        let old = self.begin_upgrade();
        wait_until("the old process has ended", || has_ended(old));
    }

    /// Stops the process that serves now.
    fn stop(mut self) {
        self.server.forget_log();
        send_signal(self.pid, Signal::TERM);
        self.server.wait_for_line("stopped");
        wait_until("it has ended", || has_ended(self.pid));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if self.pid != self.server.pid() && !has_ended(self.pid) {
            signal_all(&[self.pid], Signal::KILL);
        }
    }
}

/// Whether a process is no more, or a zombie that nobody has waited for.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| {
        stat.rsplit_once(") ")
            .is_none_or(|it| it.1.starts_with('Z'))
    })
}

/// `pinion upgrade` of a process: exit code, stdout and stderr.
fn command(pid: u32) -> (Option<i32>, String, String) {
    ended(pinion(&["upgrade", &pid.to_string()]))
}
