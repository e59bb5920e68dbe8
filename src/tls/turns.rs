//! Whose handshake may have the core now.
//!
//! A step of a handshake costs from some microseconds to several milliseconds (signing with P-256 30
//! µs, with RSA-2048 1 ms), all of it in one go. Hundreds of them in one pass would be a second in
//! which no request is answered. So they stand in a line, first come, first served, and a pass goes
//! on to the next of them only while its time for handshakes is not used up: one expensive step, or
//! a few cheap ones. The pass after it belongs to everybody else: it takes in what has arrived
//! meanwhile, and what that leads to is handed to the kernel before the next step begins. So a request
//! waits for one step at the most, not for one before it is read and another before it is answered.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::limits;
use crate::ring::Ring;

/// The line of one core.
pub struct Turns {
    ring: Rc<Ring>,
    line: RefCell<Line>,
    /// Counts passes.
    heartbeat: Arc<AtomicU64>,
    /// The pass in which the last turn was.
    pass: Cell<u64>,
    /// What the turns of that pass have taken.
    spent: Cell<Duration>,
}

#[derive(Default)]
struct Line {
    places: VecDeque<(u64, Option<Waker>)>,
    next: u64,
}

/// A place in the line, and the core itself once it is at its front; the next one's when dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    place: u64,
    begun: Option<Instant>,
}

impl Turns {
    /// A line in which nobody stands.
    pub fn new(ring: &Rc<Ring>) -> Turns {
        Turns {
            ring: ring.clone(),
            line: RefCell::default(),
            heartbeat: ring.heartbeat(),
            pass: Cell::new(0),
            spent: Cell::new(Duration::ZERO),
        }
    }

    /// Waits in the line. Dropping what this gives, or the future itself, leaves it.
    pub async fn turn(&self) -> Turn<'_> {
        let mut turn = self.join();
        poll_fn(|context| match turn.is_first(context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        while self.is_for_others() {
            // Ready with the next pass.
            pin!(self.ring.sleep(Duration::from_nanos(1))).await;
        }
        turn.begun = Some(Instant::now());
        turn
    }

    fn join(&self) -> Turn<'_> {
        let mut line = self.line.borrow_mut();
        let place = line.next;
        line.next += 1;
        line.places.push_back((place, None));
        Turn {
            turns: self,
            place,
            begun: None,
        }
    }

    /// This pass has no time left for handshakes, or the one before it had none.
    fn is_for_others(&self) -> bool {
        let pass = self.heartbeat.load(Ordering::Relaxed);
        let used_up = self.spent.get() >= limits::HANDSHAKE_TIME_PER_PASS;
        used_up && pass <= self.pass.get() + 1
    }

    /// A turn of this pass has taken `time`.
    fn note(&self, time: Duration) {
        let pass = self.heartbeat.load(Ordering::Relaxed);
        let before = match self.pass.replace(pass) == pass {
            true => self.spent.get(),
            false => Duration::ZERO,
        };
        self.spent.set(before + time);
    }
}

impl Turn<'_> {
    fn is_first(&self, waker: &Waker) -> bool {
        let mut line = self.turns.line.borrow_mut();
        let front = line.places.front().map(|(place, _)| *place);
        if front == Some(self.place) {
            return true;
        }
        // Places are numbered in the order of the line.
        if let Ok(index) = line
            .places
            .binary_search_by_key(&self.place, |place| place.0)
        {
            line.places[index].1 = Some(waker.clone());
        }
        false
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let turns = self.turns;
        if let Some(begun) = self.begun {
            turns.note(begun.elapsed());
        }
        let mut line = turns.line.borrow_mut();
        if let Ok(index) = line
            .places
            .binary_search_by_key(&self.place, |place| place.0)
        {
            line.places.remove(index);
            if index == 0
                && let Some((_, waker)) = line.places.front_mut()
                && let Some(waker) = waker.take()
            {
                waker.wake();
            }
        }
    }
}
