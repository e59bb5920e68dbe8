//! The core ring: one io_uring per core that carries every socket of that core.
//!
//! `Ring::drive` is the core's main loop, called the pass: let the tasks that were woken run,
//! queue what they wrote, enter the kernel once (submit everything, take every completion), hand
//! the completions to their sockets, which wakes tasks. When no task is runnable that one call blocks
//! until a completion that somebody waits for, or the next deadline.
//!
//! All `unsafe` of the data path is in this module. The rest of the crate sees [`Stream`],
//! [`Listener`] and [`Event`], which are safe, single-threaded and own their descriptors.
//!
//! Kernel 6.1 or later: `SINGLE_ISSUER` and `DEFER_TASKRUN`, so that no completion interrupts the
//! thread.

mod blocking;
mod buffers;
mod completions;
mod event;
mod executor;
mod kernel;
mod listener;
mod queue;
mod setup;
mod slab;
mod socket;
mod steering;
mod stream;
mod tasks;
mod timers;
mod token;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use io_uring::cqueue;

pub use blocking::blocking;
pub use event::{Event, Waker as EventWaker};
pub use executor::run;
pub use listener::Listener;
pub use setup::{Options, Unsupported, probe};
pub use steering::{Instruction, steer};
pub use stream::Stream;
pub use timers::Sleep;

use buffers::ProvidedBuffers;
use kernel::Kernel;
use queue::Queue;
use slab::Slab;
use timers::{Deadlines, Timers};

/// The longest that an idle core stays in the kernel: a hundred wakes a second keep its heartbeat.
const BLOCK_MAX: Duration = Duration::from_millis(10);

/// Rounds of woken tasks between two entries into the kernel. A request goes through about four
/// (driver, request, connection, driver); more must not keep the sockets waiting.
const SETTLE_ROUNDS_MAX: usize = 8;

/// Sends of one pass from which on they get an entry of their own before the kernel is waited in: an entry
/// costs a tenth of as many sends.
const HANDED_FIRST: usize = 4;

/// One core's ring. Not `Send`: it is made, driven and dropped by its own thread.
pub struct Ring {
    kernel: RefCell<Kernel>,
    buffers: RefCell<ProvidedBuffers>,
    held: RefCell<Slab<Held>>,
    queue: Queue,
    deadlines: Deadlines,
    timers: Timers,
    tasks: tasks::Tasks,
    spare: RefCell<Vec<Vec<u8>>>,
    completed: RefCell<Vec<cqueue::Entry>>,
    now: Cell<Instant>,
    idle_since: Cell<Instant>,
    spin: Duration,
    input_bytes_max: usize,
    heartbeat: Arc<AtomicU64>,
    tally: Tally,
    handed: RefCell<Option<Handed>>,
}

/// Told in each pass when the kernel had what was written before it.
type Handed = Box<dyn Fn(Instant)>;

/// What a ring has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Times that it has entered the kernel and come back.
    pub passes: u64,
    /// For how long it waited there.
    pub waited: Duration,
    /// Bytes that sockets have received.
    pub bytes_received: u64,
    /// Bytes that the kernel has taken from sockets.
    pub bytes_sent: u64,
}

/// The ring's own [`Work`]: each completion changes one of these.
#[derive(Default)]
struct Tally {
    passes: Cell<u64>,
    waited: Cell<Duration>,
    bytes_received: Cell<u64>,
    bytes_sent: Cell<u64>,
}

/// What a slot of the ring holds.
#[derive(Clone)]
enum Held {
    Socket(Rc<socket::Socket>),
    Listener(Rc<listener::State>),
    Event(Rc<event::State>),
}

impl Ring {
    /// Sets up a ring on the calling thread, which must be the one that drives it.
    pub fn new(options: &Options) -> io::Result<Rc<Ring>> {
        let (kernel, buffers) = setup::build(options)?;
        Ok(Rc::new(Ring::over(kernel, buffers, options)))
    }

    fn over(kernel: Kernel, buffers: ProvidedBuffers, options: &Options) -> Ring {
        let now = kernel.now();
        Ring {
            kernel: RefCell::new(kernel),
            buffers: RefCell::new(buffers),
            held: RefCell::new(Slab::new()),
            queue: Queue::default(),
            deadlines: Deadlines::new(now),
            timers: Timers::default(),
            tasks: tasks::Tasks::default(),
            spare: RefCell::default(),
            completed: RefCell::default(),
            now: Cell::new(now),
            idle_since: Cell::new(now),
            spin: options.spin,
            input_bytes_max: options.input_bytes_max,
            heartbeat: Arc::default(),
            tally: Tally::default(),
            handed: RefCell::default(),
        }
    }

    /// Runs the core until `done` says so; it is asked after every pass.
    ///
    /// An error is one of the ring itself, never of a socket: the core can't go on.
    pub async fn drive(&self, mut done: impl FnMut() -> bool) -> io::Result<()> {
        while !done() {
            let quiet = self.settle().await;
            self.pass(quiet)?;
        }
        Ok(())
    }

    /// The time at which the current pass came back from the kernel: one clock read for all.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Counts passes; one that stands still is a core that is stuck. Read by the control thread.
    pub fn heartbeat(&self) -> Arc<AtomicU64> {
        self.heartbeat.clone()
    }

    /// What it has done so far.
    pub fn work(&self) -> Work {
        Work {
            passes: self.tally.passes.get(),
            waited: self.tally.waited.get(),
            bytes_received: self.tally.bytes_received.get(),
            bytes_sent: self.tally.bytes_sent.get(),
        }
    }

    /// Has `told` called in each pass, with the time at which the kernel had everything that was written
    /// before it.
    pub fn on_handed(&self, told: impl Fn(Instant) + 'static) {
        self.handed.replace(Some(Box::new(told)));
    }

    /// Lets every task that waits for input look around: the server is stopping.
    pub fn wake_sockets(&self) {
        // Nothing is borrowed while one is woken: a waker may run code.
        let held: Vec<_> = self.held.borrow().iter().cloned().collect();
        for held in held {
            if let Held::Socket(socket) = held {
                socket.reader.wake();
            }
        }
    }

    /// Sockets, listeners and events that are open or not yet closed to the end.
    pub fn held(&self) -> usize {
        self.held.borrow().len()
    }

    /// Lets woken tasks run. True when none is left: tasks are polled in the order in which they
    /// were woken, so a round in which none was polled leaves none behind.
    async fn settle(&self) -> bool {
        for _ in 0..SETTLE_ROUNDS_MAX {
            let before = self.tasks.polled();
            tasks::yield_now().await;
            if self.tasks.polled() == before {
                return true;
            }
        }
        false
    }

    /// One entry into the kernel and all that comes of it.
    fn pass(&self, quiet: bool) -> io::Result<()> {
        let no_news = self.flush_listed();
        let wait = quiet.then(|| self.patience()).flatten();
        let handed = match wait {
            Some(_) => Some(self.hand_over(no_news)?),
            None => None,
        };
        self.enter(wait, no_news)?;
        self.now.set(self.clock());
        self.tally.passes.update(|passes| passes + 1);
        if let Some(at) = handed {
            self.tally
                .waited
                .update(|waited| waited + (self.now() - at));
        }
        if let Some(told) = &*self.handed.borrow() {
            told(handed.unwrap_or_else(|| self.now()));
        }
        self.deadlines.pass(self.now());
        self.heartbeat.fetch_add(1, Ordering::Relaxed);
        if self.handle_completions() > 0 {
            self.idle_since.set(self.now());
        }
        self.timers.fire(self.now());
        self.sweep();
        Ok(())
    }

    /// Before the kernel is waited in: hands it what has been written, if that is much, so that the time
    /// at which it had all of that is known. Of a few answers it is a few microseconds after now, which an
    /// entry of its own would cost as well.
    fn hand_over(&self, sends: usize) -> io::Result<Instant> {
        if sends >= HANDED_FIRST {
            self.enter(None, 0)?;
        }
        Ok(self.clock())
    }

    fn clock(&self) -> Instant {
        self.kernel.borrow().now()
    }

    /// How long the kernel may hold the core now; `None` while it spins.
    fn patience(&self) -> Option<Duration> {
        if self.spin > Duration::ZERO && self.now() - self.idle_since.get() < self.spin {
            return None;
        }
        Some(match self.timers.next() {
            Some(at) => at.saturating_duration_since(self.clock()).min(BLOCK_MAX),
            None => BLOCK_MAX,
        })
    }
}

impl Drop for Ring {
    /// Takes everything back from the kernel before its memory goes. What can't be had back in
    /// time is leaked: better than memory that the kernel still writes.
    fn drop(&mut self) {
        if !self.reclaim(Duration::from_secs(1)) {
            tracing::warn!("operations were still in the kernel when a core ended");
            self.leak();
        }
    }
}
