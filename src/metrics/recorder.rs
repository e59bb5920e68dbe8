//! A core's record of its own work.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

use super::counters::{Closed, Counters, Gauges};
use super::latencies::Stage;
use super::snapshot::Snapshot;

/// Answers, other than such as are alike, that may wait for the end of a pass; more of them are recorded at once.
const WAITING_MAX: usize = 4096;

/// When the parts of a request's time ended. All are times of passes: no request reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Its first byte was read.
    pub first: Instant,
    /// It was read whole.
    pub whole: Instant,
    /// Its statement was sent, and the answer had come, or was given up; both the latter where it has only
    /// waited; none for what asks nothing of Postgres.
    pub asked: Option<(Instant, Instant)>,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place among [`Snapshot::names`]; none is [`Snapshot::UNMATCHED`].
    pub route: Option<usize>,
    /// RFC 9110 §15.
    pub status: u16,
    /// See there.
    pub timing: Timing,
}

/// See the head of this file. Not shared: each core has its own.
pub struct Recorder {
    current: RefCell<Box<Snapshot>>,
    /// Answers that go to the kernel with the next pass. Those of one pass mostly share their times, as no
    /// request reads a clock: such as come after each other are one record, with how many they are.
    written: RefCell<Vec<(Record, u64)>>,
}

impl Recorder {
    /// Of a core that serves these routes; `batch_max` requests are the most of a batch.
    pub fn new(cpu: usize, names: Arc<[String]>, batch_max: usize) -> Recorder {
        Recorder {
            current: RefCell::new(Box::new(Snapshot::empty(cpu, names, batch_max))),
            written: RefCell::new(Vec::with_capacity(WAITING_MAX)),
        }
    }

    /// Counts something.
    pub fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.current.borrow_mut().counters);
    }

    /// Counts the end of a client's connection.
    pub fn closed(&self, reason: Closed) {
        self.count(|counters| counters.closed[reason as usize] += 1);
    }

    /// An answer that goes to the kernel whole with the next pass.
    pub fn written(&self, record: Record) {
        let mut written = self.written.borrow_mut();
        if let Some((last, count)) = written.last_mut()
            && *last == record
        {
            *count += 1;
        } else if written.len() < WAITING_MAX {
            written.push((record, 1));
        } else {
            drop(written);
            self.record(&record, Instant::now());
        }
    }

    /// What was written since the last pass has been handed to the kernel.
    pub fn handed(&self, now: Instant) {
        let mut written = self.written.borrow_mut();
        for (record, count) in written.drain(..) {
            self.record_n(&record, count, now);
        }
    }

    /// Records an answer whose last byte was handed to the kernel at `now`.
    pub fn record(&self, record: &Record, now: Instant) {
        self.record_n(record, 1, now);
    }

    fn record_n(&self, record: &Record, count: u64, now: Instant) {
        let current = &mut **self.current.borrow_mut();
        let place = Snapshot::place(&current.names, record.route);
        let Some(route) = current.routes.get_mut(place) else {
            return;
        };
        let Timing {
            first,
            whole,
            asked,
        } = record.timing;
        route.statuses.add(record.status, count);
        match record.status {
            401 => current.counters.unauthorized += count,
            403 => current.counters.forbidden += count,
            429 => current.counters.rate_limited += count,
            _ => {}
        }
        let mut took = |stage, from, until| {
            let latencies = &mut route.latencies;
            latencies.record_n(stage, micros(until, from), count);
        };
        took(Stage::Total, first, now);
        took(Stage::Read, first, whole);
        let ready = match asked {
            None => whole,
            Some((sent, arrived)) => {
                took(Stage::Wait, whole, sent);
                // No answer comes in the pass in which it was asked for.
                if sent < arrived {
                    took(Stage::Postgres, sent, arrived);
                }
                arrived
            }
        };
        took(Stage::Write, ready, now);
    }

    /// Counts a request of a route that was refused as there were too many.
    pub fn shed(&self, route: usize) {
        if let Some(route) = self.current.borrow_mut().routes.get_mut(route) {
            route.sheds += 1;
        }
    }

    /// Counts a batch of a route.
    pub fn batch(&self, route: usize, size: usize) {
        if let Some(route) = self.current.borrow_mut().routes.get_mut(route) {
            route.batches.record(size);
        }
    }

    /// Gives what was recorded since the last time, and goes on in `empty`.
    pub fn exchange(&self, empty: Box<Snapshot>, gauges: Gauges) -> Box<Snapshot> {
        let mut full = self.current.replace(empty);
        full.gauges = gauges;
        full
    }
}

/// Whole microseconds from one time to a later one, rounded up, as no time is no answer.
fn micros(later: Instant, earlier: Instant) -> u64 {
    let time = later.saturating_duration_since(earlier);
    time.as_secs() * 1_000_000 + u64::from(time.subsec_nanos().div_ceil(1000))
}
