//! One request's statement: sent, its rows encoded as they come, retried where that is safe.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryStreamExt;
use tokio_postgres::error::DbError;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

use super::Database;
use super::connect;
use super::lane::Permit;
use super::link::Link;
use super::mend::Trouble;
use super::statements::{Description, Prepared, ends_connection};
use crate::api::{self, Bound, ResultKind};
use crate::error::Failure;
use crate::json::Raw;
use crate::limits;

/// What a statement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that it returned, all of them encoded.
    pub rows: usize,
    /// Rows that it changed or returned, as Postgres counts them.
    pub affected: u64,
}

/// Where a statement is running, for a request that may be cancelled.
#[derive(Default)]
pub struct Running {
    link: RefCell<Option<Rc<Link>>>,
    /// Its client has gone: a statement that is not running yet is not begun.
    abandoned: Cell<bool>,
}

/// Why one attempt failed.
enum Attempt {
    /// For good.
    Failed(Failure),
    /// The connection had ended before anything was sent.
    Unsent,
    /// The connection was lost before the answer was complete, with these words.
    Lost(String),
    /// The connection does not have the statement in its present form, but this one or none.
    /// Nothing was run.
    Stale(Option<Rc<Prepared>>),
    /// It ran, but its rows are not of the types that it was prepared with: a composite type was
    /// changed, which Postgres doesn't tell.
    Misread(Rc<Prepared>),
    /// A conflict with a concurrent transaction; nothing was changed.
    Conflict(Failure),
}

/// How far a statement came (Postgres §54.2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was run.
    Bind,
    /// BindComplete has come.
    Execute,
}

/// What a request has been through.
#[derive(Default)]
struct Retries {
    lost: bool,
    stale: bool,
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
    /// Runs a route's statement with bound parameters and appends its rows to `body` as the JSON
    /// that the route's `result` asks for. On an error `body` is as it was.
    pub async fn execute(
        self: &Rc<Self>,
        route: usize,
        description: &Rc<Description>,
        bound: &Bound,
        running: Option<&Running>,
        body: &mut Vec<u8>,
    ) -> Result<Outcome, Failure> {
        let start = body.len();
        let mut retries = Retries::default();
        let mut held = None;
        loop {
            let permit = match held.take() {
                Some(permit) => permit,
                None => self.lanes[self.routes[route].lane].acquire().await?,
            };
            if let Some(running) = running {
                if running.abandoned.get() {
                    return Err(cancelled());
                }
                running.link.replace(Some(permit.link.clone()));
            }
            let attempt = self.attempt(&permit, route, description, bound, body).await;
            if let Some(running) = running {
                running.link.take();
            }
            match attempt {
                Ok(outcome) => return Ok(outcome),
                Err(attempt) => {
                    body.truncate(start);
                    held = self.recover(permit, route, attempt, &mut retries).await?;
                }
            }
        }
    }

    /// Makes ready for one more attempt, on this connection if its permit comes back, or gives the
    /// failure that stands. What may have run is run again only if the route reads.
    async fn recover(
        self: &Rc<Self>,
        permit: Permit,
        route: usize,
        attempt: Attempt,
        retries: &mut Retries,
    ) -> Result<Option<Permit>, Failure> {
        let read_only = self.api.routes[route].read_only;
        match attempt {
            Attempt::Failed(failure) => Err(failure),
            Attempt::Unsent => retries.unsent().map(|()| None),
            Attempt::Lost(_) if !read_only => Err(Failure::OutcomeUnknown),
            Attempt::Lost(_) if retries.lost => Err(Failure::Unavailable),
            Attempt::Lost(_) => {
                retries.lost = true;
                Ok(None)
            }
            Attempt::Stale(_) if retries.stale => Err(Failure::NotPrepared),
            Attempt::Stale(prepared) => {
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
        if let Some(client) = link.client() {
            let (ring, target) = (self.ring.clone(), self.target.clone());
            self.ring.spawn(async move {
                let token = client.cancel_token();
                let mut pause = limits::CANCEL_AGAIN_MIN;
                while link.runs_on(&client) {
                    if let Err(error) = connect::cancel(&ring, &target, &token).await {
                        tracing::debug!(%error, "could not cancel a statement");
                    }
                    ring.sleep(pause).await;
                    pause = (pause * 2).min(limits::CANCEL_AGAIN_MAX);
                }
            });
        }
    }

    async fn attempt(
        &self,
        permit: &Permit,
        route: usize,
        description: &Rc<Description>,
        bound: &Bound,
        body: &mut Vec<u8>,
    ) -> Result<Outcome, Attempt> {
        let Some(client) = permit.link.client().filter(|client| !client.is_closed()) else {
            return Err(Attempt::Unsent);
        };
        let Some(prepared) = permit.link.statement(route) else {
            return Err(Attempt::Stale(None));
        };
        let now = &prepared.description;
        if !Rc::ptr_eq(now, description) && !now.binds_like(description) {
            // The table changed. Bytes of the types that are known now: the connection is behind.
            // Otherwise the change came between binding and sending.
            let known = self.description(route);
            return Err(match known.is_some_and(|it| it.binds_like(description)) {
                true => Attempt::Stale(Some(prepared)),
                false => Attempt::Failed(Failure::NotPrepared),
            });
        }
        let parameters = (0..bound.values.len()).map(|index| Parameter(bound.value(index)));
        let outcome = match client.query_raw(&prepared.statement, parameters).await {
            Ok(rows) => {
                let rows = std::pin::pin!(rows);
                self.encode(route, &prepared, rows, body).await
            }
            Err(error) => Err(self.classify(route, &prepared, Stage::Bind, &error)),
        };
        if let Err(Attempt::Lost(reason)) = &outcome {
            // Nobody else is to be given what is left of the connection.
            permit.link.lose(&client, reason);
        }
        outcome
    }

    async fn encode(
        &self,
        route: usize,
        prepared: &Rc<Prepared>,
        mut rows: std::pin::Pin<&mut tokio_postgres::RowStream>,
        body: &mut Vec<u8>,
    ) -> Result<Outcome, Attempt> {
        let route_file = &self.api.routes[route];
        let columns = &prepared.description.plan.columns;
        let kind = route_file.result;
        let list = matches!(kind, ResultKind::Many | ResultKind::Exec);
        let rows_max = if list { route_file.max_rows } else { 1 };
        let start = body.len();
        let mut count = 0;
        let mut fault = None;
        if list {
            body.push(b'[');
        }
        while let Some(row) = rows
            .try_next()
            .await
            .map_err(|error| self.classify(route, prepared, Stage::Execute, &error))?
        {
            count += 1;
            if fault.is_some() {
                continue; // read to the end, so that the permit covers what is in flight
            }
            if count > rows_max || body.len() - start > limits::RESPONSE_BYTES_MAX {
                fault = Some(Failure::TooLarge);
                continue;
            }
            if count > 1 {
                body.push(b',');
            }
            let raw = |index| row.get::<usize, Raw<'_>>(index).0;
            let encoded = match kind {
                ResultKind::Scalar => columns.encode_scalar(raw, body),
                _ => columns.encode_object(raw, body),
            };
            if let Err(error) = encoded {
                tracing::error!(route = route_file.name, %error, "a column could not be encoded");
                fault = Some(Failure::Internal);
            }
        }
        if let Some(fault) = fault {
            if fault == Failure::Internal {
                return Err(Attempt::Misread(prepared.clone()));
            }
            if fault == Failure::TooLarge {
                tracing::error!(
                    route = route_file.name,
                    rows = count,
                    rows_max,
                    "the result is larger than the route allows"
                );
            }
            return Err(Attempt::Failed(fault));
        }
        if list {
            body.push(b']');
        }
        Ok(Outcome {
            rows: count,
            affected: rows.rows_affected().unwrap_or(0),
        })
    }

    fn classify(
        &self,
        route: usize,
        prepared: &Rc<Prepared>,
        stage: Stage,
        error: &tokio_postgres::Error,
    ) -> Attempt {
        let api::Route {
            name, read_only, ..
        } = &self.api.routes[route];
        let Some(refusal) = error.as_db_error() else {
            let gone = error.is_closed()
                || error
                    .source()
                    .is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            if !gone {
                // The two sides no longer agree on what comes next: not one more row of this
                // connection can be trusted.
                tracing::error!(route = name, %error, "driver error");
            }
            return Attempt::Lost(connect::chain(error));
        };
        let state = refusal.code().code();
        if ends_connection(refusal) {
            return Attempt::Lost(format!("{} ({state})", refusal.message()));
        }
        // Past Bind it comes from within a function, and what ran before it may have been committed.
        if is_stale(refusal) && (stage == Stage::Bind || *read_only) {
            return Attempt::Stale(Some(prepared.clone()));
        }
        let failure = Failure::Sql {
            state: state.to_owned(),
            raised: (state == "P0001").then(|| refusal.message().to_owned()),
        };
        if failure.answer().0 >= 500 {
            let message = refusal.message();
            tracing::error!(route = name, state, message, "statement failed");
        }
        match state {
            "40001" | "40P01" => Attempt::Conflict(failure),
            _ => Attempt::Failed(failure),
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

/// Whether the connection's prepared statement is gone, or no longer fits the tables and types.
fn is_stale(refusal: &DbError) -> bool {
    match refusal.code().code() {
        "26000" => true,
        "0A000" => refusal.routine() == Some("RevalidateCachedQuery"),
        // A parameter's type was dropped and made again. Internal messages are not translated.
        "XX000" => refusal
            .message()
            .starts_with("cache lookup failed for type"),
        _ => false,
    }
}

/// A parameter whose bytes were made when the request was bound.
#[derive(Debug)]
struct Parameter<'a>(Option<&'a [u8]>);

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match self.0 {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}
