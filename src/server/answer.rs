//! One request on one core: route → guard → bind → Postgres → JSON → reply.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::handler::{Handled, Later};
use super::jwks::Asker;
use super::rate_limit::{Limiter, Outcome, Ruling};
use super::reply::Reply;
use super::session::{Facts, Forbidden, Sessions};
use crate::api::{self, Api, BindFault, Bound, Detail, Found, Input, Plan, ResultKind, Route};
use crate::error::Failure;
use crate::guard::auth::jwt::Fault;
use crate::guard::auth::{Keys, Reason, Refused};
use crate::guard::rate_limit::OnStoreFailure;
use crate::guard::{Clock, Guards, Peer, RequestId, Trail, Visit};
use crate::http::{DATE_BYTES, Method, Request, imf_fixdate, normalize_path};
use crate::limits;
use crate::pg::execute::{Answered, Running};
use crate::pg::{Admitted, Cause, Database, Description, Session};
use crate::ring::Ring;

/// What the requests of one core share.
pub struct Core {
    ring: Rc<Ring>,
    api: Arc<Api>,
    guards: Guards,
    sessions: Sessions,
    limiter: Limiter,
    database: Rc<Database>,
    load: Rc<Load>,
    in_flight_max: usize,
    draining: Cell<bool>,
    /// Whom to ask for the keys of tokens that are not known.
    asker: Option<Asker>,
    date: RefCell<Date>,
    /// The routes file declares no path of its own in their place.
    health_built_in: bool,
    ready_built_in: bool,
}

/// The date, looked up once a second, by the clock of the pass.
struct Date {
    bytes: [u8; DATE_BYTES],
    /// Since 1970, at `at`.
    wall: Duration,
    at: Instant,
    until: Option<Instant>,
}

/// What the built-in paths answer to.
const BUILT_IN_ALLOW: &str = "GET, HEAD, OPTIONS";

impl Core {
    /// A core that has just started.
    pub fn new(
        ring: &Rc<Ring>,
        api: Arc<Api>,
        limiter: Limiter,
        database: Rc<Database>,
        in_flight_max: usize,
        asker: Option<Asker>,
    ) -> Core {
        let free = |path| matches!(api.router.find(None, path), Found::NotFound);
        let load = Rc::new(Load {
            in_flight: Cell::new(0),
            answer_bytes: vec![Cell::new(None); api.routes.len()],
        });
        Core {
            ring: ring.clone(),
            health_built_in: free("/health"),
            ready_built_in: free("/ready"),
            guards: Guards::new(&api.guards),
            sessions: Sessions::new(&api.guards.auth),
            api,
            limiter,
            database,
            load,
            in_flight_max,
            draining: Cell::new(false),
            asker,
            date: RefCell::new(Date {
                bytes: imf_fixdate(0),
                wall: Duration::ZERO,
                at: ring.now(),
                until: None,
            }),
        }
    }

    /// Tells the log what the core has to say of its work.
    pub fn log_summary(&self) {
        self.database.log_summary();
        self.limiter.log_summary();
    }

    /// All that the core had to answer is; it ends when no other core needs it any more, or at `end`.
    pub async fn finish(&self, end: Instant) {
        self.limiter.finish(end).await;
    }

    /// From now on identities are proved with these.
    pub fn replace_keys(&self, keys: &Keys) {
        self.guards.replace_keys(keys);
    }

    /// From now on every answer is the last of its connection.
    pub fn drain(&self) {
        self.draining.set(true);
    }

    /// The route of a request with its captures, or the answer to one that needs no route.
    fn find<'a>(
        &self,
        request: &Request<'_>,
        path: &'a str,
        id: &RequestId,
    ) -> Result<(usize, api::Captures<'a>), Reply> {
        let method = match request.method() {
            Method::Get | Method::Head => Some(api::Method::Get),
            Method::Post => Some(api::Method::Post),
            Method::Put => Some(api::Method::Put),
            Method::Patch => Some(api::Method::Patch),
            Method::Delete => Some(api::Method::Delete),
            Method::Options => None,
        };
        let health = path == "/health" && self.health_built_in;
        let ready = path == "/ready" && self.ready_built_in;
        let options = method.is_none();
        Err(if health || ready {
            match method {
                Some(api::Method::Get) if health => Reply::fixed(200, b"{\"status\":\"ok\"}"),
                Some(api::Method::Get) => self.ready(),
                _ => allowing(BUILT_IN_ALLOW, options, id),
            }
        } else {
            match self.api.router.find(method, path) {
                Found::Route { index, captures } => return Ok((index, captures)),
                Found::MethodNotAllowed { allow } => allowing(&allow, options, id),
                Found::NotFound if options && path == "*" => allowing(BUILT_IN_ALLOW, options, id),
                Found::NotFound => Reply::error(404, "Not found", id, None),
            }
        })
    }

    /// The `Allow` field of a path, if there is such a path.
    fn allow(&self, path: &str) -> Option<String> {
        let health = path == "/health" && self.health_built_in;
        let ready = path == "/ready" && self.ready_built_in;
        if health || ready || path == "*" {
            return Some(BUILT_IN_ALLOW.to_owned());
        }
        match self.api.router.find(None, path) {
            Found::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }

    /// The guards that answer by themselves.
    fn guard(&self, request: &Request<'_>, path: &str, trail: &mut Trail) -> Option<Reply> {
        let preflight = self
            .guards
            .cross_origin(request, trail, || self.allow(path))?;
        Some(match preflight {
            Ok(()) => Reply::empty(),
            Err(message) => Reply::error(403, message, &trail.id, None),
        })
    }

    fn ready(&self) -> Reply {
        let mut faults = self.database.faults();
        if self.draining.get() {
            faults.push("stopping".to_owned());
        }
        if self.guards.lacks_keys() {
            faults.push("no keys to verify tokens with".to_owned());
        }
        if faults.is_empty() {
            return Reply::fixed(200, b"{\"status\":\"ready\"}");
        }
        let mut body = b"{\"status\":\"unavailable\",\"reasons\":".to_vec();
        let encoded = sonic_rs::to_vec(&faults);
        body.extend(encoded.expect("a list of strings is JSON"));
        body.push(b'}');
        let mut reply = Reply::json(503, body);
        reply.field("retry-after", "1");
        reply
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
        let mut visit = self.guards.begin(request, peer, self.clock());
        let path = normalize_path(request.path());
        if let Some(reply) = self.guard(request, &path, &mut visit.trail) {
            return Handled::Now(end(reply, visit.trail));
        }
        let (route, captures) = match self.find(request, &path, &visit.trail.id) {
            Ok(found) => found,
            Err(reply) => return Handled::Now(end(reply, visit.trail)),
        };
        // A limit that counts by a claim has to know whose it is; every other one comes first.
        let known = self
            .counts_claims(route)
            .then(|| self.authenticate(route, request, &mut visit));
        let limit = match self.limit(route, request, company, &mut visit) {
            Ok(limit) => limit,
            Err(refused) => return Handled::Now(end(refused, visit.trail)),
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
            (Err(reply), None) => Handled::Now(end(reply, visit.trail)),
        }
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

    fn counts_claims(&self, route: usize) -> bool {
        let rule = self.api.routes[route].rate_limit;
        rule.is_some_and(|rule| self.limiter.rule(rule).needs_identity())
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

    /// Counts a request of a route that has a rate limit: a refusal, or what is to be waited for before
    /// anything else is done for it.
    fn limit(
        &self,
        route: usize,
        request: &Request<'_>,
        company: usize,
        visit: &mut Visit,
    ) -> Result<Option<Limit>, Reply> {
        let route = &self.api.routes[route];
        let Some(rule) = route.rate_limit else {
            return Ok(None);
        };
        let declared = self.limiter.rule(rule);
        let (address, header) = (visit.client.address, |name: &str| request.header(name));
        let identity = visit.identity.clone();
        let claim = |name: &str| Some(identity.as_ref()?.claims.json(name)?.as_bytes());
        let client = declared.client(&route.name, address, header, claim);
        match self.limiter.rule_on(rule, &client) {
            Ruling::Known(outcome) => match self.settle(rule, outcome, &mut visit.trail) {
                Some(refused) => Err(refused),
                None => Ok(None),
            },
            ruling => Ok(Some(Limit {
                rule,
                ruling,
                company,
            })),
        }
    }

    /// What has been decided of a request: the refusal of one that is not let in. The response says what
    /// its client may still do.
    fn settle(&self, rule: usize, outcome: Outcome, trail: &mut Trail) -> Option<Reply> {
        let declared = self.limiter.rule(rule);
        let Some(decision) = outcome else {
            self.limiter.count_undecided(rule);
            return (declared.on_store_failure == OnStoreFailure::Deny).then(|| {
                let message = "The rate limit can't be checked";
                let mut reply = Reply::error(503, message, &trail.id, None);
                reply.field("retry-after", "1");
                reply
            });
        };
        trail.add_with(|lines| declared.append_fields(&decision, lines));
        (!decision.admitted).then(|| Reply::error(429, "Too many requests", &trail.id, None))
    }

    /// An answer that needs no body, for a client that asks before it sends one.
    pub fn refuse_early(&self, peer: Peer, request: &Request<'_>) -> Option<Reply> {
        let mut visit = self.guards.begin(request, peer, self.clock());
        let path = normalize_path(request.path());
        let reply = match self.guard(request, &path, &mut visit.trail) {
            Some(reply) => reply,
            None => match self.find(request, &path, &visit.trail.id) {
                Err(reply) => reply,
                // Refusals count too: what has a limit is counted first, once it is there whole.
                Ok((route, _)) if self.api.routes[route].rate_limit.is_some() => return None,
                Ok((route, _)) => self.authenticate(route, request, &mut visit).err()?,
            },
        };
        Some(end(reply, visit.trail))
    }

    /// The answer to bytes that are no request, or to one that did not come to its end: its head is
    /// given then, so that the page that sent it can read why.
    pub fn fault(
        &self,
        peer: Peer,
        request: Option<&Request<'_>>,
        status: u16,
        message: &str,
    ) -> Reply {
        let trail = match request {
            None => self.guards.begin_fault(peer, self.clock()),
            Some(request) => {
                let mut trail = self.guards.begin(request, peer, self.clock()).trail;
                self.guards.cross_origin(request, &mut trail, || None);
                trail
            }
        };
        end(Reply::error(status, message, &trail.id, None), trail)
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
            return Err(failed(&failure, id));
        };
        let held = company
            .map(|company| self.admit(route, &description, company))
            .transpose()
            .map_err(|failure| failed(&failure, id))?;
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

    /// Refuses a request, unless its rate limit does.
    fn refuse_later(self: &Rc<Self>, reply: Reply, limit: Limit, mut trail: Box<Trail>) -> Handled {
        let (bytes, core) = (reply.body.len(), self.clone());
        let future = Box::pin(async move {
            let outcome = limit.ruling.outcome().await;
            let refused = core.settle(limit.rule, outcome, &mut trail);
            end(refused.unwrap_or(reply), trail)
        });
        Handled::Later(Later {
            future,
            bytes,
            abandon: None,
        })
    }

    fn answer_later(
        self: &Rc<Self>,
        mut work: Work,
        limit: Option<Limit>,
        mut trail: Box<Trail>,
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
        let future = Box::pin(async move {
            if let Some(limit) = limit {
                let outcome = limit.ruling.outcome().await;
                if let Some(refused) = core.settle(limit.rule, outcome, &mut trail) {
                    return end(refused, trail);
                }
                match core.admit(work.route, &work.description, limit.company) {
                    Ok(held) => work.held = Some(held),
                    Err(failure) => return end(failed(&failure, &trail.id), trail),
                }
            }
            let reply = core.answer(work, running.as_deref(), &trail.id).await;
            end(reply, trail)
        });
        Handled::Later(Later {
            future,
            bytes,
            abandon,
        })
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
            .execute(route, description.clone(), bound, running, session)
            .await;
        if let Some(held) = held {
            self.database.leave(held.admitted, answered.as_ref().err());
            drop(held.place);
        }
        match answered {
            Ok(answered) => {
                self.load.learn(route, answered.body.len());
                answer(&self.api.routes[route], &description.plan, answered, id)
            }
            Err(failure) => failed(&failure, id),
        }
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
        self.look_at_the_clock();
        self.date.borrow().bytes
    }

    fn clock(&self) -> Clock {
        self.look_at_the_clock();
        let date = self.date.borrow();
        let now = self.ring.now();
        Clock {
            now,
            wall: date.wall + now.saturating_duration_since(date.at),
        }
    }

    fn look_at_the_clock(&self) {
        let mut date = self.date.borrow_mut();
        let now = self.ring.now();
        if date.until.is_some_and(|until| now < until) {
            return;
        }
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let rest = Duration::from_nanos(u64::from(1_000_000_000 - wall.subsec_nanos()));
        *date = Date {
            bytes: imf_fixdate(wall.as_secs()),
            wall,
            at: now,
            until: Some(now + rest),
        };
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

/// A rate limit that another core decides on.
struct Limit {
    rule: usize,
    ruling: Ruling,
    /// Requests of its connection that came before it.
    company: usize,
}

/// What a request holds while it is being answered from Postgres.
struct Held {
    place: Place,
    admitted: Admitted,
}

/// The answer is there: now it is known how long it took.
fn end(mut reply: Reply, mut trail: Box<Trail>) -> Reply {
    trail.end(Instant::now());
    reply.trail = Some(trail);
    reply
}

/// Turns what a statement gave into the answer that the route's `result` declares.
fn answer(route: &Route, plan: &Plan, answered: Answered, id: &RequestId) -> Reply {
    match route.result {
        ResultKind::One | ResultKind::Scalar if answered.rows == 0 => {
            Reply::error(route.empty_status, &route.not_found, id, None)
        }
        ResultKind::Exec if plan.columns.is_empty() => Reply {
            status: route.status.unwrap_or(204),
            ..Reply::empty()
        },
        _ => Reply::json(route.status.unwrap_or(200), answered.body),
    }
}

/// The answer to OPTIONS, and to a method that the path does not know: both say which it does.
fn allowing(allow: &str, options: bool, id: &RequestId) -> Reply {
    let mut reply = match options {
        true => Reply::empty(),
        false => Reply::error(405, "Method not allowed", id, None),
    };
    reply.field("allow", allow);
    reply
}

fn failed(failure: &Failure, id: &RequestId) -> Reply {
    let (status, message) = failure.answer();
    let mut reply = Reply::error(status, &message, id, None);
    if let Some(seconds) = failure.retry_after() {
        reply.field("retry-after", seconds.to_string());
    }
    reply
}

/// The answer to whom the route is not for. Whatever the reason is, the client sees the same.
fn unauthorized(refused: &Refused, route: &str, id: &RequestId) -> Reply {
    tracing::debug!(route, request_id = %id, reason = %refused.reason, "refused");
    let message = match refused.status {
        403 => "Forbidden",
        _ => "Unauthorized",
    };
    let mut reply = Reply::error(refused.status, message, id, None);
    for challenge in &refused.challenges {
        reply.field("www-authenticate", *challenge);
    }
    reply
}

fn unbound(fault: &BindFault, id: &RequestId) -> Reply {
    match fault {
        BindFault::MediaType => {
            let mut reply = Reply::error(415, "The body has to be application/json", id, None);
            reply.field("accept", "application/json");
            reply
        }
        BindFault::ContentCoding => {
            let message = "The body must not have a content coding";
            let mut reply = Reply::error(415, message, id, None);
            // Says that it is the coding and not the type (RFC 9110 §12.5.3).
            reply.field("accept-encoding", "identity");
            reply
        }
        // Only of a route whose identity is known, which is answered before.
        BindFault::Claims(_) => Reply::error(403, "Forbidden", id, None),
        BindFault::Malformed(message) => Reply::error(400, message, id, None),
        BindFault::Invalid(details) => {
            let mut list = Vec::new();
            Detail::write_all(details, &mut list);
            Reply::error(422, "Validation failed", id, Some(&list))
        }
    }
}

/// The answer to what a request asks on conditions that can't hold here. No representation has an
/// entity tag, so none has the one that an If-Match names, and the method must not be performed
/// (RFC 9110 §13.1.1); what a part of a representation would replace is not known (§14.5).
fn unmet(request: &Request<'_>, id: &RequestId) -> Option<Reply> {
    let (status, message) = if request.wants_entity_tag() {
        (
            412,
            "There are no entity tags here that If-Match could name",
        )
    } else if request.method() == Method::Put && request.header("content-range").is_some() {
        (400, "A PUT replaces the whole: it has no Content-Range")
    } else {
        return None;
    };
    Some(Reply::error(status, message, id, None))
}

/// What a core is at, and what it has learned from it.
struct Load {
    /// Requests that are being answered from Postgres.
    in_flight: Cell<usize>,
    /// By route: bytes of the largest answer so far.
    answer_bytes: Vec<Cell<Option<usize>>>,
}

impl Load {
    /// Bytes that an answer of the route is expected to have.
    fn expected(&self, route: usize) -> usize {
        let largest = self.answer_bytes[route].get();
        largest.unwrap_or(limits::ANSWER_BYTES_UNKNOWN)
    }

    fn learn(&self, route: usize, bytes: usize) {
        let largest = &self.answer_bytes[route];
        largest.set(largest.get().max(Some(bytes)));
    }
}

/// One of the requests that a core answers from Postgres at a time.
struct Place(Rc<Load>);

impl Place {
    fn take(load: &Rc<Load>, max: usize) -> Option<Place> {
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
