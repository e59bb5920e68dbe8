//! The script: a transport that does as it is told, a handler whose answers wait for their gate,
//! and the loop that polls a connection when, and only when, it was woken.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::config::{Limits, Timeouts};
use crate::http::{DATE_BYTES, HeadLimits, Method, Request, imf_fixdate};
use crate::server::connection::{Connection, Handled, Handler, Later, Transport};
use crate::server::reply::Reply;

pub const BODY_BYTES_MAX: usize = 1000;

pub const KEEP_ALIVE: Duration = Duration::from_secs(50);
pub const HEADER: Duration = Duration::from_secs(10);
pub const BODY: Duration = Duration::from_secs(20);
pub const WRITE: Duration = Duration::from_secs(30);

// ---- The transport ----

/// Both ends of one connection, as the ring would show them.
#[derive(Default)]
pub struct Wire {
    input: RefCell<Vec<u8>>,
    ended: Cell<bool>,
    failure: Cell<Option<io::ErrorKind>>,
    timed_out: Cell<bool>,
    /// Written, and not taken by the peer.
    output: RefCell<Vec<u8>>,
    /// Taken by the peer.
    sent: RefCell<Vec<u8>>,
    /// The peer reads nothing.
    pub stuck: Cell<bool>,
    pub shut: Cell<bool>,
    clock: Cell<Duration>,
    deadline: Cell<Option<Duration>>,
    /// How long after its setting each deadline was.
    pub deadlines: RefCell<Vec<Option<Duration>>>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Wire {
    fn failure(&self) -> Option<io::Error> {
        match self.timed_out.get() {
            true => Some(io::ErrorKind::TimedOut.into()),
            false => self.failure.get().map(io::Error::from),
        }
    }

    /// The peer takes what it is sent, unless it is stuck; whether there was anything.
    fn deliver(&self) -> bool {
        let mut output = self.output.borrow_mut();
        if self.stuck.get() || self.failure.get().is_some() || output.is_empty() {
            return false;
        }
        self.sent.borrow_mut().append(&mut output);
        wake(&self.writer);
        true
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
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
}

// ---- The handler ----

/// Answers by path: `/now…` at once, `/later/GATE` when the gate is open, `/panic` never,
/// `/panic/GATE` never either, but later; `/missing` is refused early, `/big` has 100,000 bytes.
/// The body of an answer is the request as the handler saw it.
#[derive(Default)]
pub struct Script {
    open: RefCell<BTreeSet<String>>,
    wakers: RefCell<BTreeMap<String, Waker>>,
    /// Gates that were asked for, in order.
    pub begun: RefCell<Vec<String>>,
    /// Gates whose future gave its answer, or was dropped without one.
    pub finished: RefCell<Vec<String>>,
    pub dropped: RefCell<Vec<String>>,
    pub abandoned: RefCell<Vec<String>>,
    pub handled: Cell<usize>,
    pub draining: Cell<bool>,
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

    fn later(self: &Rc<Self>, gate: &str, reply: Option<Reply>) -> Handled {
        self.begun.borrow_mut().push(gate.to_owned());
        let mut coming = Coming {
            script: self.clone(),
            gate: gate.to_owned(),
            finished: false,
        };
        let (script, abandoned) = (self.clone(), gate.to_owned());
        Handled::Later(Later {
            future: Box::pin(async move {
                coming.wait().await;
                reply.expect("a panic was asked for")
            }),
            abandon: Some(Box::new(move || {
                script.abandoned.borrow_mut().push(abandoned);
            })),
        })
    }
}

/// The handler's own type is shared with the test.
pub struct Shared(pub Rc<Script>);

impl Handler for Shared {
    fn handle(&self, request: &Request<'_>, body: &[u8]) -> Handled {
        self.0.handled.set(self.0.handled.get() + 1);
        let path = request.path();
        let body = String::from_utf8_lossy(body);
        let text = format!("{} {path} {body}", request.method().name());
        let reply = Reply::json(200, text.into_bytes());
        if let Some(gate) = path.strip_prefix("/later/") {
            self.0.later(gate, Some(reply))
        } else if let Some(gate) = path.strip_prefix("/panic/") {
            self.0.later(gate, None)
        } else if path == "/big" {
            Handled::Now(Reply::json(200, vec![b'x'; 100_000]))
        } else {
            assert_ne!(path, "/panic", "a panic was asked for");
            Handled::Now(reply)
        }
    }

    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply> {
        (request.path() == "/missing").then(|| self.fault(404, "Not found"))
    }

    fn fault(&self, status: u16, message: &str) -> Reply {
        Reply::error(status, message, "id", None)
    }

    fn draining(&self) -> bool {
        self.0.draining.get()
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        imf_fixdate(0)
    }
}

// ---- The loop ----

#[derive(Default)]
struct Flag {
    woken: AtomicBool,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
    }
}

/// A connection between script and test.
pub struct Stage {
    pub wire: Rc<Wire>,
    pub script: Rc<Script>,
    flag: Arc<Flag>,
    connection: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Stage {
    pub fn new() -> Stage {
        let wire: Rc<Wire> = Rc::default();
        let script: Rc<Script> = Rc::default();
        let limits = Limits {
            connections: 1,
            in_flight: 1,
            head: HeadLimits::default(),
            body_bytes: BODY_BYTES_MAX,
        };
        let timeouts = Timeouts {
            keep_alive: KEEP_ALIVE,
            header: HEADER,
            body: BODY,
            write: WRITE,
            drain: Duration::ZERO,
        };
        let handler = Rc::new(Shared(script.clone()));
        let connection = Connection::new(wire.clone(), handler, limits, timeouts);
        let mut stage = Stage {
            wire,
            script,
            flag: Arc::default(),
            connection: Some(Box::pin(connection.run())),
        };
        stage.flag.woken.store(true, Ordering::Relaxed);
        stage.settle();
        stage
    }

    /// One poll, if the connection was woken; whether it was.
    pub fn poll_once(&mut self) -> bool {
        if !self.flag.woken.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(self.flag.clone());
        if let Some(connection) = &mut self.connection
            && connection
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        {
            self.connection = None;
        }
        true
    }

    /// Polls and delivers until nothing more comes of it.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.poll_once() && !self.wire.deliver() {
                return;
            }
        }
        panic!("the connection spins");
    }

    /// Bytes arrive; the connection is not polled yet.
    pub fn arrive(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire
            .input
            .borrow_mut()
            .extend_from_slice(bytes.as_ref());
        wake(&self.wire.reader);
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.arrive(bytes);
        self.settle();
    }

    /// The client ends its side.
    pub fn finish_sending(&mut self) {
        self.wire.ended.set(true);
        wake(&self.wire.reader);
        self.settle();
    }

    /// The client is gone.
    pub fn reset(&mut self) {
        self.wire.failure.set(Some(io::ErrorKind::ConnectionReset));
        self.wire.ended.set(true);
        wake(&self.wire.reader);
        wake(&self.wire.writer);
        self.settle();
    }

    pub fn open(&mut self, gate: &str) {
        self.script.open.borrow_mut().insert(gate.to_owned());
        if let Some(waker) = self.script.wakers.borrow_mut().remove(gate) {
            waker.wake();
        }
        self.settle();
    }

    /// The server stops, as the shard would do it.
    pub fn drain(&mut self) {
        self.script.draining.set(true);
        wake(&self.wire.reader);
        self.settle();
    }

    /// The client reads again.
    pub fn unstick(&mut self) {
        self.wire.stuck.set(false);
        self.settle();
    }

    pub fn pass(&mut self, time: Duration) {
        self.wire.clock.set(self.wire.clock.get() + time);
        let now = self.wire.clock.get();
        if self.wire.deadline.get().is_some_and(|at| at <= now) {
            self.wire.deadline.set(None);
            self.wire.timed_out.set(true);
            wake(&self.wire.reader);
            wake(&self.wire.writer);
        }
        self.settle();
    }

    pub fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    /// What the client has read so far.
    pub fn read(&self) -> String {
        String::from_utf8_lossy(&self.wire.sent.borrow()).into_owned()
    }

    /// The answers that the client has read.
    pub fn answers(&self) -> Vec<Answer> {
        answers(&self.wire.sent.borrow(), &[])
    }

    /// The bodies of the answers.
    pub fn bodies(&self) -> Vec<String> {
        self.answers()
            .into_iter()
            .map(|answer| answer.body)
            .collect()
    }

    /// The statuses of the answers.
    pub fn statuses(&self) -> Vec<u16> {
        self.answers().iter().map(|answer| answer.status).collect()
    }

    /// The deadline that is set.
    pub fn deadline(&self) -> Option<Duration> {
        *self.wire.deadlines.borrow().last().expect("one is set")
    }
}

/// A response as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn closes(&self) -> bool {
        self.head.contains("connection: close\r\n")
    }
}

/// Takes the responses apart; `methods` tells which of them answer HEAD, GET where it ends.
pub fn answers(mut bytes: &[u8], methods: &[Method]) -> Vec<Answer> {
    let mut methods = methods.iter();
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
        let (head, rest) = bytes.split_at(end.expect("a whole head") + 4);
        let head = String::from_utf8(head.to_vec()).expect("ASCII");
        let status = head["HTTP/1.1 ".len()..][..3].parse().expect("a status");
        let method = match status {
            100 => Method::Head,
            _ => *methods.next().unwrap_or(&Method::Get),
        };
        let length = head
            .split("content-length: ")
            .nth(1)
            .filter(|_| method != Method::Head)
            .map_or(0, |rest| {
                let digits = rest.split("\r\n").next().expect("a line");
                digits.parse().expect("a length")
            });
        let (body, rest) = rest.split_at(length);
        answers.push(Answer {
            status,
            head,
            body: String::from_utf8_lossy(body).into_owned(),
        });
        bytes = rest;
    }
    answers
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}
