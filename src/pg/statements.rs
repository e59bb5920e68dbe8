//! The routes' statements, prepared on one connection.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::join;
use tokio_postgres::error::{DbError, ErrorPosition, Severity};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::eligible::{Verdict, judge};
use super::judgement::Judgement;
use super::lane::Lane;
use super::message;
use super::roles;
use super::{Database, Known};
use crate::api::{Api, BatchMode, Diagnostic, Keyed, Plan, Route};

/// A statement as one connection knows it.
pub struct Prepared {
    /// tokio-postgres's handle; dropping the last one closes the statement.
    _statement: Statement,
    /// How Bind begins for it.
    pub(super) bind_head: Box<[u8]>,
    /// How its parameters are bound and its rows are encoded.
    pub description: Rc<Description>,
    /// Bytes of the last answer.
    pub(super) body_bytes: Cell<usize>,
    /// The route's statement for several requests, where they are batched by one.
    pub(super) keyed: Option<Rc<PreparedBatch>>,
}

/// A batch statement as one connection knows it.
pub(super) struct PreparedBatch {
    _statement: Statement,
    pub(super) bind_head: Box<[u8]>,
    pub(super) batch: Keyed,
}

impl Prepared {
    /// Whether nothing is left to be found out or prepared.
    pub(super) fn is_complete(&self) -> bool {
        let judgement = &self.description.judgement;
        judgement.is_done() && (self.keyed.is_some() || !judgement.is_keyed())
    }
}

/// What Postgres said of a statement, and what follows for the route.
pub struct Description {
    /// How parameters are bound and rows are encoded.
    pub plan: Plan,
    /// The types of `$1`, `$2`, …
    pub parameters: Vec<Type>,
    /// The names and types of the columns.
    pub columns: Vec<(String, Type)>,
    pub(super) judgement: Judgement,
}

impl Description {
    /// Whether requests are to be batched.
    pub fn is_batched(&self) -> bool {
        self.judgement.is_batched()
    }

    /// Whether what was bound by `other` may be sent to this one.
    pub fn binds_like(&self, other: &Description) -> bool {
        self.parameters == other.parameters
    }

    /// Whether there is no difference between the two.
    pub fn is_like(&self, other: &Description) -> bool {
        self.binds_like(other) && self.columns == other.columns
    }
}

/// Why a route's statement is of no use.
pub enum Fault {
    /// Says nothing of the statement: the connection is gone, or Postgres could not look at the
    /// statement now, because of a lock for one.
    Lost(tokio_postgres::Error),
    /// Postgres or the plan refused it: where and why.
    Refused(Vec<Diagnostic>),
}

/// Prepares every route of the lane, all in one round trip or two. A route that does not prepare
/// is logged once and left out; the others are served.
pub(super) async fn prepare_all(
    database: &Database,
    lane: &Lane,
    client: &Client,
) -> Result<Vec<Option<Rc<Prepared>>>, tokio_postgres::Error> {
    let mut statements: Vec<Option<Rc<Prepared>>> =
        (0..database.routes.len()).map(|_| None).collect();
    let prepared = lane
        .routes
        .iter()
        .map(|&route| prepare(&database.api, route, client));
    let prepared = futures_util::future::join_all(prepared).await;
    for (&route, outcome) in lane.routes.iter().zip(prepared) {
        match outcome {
            Ok(prepared) => {
                let prepared = database.learn(route, prepared);
                let prepared = prepare_batch(database, route, client, prepared).await?;
                statements[route] = Some(Rc::new(prepared));
            }
            Err(Fault::Refused(diagnostics)) => note_fault(database, route, &diagnostics),
            Err(Fault::Lost(error)) => match error.as_db_error() {
                // Left out for now; what is known of it from other connections holds.
                Some(refusal) if is_passing(refusal.code().code()) => {
                    if matches!(*database.routes[route].known.borrow(), Known::Described(_)) {
                        continue;
                    }
                    note_reason(database, route, refusal.message().to_owned());
                }
                _ => return Err(error),
            },
        }
    }
    Ok(statements)
}

/// Prepares one route's statement and makes its plan, as the login role, and looks whether that may become
/// each role that the statement is to run as.
pub async fn prepare(api: &Api, route: usize, client: &Client) -> Result<Prepared, Fault> {
    let declared = &api.routes[route];
    let types = declared.pinned_types();
    let preparing = prepare_for(api, route, client, &types);
    let (prepared, roles) = join(preparing, roles::faults(client, declared.roles())).await;
    let reasons = roles.map_err(Fault::Lost)?;
    let mut faults: Vec<Diagnostic> = reasons
        .iter()
        .map(|reason| declared.role_fault(api, reason))
        .collect();
    match prepared {
        Ok(prepared) if faults.is_empty() => Ok(prepared),
        Err(Fault::Refused(others)) => {
            faults.extend(others);
            Err(Fault::Refused(faults))
        }
        Ok(_) => Err(Fault::Refused(faults)),
        Err(lost) => Err(lost),
    }
}

/// The same for parameters of these types; Postgres infers those that are not given.
pub(super) async fn prepare_for(
    api: &Api,
    route: usize,
    client: &Client,
    types: &[Type],
) -> Result<Prepared, Fault> {
    let route = &api.routes[route];
    let preparing = client.prepare_typed(&route.statement.text, types);
    let statement = match preparing.await {
        Ok(statement) => statement,
        Err(error) => {
            return Err(match error.as_db_error() {
                Some(refusal) if speaks_of_the_statement(refusal) => {
                    Fault::Refused(vec![route.prepare_fault(
                        api,
                        refusal.message(),
                        position(refusal),
                        refusal.hint(),
                    )])
                }
                _ => Fault::Lost(error),
            });
        }
    };
    let columns = columns(&statement);
    let plan = route
        .plan(api, statement.params(), &columns)
        .map_err(Fault::Refused)?;
    let description = Rc::new(Description {
        plan,
        parameters: statement.params().to_vec(),
        columns,
        judgement: Judgement::default(),
    });
    Ok(Prepared {
        bind_head: message::bind_head(&name_of(&statement), statement.params().len()),
        _statement: statement,
        description,
        body_bytes: Cell::new(0),
        keyed: None,
    })
}

/// Finds out whether the route is batched, and prepares what its batches need. What Postgres can't
/// say now leaves the route as it is: each request runs by itself.
pub(super) async fn prepare_batch(
    database: &Database,
    route: usize,
    client: &Client,
    mut prepared: Prepared,
) -> Result<Prepared, tokio_postgres::Error> {
    let declared = &database.api.routes[route];
    let Description {
        parameters,
        columns,
        judgement,
        ..
    } = &*prepared.description;
    let judging = judge(client, declared, parameters, columns);
    match judgement.find(&database.ring, judging).await {
        Ok(true) => tell_verdict(declared, judgement),
        Ok(false) => {}
        Err(error) => return refused(error).map(|()| prepared),
    }
    let Some(batch) = judgement.keyed() else {
        return Ok(prepared);
    };
    match client.prepare(&batch.text).await {
        Err(error) => refused(error)?,
        // Where the table has changed in between, the two differ: the next preparation makes them one.
        Ok(statement)
            if batch
                .check(statement.params(), &self::columns(&statement))
                .is_ok() =>
        {
            prepared.keyed = Some(Rc::new(PreparedBatch {
                bind_head: message::bind_head(&name_of(&statement), statement.params().len()),
                _statement: statement,
                batch,
            }));
        }
        Ok(_) => {}
    }
    Ok(prepared)
}

/// Nothing, if Postgres refused and the session goes on.
fn refused(error: tokio_postgres::Error) -> Result<(), tokio_postgres::Error> {
    match error.as_db_error() {
        Some(refusal) if !ends_connection(refusal) => Ok(()),
        _ => Err(error),
    }
}

fn tell_verdict(route: &Route, judgement: &Judgement) {
    let name = &route.name;
    judgement.with_verdict(|verdict| {
        let words = verdict.words();
        match verdict {
            Verdict::Plan(_) => tracing::warn!(route = name, "{words}"),
            Verdict::Unfit(_) if route.batch.mode == BatchMode::On => {
                tracing::warn!(route = name, "{words}");
            }
            _ => tracing::debug!(route = name, "{words}"),
        }
    });
}

/// The columns that a statement returns.
pub fn columns(statement: &Statement) -> Vec<(String, Type)> {
    let columns = statement.columns().iter();
    columns
        .map(|column| (column.name().to_owned(), column.type_().clone()))
        .collect()
}

/// The name under which Postgres knows a statement. tokio-postgres tells it in its Debug output alone.
pub(super) fn name_of(statement: &Statement) -> String {
    let words = format!("{statement:?}");
    let name = words.split('"').nth(1);
    name.expect("the driver's Debug output begins with the quoted name")
        .to_owned()
}

/// Where in the sent text Postgres sees the fault, in characters from 1.
fn position(refusal: &DbError) -> Option<u32> {
    match refusal.position()? {
        ErrorPosition::Original(position) => Some(*position),
        ErrorPosition::Internal { .. } => None,
    }
}

pub(super) fn speaks_of_the_statement(refusal: &DbError) -> bool {
    let state = refusal.code().code();
    // 26000: one of the driver's own statements is gone.
    !ends_connection(refusal) && !is_passing(state) && !state.starts_with("53") && state != "26000"
}

fn ends_connection(refusal: &DbError) -> bool {
    matches!(
        refusal.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    )
}

/// States of a moment: cancelled, a lock, a conflict with a concurrent transaction (Postgres
/// appendix A).
pub(super) fn is_passing(state: &str) -> bool {
    matches!(state, "57014" | "55P03" | "40001" | "40P01")
}

pub(super) fn note_fault(database: &Database, route: usize, diagnostics: &[Diagnostic]) {
    let reason = diagnostics
        .first()
        .map_or_else(String::new, |first| first.message().to_owned());
    note_reason(database, route, reason);
}

fn note_reason(database: &Database, route: usize, reason: String) {
    let news = match &*database.routes[route].known.borrow() {
        Known::Fault(known) => *known != reason,
        Known::Nothing | Known::Described(_) => true,
    };
    if news {
        let name = &database.api.routes[route].name;
        tracing::error!(
            route = name,
            reason,
            "the route's statement does not prepare"
        );
    }
    database.learn_fault(route, reason);
}
