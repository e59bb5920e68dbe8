//! One core: its ring, its listeners, its connections to clients and to Postgres, from start to
//! drained.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;

use super::answer::Core;
use super::connection::Connection;
use super::secure::Secure;
use crate::api::Api;
use crate::config::Config;
use crate::pg::Database;
use crate::pg::url::Target;
use crate::ring::{self, Event, EventWaker, Listener, Ring};

/// How often a draining core looks whether its last connection has ended.
const DRAIN_INTERVAL: Duration = Duration::from_millis(5);

/// What the control thread says to a core.
#[derive(Clone)]
pub struct Control {
    drain: Arc<AtomicBool>,
    /// What handshakes are to use from now on, until the core has taken it.
    tls: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    waker: EventWaker,
    /// Passes of the core's ring, once it runs.
    heartbeat: Arc<OnceLock<Arc<AtomicU64>>>,
}

/// What a core is given at its start; everything in it is its own or never changes.
pub struct Shard {
    /// The kernel's number of the core.
    pub cpu: usize,
    /// Its listening sockets.
    pub listeners: Vec<OwnedFd>,
    /// The settings.
    pub config: Arc<Config>,
    /// TLS, if any of its listeners speaks it.
    pub tls: Option<Arc<ServerConfig>>,
    /// What is served.
    pub api: Arc<Api>,
    /// Where the data is.
    pub target: Arc<Target>,
    /// How the control thread reaches it.
    pub control: Control,
}

impl Control {
    /// The control thread's line to one core.
    pub fn new() -> io::Result<Control> {
        Ok(Control {
            drain: Arc::default(),
            tls: Arc::default(),
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
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(config);
        self.waker.wake();
    }

    fn take_tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Starts the drain.
    pub fn drain(&self) {
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
            config,
            tls,
            api,
            target,
            control,
            ..
        } = self;
        let database = Database::start(&ring, api.clone(), target, &config.postgres);
        let core = Rc::new(Core::new(&ring, api, database, config.limits.in_flight));
        let house = Rc::new(House {
            open: Cell::new(0),
            open_max: config.limits.connections,
            draining: Cell::new(false),
        });
        let event = Event::listen(&ring, &control.waker);
        // Set once: a core starts once.
        let _ = control.heartbeat.set(ring.heartbeat());
        let secure = tls.map(|config| Rc::new(Secure::new(&ring, config)));
        let listeners: Vec<_> = listeners
            .into_iter()
            .map(|listener| Rc::new(Listener::adopt(&ring, listener)))
            .collect();
        for (listener, address) in listeners.iter().zip(&config.listen) {
            let secure = secure.clone().filter(|_| address.is_encrypted());
            ring.spawn(accept(
                ring.clone(),
                listener.clone(),
                secure,
                core.clone(),
                house.clone(),
                config.clone(),
            ));
        }
        while !control.drain.load(Ordering::Acquire) {
            event.woken().await;
            if let (Some(secure), Some(config)) = (&secure, control.take_tls()) {
                secure.replace(config);
            }
        }
        core.drain();
        house.draining.set(true);
        listeners.iter().for_each(|listener| listener.close());
        ring.wake_sockets();
        let start = ring.now();
        while house.open.get() > 0 && ring.now() - start < config.timeouts.drain {
            ring.sleep(DRAIN_INTERVAL).await;
        }
        if house.open.get() > 0 {
            let open = house.open.get();
            tracing::warn!(open, "gave up on connections at the drain timeout");
        }
        core.log_summary();
    }
}

/// The connections of a core.
struct House {
    open: Cell<usize>,
    open_max: usize,
    draining: Cell<bool>,
}

impl House {
    /// Waits until there is a slot for one more connection, or until the drain.
    async fn room(&self, ring: &Rc<Ring>) {
        while self.open.get() >= self.open_max && !self.draining.get() {
            ring.sleep(DRAIN_INTERVAL).await;
        }
    }
}

/// Takes connections while there is a slot for one more, until the drain.
async fn accept(
    ring: Rc<Ring>,
    listener: Rc<Listener>,
    secure: Option<Rc<Secure>>,
    core: Rc<Core>,
    house: Rc<House>,
    config: Arc<Config>,
) {
    loop {
        // Room first: a connection beyond the limit stays in the backlog and costs nothing.
        house.room(&ring).await;
        let Some(stream) = listener.accept().await else {
            return;
        };
        // Another listener of this core may have filled it meanwhile.
        house.room(&ring).await;
        house.open.set(house.open.get() + 1);
        let (core, house, secure) = (core.clone(), house.clone(), secure.clone());
        let (limits, timeouts) = (config.limits, config.timeouts);
        ring.spawn(async move {
            let _open = Occupied(house);
            if let Some(secure) = secure {
                return Box::pin(secure.serve(stream, core, limits, timeouts)).await;
            }
            let connection = Connection::new(stream, core, limits, timeouts);
            connection.run().await;
        });
    }
}

/// Gives the slot back, however the connection ended.
struct Occupied(Rc<House>);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
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
