//! Which routes are batched: asked of Postgres' own planner, not read out of the SQL.
//!
//! A batch runs a statement for many keys on one snapshot, or once for all who ask the same. Nobody can tell
//! the difference if the statement changes nothing, locks nothing and calls nothing volatile. What does so may
//! hide in a view, a policy, an operator or a cast, but not from the planner: it merges a `with` query that is
//! `not materialized` into its user unless the query writes, locks or calls a volatile function anywhere
//! within (`SS_process_ctes` in Postgres' `subselect.c`; by then views and policies are part of the query). So
//! `with q as not materialized (…) select * from q` is planned, and what leaves a `q` in the plan is not
//! batched. Like Postgres we believe a function that is declared stable or immutable, and take the checks of
//! domains and the inner functions of aggregates for immutable.
//!
//! The plan is generic, as the one that will be run. All of it is one message of the simple protocol, which
//! is a transaction by itself: on a connection in use nothing of it touches the statements around it. Nothing
//! is run, so that a read-only standby answers as well.

use std::fmt::Write;

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::statements::{columns, speaks_of_the_statement};
use crate::api::{BatchMode, BatchStatement, Route, Setting};
use crate::limits;

/// Whether a route is batched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is, by this statement.
    Batched(BatchStatement),
    /// It can't be, for this reason: a fault where the file asks for it.
    Unfit(String),
    /// Postgres plans its batch as nothing that we know: worth a warning, but no fault, as plans follow the
    /// data.
    Plan(String),
    /// It can be, but the file doesn't ask for it and it would not pay.
    Costly(String),
}

impl Verdict {
    /// In words: `batched`, or why not.
    pub fn words(&self) -> String {
        match self {
            Verdict::Batched(BatchStatement::Keyed(_)) => "batched".to_owned(),
            Verdict::Batched(BatchStatement::Shared) => "batched: run once for all".to_owned(),
            Verdict::Unfit(reason) | Verdict::Plan(reason) | Verdict::Costly(reason) => {
                format!("not batched: {reason}")
            }
        }
    }
}

/// Judges a route by the description of its statement. An error says nothing of the route: the connection is
/// gone, or Postgres could not look at the statement now, because of a lock for one.
pub async fn judge(
    client: &Client,
    route: &Route,
    params: &[Type],
    columns: &[(String, Type)],
) -> Result<Verdict, Error> {
    let batch = match BatchStatement::of(route, params, columns) {
        Ok(batch) => batch,
        Err(reason) => return Ok(Verdict::Unfit(reason)),
    };
    // Policies are for some roles and not for others.
    for role in route.roles() {
        let verdict = judge_as(client, route, Some(role), batch.clone()).await?;
        if !matches!(verdict, Verdict::Batched(_)) {
            return Ok(verdict);
        }
    }
    match route.roles() {
        [] => judge_as(client, route, None, batch).await,
        _ => Ok(Verdict::Batched(batch)),
    }
}

/// The same where the statement runs as one role; `None` is the login role.
async fn judge_as(
    client: &Client,
    route: &Route,
    role: Option<&str>,
    batch: BatchStatement,
) -> Result<Verdict, Error> {
    match plan(client, route, role, &batch).await {
        Ok(plan) => Ok(weigh(route, batch, &plan)),
        Err(NoPlan::Unfit(reason)) => Ok(Verdict::Unfit(reason)),
        Err(NoPlan::Error(error)) => match error.as_db_error() {
            Some(refusal) if speaks_of_the_statement(refusal) => {
                Ok(Verdict::Unfit(format!("Postgres: {}", refusal.message())))
            }
            _ => Err(error),
        },
    }
}

/// Why there is no plan.
enum NoPlan {
    Unfit(String),
    Error(Error),
}

impl From<Error> for NoPlan {
    fn from(error: Error) -> NoPlan {
        NoPlan::Error(error)
    }
}

/// The top node of the plan of a batch.
async fn plan(
    client: &Client,
    route: &Route,
    role: Option<&str>,
    batch: &BatchStatement,
) -> Result<Value, NoPlan> {
    let name = format!("\"pinion_judge_{}\"", route.name);
    let told = told(route, role);
    let json = match batch {
        BatchStatement::Shared => explain(client, &told, &name, &route.statement.text, 0).await?,
        BatchStatement::Keyed(keyed) => {
            let statement = client.prepare(&keyed.text).await?;
            keyed
                .check(statement.params(), &columns(&statement))
                .map_err(NoPlan::Unfit)?;
            explain(client, &told, &name, &keyed.text, statement.params().len()).await?
        }
    };
    let document: Option<Value> = json.and_then(|json| sonic_rs::from_str(&json).ok());
    let top = document
        .as_ref()
        .and_then(|document| document.as_array()?.first()?.get("Plan"));
    top.cloned()
        .ok_or_else(|| NoPlan::Unfit("its plan could not be read".to_owned()))
}

/// What the statement is called as a `with` query. It can't see its own name.
const QUERY: &str = "pinion_query";

/// What comes before the plan of a route: what its requests' transactions are told of. A policy that reads
/// it is run to estimate how many rows it lets through, and may read JSON.
fn told(route: &Route, role: Option<&str>) -> String {
    let settings = route.transaction.as_ref().map(|it| it.settings);
    let mut told = String::new();
    for setting in settings.unwrap_or_default().iter() {
        let value = match setting {
            Setting::Claims | Setting::Headers => "{}",
            Setting::Method | Setting::Path | Setting::Id | Setting::Role => "",
        };
        if setting != Setting::Role {
            // Writing to a String can't fail.
            let _ = writeln!(told, "set local {} = '{value}';", setting.name());
        }
    }
    if let Some(role) = role {
        let _ = writeln!(told, "set local role \"{}\";", role.replace('"', "\"\""));
    }
    told
}

/// The generic plan of a statement as a `with` query named [`QUERY`], in JSON. `name` is for its preparation.
async fn explain(
    client: &Client,
    told: &str,
    name: &str,
    text: &str,
    params: usize,
) -> Result<Option<String>, Error> {
    let nulls = match params {
        0 => String::new(),
        _ => format!("({})", vec!["null"; params].join(", ")),
    };
    let script = format!(
        "{told}set local plan_cache_mode = force_generic_plan;
         prepare {name} as with {QUERY} as not materialized (\n{text}\n) select * from {QUERY};
         explain (format json) execute {name}{nulls};
         deallocate {name}"
    );
    let outcome = client.simple_query(&script).await;
    if let Err(error) = &outcome
        && error.as_db_error().is_some()
    {
        // Prepared statements outlive a transaction that fails; it may have failed before there was one.
        let _ = client.simple_query(&format!("deallocate {name}")).await;
    }
    let plan = outcome?.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(plan)
}

fn weigh(route: &Route, batch: BatchStatement, plan: &Value) -> Verdict {
    if let Some(reason) = unfit(plan) {
        return Verdict::Unfit(reason.to_owned());
    }
    if let BatchStatement::Keyed(keyed) = &batch {
        let Some(one_key) = looped_over(plan, &keyed.alias) else {
            let reason = "Postgres plans a batch as something else than a loop over its keys";
            return Verdict::Plan(reason.to_owned());
        };
        let cost = one_key.get("Total Cost").as_f64().unwrap_or(f64::MAX);
        if route.batch.mode == BatchMode::Automatic && cost > limits::BATCH_COST_MAX {
            return Verdict::Costly(format!(
                "one key costs {cost:.0} by Postgres' estimate, more than {}; batch = true does it all the same",
                limits::BATCH_COST_MAX
            ));
        }
    }
    Verdict::Batched(batch)
}

/// Why a statement must run for itself alone, if its plan says so.
fn unfit(plan: &Value) -> Option<&'static str> {
    let nodes = nodes(plan);
    let has = |kind: &str| nodes.iter().any(|node| text(node, "Node Type") == kind);
    let is_merged = !nodes.iter().any(|node| text(node, "CTE Name") == QUERY);
    if has("ModifyTable") {
        Some("it changes data")
    } else if has("LockRows") {
        Some("it locks rows")
    } else if !is_merged {
        Some("it calls a volatile function, itself or in a view, a policy, an operator or a cast")
    } else if has("Sample Scan") {
        Some("it reads a sample, another one each time")
    } else if has("Foreign Scan") || has("Custom Scan") {
        Some("it reads what is not Postgres' own table")
    } else {
        None
    }
}

/// What a plan does for one key, if it is a loop over the keys.
fn looped_over<'p>(plan: &'p Value, keys: &str) -> Option<&'p Value> {
    let child = |side: &str| {
        let mut children = children(plan).iter();
        children.find(|child| text(child, "Parent Relationship") == side)
    };
    let (outer, inner) = (child("Outer")?, child("Inner")?);
    let is_loop = text(plan, "Node Type") == "Nested Loop"
        && text(outer, "Node Type") == "Function Scan"
        && text(outer, "Alias") == keys;
    is_loop.then_some(inner)
}

/// A node and all below it.
fn nodes(node: &Value) -> Vec<&Value> {
    let mut found = vec![node];
    let mut next = 0;
    while let Some(node) = found.get(next) {
        found.extend(children(node));
        next += 1;
    }
    found
}

fn children(node: &Value) -> &[Value] {
    let plans = node.get("Plans").and_then(|plans| plans.as_array());
    plans.map_or(&[], |plans| plans.as_slice())
}

fn text<'n>(node: &'n Value, key: &str) -> &'n str {
    node.get(key).and_then(|value| value.as_str()).unwrap_or("")
}
