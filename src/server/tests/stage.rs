//! The loop that polls a connection when, and only when, it was woken, and what the client sees.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::script::{BODY, BODY_BYTES_MAX, HEADER, KEEP_ALIVE, Script, Shared, WRITE, Wire, wake};
use crate::config::{Limits, Timeouts};
use crate::http::{HeadLimits, Method};
use crate::server::connection::Connection;
use crate::server::transport::Transport;

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
    /// From one poll to the next.
    pub step: Duration,
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
            step: Duration::from_nanos(1),
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
        // Each poll is in a pass of its own, unless the test says otherwise.
        self.script.clock.set(self.script.clock.get() + self.step);
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
        if self.wire.input.borrow().is_empty() {
            self.wire.received.set(self.wire.clock.get());
        }
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
        self.fail(libc::ECONNRESET);
    }

    /// The kernel gives up on the connection.
    pub fn fail(&mut self, error: i32) {
        self.wire.failure.set(Some(error));
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

    /// The client reads so many bytes and no more.
    pub fn take(&mut self, count: usize) {
        self.wire.take(count);
        self.settle();
    }

    pub fn pass(&mut self, time: Duration) {
        self.wire.clock.set(self.wire.clock.get() + time);
        self.script.clock.set(self.script.clock.get() + time);
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

    /// Bytes that the client has not read.
    pub fn unsent(&self) -> usize {
        self.wire.unsent()
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
