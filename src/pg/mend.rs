//! Statements that DDL has changed are prepared again: once on a connection, however many requests
//! ask for it at a time, and from time to time in the background while a route does not prepare.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::Database;
use super::lane::{Lane, Permit};
use super::link::Link;
use super::statements::{self, Fault, Prepared};
use crate::error::Failure;
use crate::limits;

/// The first number that a type which is not Postgres's own can have (FirstNormalObjectId).
const FIRST_OF_USERS: u32 = 16384;

/// A preparation under way on one connection, and who waits for it.
#[derive(Default)]
pub(super) struct Preparation {
    outcome: RefCell<Option<Result<(), Trouble>>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Why a statement was not prepared.
#[derive(Clone)]
pub(super) enum Trouble {
    /// The connection is gone or of no more use; another one may do.
    Lost,
    /// Postgres refused.
    Failed(Failure),
}

impl Database {
    /// Prepares a route's statement on a connection in place of `stale`, which a request has found to
    /// be of no more use; `None` when there was none. Whoever comes second waits for the first.
    pub(super) async fn prepare_again(
        self: &Rc<Self>,
        permit: &Permit,
        route: usize,
        stale: Option<&Rc<Prepared>>,
    ) -> Result<(), Trouble> {
        if let Some(present) = permit.link.statement(route)
            && !stale.is_some_and(|stale| Rc::ptr_eq(stale, &present))
        {
            return Ok(()); // somebody has done it meanwhile
        }
        let preparation = self.start_preparation(&permit.lane, &permit.link, route);
        preparation.done().await
    }

    /// A task of its own, so that it comes to its end whatever becomes of the request that asked.
    fn start_preparation(
        self: &Rc<Self>,
        lane: &Rc<Lane>,
        link: &Rc<Link>,
        route: usize,
    ) -> Rc<Preparation> {
        if let Some(running) = link.preparation(route) {
            return running;
        }
        let preparation = Rc::<Preparation>::default();
        link.add_preparation(route, preparation.clone());
        // It is in flight like any statement: silence is noticed, and the end of it waited for.
        let permit = lane.permit(link.clone());
        self.ring.spawn({
            let (database, preparation) = (self.clone(), preparation.clone());
            async move {
                let outcome = database.prepare_on(&permit.link, route).await;
                permit.link.remove_preparation(route);
                drop(permit);
                preparation.finish(outcome);
            }
        });
        preparation
    }

    /// Prepares a route's statement for parameters of the types that a request was bound to, so that it
    /// needn't be refused because the table has changed since: Postgres casts as ever.
    pub(super) async fn prepare_for(
        &self,
        permit: &Permit,
        route: usize,
        types: &[Type],
    ) -> Result<Rc<Prepared>, Trouble> {
        let session = permit.link.session().ok_or(Trouble::Lost)?;
        let preparing = statements::prepare_for(&self.api, route, &session.client, types);
        preparing.await.map(Rc::new).map_err(|fault| match fault {
            Fault::Lost(error) if error.as_db_error().is_none() => Trouble::Lost,
            Fault::Lost(_) | Fault::Refused(_) => Trouble::Failed(Failure::NotPrepared),
        })
    }

    /// Has the route's statement prepared again on some connection, as a request was refused for what
    /// may be known no longer: a label that was added to an enum, of which Postgres tells nobody.
    pub fn doubt(self: &Rc<Self>, route: usize) {
        let state = &self.routes[route];
        let is_users = |ty: &Type| ty.oid() >= FIRST_OF_USERS;
        let description = self.description(route);
        let now = self.ring.now();
        let fresh = |doubted: Instant| now - doubted < limits::DOUBT_INTERVAL;
        if state.doubted.get().is_some_and(fresh)
            || !description.is_some_and(|it| it.parameters.iter().any(is_users))
        {
            return;
        }
        state.doubted.set(Some(now));
        let lane = &self.lanes[state.lane];
        if let Some(link) = lane.links().iter().find(|link| link.usable()) {
            self.start_preparation(lane, link, route);
        }
    }

    async fn prepare_on(&self, link: &Link, route: usize) -> Result<(), Trouble> {
        let session = link.session().ok_or(Trouble::Lost)?;
        // A composite type keeps its number when its members change.
        session.client.clear_type_cache();
        match statements::prepare(&self.api, route, &session.client).await {
            Ok(prepared) => {
                let prepared = self.learn(route, prepared);
                let prepared =
                    statements::prepare_batch(self, route, &session.client, prepared).await;
                let prepared = prepared.map_err(|_| Trouble::Lost)?;
                link.replace_statement(&session, route, Rc::new(prepared));
                Ok(())
            }
            Err(Fault::Refused(diagnostics)) => {
                statements::note_fault(self, route, &diagnostics);
                Err(Trouble::Failed(Failure::NotPrepared))
            }
            Err(Fault::Lost(error)) => Err(
                match error.code().map(tokio_postgres::error::SqlState::code) {
                    // Even the driver's own statements are gone (DEALLOCATE ALL): start afresh.
                    Some("26000") => {
                        link.retire();
                        Trouble::Lost
                    }
                    Some(state) if statements::is_passing(state) => Trouble::Failed(Failure::Sql {
                        state: state.to_owned(),
                        raised: None,
                    }),
                    _ => Trouble::Lost,
                },
            ),
        }
    }
}

impl Preparation {
    async fn done(&self) -> Result<(), Trouble> {
        poll_fn(|context| {
            if let Some(outcome) = &*self.outcome.borrow() {
                return Poll::Ready(outcome.clone());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|known| known.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn finish(&self, outcome: Result<(), Trouble>) {
        self.outcome.replace(Some(outcome));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// Prepares, while there are any, the statements that a lane's connections lack: those of a route whose
/// table was away, or locked, when the connection was opened. Sooner where somebody asks for the route.
pub(super) async fn keep_prepared(database: Rc<Database>, lane: Rc<Lane>) {
    let mut pause = limits::PREPARE_AGAIN_MIN;
    loop {
        let mut slept = Duration::ZERO;
        while slept < pause && !(slept > Duration::ZERO && is_wanted(&database, &lane)) {
            database.ring.sleep(limits::PREPARE_AGAIN_MIN).await;
            slept += limits::PREPARE_AGAIN_MIN;
        }
        pause = match prepare_missing(&database, &lane).await {
            true => limits::PREPARE_AGAIN_MIN,
            false => (pause * 2).min(limits::PREPARE_AGAIN_MAX),
        };
    }
}

/// Whether a request has come, since this was last asked, for a route that is refused.
fn is_wanted(database: &Database, lane: &Lane) -> bool {
    let routes = lane.routes.iter();
    let wanted = routes.filter(|&&route| database.routes[route].wanted.take());
    wanted.count() > 0
}

/// True when nothing is missing any more. A route that is refused on one connection is not tried on
/// the others.
async fn prepare_missing(database: &Rc<Database>, lane: &Rc<Lane>) -> bool {
    let mut complete = true;
    for &route in &lane.routes {
        for link in lane.links() {
            let lacking = |link: &Link| {
                let present = link.statement(route);
                database.is_at_fault(route) || !present.is_some_and(|it| it.is_complete())
            };
            let undisturbed = !lane.cancellable() || link.in_flight() == 0;
            if !(lacking(link) && undisturbed && link.usable()) {
                continue;
            }
            let preparation = database.start_preparation(lane, link, route);
            if preparation.done().await.is_err() || lacking(link) {
                complete = false;
                break;
            }
        }
    }
    complete
}
