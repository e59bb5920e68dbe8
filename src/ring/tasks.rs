//! Spawning tasks so that the ring knows whether any of them ran.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Ring;

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
    /// Runs `future` as a task of this core, detached: it ends by ending what it waits for.
    ///
    /// Every task of a core is spawned here, as the pass blocks only when none of them is
    /// runnable and knows that by counting their polls.
    pub fn spawn(self: &Rc<Self>, future: impl Future<Output = ()> + 'static) {
        let ring = self.clone();
        // Dropping or cancelling a pending glommio task leaks its allocation: detach.
        glommio::spawn_local(async move {
            let mut future = std::pin::pin!(future);
            std::future::poll_fn(|context| {
                ring.tasks.polled.set(ring.tasks.polled.get() + 1);
                future.as_mut().poll(context)
            })
            .await;
        })
        .detach();
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
