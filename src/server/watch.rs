//! What the control thread knows of the cores: whether each goes on, and what each has done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::shard::Control;
use crate::metrics::{Ledger, Snapshot};

/// How often the heartbeat of each core is looked at, and its snapshot asked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often the latter at the start, which is to be over as soon as every route can be answered.
const START_INTERVAL: Duration = Duration::from_millis(10);

/// See the head of this file.
pub struct Watch {
    ledger: Arc<Mutex<Ledger>>,
    names: Arc<[String]>,
    batch_max: usize,
    cores: Vec<Watched>,
    next_look: Instant,
    asks_every: Duration,
    next_ask: Instant,
}

struct Watched {
    cpu: usize,
    control: Control,
    pulse: Pulse,
    /// For the next snapshot; none while the core has it.
    empty: Option<Box<Snapshot>>,
}

/// What is known of a core's heartbeat. An idle core has a hundred passes a second.
#[derive(Clone, Copy, Default)]
struct Pulse {
    last: Option<u64>,
    stuck: bool,
}

/// What a look at a core's heartbeat tells that is new.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    None,
    Stuck,
    Back,
}

impl Watch {
    /// Of cores that serve routes of these names in batches of at most `batch_max`.
    pub fn new(cpus: &[usize], names: Arc<[String]>, batch_max: usize) -> Watch {
        Watch {
            ledger: Arc::new(Mutex::new(Ledger::new(cpus))),
            cores: Vec::new(),
            names,
            batch_max,
            next_look: Instant::now() + INTERVAL,
            asks_every: START_INTERVAL,
            next_ask: Instant::now(),
        }
    }

    /// One of them has started.
    pub fn add(&mut self, cpu: usize, control: Control) {
        self.cores.push(Watched {
            cpu,
            control,
            pulse: Pulse::default(),
            empty: Some(Box::new(self.empty(cpu))),
        });
    }

    fn empty(&self, cpu: usize) -> Snapshot {
        Snapshot::empty(cpu, self.names.clone(), self.batch_max)
    }

    /// The cores are about to serve routes of these names.
    pub fn rename(&mut self, names: Arc<[String]>) {
        self.names = names;
        let (names, batch_max) = (&self.names, self.batch_max);
        for core in self.cores.iter_mut().filter(|core| core.empty.is_some()) {
            let empty = Snapshot::empty(core.cpu, names.clone(), batch_max);
            core.empty = Some(Box::new(empty));
        }
    }

    /// Lets `see` look at what all cores have done.
    pub fn with_ledger<T>(&self, see: impl FnOnce(&mut Ledger) -> T) -> T {
        see(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether every core that was asked has answered.
    pub fn has_heard_all(&self) -> bool {
        self.cores.iter().all(|core| core.empty.is_some())
    }

    /// Whether no core stood still at the last look.
    pub fn all_go_on(&self) -> bool {
        self.cores.iter().all(|core| !core.pulse.stuck)
    }

    /// What the cores have handed over.
    pub fn ledger(&self) -> Arc<Mutex<Ledger>> {
        self.ledger.clone()
    }

    /// Until the next look.
    pub fn patience(&self) -> Duration {
        let next = self.next_look.min(self.next_ask);
        next.saturating_duration_since(Instant::now())
    }

    /// The start is over.
    pub fn calm_down(&mut self) {
        self.asks_every = INTERVAL;
    }

    /// Looks at every core if it is time to.
    pub fn look(&mut self) {
        let now = Instant::now();
        if self.next_look <= now {
            self.next_look = now + INTERVAL;
            self.look_at_pulses(now);
        }
        if self.next_ask <= now {
            self.next_ask = now + self.asks_every;
            self.ask();
        }
    }

    fn look_at_pulses(&mut self, now: Instant) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, core) in self.cores.iter_mut().enumerate() {
            let (cpu, heartbeat) = (core.cpu, core.control.heartbeat());
            ledger.feel(index, heartbeat, now);
            match core.pulse.take(heartbeat) {
                Change::Stuck => tracing::error!(cpu, "a core is stuck: no pass in a second"),
                Change::Back => tracing::warn!(cpu, "the core that was stuck goes on"),
                Change::None => {}
            }
        }
    }

    /// Asks every core for its snapshot that has not been asked already.
    pub fn ask(&mut self) {
        for core in &mut self.cores {
            if let Some(empty) = core.empty.take() {
                core.control.ask_snapshot(empty);
            }
        }
    }

    /// Takes what a core has handed over.
    pub fn take(&mut self, mut snapshot: Box<Snapshot>) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.take(&snapshot, Instant::now());
        drop(ledger);
        let core = self.cores.iter_mut().find(|core| core.cpu == snapshot.cpu);
        let Some(core) = core else {
            return;
        };
        if Arc::ptr_eq(&snapshot.names, &self.names) {
            snapshot.clear();
        } else {
            *snapshot = Snapshot::empty(core.cpu, self.names.clone(), self.batch_max);
        }
        core.empty = Some(snapshot);
    }
}

impl Pulse {
    /// Looks at the counter, once an interval; `None` before the core's first pass.
    fn take(&mut self, now: Option<u64>) -> Change {
        let still = now.is_some() && now == self.last;
        self.last = now;
        match (still, std::mem::replace(&mut self.stuck, still)) {
            (true, false) => Change::Stuck,
            (false, true) => Change::Back,
            _ => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Pulse};

    #[test]
    fn a_core_that_stands_still_is_told_once_and_so_is_its_return() {
        let mut pulse = Pulse::default();
        let seen = [
            None,
            None,
            Some(5),
            Some(9),
            Some(9),
            Some(9),
            Some(10),
            Some(11),
        ];
        let changes = seen.map(|now| pulse.take(now));
        use Change::{Back, None as Same, Stuck};
        assert_eq!(changes, [Same, Same, Same, Same, Stuck, Same, Back, Same]);
    }
}
