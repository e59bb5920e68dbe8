//! The admin port: health, metrics, what is served and with which settings, and a live page for people.
//!
//! It runs on threads of its own, with plain sockets: a core that is stuck can't hide itself, and whoever asks
//! here costs the cores nothing. It reads what the control thread has added up of the cores
//! ([`Ledger`]) and holds it for moments only.

mod answer;
mod connection;
mod health;
mod listen;
mod live;
mod page;
mod routes;
mod settings;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::api::{Api, Resolved};
use crate::config::Config;
use crate::metrics::Ledger;

pub use listen::{Bound, Error, bind};

/// Reads the passes of a core; `None` before its first one.
pub type Heartbeat = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Writes the histograms now: where they are, if anything has happened since the last time; or why they can't
/// be written.
pub type Dump = Box<dyn Fn() -> Result<Option<PathBuf>, String> + Send + Sync>;

/// Asks Postgres what the routes look like, if it has not been asked yet.
pub type Resolve = Box<dyn Fn(&Arc<Api>) -> Result<Vec<Resolved>, String> + Send + Sync>;

/// What the admin port tells of. The control thread keeps it up to date.
pub struct Subject {
    /// What the cores have handed over.
    pub ledger: Arc<Mutex<Ledger>>,
    /// By core, in the ledger's order.
    pub heartbeats: Vec<Heartbeat>,
    /// The settings.
    pub config: Arc<Config>,
    /// Where the data is, without a password.
    pub database: String,
    /// Where clients are served, with the ports that the kernel chose.
    pub listening: Vec<String>,
    /// See there.
    pub dump: Dump,
    /// See there.
    pub resolve: Resolve,
    /// When it began.
    pub since: Instant,
    /// Held by whoever has Postgres asked.
    resolving: Mutex<()>,
    state: Mutex<State>,
}

/// What changes while it runs.
struct State {
    api: Arc<Api>,
    /// What Postgres said of it, or why it was not to be had; none while nobody has asked.
    resolved: Option<Result<Arc<Vec<Resolved>>, String>>,
    draining: bool,
    /// What was wrong with the last reload.
    reload_fault: Option<String>,
    reloads: u64,
}

/// What a [`Subject`] is made of beside what it shares.
pub struct Parts {
    /// See [`Subject`].
    pub ledger: Arc<Mutex<Ledger>>,
    /// See [`Subject`].
    pub heartbeats: Vec<Heartbeat>,
    /// See [`Subject`].
    pub config: Arc<Config>,
    /// See [`Subject`].
    pub database: String,
    /// See [`Subject`].
    pub listening: Vec<String>,
    /// What is served.
    pub api: Arc<Api>,
    /// What Postgres said of it, in the order of the routes, if it has been asked.
    pub resolved: Option<Vec<Resolved>>,
    /// See there.
    pub dump: Dump,
    /// See there.
    pub resolve: Resolve,
}

impl Subject {
    /// Of a server that has just started.
    pub fn new(parts: Parts) -> Arc<Subject> {
        Arc::new(Subject {
            ledger: parts.ledger,
            heartbeats: parts.heartbeats,
            config: parts.config,
            database: parts.database,
            listening: parts.listening,
            dump: parts.dump,
            resolve: parts.resolve,
            since: Instant::now(),
            resolving: Mutex::new(()),
            state: Mutex::new(State {
                api: parts.api,
                resolved: parts.resolved.map(|all| Ok(Arc::new(all))),
                draining: false,
                reload_fault: None,
                reloads: 0,
            }),
        })
    }

    /// The server stops: it is not ready any more.
    pub fn drains(&self) {
        self.state().draining = true;
    }

    /// Another API is served from now on.
    pub fn serves(&self, api: Arc<Api>, resolved: Option<Vec<Resolved>>) {
        let mut state = self.state();
        state.api = api;
        state.resolved = resolved.map(|all| Ok(Arc::new(all)));
    }

    /// A reload was taken over, or refused for a reason: what was served before is served on.
    pub fn reloaded(&self, fault: Option<&str>) {
        let mut state = self.state();
        state.reloads += 1;
        state.reload_fault = fault.map(str::to_owned);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at every core's heartbeat, so that what is told of it is of this moment.
    fn feel(&self) -> Instant {
        let now = Instant::now();
        let mut ledger = self.ledger();
        for (core, heartbeat) in self.heartbeats.iter().enumerate() {
            ledger.feel(core, heartbeat(), now);
        }
        now
    }
}
