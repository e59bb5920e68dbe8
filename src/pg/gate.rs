//! Who is let in: as many requests as are answered in good time.
//!
//! A bound on a queue's length says nothing of how long one waits in it. So a gate counts what is
//! inside (waiting or in flight) and what is answered per interval, which gives the wait of whoever
//! comes next (Little's law): inside ÷ answered per second. As long as that is short, or long for a
//! moment only, everybody is let in: a burst is no overload. Some intervals in a row throughout which it was
//! longer than the target, and at the end of which more had come than gone, are one (the standing queue
//! of CoDel, RFC 8289 §3.2, found without a look at each request's own wait). From then on only as many
//! are let in as are answered within the target; the others are refused as they come, before anything
//! is done for them. An interval without a refusal ends it.
//!
//! A gate knows no clock: it is told the time of the pass.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::sheds::{Cause, Sheds};
use crate::error::Failure;
use crate::limits;

/// Room of a gate that lets everybody in.
const UNBOUNDED: usize = usize::MAX / 2;

/// The gate in front of a lane, or of a batched route.
pub(super) struct Gate {
    /// How long a request may wait during an overload; zero for no such bound.
    target: Duration,
    /// How long nothing may be answered before that says something.
    patience: Duration,
    /// Requests that are always let in: with fewer, Postgres would be idle between two of them.
    least_room: Cell<usize>,
    /// Requests let in and not yet ended.
    inside: Cell<usize>,
    /// How many may be.
    room: Cell<usize>,
    /// Those inside that an overload has found too many.
    excess: Cell<usize>,
    window: Window,
    /// Intervals in a row that were found to be of an overload that has not begun.
    in_a_row: Cell<u32>,
    /// The round trip of a statement that waits for no other, as far as is known.
    round_trip: Cell<Duration>,
    refused_at: Cell<Instant>,
    /// Over how many seconds the refused are to spread when they come again.
    spread: Cell<u32>,
    sheds: Sheds,
}

/// What has happened since the gate last judged.
struct Window {
    since: Cell<Instant>,
    until: Cell<Instant>,
    inside_at_first: Cell<usize>,
    inside_at_least: Cell<usize>,
    answered: Cell<usize>,
    refused: Cell<usize>,
    /// Zero where none was seen.
    round_trip_at_least: Cell<Duration>,
}

/// A request's place inside.
pub struct Admitted(Rc<Gate>);

impl Gate {
    pub(super) fn new(
        target: Duration,
        patience: Duration,
        least_room: usize,
        now: Instant,
    ) -> Rc<Gate> {
        Rc::new(Gate {
            target,
            patience,
            least_room: Cell::new(least_room),
            inside: Cell::new(0),
            room: Cell::new(UNBOUNDED),
            excess: Cell::new(0),
            window: Window::new(now),
            in_a_row: Cell::new(0),
            round_trip: Cell::new(Duration::ZERO),
            refused_at: Cell::new(now),
            spread: Cell::new(1),
            sheds: Sheds::default(),
        })
    }

    /// Lets a request in, unless it would wait for too long. `company` are the requests before it on
    /// its connection that are not answered yet: in an overload, nobody gets more places than he leaves
    /// free, so that one who asks for much at a time does not shut out those who ask for one thing.
    pub(super) fn admit(
        self: &Rc<Self>,
        now: Instant,
        company: usize,
    ) -> Result<Admitted, Failure> {
        if now >= self.window.until.get() {
            self.judge(now);
        }
        let (inside, room) = (self.inside.get(), self.room.get());
        if inside >= room || 2 * inside >= room && inside + company >= room {
            return Err(self.refuse(now));
        }
        Ok(self.let_in())
    }

    /// Lets a request in, whatever the gate has found.
    pub(super) fn let_in(self: &Rc<Self>) -> Admitted {
        self.inside.set(self.inside.get() + 1);
        Admitted(self.clone())
    }

    #[cold]
    fn refuse(&self, now: Instant) -> Failure {
        self.note_refused(now);
        self.sheds.count(Cause::Overload);
        self.overloaded()
    }

    /// The refusal of a request. Those refused one after the other are asked to come again in different
    /// seconds, as many as it takes to answer them.
    pub(super) fn overloaded(&self) -> Failure {
        let number = self.sheds.total();
        let seconds = 1 + (number % u64::from(self.spread.get())) as u32;
        Failure::Overloaded { seconds }
    }

    fn note_refused(&self, now: Instant) {
        self.window.refused.set(self.window.refused.get() + 1);
        self.refused_at.set(now);
    }

    /// How long one statement or batch took from being sent to being answered.
    pub(super) fn note_round_trip(&self, taken: Duration) {
        let least = self.window.round_trip_at_least.get();
        if least.is_zero() || taken < least {
            self.window.round_trip_at_least.set(taken);
        }
    }

    /// How long what is sent may take until it is answered: the target on top of a statement's own time.
    pub(super) fn in_good_time(&self) -> Duration {
        self.target + self.round_trip.get()
    }

    pub(super) fn is_unbounded(&self) -> bool {
        self.target.is_zero()
    }

    /// Those that an overload that has just begun has found too many inside, told once.
    pub(super) fn take_excess(&self) -> usize {
        match self.excess.get() {
            0 => 0,
            excess => {
                self.excess.set(0);
                excess
            }
        }
    }

    pub(super) fn set_least_room(&self, least_room: usize) {
        self.least_room.set(least_room);
    }

    /// Forgets what was seen: it says nothing of what comes.
    pub(super) fn reset(&self, now: Instant) {
        self.room.set(UNBOUNDED);
        self.excess.set(0);
        self.in_a_row.set(0);
        self.window.restart(now, self.inside.get());
    }

    pub(super) fn sheds(&self) -> &Sheds {
        &self.sheds
    }

    /// How many may be inside for the last one to be answered `within` so much more than a statement
    /// takes. Twice, as a request that just misses a batch has to see out that one and its own.
    fn fitting(&self, within: Duration, elapsed: Duration) -> usize {
        let within = within + 2 * self.round_trip.get();
        let answered = self.window.answered.get() as f64;
        let fitting = answered * within.as_secs_f64() / elapsed.as_secs_f64();
        (fitting as usize).max(self.least_room.get())
    }

    #[cold]
    fn judge(&self, now: Instant) {
        let window = &self.window;
        let elapsed = now.saturating_duration_since(window.since.get());
        let (inside, answered) = (self.inside.get(), window.answered.get());
        if answered == 0 && inside > 0 && elapsed < self.patience {
            return; // nothing is known yet
        }
        self.learn_round_trip();
        let refused = window.refused.get();
        let asked = (answered + refused + inside).saturating_sub(window.inside_at_first.get());
        if self.is_overloaded() {
            if now - self.refused_at.get() >= limits::OVERLOAD_INTERVAL {
                self.room.set(UNBOUNDED);
            } else {
                self.tighten(elapsed);
            }
        } else if !self.is_unbounded() && asked > 0 {
            // Where nobody was answered for so long, all who came are still there.
            let least = match answered {
                0 => inside,
                _ => window.inside_at_least.get(),
            };
            let stands = |targets: u32| {
                let fitting = self.fitting(targets * self.target, elapsed);
                least > fitting.max(limits::OVERLOAD_LEAST)
            };
            let grows = 8 * asked > 9 * answered && stands(1);
            // As many come as go, and all of them wait.
            let stays = 8 * asked > 7 * answered && stands(limits::OVERLOAD_STANDING);
            self.found(grows || stays, grows, elapsed);
        }
        let times = refused.checked_div(answered).unwrap_or(0);
        let most = limits::RETRY_AFTER_MAX;
        let spread = u32::try_from(times + 1).map_or(most, |it| it.min(most));
        self.spread.set(spread);
        window.restart(now, inside);
    }

    /// An interval was one of an overload, or none, and what waits grew in it. Enough of them in a row begin
    /// one.
    fn found(&self, overload: bool, grows: bool, elapsed: Duration) {
        if !overload {
            return self.in_a_row.set(0);
        }
        // One in which nothing was answered may be as long as several.
        let length = elapsed.as_millis() / limits::OVERLOAD_INTERVAL.as_millis();
        let length = u32::try_from(length).unwrap_or(u32::MAX).max(1);
        self.in_a_row
            .set(self.in_a_row.get().saturating_add(length));
        if self.in_a_row.get() < limits::OVERLOAD_INTERVALS {
            return;
        }
        self.in_a_row.set(0);
        self.room.set(self.fitting(self.target, elapsed));
        // Where it only stays, those inside were let in, and are answered.
        if grows {
            let excess = self.inside.get().saturating_sub(self.room.get());
            self.excess.set(excess);
        }
    }

    fn is_overloaded(&self) -> bool {
        self.room.get() < UNBOUNDED
    }

    fn tighten(&self, elapsed: Duration) {
        let fitting = self.fitting(self.target, elapsed);
        // Where there was not always enough to do, more could have been answered.
        let busy = 2 * self.window.inside_at_least.get() >= self.least_room.get();
        self.room.set(match busy {
            true => fitting,
            false => fitting.max(self.room.get()),
        });
    }

    /// The round trip is the shortest one seen, and slowly forgotten. Where there is always somebody inside,
    /// every statement waits for others: then it is no longer than was known before, unless hardly any are
    /// let in.
    fn learn_round_trip(&self) {
        let window = &self.window;
        let (known, seen) = (self.round_trip.get(), window.round_trip_at_least.get());
        if seen.is_zero() {
            return;
        }
        let least_room = self.least_room.get();
        let free = match self.is_overloaded() {
            true => self.room.get() <= least_room,
            false => 2 * window.inside_at_least.get() < least_room,
        };
        self.round_trip.set(match free {
            _ if seen < known || known.is_zero() => seen,
            true => seen.min(known + known / 8),
            false => known,
        });
    }
}

impl Window {
    fn new(now: Instant) -> Window {
        Window {
            since: Cell::new(now),
            until: Cell::new(now + limits::OVERLOAD_INTERVAL),
            inside_at_first: Cell::new(0),
            inside_at_least: Cell::new(0),
            answered: Cell::new(0),
            refused: Cell::new(0),
            round_trip_at_least: Cell::new(Duration::ZERO),
        }
    }

    fn restart(&self, now: Instant, inside: usize) {
        self.since.set(now);
        self.until.set(now + limits::OVERLOAD_INTERVAL);
        self.inside_at_first.set(inside);
        self.inside_at_least.set(inside);
        self.answered.set(0);
        self.refused.set(0);
        self.round_trip_at_least.set(Duration::ZERO);
    }
}

impl Admitted {
    /// The request has ended, with this failure or with an answer.
    pub(super) fn end(self, now: Instant, failure: Option<&Failure>) {
        let gate = &self.0;
        let window = &gate.window;
        match failure {
            Some(Failure::AcquireTimeout) => {
                gate.sheds.count(Cause::TooLate);
                gate.note_refused(now);
                // Let in, and refused all the same: too many were.
                if !gate.is_overloaded() && !gate.is_unbounded() {
                    gate.room.set(gate.least_room.get());
                }
            }
            Some(Failure::Busy) => {
                gate.sheds.count(Cause::QueueFull);
                gate.note_refused(now);
            }
            Some(Failure::Overloaded { .. }) => {
                gate.sheds.count(Cause::Overload);
                gate.note_refused(now);
            }
            Some(Failure::Unavailable) => {}
            _ => window.answered.set(window.answered.get() + 1),
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let (gate, window) = (&self.0, &self.0.window);
        let inside = gate.inside.get() - 1;
        gate.inside.set(inside);
        if inside < window.inside_at_least.get() {
            window.inside_at_least.set(inside);
        }
    }
}

#[cfg(test)]
mod tests;
