//! Who answers requests, as a connection sees it, and what a panic of theirs becomes.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::reply::Reply;
use crate::http::{DATE_BYTES, Request};
use crate::metrics::Recorder;

/// Who answers requests.
pub trait Handler {
    /// Answers now, or later without blocking the connection's other requests: `company` of them came
    /// before this one and are not answered yet.
    fn handle(&self, request: &Request<'_>, body: &[u8], company: usize) -> Handled;
    /// An answer that needs no body, for a client that asks before it sends one; it closes.
    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply>;
    /// The answer to bytes that are no request, or to one that took too long; it closes. The request is
    /// given where its head was read.
    fn fault(&self, request: Option<&Request<'_>>, status: u16, message: &str) -> Reply;
    /// What the core records its work with.
    fn recorder(&self) -> &Recorder;
    /// The server is stopping: connections end after the answer that they are at.
    fn draining(&self) -> bool;
    /// The time of the pass.
    fn now(&self) -> Instant;
    /// The current second as IMF-fixdate.
    fn date(&self) -> [u8; DATE_BYTES];
}

/// How a request is answered.
pub enum Handled {
    /// At once.
    Now(Reply),
    /// When the future is done.
    Later(Later),
}

/// An answer to come. It is always waited for, even when the client has gone, as it holds a place
/// on a database connection until Postgres has answered.
pub struct Later {
    /// Gives the answer.
    pub future: Pin<Box<dyn Future<Output = Reply>>>,
    /// Bytes that its body is expected to have.
    pub bytes: usize,
    /// Called when the client goes away first.
    pub abandon: Option<Box<dyn FnOnce()>>,
}

/// A panic in one request's handling is answered 500 and harms nobody else.
pub(super) fn guarded<H: Handler + ?Sized>(handler: &H, work: impl FnOnce() -> Handled) -> Handled {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Handled::Now(panicked(handler)))
}

pub(super) fn poll_guarded<H: Handler + ?Sized>(
    future: &mut Pin<Box<dyn Future<Output = Reply>>>,
    context: &mut Context<'_>,
    handler: &H,
) -> Poll<Reply> {
    catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)))
        .unwrap_or_else(|_| Poll::Ready(panicked(handler)))
}

fn panicked<H: Handler + ?Sized>(handler: &H) -> Reply {
    tracing::error!("a request's handling panicked");
    handler.recorder().count(|counters| counters.panics += 1);
    handler.fault(None, 500, "Internal server error")
}
