//! `/livez`: every core moves. `/readyz`: every route can be answered.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Subject;
use super::answer::Answer;
use crate::limits;
use crate::metrics::CoreView;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Fine,
    /// To be looked at; the server is ready all the same.
    Notable,
    Failed,
}

/// One of what `/readyz` looks at.
pub(super) struct Check {
    name: &'static str,
    core: Option<usize>,
    outcome: Outcome,
    detail: String,
}

/// 200 while every core moves; 503 names those that don't.
pub(super) fn alive(subject: &Subject) -> Answer {
    let now = subject.feel();
    let draining = subject.state().draining;
    let ledger = subject.ledger();
    let cores = ledger.cores.iter();
    let stuck: Vec<String> = match draining {
        // Cores that have come home stand still.
        true => Vec::new(),
        false => cores.filter_map(|core| stuck(core, now)).collect(),
    };
    let cores: Vec<Value> = ledger
        .cores
        .iter()
        .map(|core| {
            let lag = core.alive.map(|alive| seconds(now, alive));
            json!({ "core": core.cpu, "heartbeat_lag_seconds": lag })
        })
        .collect();
    let (status, word) = if stuck.is_empty() {
        (200, "alive")
    } else {
        (503, "stuck")
    };
    Answer::pretty(
        status,
        &json!({ "status": word, "problems": stuck, "cores": cores }),
    )
}

/// 200 while every check is fine, or only notable.
pub(super) fn ready(subject: &Subject) -> Answer {
    let checks = checks(subject);
    let (status, word) = if are_ready(&checks) {
        (200, "ready")
    } else {
        (503, "unready")
    };
    let checks: Vec<Value> = checks.iter().map(Check::json).collect();
    let mut answer = Answer::pretty(status, &json!({ "status": word, "checks": checks }));
    if status == 503 {
        answer.fields.push(("retry-after", "1".to_owned()));
    }
    answer
}

/// Whether `/readyz` says so.
pub(super) fn is_ready(subject: &Subject) -> bool {
    are_ready(&checks(subject))
}

/// What is wrong, each in a line.
pub(super) fn problems(subject: &Subject) -> Vec<String> {
    let checks = checks(subject).into_iter();
    let problems = checks.filter(|check| check.outcome != Outcome::Fine);
    problems
        .map(|check| match check.core {
            Some(core) if check.name != "core" => {
                format!("core {core}: {}: {}", check.name, check.detail)
            }
            _ => check.detail,
        })
        .collect()
}

/// What is wrong with a core that does not move.
pub(super) fn stuck(core: &CoreView, now: Instant) -> Option<String> {
    let still = now.saturating_duration_since(core.alive?);
    (still >= limits::CORE_STUCK_AFTER).then(|| {
        let cpu = core.cpu;
        format!("core {cpu} has not moved for {:.1} s", still.as_secs_f64())
    })
}

fn are_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.outcome != Outcome::Failed)
}

fn checks(subject: &Subject) -> Vec<Check> {
    let now = subject.feel();
    let mut checks = Vec::new();
    let draining = subject.state().draining;
    for core in &subject.ledger().cores {
        if !draining {
            checks.push(moves(core, now));
        }
        checks.push(postgres(core));
        checks.extend(core.gauges.faults.iter().map(|fault| Check {
            name: "faults",
            core: Some(core.cpu),
            outcome: Outcome::Failed,
            detail: fault.clone(),
        }));
    }
    let state = subject.state();
    let (outcome, detail) = match (&state.reload_fault, state.reloads) {
        (Some(fault), _) => {
            let detail =
                format!("the last reload was refused, what was served is served on: {fault}");
            (Outcome::Notable, detail)
        }
        (None, 0) => (Outcome::Fine, "there was none".to_owned()),
        (None, count) => (Outcome::Fine, format!("the last of {count} was taken over")),
    };
    checks.push(Check {
        name: "reload",
        core: None,
        outcome,
        detail,
    });
    let (outcome, detail) = match state.draining {
        true => (Outcome::Failed, "stopping: finishing what is in flight"),
        false => (Outcome::Fine, "serving"),
    };
    checks.push(Check {
        name: "drain",
        core: None,
        outcome,
        detail: detail.to_owned(),
    });
    checks
}

fn moves(core: &CoreView, now: Instant) -> Check {
    let (outcome, detail) = match (stuck(core, now), core.heard) {
        (Some(fault), _) => (Outcome::Failed, fault),
        (None, None) => (Outcome::Failed, format!("core {} is starting", core.cpu)),
        (None, Some(_)) => (Outcome::Fine, "it moves".to_owned()),
    };
    Check {
        name: "core",
        core: Some(core.cpu),
        outcome,
        detail,
    }
}

fn postgres(core: &CoreView) -> Check {
    let (open, opening) = (core.gauges.postgres_open, core.gauges.postgres_opening);
    let outcome = match open {
        0 => Outcome::Failed,
        _ => Outcome::Fine,
    };
    Check {
        name: "postgres",
        core: Some(core.cpu),
        outcome,
        detail: format!("connections: {open} open, {opening} opening"),
    }
}

impl Check {
    fn json(&self) -> Value {
        let state = match self.outcome {
            Outcome::Fine => "ok",
            Outcome::Notable => "warning",
            Outcome::Failed => "failed",
        };
        json!({
            "name": self.name,
            "core": self.core,
            "state": state,
            "detail": self.detail,
        })
    }
}

fn seconds(now: Instant, then: Instant) -> f64 {
    let duration: Duration = now.saturating_duration_since(then);
    duration.as_secs_f64()
}
