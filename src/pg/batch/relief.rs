//! A sender whose batch does not come back is relieved by another one.
//!
//! As many batches of a route as it declares are on their way at a time. One that a frozen backend was given
//! comes back when its connection is given up; the route would stand still until then. So the sender of
//! a batch that is overdue gets a substitute, and ends when the batch has come back.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::{Batcher, send};
use crate::pg::Database;

/// What a sender is at.
pub(super) struct Sending {
    full: bool,
    /// When it sent the batch that it waits for.
    pub(super) since: Cell<Option<Instant>>,
    /// Another one has taken its place.
    pub(super) relieved: Cell<bool>,
}

impl Sending {
    pub(super) fn register(batcher: &Batcher, full: bool) -> Rc<Sending> {
        let sending = Rc::new(Sending {
            full,
            since: Cell::new(None),
            relieved: Cell::new(false),
        });
        batcher.sending.borrow_mut().push(sending.clone());
        sending
    }

    pub(super) fn deregister(self: Rc<Self>, batcher: &Batcher) {
        let mut sending = batcher.sending.borrow_mut();
        sending.retain(|other| !Rc::ptr_eq(other, &self));
    }
}

/// Gives each sender of the route whose batch is overdue a substitute: as many at a time as the lane has
/// connections.
pub(in crate::pg) fn relieve(database: &Rc<Database>, route: usize) {
    let batcher = &database.routes[route].batcher;
    let Some(patience) = batcher.lane.overdue_after() else {
        return;
    };
    let now = database.ring.now();
    let is_late = |since: Instant| now.saturating_duration_since(since) > patience;
    let sending = batcher.sending.borrow();
    let relieved = sending.iter().filter(|one| one.relieved.get()).count();
    let late = sending
        .iter()
        .filter(|one| !one.relieved.get() && one.since.get().is_some_and(is_late));
    let substitutes_max = batcher.lane.links().len().saturating_sub(relieved);
    let late: Vec<Rc<Sending>> = late.take(substitutes_max).cloned().collect();
    drop(sending); // a task that is spawned runs at once, and registers
    for one in late {
        one.relieved.set(true);
        let substitute = send(database.clone(), batcher.clone(), one.full);
        let database = database.clone();
        let ring = database.ring.clone();
        ring.spawn(async move { database.closing.until(substitute).await });
    }
}
