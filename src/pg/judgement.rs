//! Whether a route is batched, asked once for each description of its statement, however many
//! connections prepare it at a time.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

use super::eligible::Verdict;
use crate::api::{BatchStatement, Keyed};

/// What is known of one description.
#[derive(Default)]
pub(super) struct Judgement {
    verdict: RefCell<Option<Verdict>>,
    running: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Judgement {
    /// Whether there is a verdict.
    pub(super) fn is_done(&self) -> bool {
        self.verdict.borrow().is_some()
    }

    /// Whether requests are to be batched.
    pub(super) fn is_batched(&self) -> bool {
        matches!(*self.verdict.borrow(), Some(Verdict::Batched(_)))
    }

    /// Whether that takes a statement of its own.
    pub(super) fn is_keyed(&self) -> bool {
        let verdict = self.verdict.borrow();
        matches!(*verdict, Some(Verdict::Batched(BatchStatement::Keyed(_))))
    }

    /// The statement for several keys, where requests are batched by one.
    pub(super) fn keyed(&self) -> Option<Keyed> {
        match &*self.verdict.borrow() {
            Some(Verdict::Batched(BatchStatement::Keyed(keyed))) => Some(keyed.clone()),
            _ => None,
        }
    }

    /// Has the verdict found, unless it is there; whoever comes second waits for the first, and
    /// tries where that failed. True for the one that found it.
    pub(super) async fn find<E>(
        &self,
        judge: impl Future<Output = Result<Verdict, E>>,
    ) -> Result<bool, E> {
        poll_fn(|context| match self.running.get() {
            false => Poll::Ready(()),
            true => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await;
        if self.is_done() {
            return Ok(false);
        }
        self.running.set(true);
        let _run = Run(self);
        let verdict = judge.await?;
        self.verdict.replace(Some(verdict));
        Ok(true)
    }

    /// What was found, in words for the log.
    pub(super) fn with_verdict<T>(&self, see: impl FnOnce(&Verdict) -> T) -> Option<T> {
        self.verdict.borrow().as_ref().map(see)
    }
}

/// Lets the next one try, also where the one that runs is given up.
struct Run<'a>(&'a Judgement);

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}
