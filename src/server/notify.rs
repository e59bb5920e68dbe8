//! What the service manager is told: sd_notify(3), and systemd.service(5) on `Type=notify-reload` and
//! `WatchdogSec=`. Without NOTIFY_SOCKET nobody is.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::Cores;

/// How long a message may wait for room in the manager's queue. It is the control thread that waits.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// How long the start may be put off until every route can be answered. Past it the server is said to be
/// ready without: Postgres is away, and it serves what needs none.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// The most that a drain's end is off the time that was asked for.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// Characters of a status; `systemctl status` shows one line.
const STATUS_CHARS_MAX: usize = 200;

/// The service manager that started this process, if one did.
pub struct Manager {
    /// A socket without a peer: the manager may bind its own again while it is upgraded.
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How long it waits for a sign of life.
    watchdog: Option<Duration>,
    /// What it was told last.
    status: RefCell<String>,
    /// It can't be reached, and the log was told.
    unreachable: Cell<bool>,
}

impl Manager {
    /// The one that the environment names (NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID).
    pub fn of_environment() -> Manager {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET can't be used: the service manager is told nothing");
                None
            }
        });
        Manager {
            watchdog: sd_notify::watchdog_enabled()
                .filter(|timeout| socket.is_some() && !timeout.is_zero()),
            socket,
            status: RefCell::default(),
            unreachable: Cell::new(false),
        }
    }

    /// How long it may go without a sign of life.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The start, or a reload, is over.
    pub fn ready(&self, status: &str) {
        self.status.replace(line(status));
        self.tell(&[
            NotifyState::Ready,
            NotifyState::Status(&self.status.borrow()),
        ]);
    }

    /// What is configured is being read again; [`Manager::ready`] ends it.
    pub fn reloading(&self) {
        // Since systemd 253 the time tells this reload from those that were asked for before.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(_) => self.tell(&[NotifyState::Reloading]),
        }
    }

    /// The drain begins and takes `drain` at the most, whatever TimeoutStopSec= says.
    pub fn stopping(&self, drain: Duration) {
        let micros = u32::try_from((drain + STOP_SLACK).as_micros()).unwrap_or(u32::MAX);
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
            NotifyState::Status("stopping: finishing what is in flight"),
        ]);
    }

    /// Another process is the service's from now on, or this one again.
    pub fn main_process(&self, pid: u32) {
        self.tell(&[NotifyState::MainPid(pid)]);
    }

    /// A line on how it is, if it is another one than the last.
    pub fn status(&self, status: &str) {
        let status = line(status);
        if *self.status.borrow() != status {
            self.tell(&[NotifyState::Status(&status)]);
            self.status.replace(status);
        }
    }

    /// A sign of life.
    pub fn feed(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some((socket, manager)) = &self.socket else {
            return;
        };
        let mut message = String::new();
        for state in states {
            // Writing into a string does not fail.
            let _ = writeln!(message, "{state}");
        }
        match socket.send_to_addr(message.as_bytes(), manager) {
            Ok(_) => self.unreachable.set(false),
            Err(error) => {
                if !self.unreachable.replace(true) {
                    tracing::warn!(%error, "the service manager can't be told");
                }
            }
        }
    }
}

/// A path, or a name of the abstract namespace after `@` (sd_notify(3)).
fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("it is neither /PATH nor @NAME")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_PATIENCE))?;
    Ok((socket, manager))
}

/// One line: a line break would begin another assignment.
fn line(text: &str) -> String {
    let chars = text.chars().take(STATUS_CHARS_MAX);
    chars
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

impl Cores {
    /// Tells the service manager how the cores are.
    pub(super) fn tell_manager(&mut self) {
        let now = Instant::now();
        if !self.schedule.has_started() {
            let (running, complete) = self.watch.with_ledger(|ledger| {
                let mut cores = ledger.cores.iter();
                let running = cores.all(|core| core.heard.is_some());
                (running, ledger.faults().next().is_none())
            });
            if self.schedule.starts(running, complete, now) {
                self.watch.calm_down();
                self.manager.ready(&self.status());
            }
            return;
        }
        if self.watch.all_go_on() && self.schedule.feeds(now) {
            self.manager.feed();
        }
        self.manager.status(&self.status());
    }

    /// A reload has ended.
    pub(super) fn tell_reloaded(&self) {
        self.manager.ready(&self.status());
    }

    /// How the server is, in a line.
    fn status(&self) -> String {
        let cores = self.controls.len();
        let faults = self.watch.with_ledger(|ledger| {
            let mut faults: Vec<String> = ledger.faults().cloned().collect();
            // Each core has those of Postgres.
            faults.sort_unstable();
            faults.dedup();
            faults.join("; ")
        });
        let mut status = match faults.is_empty() {
            true => format!("serving every route, cores: {cores}"),
            false => format!("serving, cores: {cores}, but not every route: {faults}"),
        };
        if let Some(fault) = self.reloads.last_fault() {
            // Writing into a string does not fail.
            let _ = write!(status, "; the last reload has failed: {fault}");
        }
        status
    }
}

/// When the manager is to be told that the start is over, and that all is well.
pub struct Schedule {
    /// Between two signs of life.
    feeding: Option<Duration>,
    started: bool,
    /// Since when the start is put off.
    start: Instant,
    fed: Option<Instant>,
}

impl Schedule {
    /// Begins with the start. Signs of life are given twice as often as the watchdog asks for them.
    pub fn new(watchdog: Option<Duration>, now: Instant) -> Schedule {
        Schedule {
            feeding: watchdog.map(|timeout| timeout / 2),
            started: false,
            start: now,
            fed: None,
        }
    }

    /// Whether the start is over.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// How long there is nothing to tell, but what the cores have to say.
    pub fn patience(&self, now: Instant) -> Duration {
        match (self.feeding, self.fed) {
            _ if !self.started => Duration::MAX,
            (None, _) => Duration::MAX,
            // While a core stands still, the next look at it is what is waited for.
            (Some(feeding), Some(fed)) if now < fed + feeding => fed + feeding - now,
            (Some(feeding), _) => feeding,
        }
    }

    /// Whether the start is over now: all cores run, and they can answer everything or have had the time.
    pub fn starts(&mut self, running: bool, complete: bool, now: Instant) -> bool {
        self.started = running && (complete || now >= self.start + START_PATIENCE);
        self.started
    }

    /// Whether a sign of life is due.
    pub fn feeds(&mut self, now: Instant) -> bool {
        let due = self
            .feeding
            .is_some_and(|feeding| self.fed.is_none_or(|fed| now >= fed + feeding));
        if due {
            self.fed = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        assert_eq!(line("all\nis\twell"), "all is well");
        assert_eq!(line(&"ä".repeat(500)).chars().count(), STATUS_CHARS_MAX);
    }

    #[test]
    fn only_paths_and_abstract_names_are_sockets() {
        assert!(open(OsStr::new("/run/systemd/notify")).is_ok());
        assert!(open(OsStr::new("@of/this/test")).is_ok());
        let long = format!("/{}", "x".repeat(108));
        for wrong in ["", "notify", "vsock:2:1", &long] {
            assert!(open(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_start_waits_for_routes_but_not_for_ever() {
        let now = Instant::now();
        let late = now + START_PATIENCE;
        let mut schedule = Schedule::new(None, now);
        assert!(!schedule.starts(true, false, now));
        assert!(!schedule.starts(false, false, late), "a core does not run");
        assert!(schedule.starts(true, false, late));
        assert!(schedule.has_started());
        assert!(Schedule::new(None, now).starts(true, true, now));
    }

    #[test]
    fn life_is_shown_twice_as_often_as_is_asked_for() {
        let start = Instant::now();
        let timeout = Duration::from_secs(10);
        let mut schedule = Schedule::new(Some(timeout), start);
        assert!(schedule.starts(true, true, start));
        assert!(schedule.feeds(start), "at once");
        let just_before = start + timeout / 2 - Duration::from_nanos(1);
        assert!(!schedule.feeds(just_before));
        assert_eq!(schedule.patience(just_before), Duration::from_nanos(1));
        assert!(schedule.feeds(start + timeout / 2));
        // Nothing was told, as a core stands still: that is no reason to turn in circles.
        assert_eq!(schedule.patience(start + 2 * timeout), timeout / 2);
        let mut unwatched = Schedule::new(None, start);
        assert!(!unwatched.feeds(start));
    }
}
