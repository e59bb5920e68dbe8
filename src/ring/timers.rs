//! Time on a core: sleeping tasks, and the deadlines of sockets.
//!
//! Sleeps are few (back-off, waiting for a connection) and exact to a pass. Deadlines are many
//! (every HTTP connection has one) and moved several times a request, so setting one is a single
//! store into a dense table that is swept twenty times a second.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::{Held, Ring};

/// How far past its deadline a socket may be told of it.
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);

/// Sleeping tasks by the time at which they wake.
#[derive(Default)]
pub(super) struct Timers {
    sleeping: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next_id: Cell<u64>,
}

impl Timers {
    /// When the next sleeper is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.sleeping
            .borrow()
            .first_key_value()
            .map(|(key, _)| key.0)
    }

    /// Wakes every sleeper that is due.
    pub(super) fn fire(&self, now: Instant) {
        // Nothing is borrowed while one is woken: a waker may run code.
        while let Some(waker) = self.take_due(now) {
            waker.wake();
        }
    }

    fn take_due(&self, now: Instant) -> Option<Waker> {
        let mut sleeping = self.sleeping.borrow_mut();
        let first = sleeping.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Ready at its time. Dropping it forgets it.
pub struct Sleep {
    ring: Rc<Ring>,
    at: Instant,
    id: u64,
}

impl Ring {
    /// Sleeps for `duration`, measured from the current pass.
    pub fn sleep(self: &Rc<Self>, duration: Duration) -> Sleep {
        let id = self.timers.next_id.get();
        self.timers.next_id.set(id + 1);
        Sleep {
            ring: self.clone(),
            at: self.now() + duration,
            id,
        }
    }

    /// Tells the sockets whose deadline has passed, lets listeners that backed off try again, and
    /// cancels again what should have ended.
    pub(super) fn sweep(&self) {
        if self.now() < self.deadlines.next_sweep.get() {
            return;
        }
        self.deadlines.next_sweep.set(self.now() + SWEEP_INTERVAL);
        let now = self.deadlines.now.get();
        let mut due = Vec::new();
        {
            let mut table = self.deadlines.table.borrow_mut();
            for (slot, deadline) in table.iter_mut().enumerate() {
                if *deadline != 0 && *deadline <= now {
                    *deadline = 0;
                    due.push(slot as u32);
                }
            }
        }
        for slot in due {
            let held = self.held.borrow();
            if let Some(Held::Socket(socket)) = held.current(slot) {
                let socket = socket.clone();
                drop(held);
                socket.timed_out.set(true);
                socket.reader.wake();
                socket.writer.wake();
            }
        }
        self.rearm_listeners();
        self.cancel_again();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.ring.now() >= self.at {
            return Poll::Ready(());
        }
        let mut sleeping = self.ring.timers.sleeping.borrow_mut();
        sleeping.insert((self.at, self.id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let mut sleeping = self.ring.timers.sleeping.borrow_mut();
        let waker = sleeping.remove(&(self.at, self.id));
        drop(sleeping); // before the waker, whose drop may run code
        drop(waker);
    }
}

/// Deadlines by slot, in milliseconds since the ring was made; 0 for none.
pub(super) struct Deadlines {
    start: Instant,
    /// The time of the pass, in whole milliseconds since then.
    now: Cell<u64>,
    table: RefCell<Vec<u64>>,
    next_sweep: Cell<Instant>,
}

impl Deadlines {
    pub(super) fn new(start: Instant) -> Deadlines {
        Deadlines {
            start,
            now: Cell::new(0),
            table: RefCell::default(),
            next_sweep: Cell::new(start + SWEEP_INTERVAL),
        }
    }

    /// Takes the time of a pass.
    pub(super) fn pass(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start);
        self.now.set(since.as_millis() as u64);
    }

    /// Sets the deadline of a slot to `after` from now, or clears it.
    pub(super) fn set(&self, slot: u32, after: Option<Duration>) {
        // Both are cut to whole milliseconds: up to two more keep it from being early.
        let value = after.map_or(0, |after| {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            self.now.get().saturating_add(after).saturating_add(2)
        });
        let mut table = self.table.borrow_mut();
        let slot = slot as usize;
        if slot >= table.len() {
            table.resize(slot + 1, 0);
        }
        table[slot] = value;
    }
}
