//! Redis or Valkey, where servers share their rate limits: one connection per core, over the core's ring.
//!
//! [`Store::decide`] is all that others need. `url` says where Redis is, `connect` opens a session, `script`
//! is what is asked of it and `pipeline` who waits for which reply; `keep` reads the replies, and opens the
//! connection again whenever it ends. The redis crate packs the commands and parses the replies (`codec`).
//!
//! What is asked for in one pass goes out in one write, as every write of a core does. Nobody waits for
//! longer than `--redis-timeout`, and nobody waits at all while Redis is known to be away or silent; what is
//! done then is for the rule to say (`on_store_failure`).

pub mod codec;
mod connect;
mod keep;
mod pipeline;
mod script;
pub mod url;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use redis::ServerError;

use crate::guard::rate_limit::{Decision, Rate};
use crate::limits;
use crate::ring::Ring;
use crate::tls::{Channel, ClientTls};
use crate::told::{Cause, Told};
use pipeline::{Ask, Pipeline};
pub use script::SOURCE as SCRIPT;

/// Where Redis is, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is and who asks.
    pub target: url::Target,
    /// How long a decision may take.
    pub timeout: Duration,
    /// Whom to believe and what to show where TLS is spoken.
    pub tls: ClientTls,
}

/// Why there is no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// There is no connection.
    Down,
    /// Redis has not answered others in time, and not been heard of since.
    Silent,
    /// More is in flight than [`limits::REDIS_IN_FLIGHT_MAX`].
    Busy,
    /// It did not answer in time. It may have counted the request.
    Late,
    /// The connection ended before the answer came. It may have counted the request.
    Lost,
    /// It answered with an error.
    Refused,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Unavailable::Down => "there is no connection to Redis",
            Unavailable::Silent => "Redis is silent",
            Unavailable::Busy => "too many decisions wait for Redis",
            Unavailable::Late => "Redis did not answer in time",
            Unavailable::Lost => "the connection to Redis was lost",
            Unavailable::Refused => "Redis answered with an error",
        })
    }
}

impl std::error::Error for Unavailable {}

/// One core's way to Redis.
pub struct Store {
    ring: Rc<Ring>,
    /// Counts the passes of the core.
    heartbeat: Arc<AtomicU64>,
    settings: Arc<Settings>,
    /// `None` while there is no connection.
    open: RefCell<Option<Open>>,
    /// Those who wait, in the order in which they asked; and some who do not any more.
    waiting: RefCell<VecDeque<Rc<Ask>>>,
    /// When a reply last came, or the first that is in flight was asked for.
    heard: Cell<Instant>,
    /// Somebody has waited in vain, and nothing has come since.
    silent: Cell<bool>,
    /// The task that reads the replies.
    reader: RefCell<Option<Waker>>,
    told: Told<()>,
}

struct Open {
    channel: Rc<Channel>,
    pipeline: Pipeline,
}

impl Store {
    /// Begins to connect, for as long as the core lives.
    pub fn start(ring: &Rc<Ring>, settings: Arc<Settings>) -> Rc<Store> {
        let store = Rc::new(Store {
            ring: ring.clone(),
            heartbeat: ring.heartbeat(),
            settings,
            open: RefCell::default(),
            waiting: RefCell::default(),
            heard: Cell::new(ring.now()),
            silent: Cell::new(false),
            reader: RefCell::default(),
            told: Told::default(),
        });
        ring.spawn_lasting({
            let store = store.clone();
            move || keep::keep(store.clone())
        });
        ring.spawn_lasting({
            let store = store.clone();
            move || keep::keep_telling(store.clone())
        });
        store
    }

    /// Decides one request of the client that `name` stands for (alike on all servers, no secret, and not
    /// long), and counts it if it is admitted. It is asked for at once, whether the future is polled or not.
    pub fn decide(&self, rate: &Rate, name: &[u8]) -> Deciding {
        Deciding(self.ask(rate, name))
    }

    /// Whether there is a connection that answers.
    pub fn is_up(&self) -> bool {
        self.open.borrow().is_some() && !self.silent.get()
    }

    /// Tells the log of what failed again since it was last told.
    pub fn tell_repeated(&self) {
        let (causes, others) = self.told.end_interval();
        for Cause { what, again, .. } in causes {
            tracing::warn!(reason = what, again, "rate limits without Redis again");
        }
        if others > 0 {
            tracing::warn!(
                again = others,
                "rate limits without Redis for other reasons"
            );
        }
    }

    fn ask(&self, rate: &Rate, name: &[u8]) -> Result<Rc<Ask>, Unavailable> {
        let mut open = self.open.borrow_mut();
        let Some(Open { channel, pipeline }) = &mut *open else {
            return Err(Unavailable::Down);
        };
        if self.silent.get() {
            return Err(Unavailable::Silent);
        }
        if pipeline.len() >= limits::REDIS_IN_FLIGHT_MAX {
            self.tell(&Unavailable::Busy.to_string());
            return Err(Unavailable::Busy);
        }
        // Not the time of the pass, which may have begun long ago.
        let now = Instant::now();
        if pipeline.len() == 0 {
            self.heard.set(now);
        }
        let key = script::key(rate, name);
        let ask = Ask::new(rate, key, (now, self.pass()), self.settings.timeout);
        let command = pipeline.ask(ask.clone());
        channel.write_later(|output| command.write_packed_command(output));
        let is_encrypted = channel.is_encrypted();
        drop(open);
        let mut waiting = self.waiting.borrow_mut();
        let is_first = waiting.is_empty();
        waiting.push_back(ask.clone());
        drop(waiting);
        // The reader sees to the first one's time, and to what is to be encrypted.
        if is_first || is_encrypted {
            self.wake_reader();
        }
        Ok(ask)
    }

    fn pass(&self) -> u64 {
        self.heartbeat.load(Ordering::Relaxed)
    }

    fn wake_reader(&self) {
        let waker = self.reader.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tells the log of a failure, unless it has been told of that cause.
    fn tell(&self, reason: &str) {
        if self.told.is_news((), reason) {
            tracing::warn!(reason, "rate limits without Redis");
        }
    }
}

/// A decision on its way. Whoever drops it does not stop it: Redis may have counted the request.
#[must_use]
pub struct Deciding(Result<Rc<Ask>, Unavailable>);

impl Deciding {
    /// Whether it is known already that there will be no decision.
    pub fn has_failed(&self) -> bool {
        self.0.is_err()
    }
}

impl Future for Deciding {
    type Output = Result<Decision, Unavailable>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.0 {
            Ok(ask) => ask.poll(context.waker()),
            Err(reason) => Poll::Ready(Err(*reason)),
        }
    }
}

/// A server's error, bounded; it is shown quoted.
fn words(error: &ServerError) -> String {
    let mut words = error.code().to_owned();
    if let Some(details) = error.details() {
        words = format!("{words} {details}");
    }
    match words.char_indices().nth(limits::REDIS_WORDS_MAX) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}
