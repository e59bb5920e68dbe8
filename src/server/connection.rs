//! One client connection: requests in, answers out, in order, within bounds and deadlines.
//!
//! A state machine that is polled as one task. It is generic over its transport, so that a test
//! can split, stall and corrupt what it reads, and over its handler.

mod ending;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::accounts::Accounts;
use super::deadlines::{Deadlines, Wait};
use super::handler::{Handled, Handler};
use super::pending::{Manner, Pending};
use super::reading::{Reading, Taken};
use super::reply::Reply;
use super::transport::Transport;
use crate::config::{Limits, Timeouts};
use crate::http::{Envelope, Persistence};
use crate::metrics::Closed;

/// Unsent bytes past which nothing more is written, and no further request of the connection begun,
/// before all of them are sent.
pub(super) const UNSENT_MAX: usize = 256 * 1024;

/// Requests of one connection that are taken in one pass. Every connection gets its turn in each
/// pass, so no client waits for more than this many of another's.
pub(super) const BURST_MAX: usize = 64;

/// See the head of this file. What it holds at a time, in bytes of memory:
///
/// - `input <= max(64 KiB, 2 * head_bytes_max)`, plus what arrives before the kernel stops receiving;
/// - `body <= body_bytes_max` while one request is read;
/// - `pending < PENDING_BYTES_MAX + one answer`, as far as what comes is what was expected;
/// - `unsent < UNSENT_MAX + one answer`;
///
/// and nothing of that while it is idle.
pub struct Connection<T, H> {
    transport: T,
    handler: Rc<H>,
    limits: Limits,
    deadlines: Deadlines,
    reading: Reading,
    pending: Pending,
    /// Nothing is written before all that is unsent has been sent.
    clogged: bool,
    /// No further request is read.
    last_read: bool,
    /// The pass of the last poll, and the requests taken in it.
    pass: Option<Instant>,
    burst: usize,
    stage: Stage,
    accounts: Accounts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The last answer is being sent; afterwards the input is ignored for a while, if it has to be.
    Ending {
        linger: bool,
    },
    /// Ignoring input, so that the client gets to read its answer (RFC 9112 §9.6).
    Lingering {
        ignored: usize,
    },
}

impl<T: Transport, H: Handler> Connection<T, H> {
    /// A connection that has just been accepted.
    pub fn new(transport: T, handler: Rc<H>, limits: Limits, timeouts: Timeouts) -> Self {
        Connection {
            transport,
            handler,
            limits,
            deadlines: Deadlines::new(timeouts),
            reading: Reading::default(),
            pending: Pending::default(),
            clogged: false,
            last_read: false,
            pass: None,
            burst: 0,
            stage: Stage::Serving,
            accounts: Accounts::new(),
        }
    }

    /// Answers nothing but this, and ends.
    pub fn refusing(mut self, status: u16, message: &str) -> Self {
        let reply = self.handler.fault(None, status, message);
        self.enqueue_last(reply, false);
        self
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
        let Connection {
            transport,
            handler,
            mut pending,
            accounts,
            ..
        } = self;
        accounts.end(&*handler);
        // The client's socket goes at once. What was begun for it holds places elsewhere.
        drop(transport);
        poll_fn(|context| pending.poll_abandoned(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = self.handler.now();
        if self.pass.replace(now) != Some(now) {
            self.burst = 0;
            self.accounts.begin_pass();
        }
        loop {
            match self.stage {
                Stage::Lingering { ignored } => return self.poll_linger(context, ignored),
                Stage::Serving => self.read_requests(),
                Stage::Ending { .. } => {}
            }
            let answered = self.poll_answers(context);
            if self.stage == Stage::Serving && self.last_read && self.pending.is_empty() {
                self.stage = Stage::Ending { linger: false };
            }
            if self.burst >= BURST_MAX && self.transport.unread() > self.reading.seen() {
                // Others have waited long enough: the rest comes with the next pass.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if answered && self.stage == Stage::Serving {
                continue; // room for further requests that have arrived already
            }
            match self.poll_peer(context) {
                Poll::Ready(Step::Again) => {}
                Poll::Ready(Step::Over) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Takes whole requests out of the input while there is room for their answers.
    fn read_requests(&mut self) {
        while !self.last_read && self.burst < BURST_MAX && self.flows() && self.pending.has_room() {
            if self.transport.unread() > 0 {
                self.accounts.reading(self.transport.received_first());
            }
            let taken = self.reading.take(
                &self.transport,
                &*self.handler,
                &self.limits,
                self.pending.len(),
            );
            match taken {
                Taken::Nothing => break,
                Taken::Request {
                    handled,
                    persistence,
                    head_only,
                } => {
                    self.last_read = persistence == Persistence::Close;
                    let manner = Manner {
                        persistence,
                        head_only,
                        first: self.accounts.take_first(self.handler.now()),
                    };
                    self.enqueue(handled, manner);
                }
                Taken::Refused { reply, head_only } => {
                    self.last_read = true;
                    self.accounts.ends(Closed::Refused);
                    self.enqueue_last(reply, head_only);
                }
            }
            self.deadlines.received();
            self.burst += 1;
        }
    }

    /// Whether answers may be written.
    fn flows(&mut self) -> bool {
        let unsent = self.transport.unsent();
        if unsent == 0 {
            self.clogged = false;
            self.deadlines.sent();
            self.handed();
        } else if unsent >= UNSENT_MAX || self.deadlines.is_pressing(self.handler.now()) {
            self.clogged = true;
        }
        !self.clogged
    }

    fn enqueue(&mut self, handled: Handled, manner: Manner) {
        match handled {
            // First in line: it never waits.
            Handled::Now(reply) if self.pending.is_empty() => self.write(manner, reply),
            handled => self.pending.push(handled, manner),
        }
    }

    /// Enqueues an answer after which the connection ends.
    fn enqueue_last(&mut self, reply: Reply, head_only: bool) {
        let manner = Manner {
            persistence: Persistence::Close,
            head_only,
            first: self.accounts.take_first(self.handler.now()),
        };
        self.enqueue(Handled::Now(reply.closing()), manner);
    }

    /// Polls the answers to come and writes those that are ready, in order; whether any was.
    fn poll_answers(&mut self, context: &mut Context<'_>) -> bool {
        self.pending.poll(context);
        let mut written = false;
        while self.pending.is_ready()
            && self.flows()
            && let Some((reply, manner)) = self.pending.pop_ready()
        {
            self.write(manner, reply);
            written = true;
        }
        written
    }

    fn write(&mut self, manner: Manner, mut reply: Reply) {
        // What has arrived already is still answered, unless it is time to end.
        let is_last =
            self.pending.is_empty() && (self.transport.unread() == 0 || self.handler.dismisses());
        let stopping = self.handler.draining() && is_last;
        let close = reply.close || stopping;
        let envelope = Envelope {
            date: &self.handler.date(),
            persistence: if close {
                Persistence::Close
            } else {
                manner.persistence
            },
            head_only: manner.head_only,
        };
        if self.transport.unsent() == 0 {
            self.deadlines.sent();
            self.accounts.nothing_unsent();
        }
        self.transport.write(|out| reply.write(&envelope, out));
        let (unsent, refused) = (self.transport.unsent(), reply.close);
        let handler = &*self.handler;
        self.accounts.written(handler, manner, &mut reply, unsent);
        self.deadlines.written(self.handler.now());
        if envelope.persistence == Persistence::Close {
            self.last_read = true;
            if stopping {
                self.accounts.ends(Closed::Drain);
            } else if refused && self.accounts.end_is_open() {
                self.accounts.ends(Closed::Refused);
            }
            // What the client still sends would otherwise reset the connection under the answer; one
            // that has not asked for the end may be sending.
            self.stage = Stage::Ending { linger: close };
        }
    }

    /// The kernel has all that was written.
    fn handed(&mut self) {
        self.accounts.handed(&*self.handler);
    }

    /// Waits for what the peer does next: more bytes, or reading what it was sent.
    fn poll_peer(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let now = self.handler.now();
        if let Stage::Ending { linger } = self.stage {
            self.hold(now);
            self.transport.finish();
            return self.poll_end(context, linger);
        }
        if !self.flows() {
            self.hold(now);
            return match self.transport.poll_drain(context, 0) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) => Poll::Ready(Step::Again),
                Poll::Ready(Err(error)) => Poll::Ready(self.failed(&error)),
            };
        }
        if self.last_read || !self.pending.has_room() || self.reading.holds_back() {
            self.hold(now);
            return self.poll_gone(context);
        }
        if self.handler.dismisses() && self.pending.is_empty() && self.reading.is_idle() {
            self.accounts.ends(Closed::Drain);
            return Poll::Ready(self.end_idle());
        }
        self.deadlines.expect(self.awaited(), now);
        self.deadlines.set(&self.transport, now);
        match self.transport.poll_fill(context, self.reading.seen()) {
            Poll::Pending => self.poll_handed(context),
            Poll::Ready(Ok(true)) => Poll::Ready(Step::Again),
            Poll::Ready(Ok(false)) => {
                // Half-closed: what was asked is still answered.
                self.last_read = true;
                self.pending.abandon();
                Poll::Ready(Step::Again)
            }
            Poll::Ready(Err(error)) => Poll::Ready(self.failed(&error)),
        }
    }

    /// Nothing has come: where the kernel does not have every answer yet, this waits for that as well.
    fn poll_handed(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if self.accounts.are_open()
            && let Poll::Ready(Ok(())) = self.transport.poll_drain(context, 0)
        {
            self.handed();
        }
        Poll::Pending
    }

    /// Waits for an answer to come, which wakes this task, and looks whether the client is still
    /// there and reads, whatever it sends.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        match self.transport.poll_fill(context, usize::MAX) {
            Poll::Ready(Err(error)) => return Poll::Ready(self.failed(&error)),
            Poll::Ready(Ok(_)) => self.pending.abandon(),
            Poll::Pending => {}
        }
        match self.transport.poll_drain(context, 0) {
            Poll::Ready(Err(error)) => Poll::Ready(self.failed(&error)),
            _ => Poll::Pending,
        }
    }

    /// What the client is to send, as far as it is the one that is waited for.
    fn awaited(&self) -> Option<Wait> {
        if self.reading.holds_back_body() {
            None
        } else if self.reading.in_body() {
            Some(Wait::Body)
        } else if !self.reading.is_idle() {
            Some(Wait::Header)
        } else {
            self.pending.is_empty().then_some(Wait::KeepAlive)
        }
    }

    fn hold(&mut self, now: Instant) {
        self.deadlines.hold(now);
        self.deadlines.set(&self.transport, now);
    }
}

enum Step {
    Again,
    Over,
}
