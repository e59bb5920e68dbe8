//! What the control thread knows of all cores: the sum of what they have handed over.

use std::time::{Duration, Instant, SystemTime};

use super::counters::{Counters, Gauges};
use super::snapshot::{RouteInterval, Snapshot};

/// See the head of this file.
#[derive(Debug)]
pub struct Ledger {
    /// When the process began to serve.
    pub since: SystemTime,
    /// One for each core, in their order.
    pub cores: Vec<CoreView>,
    /// Routes by the order in which their names came: those that a reload took away stay, as counters never
    /// fall.
    pub routes: Vec<RouteTotals>,
    /// Somebody dumps what the cores have done.
    pub is_dumped: bool,
}

/// What is known of one core.
#[derive(Debug, Default)]
pub struct CoreView {
    /// The kernel's number of the core.
    pub cpu: usize,
    /// Since the start.
    pub counters: Counters,
    /// Of its last snapshot.
    pub gauges: Gauges,
    /// Passes of its ring, read now.
    pub heartbeat: Option<u64>,
    /// When the heartbeat was last seen to have moved.
    pub alive: Option<Instant>,
    /// When its last snapshot came.
    pub heard: Option<Instant>,
    /// What it did from the snapshot before to the last one, by name of the route: of the stages only the total
    /// and Postgres.
    pub last: Vec<(String, RouteInterval)>,
    /// What it counted in that time.
    pub last_counters: Counters,
    /// How long that was.
    pub last_took: Duration,
    /// Since the last dump, by name of the route.
    pub undumped: Vec<(String, RouteInterval)>,
}

/// What one route has done on all cores since the start.
#[derive(Debug)]
pub struct RouteTotals {
    /// Its name.
    pub name: String,
    /// The sum.
    pub totals: RouteInterval,
}

impl Ledger {
    /// Of cores that have just started.
    pub fn new(cpus: &[usize]) -> Ledger {
        let view = |&cpu| CoreView {
            cpu,
            ..CoreView::default()
        };
        Ledger {
            since: SystemTime::now(),
            cores: cpus.iter().map(view).collect(),
            routes: Vec::new(),
            is_dumped: true,
        }
    }

    /// Takes what a core has handed over.
    pub fn take(&mut self, snapshot: &Snapshot, now: Instant) {
        let Some(core) = self.cores.iter_mut().find(|core| core.cpu == snapshot.cpu) else {
            return;
        };
        core.counters.add(&snapshot.counters);
        core.last_counters = snapshot.counters.clone();
        core.gauges = snapshot.gauges.clone();
        core.last_took = core.heard.map_or(Duration::ZERO, |heard| now - heard);
        core.heard = Some(now);
        core.last.iter_mut().for_each(|(_, last)| last.clear());
        for (name, interval) in snapshot.names.iter().zip(&snapshot.routes) {
            // Also of those that nobody has asked for: what is 0 is told, too.
            let known = self.routes.iter().position(|route| route.name == *name);
            let known = known.unwrap_or_else(|| {
                self.routes.push(RouteTotals {
                    name: name.clone(),
                    totals: RouteInterval::growing(),
                });
                self.routes.len() - 1
            });
            if interval.is_empty() {
                continue;
            }
            sum_of(&mut core.last, name).add_in_short(interval);
            if self.is_dumped {
                sum_of(&mut core.undumped, name).add(interval);
            }
            self.routes[known].totals.add(interval);
        }
        core.last.retain(|(_, last)| !last.is_empty());
    }

    /// Why some of the routes can't be answered, as each core last said.
    pub fn faults(&self) -> impl Iterator<Item = &String> {
        self.cores.iter().flat_map(|core| &core.gauges.faults)
    }

    /// Notes a core's heartbeat.
    pub fn feel(&mut self, core: usize, heartbeat: Option<u64>, now: Instant) {
        if let Some(core) = self.cores.get_mut(core) {
            if heartbeat.is_some() && heartbeat != core.heartbeat {
                core.alive = Some(now);
            }
            core.heartbeat = heartbeat;
        }
    }
}

/// The sum of a route, which may be a new one.
fn sum_of<'a>(routes: &'a mut Vec<(String, RouteInterval)>, name: &str) -> &'a mut RouteInterval {
    let known = routes.iter().position(|(known, _)| known == name);
    let known = known.unwrap_or_else(|| {
        routes.push((name.to_owned(), RouteInterval::growing()));
        routes.len() - 1
    });
    &mut routes[known].1
}
