//! Lanes: groups of connections with a bounded queue in front.
//!
//! Slow routes must not stand in front of fast ones on one pipelined connection, so a route's
//! `lane` has connections of its own. The statement timeout is a setting of the connection, so
//! routes of one lane with a `timeout` of their own are a group of their own, too.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::connect::within;
use super::gate::Gate;
use super::link::Link;
use crate::api::{self, Api};
use crate::config;
use crate::error::Failure;
use crate::limits;
use crate::ring::Ring;

/// Different reasons of one outage that the log is told at the most.
const TOLD_MAX: usize = 16;

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
    /// The sets of settings that their requests are told of, each once.
    pub settings: Vec<api::Settings>,
}

/// The groups that a routes file needs. One with a timeout of its own gets a single connection,
/// unless its lane declares how many.
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
        let told = route.transaction.as_ref().map(|it| it.settings);
        if let Some(group) = groups.iter_mut().find(|group| group.name == name) {
            group.routes.push(index);
            let new = told.filter(|set| !group.settings.contains(set));
            group.settings.extend(new);
            continue;
        }
        // What a lane declares, each of its groups gets.
        let connections = lane.connections.unwrap_or(match lane.name == "default" {
            true if !own || route.cancel => settings.connections,
            _ => 1,
        });
        groups.push(Group {
            name,
            connections,
            queue: lane.queue.unwrap_or(limits::LANE_QUEUE),
            statement_timeout: timeout,
            depth,
            routes: vec![index],
            settings: told.into_iter().collect(),
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
    /// See [`Group::settings`].
    pub settings: Vec<api::Settings>,
    /// Age at which a connection is replaced; zero for never.
    pub recycle: Duration,
    pub(super) acquire_timeout: Duration,
    links: Vec<Rc<Link>>,
    gate: Rc<Gate>,
    depth_max: u32,
    /// Statements in flight on one connection: fewer where they take long.
    depth: Cell<u32>,
    /// How long one statement takes, in the mean of the last ones: each counts an eighth.
    takes: Cell<Duration>,
    pub(super) queue_max: usize,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    /// Since when no link is up.
    down_since: Cell<Option<Instant>>,
    /// Why, in the words of the last failed attempt.
    down_reason: RefCell<String>,
    has_tried: Cell<bool>,
    /// The reasons that the log has had since the lane was last whole, or went down.
    told: RefCell<Vec<String>>,
}

/// A request's stay in the queue. Whoever leaves early, because of its timeout or because nobody
/// waits for it any more, leaves no trace: a place that was granted meanwhile goes back.
struct Waiting<'a> {
    lane: &'a Rc<Lane>,
    waiter: Rc<Waiter>,
}

/// A request that waits for a place.
#[derive(Default)]
struct Waiter {
    link: RefCell<Option<Rc<Link>>>,
    refused: RefCell<Option<Failure>>,
    /// Not let in before: it may be refused because there are too many.
    is_new: bool,
    /// Taken out of the queue, with a link or refused.
    left: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place on a connection. Held until the answer is complete, as what was sent can't be unsent.
pub struct Permit {
    pub(super) lane: Rc<Lane>,
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
            settings: group.settings.clone(),
            recycle: settings.recycle,
            acquire_timeout: settings.acquire_timeout,
            links: (0..group.connections)
                .map(|_| Link::new(ring.now()))
                .collect(),
            gate: Gate::new(
                settings.queue_target,
                settings.acquire_timeout,
                limits::OVERLOAD_ROOM * group.connections,
                ring.now(),
            ),
            depth_max: group.depth,
            depth: Cell::new(group.depth),
            takes: Cell::default(),
            queue_max: group.queue,
            waiting: RefCell::default(),
            down_since: Cell::new(Some(ring.now())),
            down_reason: RefCell::new("not connected yet".to_owned()),
            has_tried: Cell::new(false),
            told: RefCell::default(),
        })
    }

    /// Whether a cancellation may end whatever a connection of this lane runs.
    pub(super) fn cancellable(&self) -> bool {
        self.depth_max == 1
    }

    pub(super) fn links(&self) -> &[Rc<Link>] {
        &self.links
    }

    /// Requests that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    pub(super) fn gate(&self) -> &Rc<Gate> {
        &self.gate
    }

    /// Learns from a statement that `took` so long since it was the first in line on its connection, and
    /// was answered so long after it was sent, how many may be in flight on one: not more than are answered
    /// in good time, as what is sent can't be refused, and waits for those before it.
    pub(super) fn note_time(&self, took: Duration, round_trip: Duration) {
        self.gate.note_round_trip(round_trip);
        let takes = (self.takes.get() * 7 + took) / 8;
        self.takes.set(takes);
        let good_time = self.gate.in_good_time();
        let depth = match takes * self.depth_max <= good_time || self.gate.is_unbounded() {
            true => self.depth_max,
            false => (good_time.as_nanos() / takes.as_nanos()) as u32,
        };
        let least = limits::PIPELINE_DEPTH_SLOW.min(self.depth_max);
        self.depth.set(depth.max(least));
    }

    /// No connection is up.
    pub(super) fn is_down(&self) -> bool {
        self.down_since.get().is_some()
    }

    /// Some attempt to get a connection has failed, or did not.
    pub(super) fn has_tried(&self) -> bool {
        self.has_tried.get()
    }

    /// Why the lane has no connection, if it has none.
    pub fn down(&self) -> Option<String> {
        self.down_since
            .get()
            .map(|_| self.down_reason.borrow().clone())
    }

    /// A place on the least busy connection: at once, or after a bounded wait in a bounded queue.
    pub async fn acquire(self: &Rc<Self>) -> Result<Permit, Failure> {
        self.acquire_as(true).await
    }

    /// The same for a request that was let in before: the bound of the queue is for new ones.
    pub(super) async fn acquire_again(self: &Rc<Self>) -> Result<Permit, Failure> {
        self.acquire_as(false).await
    }

    async fn acquire_as(self: &Rc<Self>, is_new: bool) -> Result<Permit, Failure> {
        if self.waiting.borrow().is_empty()
            && let Some(link) = self.free_link()
        {
            return Ok(self.permit(link));
        }
        let down_for = self.down_since.get().map(|since| self.ring.now() - since);
        if down_for.is_some_and(|time| time >= limits::DOWN_PATIENCE) {
            return Err(Failure::Unavailable);
        }
        if is_new && self.waiting.borrow().len() >= self.queue_max {
            return Err(Failure::Busy);
        }
        self.wait(is_new).await
    }

    async fn wait(self: &Rc<Self>, is_new: bool) -> Result<Permit, Failure> {
        let waiter = Rc::new(Waiter {
            is_new,
            ..Waiter::default()
        });
        self.waiting.borrow_mut().push_back(waiter.clone());
        let waiting = Waiting { lane: self, waiter };
        let granted = poll_fn(|context| waiting.poll(context));
        let outcome = within(&self.ring, self.acquire_timeout, granted).await;
        outcome.unwrap_or_else(|| {
            Err(match self.down_since.get() {
                Some(_) => Failure::Unavailable,
                None => Failure::AcquireTimeout,
            })
        })
    }

    /// A place on this connection, whatever it has in flight.
    pub(super) fn permit(self: &Rc<Self>, link: Rc<Link>) -> Permit {
        link.enter(self.ring.now());
        Permit {
            lane: self.clone(),
            link,
        }
    }

    /// A place for a statement that takes little time: on the first connection that answers swiftly, so
    /// that few backends are at work, whose caches stay warm and who are woken once for many.
    pub(super) fn join_company(self: &Rc<Self>) -> Option<Permit> {
        if !self.waiting.borrow().is_empty() {
            return None;
        }
        let now = self.ring.now();
        let mut usable = self.links.iter().filter(|link| link.usable());
        let link = usable.find(|link| link.is_swift(now) && link.in_flight() < self.depth.get())?;
        Some(self.permit(link.clone()))
    }

    /// The usable link with the fewest statements in flight, if it has room: one that answers before one
    /// that is held up, and none that is overdue.
    fn free_link(&self) -> Option<Rc<Link>> {
        let now = self.ring.now();
        let overdue = self.overdue_after();
        let free = self.links.iter().filter(|link| {
            let room = link.usable() && link.in_flight() < self.depth.get();
            room && overdue.is_none_or(|after| link.silent(now) <= after)
        });
        free.min_by_key(|link| (link.silent(now) > limits::STALLED, link.in_flight()))
            .cloned()
    }

    /// How long a statement takes at the most if Postgres is well; `None` without a statement timeout.
    pub(super) fn overdue_after(&self) -> Option<Duration> {
        let timeout = Some(self.statement_timeout).filter(|timeout| !timeout.is_zero());
        timeout.map(|timeout| timeout + limits::OVERDUE_GRACE)
    }

    /// Gives free places to those that wait, in order.
    pub(super) fn serve_waiting(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while !waiting.is_empty() {
            let Some(link) = self.free_link() else {
                return;
            };
            let waiter = waiting.pop_front().expect("not empty");
            waiter.left.set(true);
            link.enter(self.ring.now());
            waiter.link.replace(Some(link));
            waiter.wake();
        }
    }

    /// A link came up. True when the lane is whole again after a fault that the log was told of.
    pub(super) fn link_up(&self) -> bool {
        self.has_tried.set(true);
        if self.down_since.take().is_some() {
            self.down_reason.borrow_mut().clear();
        }
        self.count_links();
        self.serve_waiting();
        let whole = self.links.iter().all(|link| link.usable());
        whole && !std::mem::take(&mut *self.told.borrow_mut()).is_empty()
    }

    /// A link went down, or could not be opened, because of `reason`. True when that is news for the
    /// log: a reason is told once until the lane is whole again, however many connections and
    /// attempts meet with it, and once more when the last connection goes.
    pub(super) fn link_down(&self, reason: &str) -> bool {
        self.has_tried.set(true);
        self.count_links();
        let mut told = self.told.borrow_mut();
        if !self.links.iter().any(|link| link.usable()) {
            if self.down_since.get().is_none() {
                self.down_since.set(Some(self.ring.now()));
                told.clear();
            }
            reason.clone_into(&mut self.down_reason.borrow_mut());
        }
        let cause = cause(reason);
        let news = told.len() < TOLD_MAX && !told.iter().any(|known| known == cause);
        if news {
            told.push(cause.to_owned());
        }
        news
    }

    /// Each connection that serves has room for some.
    fn count_links(&self) {
        let usable = self.links.iter().filter(|link| link.usable()).count();
        self.gate
            .set_least_room(limits::OVERLOAD_ROOM * usable.max(1));
    }

    /// Refuses those that wait once the lane has been down for too long.
    pub(super) fn refuse_waiting(&self) {
        let down_for = self.down_since.get().map(|since| self.ring.now() - since);
        if down_for.is_some_and(|time| time >= limits::DOWN_PATIENCE) {
            for waiter in self.waiting.borrow_mut().drain(..) {
                waiter.refuse(Failure::Unavailable);
            }
        }
    }

    /// Refuses up to `count` of those that wait, those who have waited the longest.
    pub(super) fn refuse_excess(&self, count: usize) {
        let mut left = count;
        self.waiting.borrow_mut().retain(|waiter| {
            let refused = waiter.is_new && left > 0;
            if refused {
                left -= 1;
                waiter.refuse(self.gate.overloaded());
            }
            !refused
        });
    }
}

impl Waiting<'_> {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Permit, Failure>> {
        if let Some(link) = self.waiter.link.take() {
            return Poll::Ready(Ok(Permit {
                lane: self.lane.clone(),
                link,
            }));
        }
        if let Some(failure) = self.waiter.refused.take() {
            return Poll::Ready(Err(failure));
        }
        self.waiter.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.waiter.left.get() {
            let mut waiting = self.lane.waiting.borrow_mut();
            waiting.retain(|other| !Rc::ptr_eq(other, &self.waiter));
        }
        if let Some(link) = self.waiter.link.take() {
            drop(Permit {
                lane: self.lane.clone(),
                link,
            });
        }
    }
}

impl Waiter {
    fn refuse(&self, failure: Failure) {
        self.left.set(true);
        self.refused.replace(Some(failure));
        self.wake();
    }

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

/// What a reason comes down to: the SQLSTATE that it ends with, as Postgres has several sentences for a
/// server that is full, and which one comes is chance; else all of it.
fn cause(reason: &str) -> &str {
    let words = reason.strip_suffix(')').and_then(|it| it.rsplit_once(" ("));
    let state = words.map(|(_, state)| state);
    let is_state =
        |state: &&str| state.len() == 5 && state.bytes().all(|it| it.is_ascii_alphanumeric());
    state.filter(is_state).unwrap_or(reason)
}

#[cfg(test)]
mod tests;
