//! One attempt to run a request's statement: what Postgres says of it, and what that means.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::{Answered, Running};
use crate::api::Bound;
use crate::error::Failure;
use crate::guard::RequestId;
use crate::pg::Database;
use crate::pg::lane::Permit;
use crate::pg::message::{Refusal, append_parameters};
use crate::pg::rows::{RowFault, Rows, Shape, Single};
use crate::pg::session::{self, Session};
use crate::pg::statements::{Description, Prepared};
use crate::pg::wire::{End, Stage};

/// A request that runs by itself.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) route: usize,
    pub(super) id: &'a RequestId,
    pub(super) description: &'a Rc<Description>,
    pub(super) bound: &'a Bound,
    /// What Postgres is told of it, each time that it is sent.
    pub(super) session: Option<&'a Rc<Session>>,
    pub(super) running: Option<&'a Running>,
    /// When it was sent first.
    pub(super) sent: &'a Cell<Option<Instant>>,
}

/// Why one attempt failed.
pub(super) enum Attempt {
    /// For good.
    Failed(Failure),
    /// The connection had ended before anything was sent.
    Unsent,
    /// The connection was lost before the answer was complete.
    Lost,
    /// The connection does not have the statement in its present form, but this one or none.
    /// Nothing was run. With what Postgres said of it, if it was asked.
    Stale(Option<Rc<Prepared>>, Option<Refusal>),
    /// It was bound to types that the parameters no longer have, of which nobody knew then. Nothing
    /// was run.
    Outdated,
    /// It ran, but its rows are not of the types that it was prepared with: a composite type was
    /// changed, which Postgres doesn't tell.
    Misread(Rc<Prepared>),
    /// A conflict with a concurrent transaction; nothing was changed.
    Conflict(Failure),
}

impl Database {
    /// Runs it once: by `own`, a statement that was prepared for this request alone, if there is one.
    pub(super) async fn attempt(
        &self,
        permit: &Permit,
        request: Request<'_>,
        own: Option<Rc<Prepared>>,
    ) -> Result<Answered, Attempt> {
        let Request {
            route,
            description,
            bound,
            session: told,
            ..
        } = request;
        let Some(session) = permit.link.session() else {
            return Err(Attempt::Unsent);
        };
        // Others have found out meanwhile, a batch that it was in for one.
        if self.is_at_fault(route) {
            return Err(Attempt::Failed(Failure::NotPrepared));
        }
        let Some(prepared) = own.or_else(|| permit.link.statement(route)) else {
            return Err(Attempt::Stale(None, None));
        };
        let now = &prepared.description;
        if !Rc::ptr_eq(now, description) && !now.binds_like(description) {
            // The table changed. Bytes of the types that are known now: the connection is behind.
            // Otherwise the change came between binding and sending.
            let known = self.description(route);
            return Err(match known.is_some_and(|it| it.binds_like(description)) {
                true => Attempt::Stale(Some(prepared), None),
                false => Attempt::Outdated,
            });
        }
        let making = permit.link.settings();
        let Ok(settings) = session::settings(&making, told) else {
            return Err(Attempt::Unsent); // the connection has just ended
        };
        let single = Single::new(prepared.clone(), Shape::of(&self.api.routes[route]));
        let parameters = |out: &mut Vec<u8>| append_parameters(bound, out);
        let wire = &session.wire;
        let sent = self.ring.now();
        if !wire.send(settings, &prepared.bind_head, parameters, single.clone()) {
            return Err(Attempt::Unsent);
        }
        request.sent.set(request.sent.get().or(Some(sent)));
        let answer = single.wait().await;
        let now = self.ring.now();
        let taken = now - permit.link.begun(sent);
        self.routes[route].note_time(taken);
        permit.lane.note_time(taken, now - sent);
        match answer {
            (End::Complete, rows) => self.accept(request, prepared, rows, (sent, now)),
            (End::Refused(Stage::Settings, refusal), _) => {
                Err(self.settings_refused(permit, request, &refusal))
            }
            (End::Refused(stage, refusal), _) => {
                if refusal.is_read_only() && self.target.wants_writes() {
                    permit.link.retire_if_old(self.ring.now());
                }
                Err(self.classify(request, prepared, stage, refusal))
            }
            (End::Lost(reason), _) => {
                // Nobody else is to be given what is left of the connection.
                permit.link.lose(&session, &reason);
                Err(Attempt::Lost)
            }
        }
    }

    /// The answer that complete rows are, unless one of them could not be taken.
    fn accept(
        &self,
        request: Request<'_>,
        prepared: Rc<Prepared>,
        rows: Rows,
        asked: (Instant, Instant),
    ) -> Result<Answered, Attempt> {
        let (route, request_id) = (request.route, request.id.as_str());
        match rows.fault {
            None => Ok(Answered {
                rows: rows.count,
                body: rows.body,
                asked: Some(asked),
            }),
            Some(RowFault::Misread(error)) => {
                self.tell(route, "misread", |name| {
                    tracing::error!(
                        route = name,
                        error,
                        request_id,
                        "a column could not be encoded"
                    );
                });
                Err(Attempt::Misread(prepared))
            }
            Some(RowFault::TooLarge) => {
                let rows_max = self.api.routes[route].max_rows;
                self.tell(route, "too large", |name| {
                    tracing::error!(
                        route = name,
                        rows = rows.count,
                        rows_max,
                        request_id,
                        "the result is larger than the route allows"
                    );
                });
                Err(Attempt::Failed(Failure::TooLarge))
            }
        }
    }

    /// Tells the log of a refusal that is no fault of the client's. Of a batch it is nobody's alone.
    pub(in crate::pg) fn tell_refusal(
        &self,
        route: usize,
        id: Option<&RequestId>,
        refusal: &Refusal,
    ) {
        let Refusal { state, message, .. } = refusal;
        if refusal.failure().answer().0 >= 500 {
            self.tell(route, state, |name| {
                let request_id = id.map(RequestId::as_str);
                tracing::error!(
                    route = name,
                    state,
                    error = message,
                    request_id,
                    "statement failed"
                );
            });
        }
    }

    /// The settings of a request were refused, and so its statement was not looked at.
    fn settings_refused(
        &self,
        permit: &Permit,
        request: Request<'_>,
        refusal: &Refusal,
    ) -> Attempt {
        let Request { route, id, .. } = request;
        let Refusal { state, message, .. } = refusal;
        match state.as_str() {
            // Somebody has dropped all statements of the session (DEALLOCATE ALL): start afresh.
            "26000" => {
                permit.link.retire();
                Attempt::Unsent
            }
            // A role that is gone, or that the login role may no longer become.
            "22023" | "42501" | "42704" => {
                self.tell(route, "settings", |name| {
                    let request_id = id.as_str();
                    tracing::error!(
                        route = name,
                        state,
                        error = message,
                        request_id,
                        "a request's settings were refused"
                    );
                });
                Attempt::Failed(Failure::NotPrepared)
            }
            _ => {
                self.tell_refusal(route, Some(id), refusal);
                Attempt::Failed(refusal.failure())
            }
        }
    }

    fn classify(
        &self,
        request: Request<'_>,
        prepared: Rc<Prepared>,
        stage: Stage,
        refusal: Refusal,
    ) -> Attempt {
        let Request { route, id, .. } = request;
        let read_only = self.api.routes[route].read_only;
        // Past Bind it comes from within a function, and what ran before it may have been committed.
        if refusal.is_stale(stage) && (stage == Stage::Bind || read_only) {
            return Attempt::Stale(Some(prepared), Some(refusal));
        }
        let failure = refusal.failure();
        self.tell_refusal(route, Some(id), &refusal);
        match refusal.state.as_str() {
            "40001" | "40P01" => Attempt::Conflict(failure),
            _ => Attempt::Failed(failure),
        }
    }
}
