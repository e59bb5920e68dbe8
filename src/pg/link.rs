//! One connection's life: opened, prepared, used, noticed dead at once, opened again (`keep`); given up
//! when it has been silent for too long (`watch`).

mod keep;
mod watch;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::connect::Session;
use super::mend::Preparation;
use super::session;
use super::statements::Prepared;
use crate::limits;

pub(super) use keep::keep;
pub use keep::unless_silent;
pub(super) use watch::watch;

/// How often the silence of connections is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A place for a connection: empty while it is down.
pub struct Link {
    open: RefCell<Option<Open>>,
    in_flight: Cell<u32>,
    /// When the connection last answered, or began to have something to answer.
    heard: Cell<Instant>,
    /// When it was last opened.
    opened: Cell<Instant>,
    /// To be replaced: nothing new is sent, what is in flight is waited for.
    retiring: Cell<bool>,
    /// The server is being asked after, as the connection is silent.
    in_doubt: Cell<bool>,
    /// To be closed now, whatever is in flight, for this reason.
    killed: RefCell<Option<String>>,
    driver: RefCell<Option<Waker>>,
    /// Statements that are being prepared again, by route.
    preparations: RefCell<Vec<(usize, Rc<Preparation>)>>,
}

struct Open {
    session: Rc<Session>,
    /// By route; only those of the link's lane.
    statements: Vec<Option<Rc<Prepared>>>,
    /// They make the settings of the lane's requests.
    settings: Rc<[session::Prepared]>,
}

impl Link {
    pub(super) fn new(now: Instant) -> Rc<Link> {
        Rc::new(Link {
            open: RefCell::default(),
            in_flight: Cell::new(0),
            heard: Cell::new(now),
            opened: Cell::new(now),
            retiring: Cell::new(false),
            in_doubt: Cell::new(false),
            killed: RefCell::default(),
            driver: RefCell::default(),
            preparations: RefCell::default(),
        })
    }

    /// Whether a statement may be sent.
    pub(super) fn usable(&self) -> bool {
        // A connection that has ended is still here until its keeper has looked.
        let open = |open: &Option<Open>| open.as_ref().is_some_and(|o| !o.session.is_ended());
        !self.retiring.get() && !self.is_killed() && open(&self.open.borrow())
    }

    /// Statements sent, or about to be, and not answered.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// Whether few statements are in flight and the one in front is not a slow one.
    pub(super) fn is_swift(&self, now: Instant) -> bool {
        self.in_flight() < limits::COMPANY_MAX && self.silent(now) < limits::COMPANY_SILENCE_MAX
    }

    /// How long nothing has been heard of what is in flight.
    pub(super) fn silent(&self, now: Instant) -> Duration {
        match self.in_flight() {
            0 => Duration::ZERO,
            _ => now.saturating_duration_since(self.heard.get()),
        }
    }

    /// When the statement that is answered now came to be the first in line, if it was sent at `sent`.
    pub(super) fn begun(&self, sent: Instant) -> Instant {
        self.heard.get().max(sent)
    }

    pub(super) fn enter(&self, now: Instant) {
        if self.in_flight.get() == 0 {
            self.heard.set(now);
        }
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn leave(&self, now: Instant) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.heard.set(now);
        if self.retiring.get() && self.in_flight.get() == 0 {
            self.wake_driver();
        }
    }

    pub(super) fn session(&self) -> Option<Rc<Session>> {
        self.open.borrow().as_ref().map(|open| open.session.clone())
    }

    pub(super) fn statement(&self, route: usize) -> Option<Rc<Prepared>> {
        let open = self.open.borrow();
        open.as_ref()?.statements[route].clone()
    }

    /// The statements that make settings.
    pub(super) fn settings(&self) -> Rc<[session::Prepared]> {
        let open = self.open.borrow();
        open.as_ref()
            .map_or_else(Rc::default, |open| open.settings.clone())
    }

    /// Puts a statement in the place of the present one, if `session` is still the connection.
    pub(super) fn replace_statement(
        &self,
        session: &Rc<Session>,
        route: usize,
        prepared: Rc<Prepared>,
    ) {
        let replaced = match &mut *self.open.borrow_mut() {
            Some(open) if Rc::ptr_eq(&open.session, session) => {
                open.statements[route].replace(prepared)
            }
            _ => None,
        };
        drop(replaced); // closes the statement on the server, once nobody runs it
    }

    /// The preparation of a route's statement that is under way.
    pub(super) fn preparation(&self, route: usize) -> Option<Rc<Preparation>> {
        let preparations = self.preparations.borrow();
        let mut running = preparations.iter();
        running
            .find(|(of, _)| *of == route)
            .map(|(_, preparation)| preparation.clone())
    }

    pub(super) fn add_preparation(&self, route: usize, preparation: Rc<Preparation>) {
        self.preparations.borrow_mut().push((route, preparation));
    }

    pub(super) fn remove_preparation(&self, route: usize) {
        self.preparations
            .borrow_mut()
            .retain(|(of, _)| *of != route);
    }

    /// Whether a statement is in flight on the connection that `session` belongs to.
    pub(super) fn runs_on(&self, session: &Rc<Session>) -> bool {
        let present = self.session();
        self.in_flight() > 0 && present.is_some_and(|present| Rc::ptr_eq(&present, session))
    }

    /// Lets the connection finish what is in flight and be opened anew.
    pub(super) fn retire(&self) {
        self.retiring.set(true);
        self.wake_driver();
    }

    /// The same, unless it has only just been opened.
    pub(super) fn retire_if_old(&self, now: Instant) {
        let age = now.saturating_duration_since(self.opened.get());
        if age > limits::READ_ONLY_AGE_MIN {
            self.retire();
        }
    }

    /// Ends the connection now.
    pub(super) fn kill(&self, reason: &str) {
        let mut killed = self.killed.borrow_mut();
        if killed.is_none() {
            *killed = Some(reason.to_owned());
        }
        drop(killed);
        self.wake_driver();
    }

    /// Nothing keeps the link any more: what it has in flight is lost, and its connection ends.
    pub(super) fn close(&self) {
        match self.in_flight() {
            0 => self.retire(),
            _ => self.kill("another API has taken the place of the one that it was opened for"),
        }
    }

    /// Ends the connection that `session` belongs to, if it is still that of the link.
    pub(super) fn lose(&self, session: &Rc<Session>, reason: &str) {
        let present = self.session();
        if present.is_some_and(|present| Rc::ptr_eq(&present, session)) {
            self.kill(reason);
        }
    }

    fn is_killed(&self) -> bool {
        self.killed.borrow().is_some()
    }

    fn wake_driver(&self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }
}
