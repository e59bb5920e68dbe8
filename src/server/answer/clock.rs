//! What time it is, looked up once a second, by the clock of the pass in between.

use std::cell::RefCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::guard::Clock;
use crate::http::{DATE_BYTES, imf_fixdate};

/// One core's.
pub(super) struct WallClock(RefCell<Look>);

/// The last look at the machine's clock.
struct Look {
    date: [u8; DATE_BYTES],
    /// Since 1970, at `at`.
    wall: Duration,
    at: Instant,
    until: Option<Instant>,
}

impl WallClock {
    /// One that has not been looked at.
    pub(super) fn new(now: Instant) -> WallClock {
        WallClock(RefCell::new(Look {
            date: imf_fixdate(0),
            wall: Duration::ZERO,
            at: now,
            until: None,
        }))
    }

    /// The second of `now` as IMF-fixdate.
    pub(super) fn date(&self, now: Instant) -> [u8; DATE_BYTES] {
        self.look(now);
        self.0.borrow().date
    }

    /// What time it is at `now`.
    pub(super) fn at(&self, now: Instant) -> Clock {
        self.look(now);
        let look = self.0.borrow();
        Clock {
            now,
            wall: look.wall + now.saturating_duration_since(look.at),
        }
    }

    fn look(&self, now: Instant) {
        let mut look = self.0.borrow_mut();
        if look.until.is_some_and(|until| now < until) {
            return;
        }
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let rest = Duration::from_nanos(u64::from(1_000_000_000 - wall.subsec_nanos()));
        *look = Look {
            date: imf_fixdate(wall.as_secs()),
            wall,
            at: now,
            until: Some(now + rest),
        };
    }
}
