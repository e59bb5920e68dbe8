//! What a core hands to the control thread.

use std::sync::Arc;

use super::batch_sizes::BatchSizes;
use super::counters::{Counters, Gauges};
use super::latencies::{Latencies, Stage};

/// Statuses of one route that are told apart; there are some forty that are ever sent.
const STATUSES_MAX: usize = 64;

/// What a core has measured since its last one.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The kernel's number of the core.
    pub cpu: usize,
    /// Names of the routes, see [`Places`](super::Places): at first those of the file in its order, then
    /// [`Snapshot::BUILT_IN`].
    pub names: Arc<[String]>,
    /// One for each name.
    pub routes: Vec<RouteInterval>,
    /// What else has happened.
    pub counters: Counters,
    /// Now.
    pub gauges: Gauges,
}

/// What one route has done on one core in an interval.
#[derive(Clone, Debug, Default)]
pub struct RouteInterval {
    /// Of the requests that were answered.
    pub latencies: Latencies,
    /// How many had which status.
    pub statuses: Statuses,
    /// Requests that were refused as there were too many.
    pub sheds: u64,
    /// How many batches had how many requests.
    pub batches: BatchSizes,
}

/// Counts by status; the memory for them is there from the start.
#[derive(Clone, Debug)]
pub struct Statuses(Vec<(u16, u64)>);

impl Snapshot {
    /// Names beside those of the file; none of them can be one of the file's, which are identifiers.
    pub const BUILT_IN: [&str; 3] = ["/health", "/ready", Snapshot::UNMATCHED];
    /// What was asked for and is none of the others.
    pub const UNMATCHED: &str = "(unmatched)";

    /// An empty one, with memory for the largest batch of `batch_max` requests.
    pub fn empty(cpu: usize, names: Arc<[String]>, batch_max: usize) -> Snapshot {
        let route = || RouteInterval {
            batches: BatchSizes::new(batch_max),
            ..RouteInterval::default()
        };
        Snapshot {
            cpu,
            routes: names.iter().map(|_| route()).collect(),
            names,
            counters: Counters::default(),
            gauges: Gauges::default(),
        }
    }

    /// The place of an answer among names: that of its route, or of [`Snapshot::UNMATCHED`].
    pub fn place(names: &[String], route: Option<usize>) -> usize {
        let unmatched = || names.iter().rposition(|name| name == Snapshot::UNMATCHED);
        route.or_else(unmatched).unwrap_or(usize::MAX)
    }

    /// The names of an API's routes and those that are built in.
    pub fn names<'a>(routes: impl Iterator<Item = &'a str>) -> Arc<[String]> {
        routes
            .chain(Snapshot::BUILT_IN)
            .map(str::to_owned)
            .collect()
    }

    /// Forgets everything but the names and keeps the memory.
    pub fn clear(&mut self) {
        for route in &mut self.routes {
            route.clear();
        }
        self.counters = Counters::default();
    }
}

impl RouteInterval {
    /// For a sum: see [`Latencies::growing`].
    pub fn growing() -> RouteInterval {
        RouteInterval {
            latencies: Latencies::growing(),
            ..RouteInterval::default()
        }
    }

    /// Adds what the other has.
    pub fn add(&mut self, other: &RouteInterval) {
        self.latencies.add(&other.latencies);
        self.add_counts(other);
    }

    /// Adds what the other has, of its stages only the total and Postgres.
    pub fn add_in_short(&mut self, other: &RouteInterval) {
        for stage in [Stage::Total, Stage::Postgres] {
            self.latencies.add_of(stage, &other.latencies);
        }
        self.add_counts(other);
    }

    fn add_counts(&mut self, other: &RouteInterval) {
        for &(status, count) in &other.statuses.0 {
            self.statuses.add(status, count);
        }
        self.sheds += other.sheds;
        self.batches.add(&other.batches);
    }

    /// Nothing happened.
    pub fn is_empty(&self) -> bool {
        self.statuses.0.is_empty() && self.sheds == 0 && self.batches.iter().next().is_none()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.latencies.clear();
        self.statuses.0.clear();
        self.sheds = 0;
        self.batches.clear();
    }
}

impl Default for Statuses {
    fn default() -> Statuses {
        Statuses(Vec::with_capacity(STATUSES_MAX))
    }
}

impl Statuses {
    /// Counts answers of a status; those of more statuses than there are places for are left out.
    pub fn add(&mut self, status: u16, more: u64) {
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| *known == status) {
            *count += more;
        } else if self.0.len() < STATUSES_MAX {
            self.0.push((status, more));
        }
    }

    /// Each status that was sent, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().copied()
    }
}
