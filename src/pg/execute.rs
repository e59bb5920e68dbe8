//! One request's statement: sent, waited for, retried where that is safe.

mod attempt;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use attempt::{Attempt, Request};

use super::Database;
use super::batch::Outcome;
use super::connect;
use super::lane::Permit;
use super::link::Link;
use super::mend::Trouble;
use super::session::Session;
use super::statements::{Description, Prepared};
use crate::api::Bound;
use crate::error::Failure;
use crate::guard::RequestId;
use crate::limits;

/// What a statement gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Rows, all of them encoded.
    pub rows: usize,
    /// The JSON that the route's `result` asks for.
    pub body: Vec<u8>,
    /// When its statement was sent, and when the answer had come.
    pub asked: Option<(Instant, Instant)>,
}

/// Why a statement gave nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// What the client is told.
    pub failure: Failure,
    /// When its statement was first sent, and when it was given up; both the latter where it has only waited to
    /// be sent, and none where it has not even waited.
    pub asked: Option<(Instant, Instant)>,
}

/// Where a statement is running, for a request that may be cancelled.
#[derive(Default)]
pub struct Running {
    link: RefCell<Option<Rc<Link>>>,
    /// Its client has gone: a statement that is not running yet is not begun.
    abandoned: Cell<bool>,
}

/// What a request has been through.
#[derive(Default)]
struct Retries {
    /// It has had a place before, or was in a batch that had one.
    let_in: bool,
    lost: bool,
    stale: bool,
    outdated: bool,
    /// What was prepared for it alone, because it is outdated.
    own: Option<Rc<Prepared>>,
    unsent: u32,
    conflicts: u32,
}

impl Retries {
    fn unsent(&mut self) -> Result<(), Failure> {
        self.unsent += 1;
        match self.unsent <= limits::UNSENT_RETRIES_MAX {
            true => Ok(()),
            false => Err(Failure::Unavailable),
        }
    }
}

impl Database {
    /// Runs a route's statement with bound parameters: in a batch where the route has them. `session` is what
    /// the route's transaction is to have, to the letter. The log knows the request by `id`.
    pub async fn execute(
        self: &Rc<Self>,
        route: usize,
        id: &RequestId,
        description: Rc<Description>,
        bound: Bound,
        running: Option<&Running>,
        session: Option<Rc<Session>>,
    ) -> Result<Answered, Failed> {
        let (begun, sent) = (self.ring.now(), Cell::new(None));
        let answered = self.run(route, id, description, bound, session, (running, &sent));
        answered.await.map_err(|failure| {
            let now = self.ring.now();
            let sent = sent.get().or((now > begun).then_some(now));
            Failed {
                failure,
                asked: sent.map(|sent| (sent, now)),
            }
        })
    }

    async fn run(
        self: &Rc<Self>,
        route: usize,
        id: &RequestId,
        description: Rc<Description>,
        bound: Bound,
        session: Option<Rc<Session>>,
        (running, sent): (Option<&Running>, &Cell<Option<Instant>>),
    ) -> Result<Answered, Failure> {
        let declared = self.api.routes[route].transaction.as_ref();
        if declared.map(|it| it.settings) != session.as_ref().map(|it| it.settings()) {
            // Nothing runs as somebody else, whatever fault of ours it comes from.
            self.tell(route, "no settings", |name| {
                let request_id = id.as_str();
                tracing::error!(
                    route = name,
                    request_id,
                    "a request came without the settings of its route"
                );
            });
            return Err(Failure::Internal);
        }
        if !description.is_batched() {
            let request = Request {
                route,
                id,
                description: &description,
                bound: &bound,
                session: session.as_ref(),
                running,
                sent,
            };
            return self.execute_alone(request, Retries::default(), None).await;
        }
        let batcher = &self.routes[route].batcher;
        let now = self.ring.now();
        let joined = batcher.join(bound, description.clone(), session, now);
        let (member, outcome) = joined.await;
        match outcome {
            Outcome::Answered(mut answered) => {
                // By the pass that has read it, in which whoever waits for it is woken.
                if let Some((_, arrived)) = &mut answered.asked {
                    *arrived = self.ring.now();
                }
                Ok(answered)
            }
            Outcome::Failed(failure) => Err(failure),
            Outcome::Refused(failure, at) => {
                sent.set(Some(at));
                Err(failure)
            }
            Outcome::Alone(mut alone) => {
                let request = Request {
                    route,
                    id,
                    description: &description,
                    bound: &member.bound,
                    session: member.session.as_ref(),
                    running,
                    sent,
                };
                let retries = Retries {
                    let_in: true,
                    lost: alone.lost,
                    ..Retries::default()
                };
                let permit = alone.permit.take();
                self.execute_alone(request, retries, permit).await
            }
        }
    }

    async fn execute_alone(
        self: &Rc<Self>,
        request: Request<'_>,
        mut retries: Retries,
        mut held: Option<Permit>,
    ) -> Result<Answered, Failure> {
        let Request { route, running, .. } = request;
        let state = &self.routes[route];
        let lane = &self.lanes[state.lane];
        loop {
            let company = || state.is_swift().then(|| lane.join_company()).flatten();
            let permit = match held.take().or_else(company) {
                Some(permit) => permit,
                None if retries.let_in => lane.acquire_again().await?,
                None => lane.acquire().await?,
            };
            retries.let_in = true;
            if let Some(running) = running {
                if running.abandoned.get() {
                    return Err(cancelled());
                }
                running.link.replace(Some(permit.link.clone()));
            }
            let attempt = self.attempt(&permit, request, retries.own.take()).await;
            if let Some(running) = running {
                running.link.take();
            }
            match attempt {
                Ok(answered) => return Ok(answered),
                Err(attempt) => {
                    held = self.recover(permit, request, attempt, &mut retries).await?;
                    self.recorder.count(|counters| counters.retries += 1);
                }
            }
        }
    }

    /// Makes ready for one more attempt, on this connection if its permit comes back, or gives the
    /// failure that stands. What may have run is run again only if the route reads.
    async fn recover(
        self: &Rc<Self>,
        permit: Permit,
        request: Request<'_>,
        attempt: Attempt,
        retries: &mut Retries,
    ) -> Result<Option<Permit>, Failure> {
        let route = request.route;
        let read_only = self.api.routes[route].read_only;
        match attempt {
            Attempt::Failed(failure) => Err(failure),
            Attempt::Unsent => retries.unsent().map(|()| None),
            Attempt::Lost if !read_only => Err(Failure::OutcomeUnknown),
            Attempt::Lost if retries.lost => Err(Failure::Unavailable),
            Attempt::Lost => {
                retries.lost = true;
                Ok(None)
            }
            Attempt::Stale(_, None) if retries.stale => Err(Failure::NotPrepared),
            Attempt::Stale(_, Some(refusal)) if retries.stale => {
                // It prepares and is refused all the same: for what a function says that is called
                // while the statement is planned.
                self.tell_refusal(route, Some(request.id), &refusal);
                Err(match refusal.is_undefined() {
                    true => refusal.failure(),
                    false => Failure::NotPrepared,
                })
            }
            Attempt::Stale(prepared, _) => {
                match self.prepare_again(&permit, route, prepared.as_ref()).await {
                    Ok(()) => {
                        // On this connection: the others may still have the old statement.
                        retries.stale = true;
                        Ok(Some(permit))
                    }
                    Err(Trouble::Lost) => retries.unsent().map(|()| None),
                    Err(Trouble::Failed(failure)) => Err(failure),
                }
            }
            Attempt::Outdated if retries.outdated => Err(Failure::NotPrepared),
            Attempt::Outdated => {
                retries.outdated = true;
                let types = &request.description.parameters;
                match self.prepare_for(&permit, route, types).await {
                    Ok(prepared) => {
                        retries.own = Some(prepared);
                        Ok(Some(permit))
                    }
                    Err(Trouble::Lost) => retries.unsent().map(|()| None),
                    Err(Trouble::Failed(failure)) => Err(failure),
                }
            }
            Attempt::Misread(prepared) => {
                // A write is done, and this answer lost; those of the next ones are not.
                let again = self.prepare_again(&permit, route, Some(&prepared)).await;
                if !read_only || retries.stale || again.is_err() {
                    return Err(Failure::Internal);
                }
                retries.stale = true;
                Ok(Some(permit))
            }
            Attempt::Conflict(failure) => {
                retries.conflicts += 1;
                if !read_only || retries.conflicts > limits::CONFLICT_RETRIES_MAX {
                    return Err(failure);
                }
                drop(permit);
                let pause = Duration::from_millis(1) * retries.conflicts;
                self.ring.sleep(pause).await;
                Ok(None)
            }
        }
    }

    /// Cancels a statement whose client has gone (Postgres §54.2.8). A cancellation that comes late
    /// would end the connection's next statement, so the connection gets no next one. One that comes
    /// early, before the backend has begun, is ignored, so it is sent again until the statement ends.
    pub fn cancel(&self, running: &Running) {
        running.abandoned.set(true);
        let Some(link) = running.link.take() else {
            return;
        };
        link.retire();
        if let Some(session) = link.session() {
            let (ring, target) = (self.ring.clone(), self.target.clone());
            self.ring.spawn(async move {
                let mut pause = limits::CANCEL_AGAIN_MIN;
                while link.runs_on(&session) {
                    if let Err(error) = connect::cancel(&ring, &target, &session).await {
                        tracing::debug!(%error, "could not cancel a statement");
                    }
                    ring.sleep(pause).await;
                    pause = (pause * 2).min(limits::CANCEL_AGAIN_MAX);
                }
            });
        }
    }
}

/// As Postgres would say it of a statement that it was running.
fn cancelled() -> Failure {
    Failure::Sql {
        state: "57014".to_owned(),
        raised: None,
    }
}
