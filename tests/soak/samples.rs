//! What the server holds over time, and whether it comes back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::Soak;
use crate::ledger::Outcome;
use crate::support::process::{descriptors_if_any, resident_kib_if_any};

/// What the resident memory of quiet moments may gain from the second quarter of a run to the last:
/// allocators keep some of what bursts took, the histograms of sums grow by each time that is longer than
/// those before (in three minutes they are as large as they get: some 10 MiB), and a leak of a hundred bytes
/// a request is more than this by then (200,000 requests of 100 bytes are 20 MB), of ten in half an hour.
const GAIN_KIB_MAX: f64 = 8192.0;
/// See [`GAIN_KIB_MAX`]: the part that is added for what depends on the size.
const GAIN_PART_MAX: f64 = 0.08;

/// Quiet looks at the server in a quarter (10 s), below which its mean says nothing: a run of a minute.
const QUIET_MIN: usize = 40;

/// One look at the server.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: Duration,
    pub resident_kib: usize,
    pub descriptors: usize,
    /// Answers since the look before, a second.
    pub right_rate: f64,
    /// The same, of those that a fault excuses.
    pub excused_rate: f64,
    /// No fault was active.
    pub quiet: bool,
}

/// Looks at a server from time to time.
pub struct Sampler {
    start: Instant,
    pid: u32,
    last: (Instant, usize, usize),
    pub samples: Vec<Sample>,
}

impl Sampler {
    pub fn start(pid: u32) -> Sampler {
        let now = Instant::now();
        Sampler {
            start: now,
            pid,
            last: (now, 0, 0),
            samples: Vec::new(),
        }
    }

    /// Takes a sample; none when the server is gone.
    pub fn take(&mut self, soak: &Soak) -> Option<Sample> {
        let now = Instant::now();
        let right = soak.ledger.counted(Outcome::Right);
        let excused = soak.ledger.counted(Outcome::Excused);
        let seconds = (now - self.last.0).as_secs_f64().max(1e-3);
        let sample = Sample {
            at: now - self.start,
            resident_kib: resident_kib_if_any(self.pid)?,
            descriptors: descriptors_if_any(self.pid)?,
            right_rate: (right - self.last.1) as f64 / seconds,
            excused_rate: (excused - self.last.2) as f64 / seconds,
            quiet: soak.windows.between(now, now).is_empty(),
        };
        self.last = (now, right, excused);
        self.samples.push(sample);
        Some(sample)
    }

    /// The mean resident memory in KiB of quiet moments in a quarter of the run, from 0 on.
    pub fn mean_resident(&self, quarter: usize) -> Option<f64> {
        let end = self.samples.last()?.at.as_secs_f64();
        let of = |sample: &&Sample| (sample.at.as_secs_f64() * 4.0 / end.max(1e-9)) as usize;
        let quiet = self
            .samples
            .iter()
            .filter(|it| it.quiet && of(it).min(3) == quarter);
        let sizes: Vec<f64> = quiet.map(|it| it.resident_kib as f64).collect();
        (sizes.len() >= QUIET_MIN).then(|| sizes.iter().sum::<f64>() / sizes.len() as f64)
    }

    /// What is wrong with the memory, and the figures that say so or not.
    pub fn judge_memory(&self) -> (String, bool) {
        let (Some(before), Some(after)) = (self.mean_resident(1), self.mean_resident(3)) else {
            return (
                "too few quiet moments to compare the memory".to_owned(),
                true,
            );
        };
        let most = before + GAIN_KIB_MAX + before * GAIN_PART_MAX;
        let text = format!(
            "resident memory in quiet: {:.1} MiB in the second quarter, {:.1} MiB in the last, \
             {:.1} MiB at the most",
            before / 1024.0,
            after / 1024.0,
            most / 1024.0
        );
        (text, after <= most)
    }

    /// All samples as a table.
    pub fn table(&self) -> String {
        let mut text =
            String::from("seconds,resident_kib,descriptors,right_per_s,excused_per_s,quiet\n");
        for it in &self.samples {
            let _ = writeln!(
                text,
                "{:.3},{},{},{:.0},{:.0},{}",
                it.at.as_secs_f64(),
                it.resident_kib,
                it.descriptors,
                it.right_rate,
                it.excused_rate,
                it.quiet
            );
        }
        text
    }
}
