//! The latencies of one route, by stage.

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

/// A histogram for each stage, in microseconds. It has all its memory from the start: recording
/// allocates nothing. The kernel gives that memory page by page, as values come.
#[derive(Clone, Debug)]
pub struct Latencies([Histogram<u64>; STAGES.len()]);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(STAGES.map(|_| empty_histogram()))
    }
}

impl Latencies {
    /// Such as take memory for as long times as they have been given: for sums, of which there are many.
    pub fn growing() -> Latencies {
        Latencies(STAGES.map(|_| growing_histogram()))
    }

    /// Records one value; what lies outside the bounds counts as the bound.
    pub fn record(&mut self, stage: Stage, micros: u64) {
        self.0[stage as usize].saturating_record(micros.max(MICROS_MIN));
    }

    /// The histogram of a stage.
    pub fn of(&self, stage: Stage) -> &Histogram<u64> {
        &self.0[stage as usize]
    }

    /// Adds what the other has.
    pub fn add(&mut self, other: &Latencies) {
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            if !other.is_empty() {
                mine.add(other).expect("all have the same bounds");
            }
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
        self.0[stage as usize].add(histogram)
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.0.iter_mut().for_each(forget);
    }
}

/// Takes out of a histogram what is in it. To reset it would write to all of its memory, most of which was
/// never used, so that the kernel has not given it.
fn forget(histogram: &mut Histogram<u64>) {
    if histogram.is_empty() {
        return;
    }
    let mut copy = growing_histogram();
    copy.add(&*histogram)
        .expect("it grows to what there is to add");
    histogram
        .subtract(&copy)
        .expect("there is no more in the copy than in itself");
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
