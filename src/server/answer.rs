//! One request on one core: route → guard → bind → Postgres → JSON → reply.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::handler::{Handled, Handler, Later};
use super::reply::Reply;
use crate::api::{self, Api, BindFault, Bound, Detail, Found, Input, Plan, ResultKind, Route};
use crate::error::Failure;
use crate::guard::RequestId;
use crate::http::{DATE_BYTES, Method, Request, imf_fixdate, normalize_path};
use crate::limits;
use crate::pg::execute::{Answered, Running};
use crate::pg::{Cause, Database};
use crate::ring::Ring;

/// What the requests of one core share.
pub struct Core {
    ring: Rc<Ring>,
    api: Arc<Api>,
    database: Rc<Database>,
    load: Rc<Load>,
    in_flight_max: usize,
    draining: Cell<bool>,
    date: RefCell<Date>,
    /// The routes file declares no path of its own in their place.
    health_built_in: bool,
    ready_built_in: bool,
}

/// The date is looked up once a second, by the clock of the pass.
struct Date {
    bytes: [u8; DATE_BYTES],
    until: Option<Instant>,
}

/// What the built-in paths answer to.
const BUILT_IN_ALLOW: &str = "GET, HEAD, OPTIONS";

impl Core {
    /// A core that has just started.
    pub fn new(
        ring: &Rc<Ring>,
        api: Arc<Api>,
        database: Rc<Database>,
        in_flight_max: usize,
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
            api,
            database,
            load,
            in_flight_max,
            draining: Cell::new(false),
            date: RefCell::new(Date {
                bytes: imf_fixdate(0),
                until: None,
            }),
        }
    }

    /// Tells the log what the core has to say of its work.
    pub fn log_summary(&self) {
        self.database.log_summary();
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
                _ => allowing(BUILT_IN_ALLOW, options, request),
            }
        } else {
            match self.api.router.find(method, path) {
                Found::Route { index, captures } => return Ok((index, captures)),
                Found::MethodNotAllowed { allow } => allowing(&allow, options, request),
                Found::NotFound if options && path == "*" => {
                    allowing(BUILT_IN_ALLOW, options, request)
                }
                Found::NotFound => {
                    Reply::error(404, "Not found", &RequestId::of(request).text(), None)
                }
            }
        })
    }

    fn ready(&self) -> Reply {
        let mut faults = self.database.faults();
        if self.draining.get() {
            faults.push("stopping".to_owned());
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

    fn serve_route(
        &self,
        route: usize,
        captures: &api::Captures<'_>,
        request: &Request<'_>,
        body: &[u8],
        company: usize,
    ) -> Handled {
        let id = RequestId::of(request);
        let Some(description) = self.database.description(route) else {
            let failure = match self.database.faults().is_empty() {
                true => Failure::NotPrepared,
                false => Failure::Unavailable,
            };
            return Handled::Now(failed(&failure, &id));
        };
        let Some(place) = Place::take(&self.load, self.in_flight_max) else {
            self.database
                .count_shed(route, &description, Cause::InFlight);
            return Handled::Now(failed(&Failure::Busy, &id));
        };
        let admitted = match self.database.admit(route, &description, company) {
            Ok(admitted) => admitted,
            Err(failure) => return Handled::Now(failed(&failure, &id)),
        };
        let bytes = place.expected(route);
        let mut bound = Bound::default();
        let header = |name: &str| request.header(name);
        let input = Input {
            captures: captures.as_slice(),
            query: request.query(),
            header: &header,
            content_type: request.content_type(),
            body,
        };
        if let Err(fault) = description.plan.bind(&input, &mut bound) {
            if fault.is_of_a_choice() {
                self.database.doubt(route);
            }
            return Handled::Now(unbound(&fault, &id));
        }
        if let Some(reply) = unmet(request, &id) {
            return Handled::Now(reply);
        }
        let api = self.api.clone();
        let database = self.database.clone();
        let running = api.routes[route].cancel.then(Rc::<Running>::default);
        let abandon = running.clone().map(|running| -> Box<dyn FnOnce()> {
            let database = self.database.clone();
            Box::new(move || database.cancel(&running))
        });
        let future = Box::pin(async move {
            let answered = database
                .execute(route, description.clone(), bound, running.as_deref())
                .await;
            database.leave(admitted, answered.as_ref().err());
            match answered {
                Ok(answered) => {
                    place.learn(route, answered.body.len());
                    answer(&api.routes[route], &description.plan, answered, &id)
                }
                Err(failure) => failed(&failure, &id),
            }
        });
        Handled::Later(Later {
            future,
            bytes,
            abandon,
        })
    }
}

impl Handler for Core {
    fn handle(&self, request: &Request<'_>, body: &[u8], company: usize) -> Handled {
        let path = normalize_path(request.path());
        match self.find(request, &path) {
            Ok((route, captures)) => self.serve_route(route, &captures, request, body, company),
            Err(reply) => Handled::Now(reply),
        }
    }

    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply> {
        let path = normalize_path(request.path());
        self.find(request, &path).err()
    }

    fn fault(&self, status: u16, message: &str) -> Reply {
        Reply::error(status, message, &RequestId::new().text(), None)
    }

    fn draining(&self) -> bool {
        self.draining.get()
    }

    fn now(&self) -> Instant {
        self.ring.now()
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        let mut date = self.date.borrow_mut();
        let now = self.ring.now();
        let fresh = date.until.is_some_and(|until| now < until);
        if !fresh {
            let wall = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            date.bytes = imf_fixdate(wall.as_secs());
            let rest = Duration::from_nanos(u64::from(1_000_000_000 - wall.subsec_nanos()));
            date.until = Some(now + rest);
        }
        date.bytes
    }
}

/// Turns what a statement gave into the answer that the route's `result` declares.
fn answer(route: &Route, plan: &Plan, answered: Answered, id: &RequestId) -> Reply {
    match route.result {
        ResultKind::One | ResultKind::Scalar if answered.rows == 0 => {
            Reply::error(route.empty_status, &route.not_found, &id.text(), None)
        }
        ResultKind::Exec if plan.columns.is_empty() => Reply {
            status: route.status.unwrap_or(204),
            ..Reply::empty()
        },
        _ => Reply::json(route.status.unwrap_or(200), answered.body),
    }
}

/// The answer to OPTIONS, and to a method that the path does not know: both say which it does.
fn allowing(allow: &str, options: bool, request: &Request<'_>) -> Reply {
    let mut reply = match options {
        true => Reply::empty(),
        false => {
            let id = RequestId::of(request);
            Reply::error(405, "Method not allowed", &id.text(), None)
        }
    };
    reply.field("allow", allow);
    reply
}

fn failed(failure: &Failure, id: &RequestId) -> Reply {
    let (status, message) = failure.answer();
    let mut reply = Reply::error(status, &message, &id.text(), None);
    if let Some(seconds) = failure.retry_after() {
        reply.field("retry-after", seconds.to_string());
    }
    reply
}

fn unbound(fault: &BindFault, id: &RequestId) -> Reply {
    match fault {
        BindFault::MediaType => {
            let mut reply =
                Reply::error(415, "The body has to be application/json", &id.text(), None);
            reply.field("accept", "application/json");
            reply
        }
        BindFault::ContentCoding => {
            let message = "The body must not have a content coding";
            let mut reply = Reply::error(415, message, &id.text(), None);
            // Says that it is the coding and not the type (RFC 9110 §12.5.3).
            reply.field("accept-encoding", "identity");
            reply
        }
        BindFault::Malformed(message) => Reply::error(400, message, &id.text(), None),
        BindFault::Invalid(details) => {
            let mut list = Vec::new();
            Detail::write_all(details, &mut list);
            Reply::error(422, "Validation failed", &id.text(), Some(&list))
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
    Some(Reply::error(status, message, &id.text(), None))
}

/// What a core is at, and what it has learned from it.
struct Load {
    /// Requests that are being answered from Postgres.
    in_flight: Cell<usize>,
    /// By route: bytes of the largest answer so far.
    answer_bytes: Vec<Cell<Option<usize>>>,
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

    fn expected(&self, route: usize) -> usize {
        let largest = self.0.answer_bytes[route].get();
        largest.unwrap_or(limits::ANSWER_BYTES_UNKNOWN)
    }

    fn learn(&self, route: usize, bytes: usize) {
        let largest = &self.0.answer_bytes[route];
        largest.set(largest.get().max(Some(bytes)));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let in_flight = &self.0.in_flight;
        in_flight.set(in_flight.get() - 1);
    }
}
