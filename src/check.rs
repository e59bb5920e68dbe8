//! Asking the database about every route before anything is served.

use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::api::{Api, BatchMode, Diagnostics, Resolved};
use crate::limits;
use crate::pg::eligible::{self, Verdict};
use crate::pg::link::unless_silent;
use crate::pg::statements::Description;
use crate::pg::url::Target;
use crate::pg::{connect, roles, statements};
use crate::ring::{self, Ring};

/// How long Postgres may take over one statement: a locked table is no reason not to start.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long Postgres may say nothing at all: it is frozen then.
const SILENCE_MAX: Duration = PREPARE_TIMEOUT.saturating_add(limits::SILENCE_GRACE);

/// Why the routes could not be resolved against the database.
#[derive(Debug)]
pub enum Error {
    /// There is no connection.
    Connect(connect::Error),
    /// Routes that Postgres, or what is declared of them, refuses: all of them.
    Routes(Diagnostics),
    /// The ring could not be run.
    Ring(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connect(error) => write!(formatter, "no connection to Postgres: {error}"),
            Error::Routes(diagnostics) => write!(formatter, "{diagnostics}"),
            Error::Ring(error) => write!(formatter, "io_uring: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// What the database says of the routes.
#[derive(Debug)]
pub struct Checked {
    /// In the order of the routes.
    pub routes: Vec<Resolved>,
    /// What their user should know, each in a line.
    pub warnings: Vec<String>,
}

/// Prepares every route on one connection, and looks for whom policies don't hold.
pub fn resolve(api: &Arc<Api>, target: &Arc<Target>) -> Result<Checked, Error> {
    let (api, target) = (api.clone(), target.clone());
    let options = ring::Options::default();
    ring::run(None, &options, |ring| resolve_over(ring, api, target)).map_err(Error::Ring)?
}

/// The same over the ring of a core that runs.
pub async fn resolve_over(
    ring: Rc<Ring>,
    api: Arc<Api>,
    target: Arc<Target>,
) -> Result<Checked, Error> {
    let (session, connection) = connect::connect(&ring, &target, PREPARE_TIMEOUT)
        .await
        .map_err(Error::Connect)?;
    let preparing = async move {
        let preparing = prepare_all(&api, &session);
        unless_silent(&ring, &session, SILENCE_MAX, preparing).await
    };
    // The connection ends when its session is dropped; how it ends shows in the statements. A task
    // of its own would be left behind with it when the executor ends.
    let outcome = match select(pin!(preparing), pin!(connection)).await {
        Either::Left((Some(outcome), connection)) => {
            let _ = connection.await; // in order, with a last word to Postgres
            Some(outcome)
        }
        Either::Left((None, _)) => None,
        Either::Right((_, preparing)) => preparing.await,
    };
    outcome.unwrap_or_else(|| {
        let reason = "Postgres was silent while the statements were prepared";
        Err(Error::Connect(connect::Error::Unreachable(
            reason.to_owned(),
        )))
    })
}

async fn prepare_all(api: &Api, session: &connect::Session) -> Result<Checked, Error> {
    let mut all = Vec::new();
    let mut faults = Vec::new();
    for route in 0..api.routes.len() {
        match resolve_route(api, route, &session.client).await {
            Ok(resolved) => all.push(resolved),
            Err(statements::Fault::Refused(diagnostics)) => faults.extend(diagnostics),
            Err(statements::Fault::Lost(error)) => return Err(Error::Connect(error.into())),
        }
    }
    if !faults.is_empty() {
        return Err(Error::Routes(Diagnostics::new(faults)));
    }
    let warnings = match roles::warnings(&session.client, api).await {
        Ok(warnings) => warnings,
        // Postgres would not say: nothing depends on it.
        Err(error) if error.as_db_error().is_some() => Vec::new(),
        Err(error) => return Err(Error::Connect(error.into())),
    };
    Ok(Checked {
        routes: all,
        warnings,
    })
}

async fn resolve_route(
    api: &Api,
    route: usize,
    client: &tokio_postgres::Client,
) -> Result<Resolved, statements::Fault> {
    let prepared = statements::prepare(api, route, client).await?;
    let plan = prepared.description.plan.clone();
    let route = &api.routes[route];
    let Description {
        parameters,
        columns,
        ..
    } = &*prepared.description;
    let batching = match eligible::judge(client, route, parameters, columns).await {
        Ok(Verdict::Unfit(reason)) if route.batch.mode == BatchMode::On => {
            return Err(statements::Fault::Refused(vec![
                route.batch_fault(api, &reason),
            ]));
        }
        Ok(verdict) => verdict.words(),
        // The moment's trouble is no fault of the route.
        Err(error) => match error.as_db_error() {
            Some(refusal) => format!("not batched now: Postgres: {}", refusal.message()),
            None => return Err(statements::Fault::Lost(error)),
        },
    };
    Ok(Resolved { plan, batching })
}
