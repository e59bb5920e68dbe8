//! Random numbers without a system call for each: for spreading load, back-off and ids; not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The keys of std's hash maps are random for each thread and differ for each map.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Between half of `pause` and all of it, so that many that wait don't come back in step.
pub fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + (random() % 1024) as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_do_not_repeat() {
        let numbers: HashSet<u64> = (0..10_000).map(|_| random()).collect();
        assert_eq!(numbers.len(), 10_000);
    }

    #[test]
    fn a_pause_is_between_half_and_all_of_its_length_and_varies() {
        let pause = Duration::from_millis(800);
        let pauses: Vec<Duration> = (0..1000).map(|_| jitter(pause)).collect();
        assert!(pauses.iter().all(|it| (pause / 2..pause).contains(it)));
        let (least, most) = (pauses.iter().min(), pauses.iter().max());
        assert!(least < Some(&(pause * 5 / 8)) && most > Some(&(pause * 7 / 8)));
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }
}
