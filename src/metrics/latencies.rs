//! The latencies of one route, by stage.

use std::sync::LazyLock;

use hdrhistogram::{AdditionError, Histogram};

/// The shortest time that is told apart: one microsecond.
const MICROS_MIN: u64 = 1;
/// The longest: a minute. What takes longer is counted as that.
const MICROS_MAX: u64 = 60_000_000;
/// Decimal digits that a value keeps.
const DIGITS: u8 = 3;

/// A part of the time of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// From the first byte of the request read to the last byte of its answer handed to the kernel.
    Total,
    /// Until the whole request was read.
    Read,
    /// From then until its statement was sent: guards, a place, company in a batch.
    Wait,
    /// Until Postgres' answer had come.
    Postgres,
    /// Until the last byte of the answer was handed to the kernel: encoding, order, writing.
    Write,
}

/// All of them, in their order.
pub const STAGES: [Stage; 5] = [
    Stage::Total,
    Stage::Read,
    Stage::Wait,
    Stage::Postgres,
    Stage::Write,
];

impl Stage {
    /// As tags of dumps and labels of metrics say it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Total => "total",
            Stage::Read => "read",
            Stage::Wait => "wait",
            Stage::Postgres => "postgres",
            Stage::Write => "write",
        }
    }

    /// The stage of a name.
    pub fn named(name: &str) -> Option<Stage> {
        STAGES.into_iter().find(|stage| stage.name() == name)
    }
}

/// A histogram for each stage, in microseconds, made with the first value of it: a route that nobody asks for
/// costs nothing. From then on recording allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    stages: [Option<Histogram<u64>>; STAGES.len()],
    /// They take memory for as long times as they have been given.
    grow: bool,
}

/// What nothing was recorded of.
static EMPTY: LazyLock<Histogram<u64>> = LazyLock::new(growing_histogram);

impl Latencies {
    /// Such as grow: for sums, of which there are many. One of the others has 136 KB.
    pub fn growing() -> Latencies {
        Latencies {
            grow: true,
            ..Latencies::default()
        }
    }

    /// Records one value; what lies outside the bounds counts as the bound.
    pub fn record(&mut self, stage: Stage, micros: u64) {
        self.record_n(stage, micros, 1);
    }

    /// Records so many equal values.
    pub fn record_n(&mut self, stage: Stage, micros: u64, count: u64) {
        // Cheaper than to have it bounded by the histogram, which works the bound out each time.
        let micros = micros.clamp(MICROS_MIN, MICROS_MAX);
        let recorded = self.mine(stage).record_n(micros, count);
        recorded.expect("the histogram has these bounds, or grows");
    }

    /// The histogram of a stage.
    pub fn of(&self, stage: Stage) -> &Histogram<u64> {
        self.stages[stage as usize].as_ref().unwrap_or(&EMPTY)
    }

    fn mine(&mut self, stage: Stage) -> &mut Histogram<u64> {
        let new = match self.grow {
            true => growing_histogram,
            false => empty_histogram,
        };
        self.stages[stage as usize].get_or_insert_with(new)
    }

    /// Adds what the other has.
    pub fn add(&mut self, other: &Latencies) {
        for stage in STAGES {
            self.add_of(stage, other);
        }
    }

    /// Adds what the other has of a stage.
    pub fn add_of(&mut self, stage: Stage, other: &Latencies) {
        let added = self.add_stage(stage, other.of(stage));
        added.expect("all have the same bounds, or grow");
    }

    /// Adds a histogram to that of a stage; one with other bounds may not fit.
    pub fn add_stage(
        &mut self,
        stage: Stage,
        histogram: &Histogram<u64>,
    ) -> Result<(), AdditionError> {
        match histogram.is_empty() {
            true => Ok(()),
            false => self.mine(stage).add(histogram),
        }
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        for histogram in self.stages.iter_mut().flatten() {
            if !histogram.is_empty() {
                histogram.reset();
            }
        }
    }
}

fn growing_histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new(DIGITS).expect("the digits are within 0 to 5");
    histogram.auto(true);
    histogram
}

/// A histogram of the bounds that all of them have.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(MICROS_MIN, MICROS_MAX, DIGITS)
        .expect("the bounds are in order and the digits are within 0 to 5")
}
