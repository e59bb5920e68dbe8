//! One core: its ring, its listeners, its connections to clients and to Postgres, from start to
//! drained.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use rustls::ServerConfig;

use super::News;
use super::client::Client;
use super::connection::Connection;
use super::listener::Listening;
use super::rate_limit::{Limiter, Seat};
use super::reporting::{Books, Deliver, Reporter};
use super::secure::Secure;
use super::succession::{Current, Order, Premises, Served, Succession};
use crate::channel::Sender;
use crate::config::Config;
use crate::guard::Peer;
use crate::guard::auth::Keys;
use crate::limits;
use crate::log::RequestLog;
use crate::metrics::{Recorder, Snapshot};
use crate::pg::url::Target;
use crate::ring::{self, Event, EventWaker, Listener, Ring};

/// How often a draining core looks whether its last connection has ended.
const DRAIN_INTERVAL: Duration = Duration::from_millis(5);

/// What the control thread says to a core.
#[derive(Clone)]
pub struct Control {
    drain: Arc<AtomicBool>,
    /// Clients that ask for nothing are given time to ask once more.
    is_patient: Arc<AtomicBool>,
    /// What handshakes are to use from now on, until the core has taken it.
    tls: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    /// What identities are to be proved with from now on, until the core has taken it.
    keys: Arc<Mutex<Option<Keys>>>,
    /// For the snapshot that is asked for, until the core has taken it.
    empty: Arc<Mutex<Option<Box<Snapshot>>>>,
    /// What else it is to do, in this order.
    orders: Arc<Mutex<VecDeque<Order>>>,
    waker: EventWaker,
    /// Passes of the core's ring, once it runs.
    heartbeat: Arc<OnceLock<Arc<AtomicU64>>>,
}

/// What a core is given at its start; everything in it is its own or never changes.
pub struct Shard {
    /// The kernel's number of the core.
    pub cpu: usize,
    /// Its listening sockets.
    pub listeners: Vec<Listening>,
    /// They are another process's as well, which serves until this core can.
    pub takes_over: bool,
    /// The settings.
    pub config: Arc<Config>,
    /// TLS, if any of its listeners speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    /// What is served at first.
    pub served: Served,
    /// Where the data is.
    pub target: Arc<Target>,
    /// How the control thread reaches it.
    pub control: Control,
    /// What it decides rate limits with.
    pub seat: Seat,
    /// How it hands over what it has done.
    pub deliver: Deliver,
    /// How it reaches the control thread.
    pub(super) news: Sender<News>,
}

impl Control {
    /// The control thread's line to one core.
    pub fn new() -> io::Result<Control> {
        Ok(Control {
            drain: Arc::default(),
            is_patient: Arc::default(),
            tls: Arc::default(),
            keys: Arc::default(),
            empty: Arc::default(),
            orders: Arc::default(),
            waker: EventWaker::new()?,
            heartbeat: Arc::default(),
        })
    }

    /// Passes of the core so far; one that stands still for long is stuck.
    pub fn heartbeat(&self) -> Option<u64> {
        let counter = self.heartbeat.get()?;
        Some(counter.load(Ordering::Relaxed))
    }

    /// Gives the core another TLS configuration.
    pub fn replace_tls(&self, config: Arc<ServerConfig>) {
        *lock(&self.tls) = Some(config);
        self.waker.wake();
    }

    /// Gives the core other keys.
    pub fn replace_keys(&self, keys: Keys) {
        *lock(&self.keys) = Some(keys);
        self.waker.wake();
    }

    /// Asks the core for what it has done since the last time; it goes on in `empty`.
    pub fn ask_snapshot(&self, empty: Box<Snapshot>) {
        *lock(&self.empty) = Some(empty);
        self.waker.wake();
    }

    /// Has the core do something.
    pub fn order(&self, order: Order) {
        lock(&self.orders).push_back(order);
        self.waker.wake();
    }

    /// Starts the drain, another process having the listening sockets: whoever has a connection may ask once
    /// more, until [`Control::drain`] is called or the time of the drain is nearly over.
    pub fn leave(&self) {
        self.is_patient.store(true, Ordering::Release);
        self.drain.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Starts the drain.
    pub fn drain(&self) {
        self.is_patient.store(false, Ordering::Release);
        self.drain.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Shard {
    /// Runs the core until it is drained.
    pub fn run(self) -> io::Result<()> {
        let options = ring_options(&self.config);
        ring::run(Some(self.cpu), &options, |ring| self.serve(ring))
    }

    async fn serve(self, ring: Rc<Ring>) {
        let Shard {
            listeners,
            takes_over,
            config,
            tls,
            served,
            target,
            control,
            seat,
            deliver,
            news,
            cpu,
        } = self;
        let names = served.places.names.clone();
        let books = Books {
            log: Rc::new(RequestLog::new(&config.request_log, names.clone())),
            recorder: Rc::new(Recorder::new(cpu, names, limits::BATCH_KEYS_MAX)),
        };
        let reporter = Reporter::new(&ring, cpu, deliver);
        ring.on_handed({
            let Books { recorder, log } = books.clone();
            move |now| {
                recorder.handed(now);
                log.handed(now);
            }
        });
        let rules = (&served.api, &served.rules);
        let limiter = Limiter::start(&ring, rules, seat, config.redis.as_ref());
        let office = limiter.office().clone();
        let premises = Premises {
            ring: ring.clone(),
            config: config.clone(),
            target,
            books,
            news,
        };
        let succession = Succession::start(premises, limiter, served);
        let current = &succession.current;
        let house = House::new(config.limits.connections);
        let event = Event::listen(&ring, &control.waker);
        // Set once: a core starts once.
        let _ = control.heartbeat.set(ring.heartbeat());
        let secure = tls.map(|config| Rc::new(Secure::new(&ring, config)));
        let adopt = |one: Listening| {
            let secure = secure.clone().filter(|_| one.is_encrypted);
            (Rc::new(Listener::adopt(&ring, one.socket)), secure)
        };
        let listeners: Vec<_> = listeners.into_iter().map(adopt).collect();
        let accepting: Vec<_> = listeners
            .iter()
            .map(|(listener, secure)| {
                accept(
                    ring.clone(),
                    listener.clone(),
                    secure.clone(),
                    current.clone(),
                    house.clone(),
                    config.clone(),
                )
            })
            .collect();
        let opening = succession.clone().open(takes_over);
        ring.spawn({
            let ring = ring.clone();
            async move {
                opening.await;
                accepting.into_iter().for_each(|one| ring.spawn(one));
            }
        });
        while !control.drain.load(Ordering::Acquire) {
            event.woken().await;
            if let (Some(secure), Some(config)) = (&secure, take(&control.tls)) {
                secure.replace(config);
            }
            for order in take(&control.orders) {
                if succession.follow(order) {
                    // What comes next is recorded by other names.
                    reporter.report(&current.core(), house.open.get(), None);
                }
            }
            if let Some(keys) = take(&control.keys) {
                current.core().replace_keys(&keys);
            }
            if let Some(empty) = take(&control.empty) {
                reporter.report(&current.core(), house.open.get(), Some(empty));
                current.request_log().tell_again(ring.now());
            }
        }
        let core = current.core().clone();
        core.drain();
        house.drain();
        listeners.iter().for_each(|(listener, _)| listener.close());
        let (start, patience) = (ring.now(), config.timeouts.drain);
        let grace = patience.saturating_sub(limits::DISMISSAL_TIME.min(patience / 2));
        while house.open.get() > 0 && ring.now() - start < patience {
            let is_over =
                ring.now() - start >= grace || !control.is_patient.load(Ordering::Acquire);
            if is_over && !current.dismisses() {
                current.dismiss();
                ring.wake_sockets();
            }
            ring.sleep(DRAIN_INTERVAL).await;
        }
        if house.open.get() > 0 {
            let open = house.open.get();
            tracing::warn!(open, "gave up on connections at the drain timeout");
        }
        office.finish(start + config.timeouts.drain).await;
        core.log_summary();
        office.log_summary();
        reporter.report(&core, house.open.get(), None);
    }
}

/// What is in the mailbox, which is not held any more when it is dealt with: the control thread does not wait for a
/// core, whatever that is at.
fn take<T: Default>(mailbox: &Mutex<T>) -> T {
    std::mem::take(&mut lock(mailbox))
}

fn lock<T>(mailbox: &Mutex<T>) -> MutexGuard<'_, T> {
    mailbox.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections of a core.
struct House {
    open: Cell<usize>,
    open_max: usize,
    draining: Cell<bool>,
    /// The listeners that wait for a place, in turn.
    waiting: RefCell<VecDeque<Waker>>,
}

impl House {
    fn new(open_max: usize) -> Rc<House> {
        Rc::new(House {
            open: Cell::new(0),
            open_max,
            draining: Cell::new(false),
            waiting: RefCell::default(),
        })
    }

    /// A place for one more connection, once there is one; `None` when the core drains.
    async fn place(self: Rc<Self>, current: Rc<Current>) -> Option<Occupied> {
        let mut waits = false;
        poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|waker| !waker.will_wake(context.waker()));
            if self.draining.get() {
                return Poll::Ready(None);
            }
            if self.open.get() < self.open_max {
                self.open.set(self.open.get() + 1);
                return Poll::Ready(Some(Occupied(self.clone())));
            }
            waiting.push_back(context.waker().clone());
            if !std::mem::replace(&mut waits, true) {
                current.recorder().count(|counters| counters.full += 1);
            }
            Poll::Pending
        })
        .await
    }

    fn drain(&self) {
        self.draining.set(true);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

/// One connection's place, given back however the connection ended.
struct Occupied(Rc<House>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        let next = self.0.waiting.borrow_mut().pop_front();
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

/// Takes connections while there is a place for one more, until the drain.
async fn accept(
    ring: Rc<Ring>,
    listener: Rc<Listener>,
    secure: Option<Rc<Secure>>,
    current: Rc<Current>,
    house: Rc<House>,
    config: Arc<Config>,
) {
    let place = || house.clone().place(current.clone());
    while let Some((stream, place)) = listener.accept(place).await {
        current.recorder().count(|counters| counters.accepted += 1);
        let (current, secure) = (current.clone(), secure.clone());
        let (limits, timeouts) = (config.limits, config.timeouts);
        ring.spawn(async move {
            let _place = place;
            let peer = Peer {
                address: stream.peer().map(|address| address.ip().to_canonical()),
                encrypted: false,
            };
            if let Some(secure) = secure {
                return Box::pin(secure.serve(stream, current, peer, limits, timeouts)).await;
            }
            let client = Client::new(current, peer);
            let connection = Connection::new(stream, client, limits, timeouts);
            connection.run().await;
        });
    }
}

/// What the flags mean for a core's ring.
pub fn ring_options(config: &Config) -> ring::Options {
    let expected = config.limits.connections.saturating_mul(4);
    ring::Options {
        depth: config.ring_depth,
        // Several times the connections, within what the kernel allows.
        completions: (expected.clamp(4096, 1 << 16).next_power_of_two() as u32)
            .max(config.ring_depth),
        input_bytes_max: (2 * config.limits.head.head_bytes_max).max(64 * 1024),
        spin: config.spin,
        ..ring::Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_free_while_what_was_in_it_is_dealt_with() {
        let mailbox = Mutex::new(Some(1));
        if let Some(one) = take(&mailbox) {
            assert!(mailbox.try_lock().is_ok_and(|it| it.is_none()), "{one}");
        }
        assert_eq!(take(&mailbox), None);
    }
}
