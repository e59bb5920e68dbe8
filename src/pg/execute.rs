//! One request's statement: sent, its rows encoded as they come, retried where that is safe.

use std::cell::RefCell;
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
use super::statements::{self, Description, Fault, Prepared, is_connection_fault};
use crate::api::{Bound, ResultKind};
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
pub struct Running(RefCell<Option<Rc<Link>>>);

/// Why one attempt failed.
enum Attempt {
    /// For good.
    Failed(Failure),
    /// The connection was lost before the answer was complete.
    Lost,
    /// The connection does not have the statement in its present form: prepare it again.
    Stale,
    /// A conflict with a concurrent transaction; nothing was changed.
    Conflict(Failure),
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
        let read_only = self.api.routes[route].read_only;
        let start = body.len();
        let (mut lost, mut stale, mut conflicts) = (false, false, 0);
        loop {
            let permit = self.lanes[self.routes[route].lane].acquire().await?;
            if let Some(Running(link)) = running {
                link.replace(Some(permit.link.clone()));
            }
            let attempt = self.attempt(&permit, route, description, bound, body).await;
            if let Some(Running(link)) = running {
                link.take();
            }
            let again = match attempt {
                Ok(outcome) => return Ok(outcome),
                Err(attempt) => attempt,
            };
            body.truncate(start);
            match again {
                Attempt::Failed(failure) => return Err(failure),
                Attempt::Lost if !read_only => return Err(Failure::OutcomeUnknown),
                Attempt::Lost if lost => return Err(Failure::Unavailable),
                Attempt::Lost => lost = true,
                Attempt::Stale if stale => return Err(Failure::NotPrepared),
                Attempt::Stale => {
                    stale = true;
                    self.prepare_again(&permit, route).await?;
                }
                Attempt::Conflict(failure) => {
                    conflicts += 1;
                    if !read_only || conflicts > limits::CONFLICT_RETRIES_MAX {
                        return Err(failure);
                    }
                    drop(permit);
                    self.ring.sleep(Duration::from_millis(1) * conflicts).await;
                }
            }
        }
    }

    /// Cancels a statement whose client has gone (Postgres §54.2.8). A cancellation that comes late
    /// would end the connection's next statement, so the connection gets no next one.
    pub fn cancel(&self, Running(link): &Running) {
        let Some(link) = link.take() else {
            return;
        };
        link.retire();
        if let Some(client) = link.client() {
            let (ring, target) = (self.ring.clone(), self.target.clone());
            self.ring.spawn(async move {
                if let Err(error) = connect::cancel(&ring, &target, &client.cancel_token()).await {
                    tracing::debug!(%error, "could not cancel a statement");
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
        let Some(client) = permit.link.client() else {
            return Err(Attempt::Failed(Failure::Unavailable));
        };
        let Some(prepared) = permit.link.statement(route) else {
            return Err(Attempt::Stale);
        };
        let now = &prepared.description;
        if !Rc::ptr_eq(now, description) && !now.binds_like(description) {
            // The table changed between binding and sending: the bytes are of the old types.
            return Err(Attempt::Failed(Failure::NotPrepared));
        }
        let parameters = (0..bound.values.len()).map(|index| Parameter(bound.value(index)));
        let rows = client
            .query_raw(&prepared.statement, parameters)
            .await
            .map_err(|error| self.classify(route, &error))?;
        let rows = std::pin::pin!(rows);
        self.encode(route, &prepared, rows, body).await
    }

    async fn encode(
        &self,
        route: usize,
        prepared: &Prepared,
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
            .map_err(|error| self.classify(route, &error))?
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

    /// Prepares a statement that DDL has changed, on the connection that noticed.
    async fn prepare_again(&self, permit: &Permit, route: usize) -> Result<(), Failure> {
        let client = permit.link.client().ok_or(Failure::Unavailable)?;
        match statements::prepare(&self.api, route, &client).await {
            Ok(prepared) => {
                let prepared = self.learn(route, prepared);
                permit.link.replace_statement(route, Rc::new(prepared));
                Ok(())
            }
            Err(Fault::Lost(_)) => Err(Failure::Unavailable),
            Err(Fault::Refused(diagnostics)) => {
                statements::note_fault(self, route, &diagnostics);
                Err(Failure::NotPrepared)
            }
        }
    }

    fn classify(&self, route: usize, error: &tokio_postgres::Error) -> Attempt {
        let Some(refusal) = error.as_db_error() else {
            return match error.is_closed()
                || error
                    .source()
                    .is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            {
                true => Attempt::Lost,
                false => {
                    tracing::error!(route = self.api.routes[route].name, %error, "driver error");
                    Attempt::Failed(Failure::Internal)
                }
            };
        };
        let state = refusal.code().code();
        if is_stale(refusal) {
            return Attempt::Stale;
        }
        if is_connection_fault(state) {
            return Attempt::Lost;
        }
        let failure = Failure::Sql {
            state: state.to_owned(),
            raised: (state == "P0001").then(|| refusal.message().to_owned()),
        };
        if failure.answer().0 >= 500 {
            let name = &self.api.routes[route].name;
            tracing::error!(
                route = name,
                state,
                message = refusal.message(),
                "statement failed"
            );
        }
        match state {
            "40001" | "40P01" => Attempt::Conflict(failure),
            _ => Attempt::Failed(failure),
        }
    }
}

/// Whether the connection's prepared statement is gone, or its plan no longer fits the tables.
fn is_stale(refusal: &DbError) -> bool {
    match refusal.code().code() {
        "26000" => true,
        "0A000" => refusal.routine() == Some("RevalidateCachedQuery"),
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
