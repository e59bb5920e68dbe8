//! The logs of requests: the access log, and that of slow ones.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::{self, Access};
use super::budget::Budget;
use super::note::{Note, Parts};
use crate::guard::RequestId;
use crate::http::Request;
use crate::limits;
use crate::metrics::{Record, Snapshot, Timing};

/// The target of what is said of slow requests.
const SLOW: &str = "slow";

/// Answers that may wait for the end of a pass; of more of them the log is told at once.
const WRITTEN_MAX: usize = 4096;

/// What the flags ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `--access-log`.
    pub access: Option<Access>,
    /// `--slow-log`: how long a request may take that is not told of.
    pub slow: Option<Duration>,
    /// `--slow-log-params`.
    pub slow_params: bool,
}

/// One core's.
pub struct RequestLog {
    /// With whether each route is meant.
    access: Option<(Access, RefCell<Vec<bool>>)>,
    slow: Option<Slow>,
    parts: Parts,
    /// By their places; see [`crate::metrics::Snapshot::names`].
    names: RefCell<Arc<[String]>>,
    /// Answers that go to the kernel with the next pass, as far as anything is to be told of them.
    written: RefCell<Vec<Answer>>,
}

struct Slow {
    threshold: Duration,
    params: bool,
    budget: Budget,
    /// The slowest of those that had no line, and its route.
    worst: Cell<(Duration, usize)>,
}

/// An answer, as the log may have to tell of it.
#[derive(Debug)]
pub struct Answer {
    /// As it is recorded.
    pub record: Record,
    /// Of the content that is sent.
    pub bytes: usize,
    /// Of the request.
    pub id: RequestId,
    /// What [`RequestLog::note`] gave.
    pub note: Option<Box<Note>>,
    /// From the whole request to its answer.
    pub took: Duration,
}

impl RequestLog {
    /// What the flags ask for, of routes of these names.
    pub fn new(settings: &Settings, names: Arc<[String]>) -> RequestLog {
        let Settings {
            access,
            slow,
            slow_params,
        } = settings.clone();
        let params = slow.is_some() && slow_params;
        let query = access.as_ref().is_some_and(|access| access.query);
        RequestLog {
            access: access.map(|access| {
                let routes = access.routes(&names);
                (access, RefCell::new(routes))
            }),
            slow: slow.map(|threshold| Slow {
                threshold,
                params,
                budget: Budget::new(limits::SLOW_LINES_MAX, limits::TELL_AGAIN),
                worst: Cell::default(),
            }),
            parts: Parts {
                query: query || params,
                body: params,
            },
            names: RefCell::new(names),
            written: RefCell::default(),
        }
    }

    /// The routes that are served from now on have these names.
    pub fn rename(&self, names: &Arc<[String]>) {
        if let Some((access, routes)) = &self.access {
            routes.replace(access.routes(names));
        }
        self.names.replace(names.clone());
    }

    /// What may have to be said of a request when it is answered. Bytes that are none have no `request`.
    #[inline]
    pub fn note(
        &self,
        request: Option<&Request<'_>>,
        body: &[u8],
        client: Option<IpAddr>,
        id: &RequestId,
    ) -> Option<Box<Note>> {
        if self.access.is_none() && !self.parts.body {
            return None;
        }
        let access = self.access.as_ref();
        let wanted = self.parts.body || access.is_some_and(|(access, _)| access.may_log(id));
        wanted.then(|| Box::new(Note::of(request, body, client, self.parts)))
    }

    /// Whether there is anything to be told of any answer.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.access.is_some() || self.slow.is_some()
    }

    /// Whether there is anything to be told of an answer that the kernel has at `now`, or soon.
    #[inline]
    pub fn concerns(&self, has_note: bool, whole: Instant, now: Instant) -> bool {
        let is_slow = |slow: &Slow| now.saturating_duration_since(whole) >= slow.threshold;
        has_note || self.slow.as_ref().is_some_and(is_slow)
    }

    /// An answer goes to the kernel whole with the next pass.
    pub fn written(&self, answer: Answer) {
        let mut written = self.written.borrow_mut();
        if written.len() < WRITTEN_MAX {
            written.push(answer);
        } else {
            drop(written);
            self.answered(&answer, Instant::now(), true);
        }
    }

    /// What was written since the last pass has been handed to the kernel.
    #[inline]
    pub fn handed(&self, now: Instant) {
        let mut written = self.written.borrow_mut();
        for answer in written.drain(..) {
            self.answered(&answer, now, true);
        }
    }

    /// The kernel has an answer to its last byte; or, unless it is `whole`, the client did not wait for that.
    pub fn answered(&self, answer: &Answer, now: Instant, whole: bool) {
        let route = Snapshot::place(&self.names.borrow(), answer.record.route);
        if let (Some((access, routes)), Some(note)) = (&self.access, &answer.note)
            && routes.borrow().get(route).is_some_and(|meant| *meant)
            && access.logs(&answer.id, answer.record.status)
        {
            let aborted = (!whole).then_some(true);
            self.tell_access(access, route, answer, note, now, aborted);
        }
        let Some(slow) = &self.slow else {
            return;
        };
        // A client that takes its time to send is not slow here.
        let took = now.saturating_duration_since(answer.record.timing.whole);
        if took < slow.threshold {
            return;
        }
        if slow.budget.is_over(now) {
            self.tell_folded();
        }
        if slow.budget.admits(now) {
            self.tell_slow(slow, route, answer, now);
        } else if slow.worst.get().0 < took {
            slow.worst.set((took, route));
        }
    }

    /// Tells the log of slow requests that have had no line if it is time to: to be called once a second.
    pub fn tell_again(&self, now: Instant) {
        if self
            .slow
            .as_ref()
            .is_some_and(|slow| slow.budget.is_over(now))
        {
            self.tell_folded();
        }
    }

    /// Tells the log of slow requests that have had no line.
    pub fn tell_folded(&self) {
        let Some(slow) = &self.slow else {
            return;
        };
        let requests = slow.budget.take_folded();
        if requests > 0 {
            let (took, route) = slow.worst.take();
            tracing::warn!(
                target: SLOW,
                requests,
                slowest_ms = milliseconds(took),
                slowest_route = name(&self.names.borrow(), route),
                "more slow requests"
            );
        }
    }

    fn tell_access(
        &self,
        access: &Access,
        route: usize,
        answer: &Answer,
        note: &Note,
        now: Instant,
        aborted: Option<bool>,
    ) {
        let stages = Stages::of(answer, now);
        let head = note.head.as_ref();
        let query = head.and_then(|head| head.query.as_deref());
        tracing::info!(
            target: access::TARGET,
            method = head.map(|head| head.method),
            path = head.map(|head| &*head.path),
            query = query.filter(|_| access.query),
            route = name(&self.names.borrow(), route),
            status = answer.record.status,
            bytes = answer.bytes,
            aborted,
            duration_ms = stages.total,
            read_ms = stages.read,
            wait_ms = stages.wait,
            postgres_ms = stages.postgres,
            write_ms = stages.write,
            client = note.client.map(tracing::field::display),
            request_id = %answer.id,
            trace_id = head.and_then(|head| head.trace_id.as_deref()),
            http = head.map(|head| head.version),
            user_agent = head.and_then(|head| head.user_agent.as_deref()),
            "request"
        );
    }

    fn tell_slow(&self, slow: &Slow, route: usize, answer: &Answer, now: Instant) {
        let stages = Stages::of(answer, now);
        let note = answer.note.as_ref().filter(|_| slow.params);
        let head = note.and_then(|note| note.head.as_ref());
        tracing::warn!(
            target: SLOW,
            route = name(&self.names.borrow(), route),
            status = answer.record.status,
            duration_ms = stages.total,
            read_ms = stages.read,
            wait_ms = stages.wait,
            postgres_ms = stages.postgres,
            write_ms = stages.write,
            request_id = %answer.id,
            path = head.map(|head| &*head.path),
            query = head.and_then(|head| head.query.as_deref()),
            body = note.and_then(|note| note.body.as_deref()),
            "slow request"
        );
    }
}

fn name(names: &[String], route: usize) -> &str {
    names.get(route).map_or("", String::as_str)
}

/// Of one request, in milliseconds: those that it had.
struct Stages {
    total: f64,
    read: f64,
    wait: Option<f64>,
    postgres: Option<f64>,
    write: f64,
}

impl Stages {
    fn of(answer: &Answer, now: Instant) -> Stages {
        let Timing {
            first,
            whole,
            asked,
        } = answer.record.timing;
        let between = |from: Instant, to: Instant| milliseconds(to.saturating_duration_since(from));
        // Without a statement that was answered the time before the answer is nobody's in particular.
        let written = asked.map_or(whole + answer.took, |(_, arrived)| arrived);
        Stages {
            total: between(first, now),
            read: between(first, whole),
            wait: asked.map(|(sent, _)| between(whole, sent)),
            postgres: asked.map(|(sent, arrived)| between(sent, arrived)),
            write: between(written, now),
        }
    }
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
