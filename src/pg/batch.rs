//! Requests of one route, gathered and sent as one statement.
//!
//! While a batch of a route is on its way, the route's next requests gather; when it has come back
//! they go as the next one. So a request that comes alone goes at once and alone, and a busy core
//! pays for a message, a round trip and an executor's start once for many requests.
//!
//! A batch is sent by a task that is woken by the first request that joins. Tasks run in the order in
//! which they were woken, and one pass wakes all connections that have input before any of them runs:
//! so all requests of a pass are in the batch before it goes.
//!
//! A batch that fails says nothing of its requests, so each is then run by itself.

mod flight;
mod relief;

use std::cell::{Cell, Ref, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_util::future::join_all;

use super::Database;
use super::execute::Answered;
use super::gate::Gate;
use super::lane::{Lane, Permit};
use super::rows::Shape;
use super::session::{self, Session};
use super::statements::Description;
use super::wire::{Answer, End};
use crate::api::{Bound, Route};
use crate::config;
use crate::error::Failure;
use crate::limits;
use crate::metrics::BatchSizes;

use flight::Flight;
use relief::Sending;
pub(super) use relief::relieve;

/// Gathers the requests of one route on one core.
pub(super) struct Batcher {
    route: usize,
    shape: Shape,
    lane: Rc<Lane>,
    gate: Rc<Gate>,
    keys_max: usize,
    /// Requests in the next batch: fewer than `keys_max` where those took too long.
    room: Cell<usize>,
    /// Batches that had `room` requests and were in time, since it last changed.
    filled: Cell<usize>,
    waiting: RefCell<Vec<Rc<Member>>>,
    /// Senders that wait for a request.
    idle: RefCell<Vec<Waker>>,
    /// The sender that waits for a full batch.
    idle_for_full: RefCell<Option<Waker>>,
    /// What the senders are at.
    sending: RefCell<Vec<Rc<Sending>>>,
    sizes: RefCell<BatchSizes>,
    /// Nobody sends any more.
    is_closed: Cell<bool>,
}

/// A request in a batch.
pub(super) struct Member {
    pub(super) bound: Bound,
    description: Rc<Description>,
    /// What Postgres is told of it.
    pub(super) session: Option<Rc<Session>>,
    since: Instant,
    outcome: Answer<Outcome>,
}

/// What became of a request in its batch.
pub(super) enum Outcome {
    Answered(Answered),
    /// It was never sent.
    Failed(Failure),
    /// Postgres refused it, which it was sent to at this time.
    Refused(Failure, Instant),
    /// It is to be run by itself: there was no company, or the batch failed.
    Alone(Alone),
}

/// A request that is to be run by itself.
#[derive(Default)]
pub(super) struct Alone {
    /// It was sent before, and its connection lost.
    pub(super) lost: bool,
    /// The place that its sender has waited for.
    pub(super) permit: Option<Permit>,
    /// Kept until it is done, as it is in flight in place of a batch.
    _turn: Option<Turn>,
}

/// Wakes the sender that waits for a lone request.
struct Turn(Rc<Answer>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.end(End::Complete);
    }
}

impl Batcher {
    pub(super) fn new(
        index: usize,
        route: &Route,
        lane: Rc<Lane>,
        settings: &config::Postgres,
        now: Instant,
    ) -> Rc<Batcher> {
        let keys_max = route.batch.keys_max;
        let (target, patience) = (settings.queue_target, settings.acquire_timeout);
        // One in each batch that may be in flight, and one in the next.
        let least_room = limits::OVERLOAD_ROOM * (route.batch.in_flight_max + 1);
        Rc::new(Batcher {
            route: index,
            shape: Shape::of(route),
            lane,
            gate: Gate::new(target, patience, least_room, now),
            keys_max,
            room: Cell::new(keys_max),
            filled: Cell::new(0),
            waiting: RefCell::default(),
            idle: RefCell::default(),
            idle_for_full: RefCell::default(),
            sending: RefCell::default(),
            sizes: RefCell::new(BatchSizes::new(keys_max)),
            is_closed: Cell::new(false),
        })
    }

    /// Lets a request join the next batch, and waits for what becomes of it.
    pub(super) async fn join(
        &self,
        bound: Bound,
        description: Rc<Description>,
        session: Option<Rc<Session>>,
        now: Instant,
    ) -> (Rc<Member>, Outcome) {
        let member = Rc::new(Member {
            bound,
            description,
            session,
            since: now,
            outcome: Answer::default(),
        });
        if self.waiting.borrow().len() >= self.keys_max + self.lane.queue_max {
            return (member, Outcome::Failed(Failure::Busy));
        }
        if self.is_closed.get() {
            return (member, Outcome::Failed(Failure::Unavailable));
        }
        self.waiting.borrow_mut().push(member.clone());
        let waiting = self.waiting.borrow().len();
        if waiting == 1 {
            self.wake_idle();
        }
        if waiting >= self.room.get() {
            self.wake_full();
        }
        let outcome = member.outcome.wait().await;
        (member, outcome)
    }

    fn wake_idle(&self) {
        let sender = self.idle.borrow_mut().pop();
        if let Some(sender) = sender {
            sender.wake();
        }
    }

    fn wake_full(&self) {
        if let Some(sender) = self.idle_for_full.take() {
            sender.wake();
        }
    }

    /// Learns from a batch of `count` requests how many a batch may have. The route is batched by what
    /// Postgres expects one key to cost, which may be far off: where a full batch takes too long, each
    /// next one would.
    fn learn(&self, count: usize, in_time: bool) {
        let room = self.room.get();
        if !in_time {
            self.room.set((count / 2).clamp(1, room));
            self.filled.set(0);
            if self.waiting.borrow().len() >= self.room.get() {
                self.wake_full();
            }
        } else if count >= room && room < self.keys_max {
            self.filled.set(self.filled.get() + 1);
            // Slowly, as all requests of the batch that finds the end are refused.
            if self.filled.get() >= room {
                self.room.set(room + 1);
                self.filled.set(0);
            }
        }
    }

    /// Refuses those that have waited for too long behind the batches in flight.
    pub(super) fn refuse_late(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|member| {
            let waited = now.saturating_duration_since(member.since);
            let late = waited > self.lane.acquire_timeout;
            if late {
                member.finish(Outcome::Failed(Failure::AcquireTimeout));
            }
            !late
        });
    }

    /// Refuses up to `count` of those that wait, those who have waited the longest.
    pub(super) fn refuse_excess(&self, count: usize) {
        let mut waiting = self.waiting.borrow_mut();
        let count = count.min(waiting.len());
        for member in waiting.drain(..count) {
            member.finish(Outcome::Failed(self.gate.overloaded()));
        }
    }

    /// Requests that wait for the next batch.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Refuses those that wait, and who comes from now on.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        let waiting = self.waiting.take();
        finish_all(waiting, || Outcome::Failed(Failure::Unavailable));
    }

    pub(super) fn gate(&self) -> &Rc<Gate> {
        &self.gate
    }

    /// How many requests its batches had.
    pub(super) fn sizes(&self) -> Ref<'_, BatchSizes> {
        self.sizes.borrow()
    }

    /// Takes the requests of the next batch; with `full`, only when there are as many as it can hold.
    fn poll_gather(&self, context: &mut Context<'_>, full: bool) -> Poll<Vec<Rc<Member>>> {
        let mut waiting = self.waiting.borrow_mut();
        if full && waiting.len() < self.room.get() {
            self.idle_for_full.replace(Some(context.waker().clone()));
            return Poll::Pending;
        }
        if waiting.is_empty() {
            self.idle.borrow_mut().push(context.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = 0;
        let fit = waiting.iter().take(self.room.get()).take_while(|member| {
            bytes += member.bound.bytes.len();
            bytes <= limits::BATCH_BYTES_MAX
        });
        let count = fit.count().max(1);
        let members: Vec<Rc<Member>> = waiting.drain(..count).collect();
        self.sizes.borrow_mut().record(count);
        if !waiting.is_empty() {
            self.wake_idle(); // what there was no room for need not wait if one more may go
        }
        Poll::Ready(members)
    }
}

impl Member {
    fn finish(&self, outcome: Outcome) {
        self.outcome.end(outcome);
    }

    /// Has the request run by itself, and waits for it as for a batch.
    async fn run_alone(self: Rc<Self>, permit: Permit) {
        let ended = Rc::<Answer>::default();
        let turn = Turn(ended.clone());
        self.finish(Outcome::Alone(Alone {
            lost: false,
            permit: Some(permit),
            _turn: Some(turn),
        }));
        drop(self); // and with it the turn, if nobody waits for this request any more
        ended.wait().await;
    }
}

impl Outcome {
    fn alone() -> Outcome {
        Outcome::Alone(Alone::default())
    }
}

/// Sends a route's batches, one after the other. There are as many senders as batches may be in
/// flight, and one for full batches, which gain nothing from waiting. Ends when another took its place.
pub(super) async fn send(database: Rc<Database>, batcher: Rc<Batcher>, full: bool) {
    let sending = Sending::register(&batcher, full);
    while !sending.relieved.get() {
        let gathered = Gathered(poll_fn(|context| batcher.poll_gather(context, full)).await);
        let deliver = |gathered| deliver(&database, &batcher, &sending, gathered);
        match gathered.is_of_one_session() {
            true => deliver(gathered).await,
            false => {
                let parts = gathered.by_session();
                join_all(parts.into_iter().map(deliver)).await;
            }
        }
        sending.since.set(None);
    }
    sending.deregister(&batcher);
}

/// Sends requests of one session, and waits until they are answered.
async fn deliver(
    database: &Rc<Database>,
    batcher: &Batcher,
    sending: &Sending,
    gathered: Gathered,
) {
    // Its requests were let in, each of them.
    let acquired = batcher.lane.acquire_again().await;
    let members = gathered.take();
    let permit = match acquired {
        Err(failure) => return finish_all(members, || Outcome::Failed(failure.clone())),
        Ok(permit) => permit,
    };
    let count = members.len();
    database
        .recorder
        .batch(database.places.of(batcher.route), count);
    let sent = database.ring.now();
    sending.since.set(sending.since.get().or(Some(sent)));
    let in_time = match <[Rc<Member>; 1]>::try_from(members) {
        Ok([member]) => {
            member.run_alone(permit).await;
            true
        }
        Err(members) => database.send_batch(batcher, &permit, members).await,
    };
    batcher.learn(count, in_time);
    batcher.gate.note_round_trip(database.ring.now() - sent);
}

/// Requests whose batch waits for a place. Each is told should their sender panic meanwhile.
struct Gathered(Vec<Rc<Member>>);

impl Gathered {
    /// Whether Postgres is told the same of all of them, as it mostly is nothing.
    fn is_of_one_session(&self) -> bool {
        self.0
            .windows(2)
            .all(|two| two[0].session == two[1].session)
    }

    /// One part for each session, each in the order in which they came: what Postgres is told of one who
    /// asks must not hold for another. The parts need not be as large as batches are, but what is
    /// pipelined costs less than what comes by itself.
    fn by_session(self) -> Vec<Gathered> {
        let mut parts: Vec<Gathered> = Vec::new();
        let mut known: HashMap<Option<Rc<Session>>, usize> = HashMap::new();
        for member in self.take() {
            let index = *known.entry(member.session.clone()).or_insert(parts.len());
            match parts.get_mut(index) {
                Some(part) => part.0.push(member),
                None => parts.push(Gathered(vec![member])),
            }
        }
        parts
    }

    fn take(mut self) -> Vec<Rc<Member>> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        finish_all(std::mem::take(&mut self.0), || {
            Outcome::Failed(Failure::Internal)
        });
    }
}

impl Database {
    /// False when Postgres had no time for all of it.
    async fn send_batch(
        self: &Rc<Self>,
        batcher: &Batcher,
        permit: &Permit,
        members: Vec<Rc<Member>>,
    ) -> bool {
        let link = &permit.link;
        let (Some(session), Some(prepared)) = (link.session(), link.statement(batcher.route))
        else {
            finish_all(members, Outcome::alone);
            return true;
        };
        let sent = self.ring.now();
        let Some(flight) = Flight::new(&prepared, batcher.shape, members, sent) else {
            return true;
        };
        let making = link.settings();
        let Ok(settings) = session::settings(&making, flight.session.as_ref()) else {
            flight.finish_all(Outcome::alone);
            return true;
        };
        let parameters = |out: &mut Vec<u8>| flight.append_parameters(out);
        if !session
            .wire
            .send(settings, flight.bind_head(), parameters, flight.clone())
        {
            flight.finish_all(Outcome::alone);
            return true;
        }
        match flight.answer.wait().await {
            End::Lost(reason) => link.lose(&session, &reason),
            End::Refused(_, refusal) if refusal.is_timeout() => {
                self.tell_refusal(batcher.route, None, &refusal);
                return false;
            }
            End::Refused(stage, refusal) if refusal.is_stale(stage) => {
                // Its requests find out by themselves how that went.
                let _ = self
                    .prepare_again(permit, batcher.route, Some(&prepared))
                    .await;
            }
            End::Refused(..) | End::Complete => {}
        }
        true
    }
}

fn finish_all(members: Vec<Rc<Member>>, outcome: impl Fn() -> Outcome) {
    for member in members {
        member.finish(outcome());
    }
}

#[cfg(test)]
mod tests;
