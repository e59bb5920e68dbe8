//! `/routes`: what is declared, and what Postgres has said of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Subject;
use crate::api::{self, Api, Param, PlanParam, Resolved, Route};
use crate::metrics::CoreView;

/// What Postgres has said of the routes, or why that is not known.
type Outcome = Result<Arc<Vec<Resolved>>, String>;

/// All of them. Where Postgres was away at the start it is asked once it is back.
pub(super) fn all(subject: &Subject) -> Value {
    let (api, outcome) = known(subject);
    let resolved = outcome.as_deref().map_or(&[][..], |all| &all[..]);
    let routes: Vec<Value> = api
        .routes
        .iter()
        .enumerate()
        .map(|(index, route)| self::route(&api, route, resolved.get(index)))
        .collect();
    json!({
        "title": api.title,
        "version": api.version,
        "unresolved": outcome.err(),
        "routes": routes,
    })
}

/// What comes of asking is kept, good or bad: each time costs a descriptor that an ended executor leaves
/// behind (glommio 0.9).
fn known(subject: &Subject) -> (Arc<Api>, Outcome) {
    // One at a time asks; the others find what came of it.
    let _resolving = subject.resolving.lock();
    let (api, resolved) = {
        let state = subject.state();
        (state.api.clone(), state.resolved.clone())
    };
    if let Some(outcome) = resolved {
        return (api, outcome);
    }
    let is_there = |core: &CoreView| core.gauges.postgres_open > 0;
    if !subject.ledger().cores.iter().any(is_there) {
        return (api, Err("Postgres is away".to_owned()));
    }
    let outcome = (subject.resolve)(&api).map(Arc::new);
    let mut state = subject.state();
    if Arc::ptr_eq(&state.api, &api) {
        state.resolved = Some(outcome.clone());
    }
    drop(state);
    (api, outcome)
}

fn route(api: &Api, route: &Route, resolved: Option<&Resolved>) -> Value {
    let params: Vec<Value> = match resolved {
        Some(resolved) => resolved.plan.params.iter().map(planned).collect(),
        None => route.params.iter().map(declared).collect(),
    };
    let columns = resolved.map(|resolved| {
        let columns = &resolved.plan.columns;
        let describe = |index| {
            let (name, postgres, json) = columns.describe(index);
            json!({ "name": name, "type": postgres, "json": json })
        };
        (0..columns.len()).map(describe).collect::<Vec<Value>>()
    });
    json!({
        "name": route.name,
        "method": route.method.as_str(),
        "path": route.path.as_str(),
        "result": route.result.as_str(),
        "lane": api.lanes[route.lane].name,
        "timeout_ms": route.timeout.map(|timeout| timeout.as_millis() as u64),
        "batching": resolved.map(|resolved| resolved.batching.clone()),
        "guards": api::guard_words(api, route),
        "params": params,
        "columns": columns,
    })
}

fn planned(param: &PlanParam) -> Value {
    json!({
        "name": param.name,
        "in": param.source.as_str(),
        "as": param.external,
        "whole": param.whole,
        "type": param.type_name(),
        "nullable": param.nullable,
        "default": param.default.as_ref().map(ToString::to_string),
        "constraints": param.constraints.words(),
    })
}

fn declared(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": param.source.as_str(),
        "as": param.external,
        "whole": param.whole,
        "type": param.pinned.as_ref().map(|pinned| pinned.name().to_owned()),
        "nullable": param.nullable,
        "default": param.default.as_ref().map(ToString::to_string),
        "constraints": param.constraints.words(),
    })
}
