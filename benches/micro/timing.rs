//! How long an iteration takes.

use std::time::{Duration, Instant};

use crate::cases::Work;

/// Long enough that reading the clock doesn't count, short enough that most pass undisturbed.
const SAMPLE: Duration = Duration::from_micros(500);
const SAMPLES: usize = 201;

/// The median of the samples.
pub fn median_ns(work: &mut Work) -> f64 {
    let mut iterations = 1u32;
    // What fills a sample; the last attempts warm up caches and branch predictors as well.
    while elapsed(work, iterations) < SAMPLE {
        iterations = iterations.saturating_mul(2);
    }
    let mut samples = [0.0; SAMPLES];
    for sample in &mut samples {
        *sample = elapsed(work, iterations).as_secs_f64() * 1e9 / f64::from(iterations);
    }
    samples.sort_by(f64::total_cmp);
    samples[SAMPLES / 2]
}

fn elapsed(work: &mut Work, iterations: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        work();
    }
    start.elapsed()
}
