//! Many requests of one route as one statement.

use super::diagnostics::Diagnostic;
use super::file::Api;
use super::route::{ResultKind, Route};
use super::tree::Faults;

/// Whether and how a route's requests are batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// What the file says.
    pub mode: BatchMode,
    /// Requests in one batch.
    pub keys_max: usize,
    /// Batches of the route on their way at a time, on one core.
    pub in_flight_max: usize,
}

/// Who decides whether a route is batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchMode {
    /// The file says nothing: where it can be done and pays.
    Automatic,
    /// `batch = true` or its bounds: what can't be batched is a fault.
    On,
    /// `batch = false`.
    Off,
}

impl Route {
    /// The fault for a route that is to be batched and can't be.
    pub fn batch_fault(&self, api: &Api, reason: &str) -> Diagnostic {
        Diagnostic::new(&api.source, self.batch_span.clone(), fault(reason)).help(HELP)
    }
}

const HELP: &str = "take \"batch\" out, or set it to false";

fn fault(reason: &str) -> String {
    format!("this route can't be batched: {reason}")
}

/// What the file alone can tell against `batch = true`.
pub(super) fn check_declared(faults: &mut Faults<'_>, route: &Route) {
    if route.batch.mode == BatchMode::On
        && let Some(reason) = unfit(route)
    {
        faults.add_with_help(route.batch_span.clone(), fault(reason), HELP);
    }
}

fn unfit(route: &Route) -> Option<&'static str> {
    match route.result {
        _ if !route.read_only => Some("it is not read-only"),
        ResultKind::Exec => Some("its result is \"exec\""),
        ResultKind::One | ResultKind::Many | ResultKind::Scalar => None,
    }
}
