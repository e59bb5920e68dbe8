//! Who answers requests, as a connection sees it, and what a panic of theirs becomes.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::time::Instant;

use super::reply::Reply;
use crate::guard::Trail;
use crate::http::{DATE_BYTES, Request};
use crate::log::{self, RequestLog};
use crate::metrics::Recorder;

/// Who answers requests.
pub trait Handler {
    /// Answers now, or later without blocking the connection's other requests: `company` of them came
    /// before this one and are not answered yet.
    fn handle(&self, request: &Request<'_>, body: &[u8], company: usize) -> Handled;
    /// An answer that needs no body, for a client that asks before it sends one; it closes.
    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply>;
    /// The answer to bytes that are no request, or to one that took too long, both of which close; or to
    /// one whose handling panicked. The request is given where its head was read.
    fn fault(&self, request: Option<&Request<'_>>, status: u16, message: &str) -> Reply;
    /// What the core records its work with.
    fn recorder(&self) -> &Recorder;
    /// What the core tells the log of requests with.
    fn request_log(&self) -> &RequestLog;
    /// The server is stopping, or another process serves in its place: connections end after the answer that they
    /// are at.
    fn draining(&self) -> bool;
    /// Connections that ask for nothing end, too.
    fn dismisses(&self) -> bool {
        self.draining()
    }
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
    /// Gives the answer, and never panics.
    pub(super) future: Pin<Box<dyn Future<Output = Reply>>>,
    /// Bytes that its body is expected to have.
    pub(super) bytes: usize,
    /// Called when the client goes away first.
    pub(super) abandon: Option<Box<dyn FnOnce()>>,
}

impl Later {
    /// What `answering` gives in the end, with the trail: of a panic, too. `bytes` and `abandon`: see the
    /// members.
    pub fn new(
        mut trail: Box<Trail>,
        bytes: usize,
        abandon: Option<Box<dyn FnOnce()>>,
        answering: impl AsyncFnOnce(&mut Trail) -> Reply + 'static,
    ) -> Later {
        let future = Box::pin(async move {
            let reply = caught(answering(&mut trail)).await;
            reply
                .unwrap_or_else(|Panicked| {
                    tell(&trail);
                    Reply::error(500, MESSAGE, &trail.id, None).panicked()
                })
                .ended(trail)
        });
        Later {
            future,
            bytes,
            abandon,
        }
    }
}

/// What a client is told of a panic.
const MESSAGE: &str = "Internal server error";

/// A panic in one request's handling is answered 500, as that request's own, and harms nobody else.
pub(super) fn guarded<H: Handler + ?Sized>(
    handler: &H,
    request: &Request<'_>,
    body: &[u8],
    company: usize,
) -> Handled {
    let handle = || handler.handle(request, body, company);
    let handled = catch_unwind(AssertUnwindSafe(handle));
    handled.unwrap_or_else(|_| {
        let fault = |request| AssertUnwindSafe(move || handler.fault(request, 500, MESSAGE));
        // What the head says may be what it panicked over.
        let reply = catch_unwind(fault(Some(request)));
        let reply = reply.unwrap_or_else(|_| fault(None)());
        reply.trail.iter().for_each(|trail| tell(trail));
        Handled::Now(reply.panicked())
    })
}

/// A future that was polled to its end, or to its panic.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

struct Panicked;

/// What it was about the panic itself has told.
fn tell(trail: &Trail) {
    if log::panics::are_told() {
        tracing::error!(request_id = %trail.id, "a request's handling panicked");
    }
}
