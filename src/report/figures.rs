//! The figures of one route.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::metrics::{Latencies, Stage};

/// Millionths of one.
pub(super) const MILLION: u64 = 1_000_000;

/// The percentiles of a report, in millionths, as they are called.
pub(super) const PERCENTILES: [(&str, u64); 5] = [
    ("p50", 500_000),
    ("p90", 900_000),
    ("p99", 990_000),
    ("p99.9", 999_000),
    ("p99.99", 999_900),
];

/// The parts of a request's time, in their order; they add up to the total.
pub(super) const PARTS: [Stage; 4] = [Stage::Read, Stage::Wait, Stage::Postgres, Stage::Write];

/// Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Requests.
    pub count: u64,
    /// Of them in a second; `None` where no time has passed.
    pub rate: Option<f64>,
    pub mean: f64,
    /// In the order of [`PERCENTILES`].
    pub percentiles: [u64; PERCENTILES.len()],
    pub max: u64,
    /// In the order of [`PARTS`], for each request, whether or not it has that part.
    pub parts: [f64; PARTS.len()],
}

impl Figures {
    /// Of what was measured in so much time.
    pub(super) fn of(latencies: &Latencies, time: Duration) -> Figures {
        let total = latencies.of(Stage::Total);
        let count = total.len();
        let part = |stage| {
            let histogram = latencies.of(stage);
            if count == 0 {
                return 0.0;
            }
            histogram.mean() * histogram.len() as f64 / count as f64
        };
        Figures {
            count,
            rate: (!time.is_zero()).then(|| count as f64 / time.as_secs_f64()),
            mean: if count == 0 { 0.0 } else { total.mean() },
            percentiles: percentiles(total, PERCENTILES.map(|(_, part)| part)),
            max: total.max(),
            parts: PARTS.map(part),
        }
    }

    /// The share of its time that a request was with Postgres, from 0 to 1.
    pub(super) fn postgres_share(&self) -> Option<f64> {
        let sum: f64 = self.parts.iter().sum();
        (sum > 0.0).then(|| self.parts[2] / sum)
    }
}

/// The least values that so many millionths (ascending) of all are not above; 0 where there are none. The
/// rank is counted in whole numbers: a product of floating-point numbers is at times a hair above it, which
/// is another request.
pub(super) fn percentiles<const N: usize>(
    histogram: &Histogram<u64>,
    millionths: [u64; N],
) -> [u64; N] {
    let count = u128::from(histogram.len());
    let ranks = millionths.map(|part| (count * u128::from(part)).div_ceil(MILLION.into()).max(1));
    let mut values = [0; N];
    let (mut next, mut below) = (0, 0_u128);
    for step in histogram.iter_recorded() {
        below += u128::from(step.count_at_value());
        while next < N && below >= ranks[next] {
            values[next] = histogram.highest_equivalent(step.value_iterated_to());
            next += 1;
        }
    }
    values
}
