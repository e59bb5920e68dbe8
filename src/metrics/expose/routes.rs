//! Metrics of routes.

use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;

use super::super::{BatchSizes, Ledger, RouteTotals, STAGES, Stage};
use super::family::{Family, Value};

/// Upper bounds in microseconds: from what is answered without Postgres to what nobody waits for.
const BOUNDS_MICROS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Upper bounds of the sizes of batches.
const BOUNDS_SIZES: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Statuses that every route is told to have: those that any of them may come to give.
const ALWAYS: [u16; 2] = [200, 500];

const MICROS_PER_SECOND: f64 = 1e6;

/// All of them; see [`super::families`].
pub(super) fn families(ledger: &Mutex<Ledger>) -> Vec<Family> {
    let mut made = Made::new();
    // Routes are only ever added.
    for index in 0.. {
        let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(route) = ledger.routes.get(index) else {
            break;
        };
        made.add(route);
    }
    made.all()
}

struct Made {
    requests: Family,
    durations: Family,
    stages: Family,
    sheds: Family,
    batches: Family,
}

impl Made {
    fn new() -> Made {
        Made {
            requests: Family::counter("pinion_requests", "Requests that were answered."),
            durations: Family::histogram(
                "pinion_request_duration_seconds",
                "Time from the first byte of a request read to the last byte of its answer handed to the \
                 kernel.",
            ),
            stages: Family::histogram(
                "pinion_stage_duration_seconds",
                "Parts of that time: reading the request, waiting until its statement is sent, Postgres, \
                 writing the answer.",
            ),
            sheds: Family::counter(
                "pinion_requests_shed",
                "Requests that were refused as there were too many.",
            ),
            batches: Family::histogram(
                "pinion_batch_size",
                "Requests that were sent to Postgres as one statement.",
            ),
        }
    }

    fn add(&mut self, RouteTotals { name, totals }: &RouteTotals) {
        let route = || ("route", name.clone());
        // A series that appears with its first request has begun with 1, not risen to it: no rate sees that, and
        // an alert on a route that nobody asks for any more finds none.
        let first = ALWAYS.map(|status| (status, 0));
        let first = first
            .into_iter()
            .filter(|(status, _)| totals.statuses.iter().all(|(known, _)| known != *status));
        for (status, count) in totals.statuses.iter().chain(first) {
            let labels = [route(), ("status", status.to_string())];
            self.requests.push(labels, Value::Whole(count));
        }
        self.sheds.push([route()], Value::Whole(totals.sheds));
        for stage in STAGES {
            let histogram = totals.latencies.of(stage);
            if histogram.is_empty() && stage != Stage::Total {
                continue;
            }
            if stage == Stage::Total {
                self.durations.push([route()], durations(histogram));
            } else {
                let labels = [route(), ("stage", stage.name().to_owned())];
                self.stages.push(labels, durations(histogram));
            }
        }
        if totals.batches.iter().next().is_some() {
            self.batches.push([route()], sizes(&totals.batches));
        }
    }

    fn all(self) -> Vec<Family> {
        vec![
            self.requests,
            self.durations,
            self.stages,
            self.sheds,
            self.batches,
        ]
    }
}

/// In seconds. The histogram has three digits, so a bucket may hold what lies a thousandth past its bound,
/// and the sum is off by as little.
fn durations(histogram: &Histogram<u64>) -> Value {
    let recorded = histogram.iter_recorded().map(|step| {
        let value = step.value_iterated_to();
        let (lowest, middle) = (
            histogram.lowest_equivalent(value),
            histogram.median_equivalent(value),
        );
        (lowest, middle, step.count_at_value())
    });
    buckets(&BOUNDS_MICROS, MICROS_PER_SECOND, recorded)
}

fn sizes(sizes: &BatchSizes) -> Value {
    let recorded = sizes.iter().map(|(size, count)| {
        let size = size as u64;
        (size, size, count)
    });
    buckets(&BOUNDS_SIZES, 1.0, recorded)
}

/// Of values, each with what it counts as in the sum and how many there are of it, in their order. The sum is
/// one of whole numbers: it never falls.
fn buckets(bounds: &[u64], scale: f64, recorded: impl Iterator<Item = (u64, u64, u64)>) -> Value {
    let mut counts = vec![0; bounds.len() + 1];
    let (mut sum, mut total) = (0_u128, 0);
    for (value, middle, count) in recorded {
        counts[bounds.partition_point(|&bound| bound < value)] += count;
        sum += u128::from(middle) * u128::from(count);
        total += count;
    }
    let bounds = bounds.iter().map(|&bound| bound as f64 / scale);
    Value::Buckets {
        sum: sum as f64 / scale,
        count: total,
        buckets: bounds.chain([f64::INFINITY]).zip(counts).collect(),
    }
}
