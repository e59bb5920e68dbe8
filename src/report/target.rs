//! Targets: what a percentile may be at the most, so that a deploy can be made to depend on it.

use std::fmt;
use std::time::Duration;

use super::figures::percentiles;
use super::set::Set;
use crate::duration;
use crate::metrics::{Stage, empty_histogram};

/// A bound on a percentile of the total time of one route, or of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As it is called: `p99`.
    pub percentile: &'static str,
    /// In millionths.
    pub millionths: u64,
    /// What the flag says.
    pub bound: Bound,
}

/// `5ms`, or `get_user=5ms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `None` for every route that has none of its own.
    pub route: Option<String>,
    /// What the percentile may be, itself included.
    pub at_most: Duration,
}

/// What came of a target.
#[derive(Debug)]
pub(super) struct Outcome {
    pub route: String,
    pub percentile: &'static str,
    pub at_most: Duration,
    /// In microseconds; `None` where there was no request.
    pub found: Option<u64>,
}

/// What a flag says.
pub fn bound(text: &str) -> Result<Bound, String> {
    let (route, time) = match text.rsplit_once('=') {
        Some((route, time)) => (Some(route.to_owned()), time),
        None => (None, text),
    };
    if route.as_deref() == Some("") {
        return Err("the route before = is missing".to_owned());
    }
    let at_most = duration::parse(time)?;
    if at_most.is_zero() {
        return Err("no request takes no time".to_owned());
    }
    Ok(Bound { route, at_most })
}

/// Holds the targets against a set. A route that nobody asked for has met none; neither has a set without any
/// request, nor one that was filtered out.
pub(super) fn check(targets: &[Target], filter: &[String], set: &Set) -> Vec<Outcome> {
    let has_own = |name: &str, percentile: &str| {
        let mut others = targets
            .iter()
            .filter(|other| other.percentile == percentile);
        others.any(|other| other.bound.route.as_deref() == Some(name))
    };
    let mut outcomes = Vec::new();
    for target in targets {
        let names: Vec<String> = match &target.bound.route {
            Some(name) => vec![name.clone()],
            None if !filter.is_empty() => filter.to_vec(),
            None => set.routes.iter().map(|route| route.name.clone()).collect(),
        };
        let is_for_each = target.bound.route.is_none();
        if is_for_each && names.is_empty() {
            outcomes.push(target.outcome("all routes".to_owned(), None));
        }
        for name in names {
            if !(is_for_each && has_own(&name, target.percentile)) {
                let found = found(set, &name, target.millionths);
                outcomes.push(target.outcome(name, found));
            }
        }
    }
    outcomes
}

fn found(set: &Set, name: &str, millionths: u64) -> Option<u64> {
    let route = set.routes.iter().find(|route| route.name == name)?;
    let total = route.latencies.of(Stage::Total);
    let [value] = percentiles(total, [millionths]);
    (!total.is_empty()).then_some(value)
}

impl Target {
    fn outcome(&self, route: String, found: Option<u64>) -> Outcome {
        Outcome {
            route,
            percentile: self.percentile,
            at_most: self.bound.at_most,
            found,
        }
    }
}

impl Outcome {
    /// A value that three digits do not tell from the target meets it.
    pub(super) fn is_met(&self) -> bool {
        let most = micros(self.at_most);
        self.found
            .is_some_and(|found| found <= most || empty_histogram().equivalent(found, most))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = micros(self.at_most);
        let millis = |micros: u64| micros as f64 / 1000.0;
        write!(formatter, "{} {}: ", self.route, self.percentile)?;
        let Some(found) = self.found else {
            return write!(
                formatter,
                "no request, where {} ms are asked for",
                millis(most)
            );
        };
        write!(formatter, "{:.3} ms, ", millis(found))?;
        let away = millis(found.abs_diff(most));
        let share = 100.0 * found.abs_diff(most) as f64 / most as f64;
        match (self.is_met(), found > most) {
            (true, true) => write!(formatter, "as {} ms to three digits", millis(most)),
            (_, is_over) => {
                let side = if is_over { "over" } else { "under" };
                write!(
                    formatter,
                    "{away:.3} ms ({share:.1} %) {side} {} ms",
                    millis(most)
                )
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
