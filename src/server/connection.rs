//! One client connection: requests in, answers out, in order, within bounds and deadlines.
//!
//! A state machine that is polled as one task. It is generic over its transport, so that a test
//! can split, stall and corrupt what it reads, and over its handler.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::handler::{Handled, Handler, Later, poll_guarded};
use super::reading::{Reading, Taken};
use super::reply::Reply;
use super::transport::Transport;
use crate::config::{Limits, Timeouts};
use crate::http::{Envelope, Persistence};
use crate::limits;

/// Unsent bytes past which no further request of the connection is begun.
pub(super) const UNSENT_MAX: usize = 256 * 1024;

/// Requests handled before other connections get their turn.
pub(super) const BURST_MAX: usize = 64;

/// See the head of this file.
pub struct Connection<T, H> {
    transport: T,
    handler: Rc<H>,
    limits: Limits,
    timeouts: Timeouts,
    reading: Reading,
    /// Answers that are not written yet, in the order of their requests.
    pending: VecDeque<Pending>,
    /// No further request is read.
    last_read: bool,
    /// What the deadline that is set is for.
    waiting: Option<Wait>,
    stage: Stage,
}

struct Pending {
    answer: Answer,
    manner: Manner,
}

/// What the request says about its answer.
#[derive(Clone, Copy)]
struct Manner {
    persistence: Persistence,
    head_only: bool,
}

enum Answer {
    Ready(Reply),
    Coming(Later),
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
    /// The client is gone; only answers to come are waited for.
    Abandoned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    KeepAlive,
    Header,
    Body,
    Write,
    Answer,
    Linger,
}

impl<T: Transport, H: Handler> Connection<T, H> {
    /// A connection that has just been accepted.
    pub fn new(transport: T, handler: Rc<H>, limits: Limits, timeouts: Timeouts) -> Self {
        Connection {
            transport,
            handler,
            limits,
            timeouts,
            reading: Reading::default(),
            pending: VecDeque::new(),
            last_read: false,
            waiting: None,
            stage: Stage::Serving,
        }
    }

    /// Answers nothing but this, and ends.
    pub fn refusing(mut self, status: u16, message: &str) -> Self {
        let reply = self.handler.fault(status, message);
        self.enqueue_last(reply, false);
        self
    }

    /// Serves the connection until it ends.
    pub async fn run(mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut burst = 0;
        loop {
            match self.stage {
                Stage::Abandoned => return self.poll_abandoned(context),
                Stage::Lingering { ignored } => return self.poll_linger(context, ignored),
                Stage::Serving => burst += self.read_requests(),
                Stage::Ending { .. } => {}
            }
            let answered = self.poll_answers(context);
            if self.stage == Stage::Serving && self.last_read && self.pending.is_empty() {
                self.stage = Stage::Ending { linger: false };
            }
            if burst >= BURST_MAX {
                // Others have waited long enough: go to the end of the line.
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

    /// Takes whole requests out of the input while there is room for their answers; how many.
    fn read_requests(&mut self) -> usize {
        let mut count = 0;
        while !self.last_read
            && count < BURST_MAX
            && self.pending.len() < limits::PIPELINED_MAX
            && self.transport.unsent() < UNSENT_MAX
        {
            let taken = self.reading.take(
                &self.transport,
                &*self.handler,
                &self.limits,
                self.pending.is_empty(),
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
                    };
                    self.enqueue(handled, manner);
                }
                Taken::Refused { reply, head_only } => {
                    self.last_read = true;
                    self.enqueue_last(reply, head_only);
                }
            }
            // The next wait is a new one, with its whole time.
            self.waiting = None;
            count += 1;
        }
        count
    }

    fn enqueue(&mut self, handled: Handled, manner: Manner) {
        let answer = match handled {
            // First in line: it never waits.
            Handled::Now(reply) if self.pending.is_empty() => return self.write(manner, &reply),
            Handled::Now(reply) => Answer::Ready(reply),
            Handled::Later(later) => Answer::Coming(later),
        };
        self.pending.push_back(Pending { answer, manner });
    }

    /// Enqueues an answer after which the connection ends.
    fn enqueue_last(&mut self, reply: Reply, head_only: bool) {
        let manner = Manner {
            persistence: Persistence::Close,
            head_only,
        };
        self.enqueue(Handled::Now(reply.closing()), manner);
    }

    /// Polls the answers to come and writes those that are ready, in order; whether any was.
    fn poll_answers(&mut self, context: &mut Context<'_>) -> bool {
        for pending in &mut self.pending {
            if let Answer::Coming(later) = &mut pending.answer
                && let Poll::Ready(reply) = poll_guarded(&mut later.future, context, &*self.handler)
            {
                pending.answer = Answer::Ready(reply);
            }
        }
        let mut written = false;
        while let Some(Pending {
            answer: Answer::Ready(_),
            ..
        }) = self.pending.front()
        {
            let pending = self.pending.pop_front().expect("there is a front");
            if let Answer::Ready(reply) = &pending.answer {
                self.write(pending.manner, reply);
            }
            written = true;
        }
        written
    }

    fn write(&mut self, manner: Manner, reply: &Reply) {
        let stopping = self.handler.draining() && self.pending.is_empty();
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
        self.transport.write(|out| reply.write(&envelope, out));
        if envelope.persistence == Persistence::Close {
            self.last_read = true;
            // What the client still sends would otherwise reset the connection under the answer; one
            // that has not asked for the end may be sending.
            self.stage = Stage::Ending { linger: close };
        }
    }

    /// Waits for what the peer does next: more bytes, or reading what it was sent.
    fn poll_peer(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        if let Stage::Ending { linger } = self.stage {
            self.wait_for(Wait::Write);
            self.transport.finish();
            return self.poll_end(context, linger);
        }
        if self.transport.unsent() >= UNSENT_MAX {
            self.wait_for(Wait::Write);
            return match self.transport.poll_drain(context, UNSENT_MAX - 1) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(())) => Poll::Ready(Step::Again),
                Poll::Ready(Err(_)) => Poll::Ready(self.abandon()),
            };
        }
        if self.last_read || self.pending.len() >= limits::PIPELINED_MAX {
            self.wait_for(Wait::Answer);
            return self.poll_gone(context);
        }
        if self.handler.draining() && self.pending.is_empty() && self.reading.is_idle() {
            return Poll::Ready(self.end_idle());
        }
        self.wait_for(self.awaited());
        match self.transport.poll_fill(context, self.reading.seen()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(true)) => Poll::Ready(Step::Again),
            Poll::Ready(Ok(false)) => {
                // Half-closed: what was asked is still answered.
                self.last_read = true;
                self.abandon_cancellable();
                Poll::Ready(Step::Again)
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Poll::Ready(self.timed_out())
            }
            Poll::Ready(Err(_)) => Poll::Ready(self.abandon()),
        }
    }

    /// Waits for an answer to come, which wakes this task, and looks whether the client is still
    /// there, whatever it sends.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        match self.transport.poll_fill(context, usize::MAX) {
            Poll::Ready(Err(_)) => Poll::Ready(self.abandon()),
            Poll::Ready(Ok(_)) => {
                self.abandon_cancellable();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// What is being waited for when more input is.
    fn awaited(&self) -> Wait {
        if self.reading.holds_back_body() {
            Wait::Answer
        } else if self.reading.in_body() {
            Wait::Body
        } else if !self.reading.is_idle() {
            Wait::Header
        } else if self.pending.is_empty() {
            Wait::KeepAlive
        } else {
            Wait::Answer
        }
    }

    /// Sets the deadline of a wait that begins; one that goes on keeps its own.
    fn wait_for(&mut self, wait: Wait) {
        if self.waiting == Some(wait) {
            return;
        }
        self.waiting = Some(wait);
        self.transport.set_deadline(match wait {
            Wait::KeepAlive => Some(self.timeouts.keep_alive),
            Wait::Header => Some(self.timeouts.header),
            Wait::Body => Some(self.timeouts.body),
            Wait::Write => Some(self.timeouts.write),
            Wait::Answer => None,
            Wait::Linger => Some(limits::LINGER),
        });
    }

    fn timed_out(&mut self) -> Step {
        if self.waiting.take() == Some(Wait::KeepAlive) {
            return self.end_idle();
        }
        self.last_read = true;
        let reply = self.handler.fault(408, "Request took too long to arrive");
        let head_only = self.reading.is_of_head();
        self.enqueue_last(reply, head_only);
        Step::Again
    }

    /// Closes between two requests, without a word.
    fn end_idle(&mut self) -> Step {
        self.transport.consume(self.transport.unread()); // at most empty lines
        self.last_read = true;
        self.stage = Stage::Ending { linger: false };
        Step::Again
    }

    /// Sends what is left, then closes or lingers.
    fn poll_end(&mut self, context: &mut Context<'_>, linger: bool) -> Poll<Step> {
        match self.transport.poll_drain(context, 0) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if linger || self.transport.unread() > 0 => {
                self.transport.shutdown_write();
                self.stage = Stage::Lingering { ignored: 0 };
                Poll::Ready(Step::Again)
            }
            Poll::Ready(_) => Poll::Ready(Step::Over),
        }
    }

    fn poll_linger(&mut self, context: &mut Context<'_>, mut ignored: usize) -> Poll<()> {
        self.wait_for(Wait::Linger);
        loop {
            let unread = self.transport.unread();
            self.transport.consume(unread);
            ignored += unread;
            self.stage = Stage::Lingering { ignored };
            if ignored > limits::LINGER_BYTES_MAX {
                return Poll::Ready(());
            }
            match self.transport.poll_fill(context, 0) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The client is gone: nothing is written any more.
    fn abandon(&mut self) -> Step {
        self.abandon_cancellable();
        self.stage = Stage::Abandoned;
        Step::Again
    }

    fn abandon_cancellable(&mut self) {
        for pending in &mut self.pending {
            if let Answer::Coming(later) = &mut pending.answer
                && let Some(abandon) = later.abandon.take()
            {
                abandon();
            }
        }
    }

    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let handler = self.handler.clone();
        self.pending
            .retain_mut(|pending| match &mut pending.answer {
                Answer::Ready(_) => false,
                Answer::Coming(later) => {
                    poll_guarded(&mut later.future, context, &*handler).is_pending()
                }
            });
        match self.pending.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

enum Step {
    Again,
    Over,
}
