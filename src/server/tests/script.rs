//! The script: a transport that does as it is told, and a handler whose answers wait for their gate.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::guard::cors::{self, Methods, Names, Origins};
use crate::guard::{self, Clock, Guards, Peer, Trail};
use crate::http::{DATE_BYTES, ErrorBody, Request, imf_fixdate};
use crate::log::{self, RequestLog};
use crate::metrics::{Recorder, Snapshot};
use crate::server::handler::{Handled, Handler, Later};
use crate::server::reply::Reply;
use crate::server::transport::Transport;

pub const BODY_BYTES_MAX: usize = 1000;

pub const KEEP_ALIVE: Duration = Duration::from_secs(50);
pub const HEADER: Duration = Duration::from_secs(10);
pub const BODY: Duration = Duration::from_secs(20);
pub const WRITE: Duration = Duration::from_secs(30);

/// What all clocks of the tests count from.
pub static START: LazyLock<Instant> = LazyLock::new(Instant::now);

// ---- The transport ----

/// Both ends of one connection, as the ring would show them.
#[derive(Default)]
pub struct Wire {
    pub input: RefCell<Vec<u8>>,
    /// When the first of them came.
    pub received: Cell<Duration>,
    pub ended: Cell<bool>,
    /// As the kernel numbers it.
    pub failure: Cell<Option<i32>>,
    pub timed_out: Cell<bool>,
    /// Written, and not taken by the peer.
    output: RefCell<Vec<u8>>,
    /// Taken by the peer.
    pub sent: RefCell<Vec<u8>>,
    /// The peer reads nothing.
    pub stuck: Cell<bool>,
    pub shut: Cell<bool>,
    /// Closing throws away what was not taken.
    pub resets: Cell<bool>,
    pub clock: Cell<Duration>,
    pub deadline: Cell<Option<Duration>>,
    /// How long after its setting each deadline was.
    pub deadlines: RefCell<Vec<Option<Duration>>>,
    pub reader: RefCell<Option<Waker>>,
    pub writer: RefCell<Option<Waker>>,
}

impl Wire {
    fn failure(&self) -> Option<io::Error> {
        match self.timed_out.get() {
            true => Some(io::ErrorKind::TimedOut.into()),
            false => self.failure.get().map(io::Error::from_raw_os_error),
        }
    }

    /// The peer takes what it is sent, unless it is stuck; whether there was anything.
    pub fn deliver(&self) -> bool {
        let mut output = self.output.borrow_mut();
        if self.stuck.get() || self.failure.get().is_some() || output.is_empty() {
            return false;
        }
        self.sent.borrow_mut().append(&mut output);
        wake(&self.writer);
        true
    }

    /// The peer takes so many bytes and no more.
    pub fn take(&self, count: usize) {
        let mut output = self.output.borrow_mut();
        self.sent.borrow_mut().extend(output.drain(..count));
        drop(output);
        wake(&self.writer);
    }
}

pub fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Transport for Rc<Wire> {
    fn unread(&self) -> usize {
        self.input.borrow().len()
    }

    fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        see(&self.input.borrow())
    }

    fn received_first(&self) -> Instant {
        *START + self.received.get()
    }

    fn consume(&self, count: usize) {
        self.input.borrow_mut().drain(..count);
    }

    fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>> {
        if self.unread() > beyond {
            return Poll::Ready(Ok(true));
        }
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        if self.ended.get() {
            return Poll::Ready(Ok(false));
        }
        *self.reader.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(&mut self.output.borrow_mut())
    }

    fn unsent(&self) -> usize {
        self.output.borrow().len()
    }

    fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        if self.unsent() <= left {
            return Poll::Ready(Ok(()));
        }
        *self.writer.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn set_deadline(&self, after: Option<Duration>) {
        self.deadlines.borrow_mut().push(after);
        self.deadline
            .set(after.map(|after| self.clock.get() + after));
        self.timed_out.set(false);
    }

    fn shutdown_write(&self) {
        assert_eq!(self.unsent(), 0, "the last answer is sent first");
        self.shut.set(true);
    }

    fn reset_at_close(&self) {
        self.resets.set(true);
    }
}

// ---- The handler ----

/// Answers by path: `/now…` at once, `/later/GATE` when the gate is open, `/panic` never,
/// `/panic/GATE` never either, but later, and `/panic-again` not even by a fault of its own; `/missing` is refused early, `/big` has 100,000 bytes.
/// The body of an answer is the request as the handler saw it.
#[derive(Default)]
pub struct Script {
    pub open: RefCell<BTreeSet<String>>,
    pub wakers: RefCell<BTreeMap<String, Waker>>,
    /// Gates that were asked for, in order.
    pub begun: RefCell<Vec<String>>,
    /// Gates whose future gave its answer, or was dropped without one.
    pub finished: RefCell<Vec<String>>,
    pub dropped: RefCell<Vec<String>>,
    pub abandoned: RefCell<Vec<String>>,
    pub handled: Cell<usize>,
    pub draining: Cell<bool>,
    /// Bytes that the answers to come are said to have.
    pub expected: Cell<usize>,
    /// The time of the pass, since the first.
    pub clock: Cell<Duration>,
    pub books: Books,
}

/// What the connection says of its work.
pub struct Books(pub Recorder, RequestLog);

impl Default for Books {
    fn default() -> Books {
        let names = Snapshot::names(std::iter::empty());
        let log = RequestLog::new(&log::Settings::default(), names.clone());
        Books(Recorder::new(0, names, 1), log)
    }
}

struct Coming {
    script: Rc<Script>,
    gate: String,
    finished: bool,
}

impl Coming {
    async fn wait(&mut self) {
        poll_fn(|context| self.script.poll_gate(&self.gate, context)).await;
        self.finished = true;
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let list = match self.finished {
            true => &self.script.finished,
            false => &self.script.dropped,
        };
        list.borrow_mut().push(self.gate.clone());
    }
}

impl Script {
    fn poll_gate(&self, gate: &str, context: &mut Context<'_>) -> Poll<()> {
        if self.open.borrow().contains(gate) {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        self.wakers.borrow_mut().insert(gate.to_owned(), waker);
        Poll::Pending
    }

    fn later(self: &Rc<Self>, trail: Box<Trail>, gate: &str, reply: Option<Reply>) -> Handled {
        self.begun.borrow_mut().push(gate.to_owned());
        let mut coming = Coming {
            script: self.clone(),
            gate: gate.to_owned(),
            finished: false,
        };
        let (script, abandoned) = (self.clone(), gate.to_owned());
        let answering = async move |trail: &mut Trail| {
            trail.add(b"x-gate: reached\r\n");
            coming.wait().await;
            reply.expect("a panic was asked for")
        };
        let abandon = Box::new(move || script.abandoned.borrow_mut().push(abandoned));
        let bytes = self.expected.get();
        Handled::Later(Later::new(trail, bytes, Some(abandon), answering))
    }
}

/// What an answer of the crate's own guards says beside it: they let in the pages of every origin.
fn trail(request: Option<&Request<'_>>) -> Box<Trail> {
    let guards = Guards::new(&guard::Settings {
        cors: Some(cors::Settings {
            origins: Origins::Any,
            methods: Methods::Declared,
            headers: Names::default(),
            exposed: Names::default(),
            max_age: None,
            private_network: false,
        }),
        ..guard::Settings::default()
    });
    let clock = Clock {
        now: Instant::now(),
        wall: Duration::ZERO,
    };
    guards.begin_fault(request, Peer::default(), clock)
}

/// The handler's own type is shared with the test.
pub struct Shared(pub Rc<Script>);

impl Handler for Shared {
    fn handle(&self, request: &Request<'_>, body: &[u8], _company: usize) -> Handled {
        self.0.handled.set(self.0.handled.get() + 1);
        let path = request.path();
        let body = String::from_utf8_lossy(body);
        let text = format!("{} {path} {body}", request.method().name());
        let reply = Reply::json(200, text.into_bytes());
        if let Some(gate) = path.strip_prefix("/later/") {
            self.0.later(trail(Some(request)), gate, Some(reply))
        } else if let Some(gate) = path.strip_prefix("/panic/") {
            self.0.later(trail(Some(request)), gate, None)
        } else if path == "/big" {
            Handled::Now(Reply::json(200, vec![b'x'; 100_000]))
        } else {
            assert!(!path.starts_with("/panic"), "a panic was asked for");
            Handled::Now(reply)
        }
    }

    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply> {
        (request.path() == "/missing").then(|| self.fault(None, 404, "Not found"))
    }

    fn fault(&self, request: Option<&Request<'_>>, status: u16, message: &str) -> Reply {
        if status == 500 {
            let trail = trail(request);
            let again = request.is_some_and(|request| request.path() == "/panic-again");
            assert!(!again, "a panic was asked for");
            return Reply::error(500, message, &trail.id, None).ended(trail);
        }
        let mut body = Vec::new();
        ErrorBody {
            error: message,
            code: status,
            request_id: "id",
            details: None,
        }
        .append(&mut body);
        Reply::json(status, body)
    }

    fn recorder(&self) -> &Recorder {
        &self.0.books.0
    }

    fn request_log(&self) -> &RequestLog {
        &self.0.books.1
    }

    fn draining(&self) -> bool {
        self.0.draining.get()
    }

    fn now(&self) -> Instant {
        *START + self.0.clock.get()
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        imf_fixdate(0)
    }
}
