//! The generic cell rate algorithm (ITU-T I.371 Annex A), in whole nanoseconds.
//!
//! All that is known of a key is one time, its theoretical arrival time: when it will have all of its
//! burst back. With `interval = per / requests`, rounded up to a nanosecond, a request that comes at `now`
//! is admitted if
//!
//! ```text
//! max(time, now) - now <= (burst - 1) * interval
//! ```
//!
//! and then moves the time to `max(time, now) + interval`. One that is refused moves nothing: who keeps
//! asking is served as soon as who waits. So
//!
//! - in one instant exactly `burst` requests are admitted of a key that is at rest;
//! - in any span of time of length `t` at most `burst + t / interval` (rounded down);
//! - a key that always asks gets one each `interval`, which is `requests` in each `per`, less what the
//!   rounding takes: at most `requests - 1` nanoseconds of it.

use std::time::Duration;

use crate::limits;

/// How fast a key may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds for one request; at least 1.
    interval: u64,
    /// Requests in one instant; at least 1.
    burst: u64,
}

/// What is decided of one request, and what its client is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// It is served.
    pub admitted: bool,
    /// Requests that would be admitted at once after it.
    pub remaining: u64,
    /// Until all of the burst would be.
    pub reset: Duration,
    /// Until the next one would be; zero for one that is admitted.
    pub retry_after: Duration,
}

/// A rate that can't be had, in words for whoever declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateFault {
    /// More than one request each [`limits::RATE_INTERVAL_MIN`].
    TooFast,
    /// All of the burst comes back later than in [`limits::RATE_RESET_MAX`].
    TooSlow,
}

impl Rate {
    /// `requests` in each `per`, of which `burst` in one instant; all of them more than zero.
    pub fn new(requests: u64, per: Duration, burst: u64) -> Result<Rate, RateFault> {
        let per = u64::try_from(per.as_nanos()).map_err(|_| RateFault::TooSlow)?;
        let interval = per.div_ceil(requests.max(1)).max(1);
        if interval < nanoseconds(limits::RATE_INTERVAL_MIN) {
            return Err(RateFault::TooFast);
        }
        let rate = Rate {
            interval,
            burst: burst.max(1),
        };
        let reset = rate.interval.checked_mul(rate.burst);
        match reset.is_some_and(|reset| reset <= nanoseconds(limits::RATE_RESET_MAX)) {
            true => Ok(rate),
            false => Err(RateFault::TooSlow),
        }
    }

    /// Nanoseconds for one request.
    pub fn interval(&self) -> u64 {
        self.interval
    }

    /// Requests in one instant.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// How far past now, in nanoseconds, the time of a key may be for its next request to be admitted.
    pub fn tolerance(&self) -> u64 {
        self.interval.saturating_mul(self.burst - 1)
    }

    /// Decides one request of a key, and moves its time. Both times are nanoseconds since the same
    /// beginning; a key that is new has any that is not later than `now`.
    pub fn decide(&self, time: &mut u64, now: u64) -> Decision {
        let owed = time.saturating_sub(now);
        let admitted = owed <= self.tolerance();
        if !admitted {
            return self.decision(false, owed);
        }
        *time = now.saturating_add(owed).saturating_add(self.interval);
        self.decision(true, owed.saturating_add(self.interval))
    }

    /// What a decision means that was made elsewhere: `owed` nanoseconds are left from now to the key's
    /// time, moved by this request if it was admitted.
    pub fn decision(&self, admitted: bool, owed: u64) -> Decision {
        let whole = self.interval.saturating_mul(self.burst);
        let wait = owed.saturating_sub(self.tolerance());
        Decision {
            admitted,
            remaining: match admitted {
                true => whole.saturating_sub(owed) / self.interval,
                false => 0,
            },
            reset: Duration::from_nanos(owed),
            retry_after: match admitted {
                true => Duration::ZERO,
                false => Duration::from_nanos(wait),
            },
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(requests: u64, per: u64, burst: u64) -> Rate {
        Rate::new(requests, Duration::from_secs(per), burst).unwrap()
    }

    /// How many of `count` requests are admitted at once.
    fn admitted(rate: Rate, time: &mut u64, now: u64, count: u64) -> u64 {
        (0..count)
            .map(|_| u64::from(rate.decide(time, now).admitted))
            .sum()
    }

    #[test]
    fn a_hundred_a_minute_with_a_burst_of_twenty() {
        let (rate, mut time, start) = (rate(100, 60, 20), 0, 5 * SECOND);
        assert_eq!(rate.interval(), 600_000_000);
        assert_eq!(admitted(rate, &mut time, start, 1000), 20);
        // One more each 600 ms: 100 in the minute, and never sooner.
        assert_eq!(admitted(rate, &mut time, start + 599_999_999, 10), 0);
        assert_eq!(admitted(rate, &mut time, start + 600_000_000, 10), 1);
        let mut in_a_minute = 1;
        for millisecond in 601..=60_000 {
            in_a_minute += admitted(rate, &mut time, start + millisecond * 1_000_000, 3);
        }
        assert_eq!(in_a_minute, 100);
    }

    #[test]
    fn what_a_client_is_told() {
        let (rate, mut time, now) = (rate(100, 60, 2), 0, SECOND);
        let first = rate.decide(&mut time, now);
        let millis = Duration::from_millis;
        let told = |admitted, remaining, reset, retry_after| Decision {
            admitted,
            remaining,
            reset: millis(reset),
            retry_after: millis(retry_after),
        };
        assert_eq!(first, told(true, 1, 600, 0));
        assert_eq!(rate.decide(&mut time, now), told(true, 0, 1200, 0));
        assert_eq!(rate.decide(&mut time, now), told(false, 0, 1200, 600));
        let later = now + 500 * 1_000_000;
        assert_eq!(rate.decide(&mut time, later), told(false, 0, 700, 100));
        let back = now + 1200 * 1_000_000;
        assert_eq!(rate.decide(&mut time, back), told(true, 1, 600, 0));
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        let (rate, mut time) = (rate(1, 60, 1), 0);
        assert!(rate.decide(&mut time, 0).admitted);
        for now in 1..1000 {
            assert!(!rate.decide(&mut time, now * 60_000_000).admitted);
        }
        assert!(rate.decide(&mut time, 60 * SECOND).admitted);
    }

    #[test]
    fn each_bound_at_its_value_and_one_over() {
        let per = Duration::from_secs(1);
        assert!(Rate::new(1_000_000, per, 1).is_ok());
        // Rounding up hides the first ones over: they are the same interval.
        assert_eq!(Rate::new(1_001_002, per, 1), Err(RateFault::TooFast));
        let year = limits::RATE_RESET_MAX;
        assert!(Rate::new(1, year, 1).is_ok());
        let longer = year + Duration::from_nanos(1);
        assert_eq!(Rate::new(1, longer, 1), Err(RateFault::TooSlow));
        let seconds = year.as_secs();
        assert!(Rate::new(1, per, seconds).is_ok());
        assert_eq!(Rate::new(1, per, seconds + 1), Err(RateFault::TooSlow));
        assert_eq!(Rate::new(1, per, u64::MAX), Err(RateFault::TooSlow));
        assert_eq!(Rate::new(1, Duration::MAX, 1), Err(RateFault::TooSlow));
        assert_eq!(Rate::new(u64::MAX, per, 1), Err(RateFault::TooFast));
    }

    /// The same by tokens, in exact fractions: a bucket of `burst`, filled by `1 / interval` each
    /// nanosecond. Amounts are in `1 / interval` of a token.
    struct Bucket {
        interval: i128,
        burst: i128,
        level: i128,
        at: i128,
    }

    impl Bucket {
        fn take(&mut self, now: u64) -> bool {
            let now = i128::from(now);
            let full = self.burst * self.interval;
            self.level = full.min(self.level + (now - self.at).max(0));
            self.at = self.at.max(now);
            let admitted = self.level >= self.interval;
            if admitted {
                self.level -= self.interval;
            }
            admitted
        }
    }

    proptest! {
        #[test]
        fn it_is_a_bucket_of_tokens(
            requests in 1u64..5000,
            per in 1u64..100_000,
            burst in 1u64..300,
            start in 0u64..u64::MAX / 2,
            steps in proptest::collection::vec((0u64..4, 0u64..1_000_000_000, 1u64..40), 1..60),
        ) {
            let Ok(rate) = Rate::new(requests, Duration::from_secs(per), burst) else {
                return Ok(());
            };
            let interval = i128::from(rate.interval());
            let exact = i128::from(per) * i128::from(SECOND);
            prop_assert!(interval * i128::from(requests) >= exact);
            prop_assert!((interval - 1) * i128::from(requests) < exact);
            let mut bucket = Bucket {
                interval,
                burst: i128::from(burst),
                level: i128::from(burst) * interval,
                at: i128::from(start),
            };
            let (mut time, mut now) = (0, start);
            for (intervals, more, count) in steps {
                now += intervals * rate.interval() + more % rate.interval();
                for _ in 0..count {
                    let decision = rate.decide(&mut time, now);
                    prop_assert_eq!(decision.admitted, bucket.take(now));
                    let missing = i128::from(burst) * interval - bucket.level;
                    prop_assert_eq!(decision.reset.as_nanos() as i128, missing);
                    prop_assert_eq!(i128::from(decision.remaining), bucket.level / interval);
                    let wait = (interval - bucket.level).max(0);
                    let told = decision.retry_after.as_nanos() as i128;
                    prop_assert_eq!(told, if decision.admitted { 0 } else { wait });
                }
            }
        }

        #[test]
        fn no_value_overflows(
            requests in any::<u64>(), per in any::<u64>(), burst in any::<u64>(),
            time in any::<u64>(), now in any::<u64>(), owed in any::<u64>(),
        ) {
            let per = Duration::from_nanos(per);
            if let Ok(rate) = Rate::new(requests, per, burst) {
                let mut moved = time;
                let decision = rate.decide(&mut moved, now);
                prop_assert!(decision.remaining < rate.burst());
                prop_assert!(moved >= time);
                rate.decision(true, owed);
                rate.decision(false, owed);
            }
        }
    }
}
