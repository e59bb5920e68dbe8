//! Whether a route is batched, asked once for each description of its statement, however many
//! connections prepare it at a time, and again by a connection that is opened later: a function that the
//! statement calls may have become volatile meanwhile, of which Postgres tells nobody.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::connect::within;
use super::eligible::Verdict;
use crate::api::{BatchStatement, Keyed};
use crate::limits;
use crate::ring::Ring;

/// What is known of one description.
#[derive(Default)]
pub(super) struct Judgement {
    verdict: RefCell<Option<Verdict>>,
    /// When it was found.
    found: Cell<Option<Instant>>,
    running: Cell<usize>,
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

    /// Has the verdict found, unless it is there and not old; whoever comes second waits for the first,
    /// and tries where that failed or takes too long. True for the one whose verdict is news.
    pub(super) async fn find<E>(
        &self,
        ring: &Rc<Ring>,
        judge: impl Future<Output = Result<Verdict, E>>,
    ) -> Result<bool, E> {
        let others = poll_fn(|context| match self.running.get() {
            0 => Poll::Ready(()),
            _ => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        });
        // The first one's backend may be frozen.
        let _ = within(ring, limits::JUDGEMENT_PATIENCE, others).await;
        let now = ring.now();
        let is_fresh = |found: Instant| now - found < limits::JUDGEMENT_AGE;
        if self.found.get().is_some_and(is_fresh) {
            return Ok(false);
        }
        let _run = Run::start(self);
        let verdict = judge.await?;
        if self.found.get().is_some_and(is_fresh) {
            return Ok(false); // another one was faster
        }
        self.found.set(Some(ring.now()));
        let before = self.verdict.replace(Some(verdict));
        Ok(before != *self.verdict.borrow())
    }

    /// What was found, in words for the log.
    pub(super) fn with_verdict<T>(&self, see: impl FnOnce(&Verdict) -> T) -> Option<T> {
        self.verdict.borrow().as_ref().map(see)
    }
}

/// Lets the next one try, also where the one that runs is given up.
struct Run<'a>(&'a Judgement);

impl<'a> Run<'a> {
    fn start(judgement: &'a Judgement) -> Run<'a> {
        judgement.running.set(judgement.running.get() + 1);
        Run(judgement)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }
}
