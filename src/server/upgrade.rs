//! Upgrading, as the control thread of the old process does it on SIGUSR2: its program is started again, which
//! may be another one by now, with its arguments and environment. The new process gets the listening sockets
//! (`handover.rs`), makes itself ready as at any start, and only then is left to serve: the old one accepts no
//! more, ends what it has begun, and goes. A new process that does not get that far changes nothing.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::handover::{self, Line, Shares};
use super::listener::Bound;
use super::succession::Order;
use super::{Cores, Error, News};
use crate::channel::{Receiver, Sender};
use crate::limits;

/// How long a new process may take to get ready: checking its routes, connecting to Postgres.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much longer than their connections may take the cores get to say that they can serve.
const CORES_GRACE: Duration = Duration::from_secs(5);

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// To be asked at the start, before the file may be replaced: a name with a slash is kept as it is, so
    /// that a link leads to what it leads to then.
    pub fn of_this_process() -> io::Result<Program> {
        let mut arguments = std::env::args_os();
        let name = PathBuf::from(arguments.next().unwrap_or_default());
        let path = match name.components().count() {
            0 | 1 if !name.is_absolute() => std::env::current_exe()?,
            _ => std::path::absolute(Path::new(&name))?,
        };
        Ok(Program {
            path,
            arguments: arguments.collect(),
        })
    }
}

/// A new process that is ready, and waits to be left to serve.
pub struct Successor {
    /// Its id.
    pub pid: u32,
    line: Line,
    child: Child,
}

/// The control thread's side of upgrading.
pub struct Upgrades {
    /// What is started, and what it is given; `None` where that can't be.
    of: Option<(Program, Arc<Shares>)>,
    /// To the process that gets ready now.
    line: Option<Line>,
    /// One more has been asked for meanwhile: this one may have been started too early.
    again: bool,
    /// SIGHUP has come since that one was started: it may have read its files before.
    owes_reload: bool,
    /// The process that serves in the place of this one. It is its parent that is told of its end, so for as
    /// long as this process goes on the service manager is not.
    successor: Option<Pid>,
}

impl Upgrades {
    /// None so far.
    pub fn new(of: Option<(Program, Shares)>) -> Upgrades {
        Upgrades {
            of: of.map(|(program, shares)| (program, Arc::new(shares))),
            line: None,
            again: false,
            owes_reload: false,
            successor: None,
        }
    }

    /// SIGHUP has come. Whoever sent it means the server, whichever process that is in the end.
    pub fn note_reload(&mut self) {
        match self.successor {
            Some(pid) => pass_on_reload(pid),
            None => self.owes_reload = self.line.is_some(),
        }
    }

    /// Starts a new process beside this one; the news is [`News::Upgraded`].
    pub fn begin(&mut self, news: Sender<News>) {
        let Some((program, shares)) = self.of.clone() else {
            return tracing::error!("SIGUSR2: what serves a demo can't be upgraded");
        };
        if self.line.is_some() {
            self.again = true;
            return tracing::info!("SIGUSR2: once more if the upgrade that is under way fails");
        }
        tracing::info!(
            "SIGUSR2: starting {} beside this process",
            program.path.display()
        );
        if let Err(error) = self.start(program, shares, news) {
            self.failed(&error.to_string());
        }
    }

    fn start(
        &mut self,
        program: Program,
        shares: Arc<Shares>,
        news: Sender<News>,
    ) -> io::Result<()> {
        let (line, theirs) = Line::pair()?;
        self.line = Some(line.try_clone()?);
        self.owes_reload = false;
        thread::Builder::new()
            .name("upgrade".to_owned())
            .spawn(move || {
                let outcome = bring_up(&program, &shares, line, theirs);
                drop(shares);
                // The control thread may be at its end: then the line has ended, too.
                let _ = news.send(News::Upgraded(Box::new(outcome)));
            })?;
        Ok(())
    }

    /// Whether one has been asked for while the last one failed.
    pub fn is_due(&mut self) -> bool {
        self.line.is_none() && std::mem::take(&mut self.again)
    }

    /// The new process has not come up: this one goes on.
    pub fn failed(&mut self, reason: &str) {
        self.line = None;
        tracing::error!(reason, "no upgrade: this process goes on serving");
    }

    /// Leaves it to the new process, which has all sockets from now on. `Err`: it is gone.
    pub fn leave(&mut self, successor: &mut Successor) -> Result<(), String> {
        self.line = None;
        if let Err(reason) = successor.line.go() {
            let _ = end(&mut successor.child);
            return Err(reason);
        }
        self.of = None;
        self.successor = Some(Pid::from_child(&successor.child));
        if self.owes_reload {
            self.note_reload();
        }
        Ok(())
    }

    /// Whether the process that was left to serve has failed, and was not stopped; said once. How it ended is left to
    /// be asked for by whoever becomes its parent.
    pub fn has_lost_successor(&mut self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let has_failed = |pid: &mut Pid| {
            let status = waitid(WaitId::Pid(*pid), options).ok().flatten();
            status.is_some_and(|status| status.exit_status() != Some(0))
        };
        self.successor.take_if(has_failed).is_some()
    }

    /// No socket is shared any more, and no new process is waited for: this one stops.
    pub fn end(&mut self) {
        if let Some(line) = self.line.take() {
            line.end();
        }
        self.of = None;
    }
}

fn pass_on_reload(pid: Pid) {
    tracing::info!(
        pid = pid.as_raw_nonzero().get(),
        "SIGHUP is passed on to the process that serves now"
    );
    if let Err(error) = kill_process(pid, Signal::HUP) {
        tracing::error!(%error, "SIGHUP could not be passed on");
    }
}

fn bring_up(
    program: &Program,
    shares: &Shares,
    line: Line,
    theirs: OwnedFd,
) -> Result<Successor, String> {
    let mut command = Command::new(&program.path);
    command.args(&program.arguments);
    command
        .env(handover::VARIABLE, "1")
        .stdin(Stdio::from(theirs));
    // That of this process. A watchdog without it is for whoever is asked for signs of life.
    command.env_remove("WATCHDOG_PID");
    let started = command.spawn();
    drop(command); // and with it their end of the line here
    let mut child =
        started.map_err(|error| format!("{} can't be started: {error}", program.path.display()))?;
    let ready = line
        .send(shares)
        .map_err(|error| error.to_string())
        .and_then(|()| line.wait_until_ready(PATIENCE));
    match ready {
        Ok(()) => Ok(Successor {
            pid: child.id(),
            line,
            child,
        }),
        Err(reason) => {
            let status = end(&mut child);
            Err(match status {
                Ok(status) if status.code().is_some() => format!("{reason} ({status})"),
                _ => reason,
            })
        }
    }
}

/// Ends a process that may have ended by itself.
fn end(child: &mut Child) -> io::Result<ExitStatus> {
    let _ = child.kill();
    child.wait()
}

impl Cores {
    /// Where this process is to take over from another one: waits until all cores can serve, and for the other
    /// one to leave it to this.
    pub(super) fn claim(&mut self, news: &Receiver<News>) -> Result<(), Error> {
        let Some(inheritance) = self.inheritance.take() else {
            return Ok(());
        };
        let end = Instant::now() + limits::SUCCESSION_PATIENCE + CORES_GRACE;
        let mut unsettled = self.controls.len();
        while unsettled > 0 {
            match news.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(News::Settled) => unsettled -= 1,
                Ok(News::Snapshot(snapshot)) => self.watch.take(snapshot),
                Ok(News::Keys(source, jwt)) => self.take_keys(source, jwt),
                Ok(News::Ended(cpu, outcome)) => {
                    let reason = outcome.err().unwrap_or_else(|| "it ended".to_owned());
                    return Err(Error(format!("core {cpu} is gone: {reason}")));
                }
                Ok(News::Signal) => return Err(Error("stopped before it took over".to_owned())),
                Ok(_) => {}
                Err(_) => return Err(Error("the cores do not get ready".to_owned())),
            }
        }
        for name in inheritance.shares.names() {
            tracing::warn!(
                name,
                "a listening socket was handed over that is none of this process's"
            );
        }
        inheritance.claim().map_err(Error)?;
        for control in &self.controls {
            control.order(Order::Open);
        }
        tracing::info!("this process has taken over");
        Ok(())
    }

    /// Another process is ready, or is not: true if this one has left it to that.
    pub(super) fn leave(&mut self, outcome: Result<Successor, String>, bound: &mut Bound) -> bool {
        let mut successor = match outcome {
            Ok(successor) => successor,
            Err(reason) => {
                self.upgrades.failed(&reason);
                return false;
            }
        };
        let pid = successor.pid;
        self.manager.main_process(pid);
        if let Err(reason) = self.upgrades.leave(&mut successor) {
            // It has gone since; without NOTIFY_SOCKET nobody has been told of it.
            self.manager.main_process(std::process::id());
            self.upgrades.failed(&reason);
            return false;
        }
        bound.leave_files();
        tracing::info!(
            pid,
            "upgraded: another process serves, this one ends what it has begun"
        );
        true
    }
}
