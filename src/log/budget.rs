//! So many lines in a time; the others are counted.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// See the head of this file.
pub(super) struct Budget {
    lines: u32,
    interval: Duration,
    /// When the present interval began.
    begun: Cell<Option<Instant>>,
    /// In it.
    admitted: Cell<u32>,
    /// Since they were last asked for.
    folded: Cell<u64>,
}

impl Budget {
    /// At most `lines` of them in an interval.
    pub(super) const fn new(lines: u32, interval: Duration) -> Budget {
        Budget {
            lines,
            interval,
            begun: Cell::new(None),
            admitted: Cell::new(0),
            folded: Cell::new(0),
        }
    }

    /// Whether there is to be a line of what happens at `now`.
    pub(super) fn admits(&self, now: Instant) -> bool {
        if self.is_over(now) {
            self.begun.set(Some(now));
            self.admitted.set(0);
        }
        let admitted = self.admitted.get() < self.lines;
        match admitted {
            true => self.admitted.set(self.admitted.get() + 1),
            false => self.folded.set(self.folded.get() + 1),
        }
        admitted
    }

    /// Whether the next line begins another interval.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_past = |begun| now.saturating_duration_since(begun) >= self.interval;
        self.begun.get().is_none_or(is_past)
    }

    /// How many had no line since this was last asked.
    pub(super) fn take_folded(&self) -> u64 {
        self.folded.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interval_has_so_many_and_the_rest_is_counted() {
        let budget = Budget::new(3, Duration::from_secs(1));
        let start = Instant::now();
        let admitted = |milliseconds: u64| {
            let now = start + Duration::from_millis(milliseconds);
            (0..5).filter(|_| budget.admits(now)).count()
        };
        assert_eq!((admitted(0), budget.take_folded()), (3, 2));
        assert_eq!((admitted(999), budget.take_folded()), (0, 5));
        assert_eq!((admitted(1000), budget.take_folded()), (3, 2));
        assert_eq!((admitted(60_000), admitted(60_000)), (3, 0));
        assert_eq!((budget.take_folded(), budget.take_folded()), (7, 0));
    }
}
