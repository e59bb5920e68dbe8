//! Spawning tasks so that the ring knows whether any of them ran, and that a panic ends one of them
//! and nothing else: unwinding out of a task would end the executor, and with it the core.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Ring;

/// Before a task that panicked is begun again: one that always does must not fill the log.
const RESTART_PAUSE: Duration = Duration::from_millis(250);

/// A task that has panicked; what it held has been dropped.
struct Panicked;

/// Counts polls of the core's tasks.
#[derive(Default)]
pub(super) struct Tasks {
    polled: Cell<u64>,
}

impl Tasks {
    pub(super) fn polled(&self) -> u64 {
        self.polled.get()
    }
}

impl Ring {
    /// Runs `future` as a task of this core, detached: it ends by ending what it waits for, or with
    /// its first panic, which the log is told of.
    ///
    /// Every task of a core is spawned here, as the pass blocks only when none of them is
    /// runnable and knows that by counting their polls.
    pub fn spawn(self: &Rc<Self>, future: impl Future<Output = ()> + 'static) {
        let ring = self.clone();
        // Dropping or cancelling a pending glommio task leaks its allocation: detach.
        glommio::spawn_local(async move {
            let mut future = pin!(future);
            poll_fn(|context| {
                ring.tasks.polled.set(ring.tasks.polled.get() + 1);
                // Whether it is done or has panicked: it is not polled again.
                poll_caught(future.as_mut(), context).map(drop)
            })
            .await;
        })
        .detach();
    }

    /// Runs what `make` makes as a task; when it panics, what `make` makes then, after a pause. For
    /// tasks that others rely on as long as the core lives.
    pub fn spawn_lasting<F>(self: &Rc<Self>, mut make: impl FnMut() -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let ring = self.clone();
        self.spawn(async move {
            loop {
                let mut future = Box::pin(make());
                match poll_fn(|context| poll_caught(future.as_mut(), context)).await {
                    Ok(()) => return,
                    Err(Panicked) => ring.sleep(RESTART_PAUSE).await,
                }
            }
        });
    }
}

fn poll_caught(
    future: Pin<&mut impl Future<Output = ()>>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Panicked>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => {
            // What it said and where went to the log by way of the panic hook.
            tracing::debug!("a task panicked");
            Poll::Ready(Err(Panicked))
        }
    }
}

/// Goes to the end of the executor's queue once.
pub(super) fn yield_now() -> impl Future<Output = ()> {
    struct Yield(bool);
    impl Future for Yield {
        type Output = ();
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            if self.0 {
                return Poll::Ready(());
            }
            self.0 = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    }
    Yield(false)
}
