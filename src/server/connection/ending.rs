//! How a connection ends: by a fault of its socket, by a deadline, or after its last answer.

use std::io;
use std::task::{Context, Poll};

use super::{Connection, Stage, Step};
use crate::limits::LINGER_BYTES_MAX;
use crate::metrics::Closed;
use crate::server::deadlines::Wait;
use crate::server::handler::Handler;
use crate::server::transport::Transport;

impl<T: Transport, H: Handler> Connection<T, H> {
    pub(super) fn failed(&mut self, error: &io::Error) -> Step {
        match error.kind() {
            // The kernel gives up on a peer by the same name.
            io::ErrorKind::TimedOut if error.raw_os_error().is_none() => self.timed_out(),
            _ => {
                self.accounts.ends(Closed::Failed);
                self.abandon()
            }
        }
    }

    fn timed_out(&mut self) -> Step {
        let unsent = self.transport.unsent();
        if unsent == 0 {
            self.deadlines.sent();
        }
        let overdue = self.deadlines.expire(&self.transport, self.handler.now());
        match overdue {
            None => Step::Again,
            Some(Wait::Write) => {
                // What the kernel has of it would be sent for minutes to come.
                self.transport.reset_at_close();
                self.accounts.ends(Closed::Deadline);
                self.abandon()
            }
            Some(Wait::KeepAlive) if unsent > 0 => {
                self.deadlines.received(); // not idle: its last answer is still being sent
                Step::Again
            }
            Some(Wait::Linger) => self.end_idle(),
            Some(Wait::KeepAlive) => {
                self.accounts.ends(Closed::Idle);
                self.end_idle()
            }
            Some(Wait::Header | Wait::Body) => {
                self.last_read = true;
                self.accounts.ends(Closed::Deadline);
                let request = self.reading.request();
                let message = "Request took too long to arrive";
                let reply = self.handler.fault(request.as_ref(), 408, message);
                let head_only = self.reading.is_of_head();
                self.enqueue_last(reply, head_only);
                Step::Again
            }
        }
    }

    /// Closes between two requests, without a word.
    pub(super) fn end_idle(&mut self) -> Step {
        self.transport.consume(self.transport.unread()); // at most empty lines
        self.last_read = true;
        self.stage = Stage::Ending { linger: false };
        Step::Again
    }

    /// Sends what is left, then closes or lingers.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>, linger: bool) -> Poll<Step> {
        match self.transport.poll_drain(context, 0) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if linger || self.transport.unread() > 0 => {
                self.handed();
                self.transport.shutdown_write();
                self.stage = Stage::Lingering { ignored: 0 };
                Poll::Ready(Step::Again)
            }
            Poll::Ready(Ok(())) => {
                self.handed();
                Poll::Ready(Step::Over)
            }
            Poll::Ready(Err(error)) => Poll::Ready(self.failed(&error)),
        }
    }

    pub(super) fn poll_linger(
        &mut self,
        context: &mut Context<'_>,
        mut ignored: usize,
    ) -> Poll<()> {
        let now = self.handler.now();
        self.deadlines.sent();
        self.deadlines.expect(Some(Wait::Linger), now);
        self.deadlines.set(&self.transport, now);
        loop {
            let unread = self.transport.unread();
            self.transport.consume(unread);
            ignored += unread;
            self.stage = Stage::Lingering { ignored };
            if ignored > LINGER_BYTES_MAX {
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
        self.pending.abandon();
        Step::Over
    }
}
