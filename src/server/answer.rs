//! One request on one core: route → guard → bind → Postgres → JSON → reply.

mod clock;
mod limited;
mod load;
mod refusals;
mod routing;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::handler::{Handled, Later};
use super::jwks::Asker;
use super::rate_limit::{Limiter, Office};
use super::reply::Reply;
use super::reporting::Books;
use super::session::{Facts, Forbidden, Sessions};
use crate::api::{self, Api, BindFault, Bound, Found, Input, Plan, ResultKind, Route};
use crate::error::Failure;
use crate::guard::auth::jwt::Fault;
use crate::guard::auth::{Keys, Reason, Refused};
use crate::guard::{Clock, Guards, Lines, Peer, RequestId, Trail, Visit};
use crate::http::{DATE_BYTES, Request, normalize_path};
use crate::metrics::{Gauges, Places, Recorder};
use crate::pg::execute::{Answered, Failed, Running};
use crate::pg::{Admitted, Cause, Database, Description, Session};
use crate::ring::Ring;
use clock::WallClock;
use limited::Limit;
use load::{Load, Place};
use refusals::{failed, unauthorized, unbound, unmet};
use routing::lines;

/// What the requests of one core share.
pub struct Core {
    ring: Rc<Ring>,
    api: Arc<Api>,
    guards: Guards,
    sessions: Sessions,
    limiter: Limiter,
    /// By route: what all of its responses say.
    route_lines: Vec<Option<Lines>>,
    database: Rc<Database>,
    load: Rc<Load>,
    books: Books,
    places: Places,
    in_flight_max: usize,
    draining: Cell<bool>,
    /// Whom to ask for the keys of tokens that are not known.
    asker: Option<Asker>,
    wall_clock: WallClock,
    /// The routes file declares no path of its own in their place.
    health_built_in: bool,
    ready_built_in: bool,
}

impl Core {
    /// A core that has just started.
    pub fn new(
        ring: &Rc<Ring>,
        api: Arc<Api>,
        limiter: Limiter,
        database: Rc<Database>,
        (books, places): (Books, Places),
        in_flight_max: usize,
        asker: Option<Asker>,
    ) -> Core {
        let free = |path| matches!(api.router.find(None, path), Found::NotFound);
        let load = Load::new(api.routes.len());
        Core {
            ring: ring.clone(),
            health_built_in: free("/health"),
            ready_built_in: free("/ready"),
            guards: Guards::new(&api.guards),
            sessions: Sessions::new(&api.guards.auth),
            route_lines: api.routes.iter().map(lines).collect(),
            api,
            limiter,
            database,
            load,
            books,
            places,
            in_flight_max,
            draining: Cell::new(false),
            asker,
            wall_clock: WallClock::new(ring.now()),
        }
    }

    /// Tells the log what the core has to say of its work.
    pub fn log_summary(&self) {
        self.database.log_summary();
        self.books.log.tell_folded();
    }

    /// What its rate limits are decided with, and its connections to Postgres.
    pub fn parts(&self) -> (&Rc<Office>, &Rc<Database>) {
        (self.limiter.office(), &self.database)
    }

    /// From now on identities are proved with these.
    pub fn replace_keys(&self, keys: &Keys) {
        self.guards.replace_keys(keys);
    }

    /// From now on every answer is the last of its connection.
    pub fn drain(&self) {
        self.draining.set(true);
    }

    /// Answers one request of a connection of `peer`: `company` of them came before it and are not
    /// answered yet.
    pub fn handle(
        self: &Rc<Self>,
        peer: Peer,
        request: &Request<'_>,
        body: &[u8],
        company: usize,
    ) -> Handled {
        let mut visit = self.begin(peer, request, body);
        let path = normalize_path(request.path());
        if let Some(reply) = self.guard(request, &path, &mut visit.trail) {
            return Handled::Now(reply.ended(visit.trail));
        }
        let (route, captures) = match self.find(request, &path, &mut visit.trail) {
            Ok(found) => found,
            Err(reply) => return Handled::Now(reply.ended(visit.trail)),
        };
        // A limit that counts by a claim has to know whose it is; every other one comes first.
        let known = self
            .counts_claims(route)
            .then(|| self.authenticate(route, request, &mut visit));
        let limit = match self.limit(route, request, company, &mut visit) {
            Ok(limit) => limit,
            Err(refused) => return Handled::Now(refused.ended(visit.trail)),
        };
        let known = known.unwrap_or_else(|| self.authenticate(route, request, &mut visit));
        // Nothing is asked of the database before the limit has been decided on.
        let company = limit.is_none().then_some(company);
        let served = known
            .and_then(|()| self.session(route, request, &path, &visit))
            .and_then(|session| {
                let work = self.serve_route(route, &captures, request, body, company, &visit)?;
                Ok(Work { session, ..work })
            });
        match (served, limit) {
            (Ok(work), limit) => self.answer_later(work, limit, visit.trail),
            (Err(reply), Some(limit)) => self.refuse_later(reply, limit, visit.trail),
            (Err(reply), None) => Handled::Now(reply.ended(visit.trail)),
        }
    }

    /// A request has come in from `peer`.
    fn begin(&self, peer: Peer, request: &Request<'_>, body: &[u8]) -> Visit {
        let mut visit = self.guards.begin(request, peer, self.clock());
        let (log, client) = (&self.books.log, visit.client.address);
        visit.trail.note = log.note(Some(request), body, client, &visit.trail.id);
        visit
    }

    /// What Postgres is to be told of a request, or the refusal of one whose role is none here.
    fn session(
        &self,
        route: usize,
        request: &Request<'_>,
        path: &str,
        visit: &Visit,
    ) -> Result<Option<Rc<Session>>, Reply> {
        let facts = Facts {
            request,
            path,
            id: &visit.trail.id,
            identity: visit.identity.as_ref(),
        };
        let session = self.sessions.of(&self.api.routes[route], &facts);
        session.map_err(|Forbidden| Reply::error(403, "Forbidden", facts.id, None))
    }

    /// Finds out who asks, if the route wants to know: a refusal of who may not.
    fn authenticate(
        &self,
        route: usize,
        request: &Request<'_>,
        visit: &mut Visit,
    ) -> Result<(), Reply> {
        let route = &self.api.routes[route];
        let Err(refused) = self.guards.authenticate(&route.auth, request, visit) else {
            return Ok(());
        };
        if refused.reason == Reason::Token(Fault::UnknownKey)
            && let Some(asker) = &self.asker
        {
            asker.ask();
        }
        Err(unauthorized(&refused, &route.name, &visit.trail.id))
    }

    /// An answer that needs no body, for a client that asks before it sends one.
    pub fn refuse_early(&self, peer: Peer, request: &Request<'_>) -> Option<Reply> {
        let mut visit = self.begin(peer, request, b"");
        let path = normalize_path(request.path());
        let reply = match self.guard(request, &path, &mut visit.trail) {
            Some(reply) => reply,
            None => match self.find(request, &path, &mut visit.trail) {
                Err(reply) => reply,
                Ok((route, _)) => self.refuse_unread(route, request, &mut visit)?,
            },
        };
        Some(reply.ended(visit.trail))
    }

    /// The answer to bytes that are no request, or to one that did not come to its end, or whose handling
    /// panicked: its head is given then, so that the page that sent it can read why.
    pub fn fault(
        &self,
        peer: Peer,
        request: Option<&Request<'_>>,
        status: u16,
        message: &str,
    ) -> Reply {
        let mut trail = self.guards.begin_fault(request, peer, self.clock());
        let client = request.map_or(peer, |request| self.guards.client(request, peer));
        let log = &self.books.log;
        trail.note = log.note(request, b"", client.address, &trail.id);
        Reply::error(status, message, &trail.id, None).ended(trail)
    }

    /// What is to be asked of Postgres, or the answer to a request that does not get that far. It has its
    /// place there at once if `company` tells how many of its connection came before it.
    fn serve_route(
        &self,
        route: usize,
        captures: &api::Captures<'_>,
        request: &Request<'_>,
        body: &[u8],
        company: Option<usize>,
        visit: &Visit,
    ) -> Result<Work, Reply> {
        let id = &visit.trail.id;
        let Some(description) = self.database.description(route) else {
            let failure = match self.database.faults().is_empty() {
                true => Failure::NotPrepared,
                false => Failure::Unavailable,
            };
            return Err(self.failed(route, &failure, id));
        };
        let held = company
            .map(|company| self.admit(route, &description, company))
            .transpose()
            .map_err(|failure| self.failed(route, &failure, id))?;
        let header = |name: &str| request.header(name);
        let input = Input {
            captures: captures.as_slice(),
            query: request.query(),
            header: &header,
            content_type: request.content_type(),
            body,
            claim: &|name| visit.identity.as_ref()?.claims.json(name),
        };
        let mut bound = Bound::default();
        if let Err(fault) = description.plan.bind(&input, &mut bound) {
            if fault.is_of_a_choice() {
                self.database.doubt(route);
            }
            if let (BindFault::Claims(details), Some(identity)) = (&fault, &visit.identity) {
                let claim = details[0].loc.last().map_or("", |name| name);
                let refused = Refused::of_claim(identity.scheme, claim);
                return Err(unauthorized(&refused, &self.api.routes[route].name, id));
            }
            return Err(unbound(&fault, id));
        }
        if let Some(reply) = unmet(request, id) {
            return Err(reply);
        }
        Ok(Work {
            route,
            description,
            bound,
            session: None,
            held,
        })
    }

    /// A place among the requests that are answered from Postgres, unless there are too many.
    fn admit(
        &self,
        route: usize,
        description: &Rc<Description>,
        company: usize,
    ) -> Result<Held, Failure> {
        let Some(place) = Place::take(&self.load, self.in_flight_max) else {
            self.database
                .count_shed(route, description, Cause::InFlight);
            return Err(Failure::Busy);
        };
        let admitted = self.database.admit(route, description, company)?;
        Ok(Held { place, admitted })
    }

    fn answer_later(
        self: &Rc<Self>,
        mut work: Work,
        limit: Option<Limit>,
        trail: Box<Trail>,
    ) -> Handled {
        let bytes = self.load.expected(work.route);
        let running = self.api.routes[work.route]
            .cancel
            .then(Rc::<Running>::default);
        let abandon = running.clone().map(|running| -> Box<dyn FnOnce()> {
            let database = self.database.clone();
            Box::new(move || database.cancel(&running))
        });
        let core = self.clone();
        let answering = async move |trail: &mut Trail| {
            if let Some(limit) = limit {
                let outcome = limit.ruling.outcome().await;
                if let Some(refused) = core.settle(limit.rule, outcome, trail) {
                    return core.after_waiting(refused);
                }
                match core.admit(work.route, &work.description, limit.company) {
                    Ok(held) => work.held = Some(held),
                    Err(failure) => {
                        let refused = core.failed(work.route, &failure, &trail.id);
                        return core.after_waiting(refused);
                    }
                }
            }
            core.answer(work, running.as_deref(), &trail.id).await
        };
        Handled::Later(Later::new(trail, bytes, abandon, answering))
    }

    async fn answer(&self, work: Work, running: Option<&Running>, id: &RequestId) -> Reply {
        let Work {
            route,
            description,
            bound,
            session,
            held,
        } = work;
        let answered = self
            .database
            .execute(route, id, description.clone(), bound, running, session)
            .await;
        if let Some(held) = held {
            let failure = answered.as_ref().err().map(|failed| &failed.failure);
            self.database.leave(held.admitted, failure);
            drop(held.place);
        }
        match answered {
            Ok(answered) => {
                self.load.learn(route, answered.body.len());
                answer(&self.api.routes[route], &description.plan, answered, id)
            }
            Err(Failed { failure, asked }) => Reply {
                asked,
                ..self.failed(route, &failure, id)
            },
        }
    }

    fn failed(&self, route: usize, failure: &Failure, id: &RequestId) -> Reply {
        if failure.is_shed() {
            self.books.recorder.shed(self.places.of(route));
        }
        failed(failure, id)
    }

    /// What it has at the moment.
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            in_flight: self.load.in_flight() as u64,
            faults: self.faults(),
            ..Gauges::default()
        };
        self.database.gauge(&mut gauges);
        gauges
    }

    /// What the core records its work with.
    pub fn recorder(&self) -> &Recorder {
        &self.books.recorder
    }

    /// The names by which it does.
    pub fn names(&self) -> &Arc<[String]> {
        &self.places.names
    }

    /// The server is stopping.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// The time of the pass.
    pub fn now(&self) -> Instant {
        self.ring.now()
    }

    /// The current second as IMF-fixdate.
    pub fn date(&self) -> [u8; DATE_BYTES] {
        self.wall_clock.date(self.ring.now())
    }

    fn clock(&self) -> Clock {
        self.wall_clock.at(self.ring.now())
    }
}

/// What is to be asked of Postgres for one request.
struct Work {
    route: usize,
    description: Rc<Description>,
    bound: Bound,
    /// What Postgres is to be told of it.
    session: Option<Rc<Session>>,
    /// `None` where the rate limit is still to be decided on.
    held: Option<Held>,
}

/// What a request holds while it is being answered from Postgres.
struct Held {
    place: Place,
    admitted: Admitted,
}

/// Turns what a statement gave into the answer that the route's `result` declares.
fn answer(route: &Route, plan: &Plan, answered: Answered, id: &RequestId) -> Reply {
    let asked = answered.asked;
    let reply = match route.result {
        ResultKind::One | ResultKind::Scalar if answered.rows == 0 => {
            Reply::error(route.empty_status, &route.not_found, id, None)
        }
        ResultKind::Exec if plan.columns.is_empty() => Reply {
            status: route.status.unwrap_or(204),
            ..Reply::empty()
        },
        _ => Reply::json(route.status.unwrap_or(200), answered.body),
    };
    Reply { asked, ..reply }
}
