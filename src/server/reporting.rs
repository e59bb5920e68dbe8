//! What a core hands to the control thread of its own work.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::answer::Core;
use crate::limits;
use crate::log::RequestLog;
use crate::metrics::{Gauges, Recorder, Snapshot};
use crate::ring::{Ring, Work};

/// Takes a snapshot to the control thread.
pub type Deliver = Box<dyn Fn(Box<Snapshot>) + Send>;

/// What a core keeps of its own work.
#[derive(Clone)]
pub struct Books {
    /// For the control thread.
    pub recorder: Rc<Recorder>,
    /// For the log.
    pub log: Rc<RequestLog>,
}

/// See the head of this file.
pub struct Reporter {
    ring: Rc<Ring>,
    cpu: usize,
    deliver: Deliver,
    /// What the ring had done by the last report, and when that was.
    last: Cell<(Work, Instant)>,
}

impl Reporter {
    /// Of a core that has just started.
    pub fn new(ring: &Rc<Ring>, cpu: usize, deliver: Deliver) -> Reporter {
        Reporter {
            ring: ring.clone(),
            cpu,
            deliver,
            last: Cell::new((ring.work(), ring.now())),
        }
    }

    /// Hands over what was recorded since the last report; `empty` takes what comes next, if it is of the routes
    /// that are served now. `connections` are open.
    pub fn report(&self, core: &Core, connections: usize, empty: Option<Box<Snapshot>>) {
        let names = core.names();
        let empty = empty.filter(|empty| Arc::ptr_eq(&empty.names, names));
        let empty = empty.unwrap_or_else(|| {
            let snapshot = Snapshot::empty(self.cpu, names.clone(), limits::BATCH_KEYS_MAX);
            Box::new(snapshot)
        });
        let (work, now) = (self.ring.work(), self.ring.now());
        let (before, since) = self.last.replace((work, now));
        let took = now.saturating_duration_since(since);
        let busy = took.saturating_sub(work.waited.saturating_sub(before.waited));
        core.recorder().count(|counters| {
            counters.passes += work.passes - before.passes;
            counters.busy_nanos += busy.as_nanos() as u64;
            counters.bytes_received += work.bytes_received - before.bytes_received;
            counters.bytes_sent += work.bytes_sent - before.bytes_sent;
        });
        let gauges = Gauges {
            connections: connections as u64,
            ..core.gauges()
        };
        (self.deliver)(core.recorder().exchange(empty, gauges));
    }
}
