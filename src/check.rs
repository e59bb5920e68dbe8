//! Asking the database about every route before anything is served.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::api::{Api, Diagnostics, Plan};
use crate::pg::url::Target;
use crate::pg::{connect, statements};
use crate::ring;

/// How long Postgres may take over one statement: a locked table is no reason not to start.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Prepares every route on one connection; the plans, in the order of the routes.
pub fn resolve(api: &Arc<Api>, target: &Arc<Target>) -> Result<Vec<Plan>, Error> {
    let (api, target) = (api.clone(), target.clone());
    ring::run(None, &ring::Options::default(), |ring| async move {
        let (session, connection) = connect::connect(&ring, &target, PREPARE_TIMEOUT)
            .await
            .map_err(Error::Connect)?;
        // The connection ends when its session is dropped; how it ends shows in the statements. A task
        // of its own would be left behind with it when the executor ends.
        let (outcome, _) = futures_util::future::join(prepare_all(&api, session), connection).await;
        outcome
    })
    .map_err(Error::Ring)?
}

async fn prepare_all(api: &Api, session: connect::Session) -> Result<Vec<Plan>, Error> {
    let mut plans = Vec::new();
    let mut faults = Vec::new();
    for route in 0..api.routes.len() {
        match statements::prepare(api, route, &session.client).await {
            Ok(prepared) => plans.push(prepared.description.plan.clone()),
            Err(statements::Fault::Refused(diagnostics)) => faults.extend(diagnostics),
            Err(statements::Fault::Lost(error)) => return Err(Error::Connect(error.into())),
        }
    }
    match faults.is_empty() {
        true => Ok(plans),
        false => Err(Error::Routes(Diagnostics::new(faults))),
    }
}
