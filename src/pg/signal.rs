//! Something that happens once on a core, and the tasks that wait for it or live until then.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};

/// See the head of this file.
#[derive(Default)]
pub(super) struct Signal {
    given: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// It happens now.
    pub(super) fn give(&self) {
        self.given.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    pub(super) async fn wait(&self) {
        self.until(std::future::pending()).await;
    }

    /// Runs what is the whole of a task until it is done or this happens; then it is dropped.
    pub(super) async fn until(&self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        // A task has one waker for all its life.
        let mut is_noted = false;
        poll_fn(|context| {
            if self.given.get() {
                return Poll::Ready(());
            }
            if !is_noted {
                is_noted = true;
                self.waiting.borrow_mut().push(context.waker().clone());
            }
            work.as_mut().poll(context)
        })
        .await;
    }
}
