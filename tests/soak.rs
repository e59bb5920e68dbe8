//! The soak: clients of all kinds, good and bad, at the same time, some plain and some over TLS, while
//! Postgres, the machine and the server itself meet one fault after the other. The way to Postgres is
//! encrypted, too. Every answer is checked, every acknowledged write is
//! looked up in the end, and nothing may be left behind.
//!
//! `soak/allowed.rs` says what may be answered when. `SOAK_MINUTES`, `SOAK_SEED` and `SOAK_OUT` change
//! the run (`scripts/soak` sets them); all random decisions derive from the seed, so that a run can be
//! repeated, as far as its clocks and schedulers let it.

mod support;

#[path = "soak/allowed.rs"]
mod allowed;
#[path = "soak/asks/mod.rs"]
mod asks;
#[path = "soak/clients/mod.rs"]
mod clients;
#[path = "soak/fault.rs"]
mod fault;
#[path = "soak/faults/mod.rs"]
mod faults;
#[path = "soak/guards.rs"]
mod guards;
#[path = "soak/identity.rs"]
mod identity;
#[path = "soak/judge.rs"]
mod judge;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/picture.rs"]
mod picture;
#[path = "soak/run.rs"]
mod run;
#[path = "soak/samples.rs"]
mod samples;
#[path = "soak/schema.rs"]
mod schema;
#[path = "soak/settings.rs"]
mod settings;
#[path = "soak/starvation.rs"]
mod starvation;
#[path = "soak/talk.rs"]
mod talk;
#[path = "soak/ways.rs"]
mod ways;
#[path = "soak/windows.rs"]
mod windows;
#[path = "soak/wire.rs"]
mod wire;
#[path = "soak/writes.rs"]
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use guards::Limit;
use ledger::Ledger;
use starvation::Starvation;
use ways::Ways;
use windows::Windows;
use writes::Writes;

/// What all clients and the injector share.
pub struct Soak {
    pub ways: Ways,
    pub seed: u64,
    pub items: Vec<Item>,
    pub windows: Windows,
    pub starvation: Starvation,
    pub ledger: Ledger,
    pub writes: Writes,
    pub limit: Limit,
    over: AtomicBool,
    draining: AtomicBool,
    /// By a signal.
    interrupted: Arc<AtomicBool>,
}

/// A row of `items`, by its id less 1.
pub struct Item {
    pub slug: String,
    pub tag: String,
    pub mark: String,
}

impl Soak {
    /// Whether there is more to be asked.
    pub fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed) && !self.is_interrupted() && !self.ledger.is_full()
    }

    /// Whether the server may close between two answers.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst) || self.is_interrupted()
    }

    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Sleeps, unless the soak is over before.
    pub fn pause(&self, duration: Duration) {
        const SLICE: Duration = Duration::from_millis(50);
        let end = Instant::now() + duration;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.goes_on() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
    }

    /// The mark of an item, which is that of the row with the same id in other tables, too.
    pub fn mark(&self, id: usize) -> &str {
        &self.items[id - 1].mark
    }
}

#[test]
fn soak() {
    let settings = settings::Settings::from_environment();
    let verdict = run::run(&settings);
    assert!(verdict, "the soak found faults");
}
