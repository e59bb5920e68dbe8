//! Lanes: groups of connections with a bounded queue in front.
//!
//! Slow routes must not stand in front of fast ones on one pipelined connection, so a route's
//! `lane` has connections of its own. The statement timeout is a setting of the connection, so
//! routes of one lane with a `timeout` of their own are a group of their own, too.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::connect::within;
use super::link::Link;
use crate::api::Api;
use crate::config;
use crate::error::Failure;
use crate::limits;
use crate::ring::Ring;

/// Routes that share connections.
#[derive(Debug)]
pub struct Group {
    /// The lane's name, and the timeout where the group differs from the lane's.
    pub name: String,
    /// Connections per core.
    pub connections: usize,
    /// Requests that may wait, per core.
    pub queue: usize,
    /// Zero for none.
    pub statement_timeout: Duration,
    /// Statements in flight on one connection.
    pub depth: u32,
    /// By their index in the routes file.
    pub routes: Vec<usize>,
}

/// The groups that a routes file needs. A group that has a timeout of its own gets one connection.
pub fn groups(api: &Api, settings: &config::Postgres) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, route) in api.routes.iter().enumerate() {
        let lane = &api.lanes[route.lane];
        let timeout = route.timeout.unwrap_or(settings.statement_timeout);
        let own = timeout != settings.statement_timeout;
        let name = match own {
            true => format!("{} ({timeout:?})", lane.name),
            false => lane.name.clone(),
        };
        // A cancellation ends whatever its connection runs: such routes share no connection at a
        // time.
        let (name, depth) = match route.cancel {
            true => (format!("{name}, cancellable"), 1),
            false => (name, limits::PIPELINE_DEPTH_MAX),
        };
        if let Some(group) = groups.iter_mut().find(|group| group.name == name) {
            group.routes.push(index);
            continue;
        }
        let default = if lane.name == "default" {
            settings.connections
        } else {
            1
        };
        let connections = match own && depth > 1 {
            true => 1,
            false => lane.connections.unwrap_or(default),
        };
        groups.push(Group {
            name,
            connections,
            queue: lane.queue.unwrap_or(limits::LANE_QUEUE),
            statement_timeout: timeout,
            depth,
            routes: vec![index],
        });
    }
    groups
}

/// One group at work.
pub struct Lane {
    ring: Rc<Ring>,
    /// See [`Group::name`].
    pub name: String,
    /// See [`Group::statement_timeout`].
    pub statement_timeout: Duration,
    /// See [`Group::routes`].
    pub routes: Vec<usize>,
    /// Age at which a connection is replaced; zero for never.
    pub recycle: Duration,
    acquire_timeout: Duration,
    links: Vec<Rc<Link>>,
    depth: u32,
    queue_max: usize,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    /// Where the search for the least busy link starts, so that equals take turns.
    turn: Cell<usize>,
    /// Since when no link is up.
    down_since: Cell<Option<Instant>>,
    /// Why, in the words of the last failed attempt.
    down_reason: RefCell<String>,
}

/// A request that waits for a place.
#[derive(Default)]
struct Waiter {
    link: RefCell<Option<Rc<Link>>>,
    refused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place on a connection. Held until the answer is complete, as what was sent can't be unsent.
pub struct Permit {
    lane: Rc<Lane>,
    /// The connection.
    pub link: Rc<Link>,
}

impl Lane {
    pub(super) fn new(ring: &Rc<Ring>, group: &Group, settings: &config::Postgres) -> Rc<Lane> {
        Rc::new(Lane {
            ring: ring.clone(),
            name: group.name.clone(),
            statement_timeout: group.statement_timeout,
            routes: group.routes.clone(),
            recycle: settings.recycle,
            acquire_timeout: settings.acquire_timeout,
            links: (0..group.connections)
                .map(|_| Link::new(ring.now()))
                .collect(),
            depth: group.depth,
            queue_max: group.queue,
            waiting: RefCell::default(),
            turn: Cell::new(0),
            down_since: Cell::new(Some(ring.now())),
            down_reason: RefCell::new("not connected yet".to_owned()),
        })
    }

    pub(super) fn links(&self) -> &[Rc<Link>] {
        &self.links
    }

    /// Why the lane has no connection, if it has none.
    pub fn down(&self) -> Option<String> {
        self.down_since
            .get()
            .map(|_| self.down_reason.borrow().clone())
    }

    /// A place on the least busy connection: at once, or after a bounded wait in a bounded queue.
    pub async fn acquire(self: &Rc<Self>) -> Result<Permit, Failure> {
        if self.waiting.borrow().is_empty()
            && let Some(link) = self.free_link()
        {
            return Ok(self.permit(link));
        }
        let down_for = self.down_since.get().map(|since| self.ring.now() - since);
        if down_for.is_some_and(|time| time >= limits::DOWN_PATIENCE) {
            return Err(Failure::Unavailable);
        }
        if self.waiting.borrow().len() >= self.queue_max {
            return Err(Failure::Busy);
        }
        self.wait().await
    }

    async fn wait(self: &Rc<Self>) -> Result<Permit, Failure> {
        let waiter = Rc::new(Waiter::default());
        self.waiting.borrow_mut().push_back(waiter.clone());
        let granted = poll_fn(|context| {
            if let Some(link) = waiter.link.take() {
                return Poll::Ready(Ok(link));
            }
            if waiter.refused.get() {
                return Poll::Ready(Err(Failure::Unavailable));
            }
            waiter.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        });
        match within(&self.ring, self.acquire_timeout, granted).await {
            Some(outcome) => outcome.map(|link| Permit {
                lane: self.clone(),
                link,
            }),
            None => {
                let mut waiting = self.waiting.borrow_mut();
                waiting.retain(|other| !Rc::ptr_eq(other, &waiter));
                Err(match self.down_since.get() {
                    Some(_) => Failure::Unavailable,
                    None => Failure::AcquireTimeout,
                })
            }
        }
    }

    fn permit(self: &Rc<Self>, link: Rc<Link>) -> Permit {
        link.enter(self.ring.now());
        Permit {
            lane: self.clone(),
            link,
        }
    }

    /// The usable link with the fewest statements in flight, if it has room.
    fn free_link(&self) -> Option<Rc<Link>> {
        let count = self.links.len();
        let start = self.turn.get();
        self.turn.set((start + 1) % count);
        (0..count)
            .map(|step| &self.links[(start + step) % count])
            .filter(|link| link.usable() && link.in_flight() < self.depth)
            .min_by_key(|link| link.in_flight())
            .cloned()
    }

    /// Gives free places to those that wait, in order.
    pub(super) fn serve_waiting(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            let Some(link) = self.free_link() else {
                return;
            };
            let waiter = waiting.pop_front().expect("not empty");
            link.enter(self.ring.now());
            waiter.link.replace(Some(link));
            waiter.wake();
        }
    }

    /// A link came up.
    pub(super) fn link_up(&self) {
        if self.down_since.take().is_some() {
            self.down_reason.borrow_mut().clear();
        }
        self.serve_waiting();
    }

    /// A link went down, or could not be opened, because of `reason`. True when it tells something
    /// new: the same reason again is no news.
    pub(super) fn link_down(&self, reason: &str) -> bool {
        if self.links.iter().any(|link| link.usable()) {
            return true;
        }
        if self.down_since.get().is_none() {
            self.down_since.set(Some(self.ring.now()));
        }
        let mut known = self.down_reason.borrow_mut();
        let news = *known != reason;
        reason.clone_into(&mut known);
        news
    }

    /// Refuses those that wait once the lane has been down for too long.
    pub(super) fn refuse_waiting(&self) {
        let down_for = self.down_since.get().map(|since| self.ring.now() - since);
        if down_for.is_some_and(|time| time >= limits::DOWN_PATIENCE) {
            for waiter in self.waiting.borrow_mut().drain(..) {
                waiter.refused.set(true);
                waiter.wake();
            }
        }
    }
}

impl Waiter {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.link.leave(self.lane.ring.now());
        if !self.lane.waiting.borrow().is_empty() {
            self.lane.serve_waiting();
        }
    }
}
