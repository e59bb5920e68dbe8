//! What a core is at, and what it has learned from it.

use std::cell::Cell;
use std::rc::Rc;

use crate::limits;

/// Of one core.
pub(super) struct Load {
    /// Requests that are being answered from Postgres.
    in_flight: Cell<usize>,
    /// By route: bytes of the largest answer so far.
    answer_bytes: Vec<Cell<Option<usize>>>,
}

impl Load {
    /// Of a core that knows nothing yet.
    pub(super) fn new(routes: usize) -> Rc<Load> {
        Rc::new(Load {
            in_flight: Cell::new(0),
            answer_bytes: vec![Cell::new(None); routes],
        })
    }

    /// Requests that are being answered from Postgres.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Bytes that an answer of the route is expected to have.
    pub(super) fn expected(&self, route: usize) -> usize {
        let largest = self.answer_bytes[route].get();
        largest.unwrap_or(limits::ANSWER_BYTES_UNKNOWN)
    }

    pub(super) fn learn(&self, route: usize, bytes: usize) {
        let largest = &self.answer_bytes[route];
        largest.set(largest.get().max(Some(bytes)));
    }
}

/// One of the requests that a core answers from Postgres at a time.
pub(super) struct Place(Rc<Load>);

impl Place {
    /// One more, unless there are `max` already.
    pub(super) fn take(load: &Rc<Load>, max: usize) -> Option<Place> {
        let in_flight = &load.in_flight;
        (in_flight.get() < max).then(|| {
            in_flight.set(in_flight.get() + 1);
            Place(load.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let in_flight = &self.0.in_flight;
        in_flight.set(in_flight.get() - 1);
    }
}
