//! Requests that were refused for want of room, counted by cause for the log.

use std::cell::Cell;
use std::fmt;
use std::time::Instant;

use crate::limits;

/// Why there was no room.
#[derive(Clone, Copy)]
pub enum Cause {
    /// It would have waited longer than `--queue-target`.
    Overload,
    /// Past the lane's `queue`.
    QueueFull,
    /// It had waited for `--acquire-timeout`.
    TooLate,
    /// Past `--max-in-flight`.
    InFlight,
}

const CAUSES: [(Cause, &str); 4] = [
    (Cause::Overload, "past the queue target"),
    (Cause::QueueFull, "past the queue's length"),
    (Cause::TooLate, "past the acquire timeout"),
    (Cause::InFlight, "past the requests in flight"),
];

/// Counts of one gate.
#[derive(Default)]
pub(super) struct Sheds {
    total: Cell<u64>,
    /// By cause, since the log was last told.
    untold: [Cell<u64>; CAUSES.len()],
    told_at: Cell<Option<Instant>>,
}

impl Sheds {
    pub(super) fn count(&self, cause: Cause) {
        self.total.set(self.total.get() + 1);
        let count = &self.untold[cause as usize];
        count.set(count.get() + 1);
    }

    /// Since the start.
    pub(super) fn total(&self) -> u64 {
        self.total.get()
    }

    /// What the log is to be told: at once when it begins, then once in an interval.
    pub(super) fn news(&self, now: Instant) -> Option<String> {
        if self.untold.iter().all(|count| count.get() == 0) {
            return None;
        }
        let told_at = self.told_at.get();
        if told_at.is_some_and(|at| now - at < limits::SHEDS_TOLD_INTERVAL) {
            return None;
        }
        self.told_at.set(Some(now));
        let text = self.to_string();
        self.untold.iter().for_each(|count| count.set(0));
        Some(text)
    }
}

impl fmt::Display for Sheds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (cause, words) in CAUSES {
            let count = self.untold[cause as usize].get();
            if count > 0 {
                write!(formatter, "{separator}{count} {words}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_at_once_and_then_once_in_an_interval() {
        let (sheds, start) = (Sheds::default(), Instant::now());
        assert_eq!(sheds.news(start), None);
        sheds.count(Cause::QueueFull);
        let first = sheds.news(start);
        assert_eq!(first.as_deref(), Some("1 past the queue's length"));
        for cause in [
            Cause::TooLate,
            Cause::Overload,
            Cause::InFlight,
            Cause::Overload,
        ] {
            sheds.count(cause);
        }
        let end = start + limits::SHEDS_TOLD_INTERVAL;
        assert_eq!(sheds.news(end - std::time::Duration::from_millis(1)), None);
        let second = sheds.news(end);
        assert_eq!(
            second.as_deref(),
            Some(
                "2 past the queue target, 1 past the acquire timeout, \
                 1 past the requests in flight"
            )
        );
        assert_eq!(sheds.news(end + limits::SHEDS_TOLD_INTERVAL), None);
        assert_eq!(sheds.total(), 5);
    }
}
