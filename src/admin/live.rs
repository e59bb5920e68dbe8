//! `/live.json`: what the live page draws. Rates and percentiles are those of the last second, and beside
//! them those since the start.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{Subject, health};
use crate::metrics::{BatchSizes, CoreView, RouteInterval, Stage, empty_histogram};

/// A snapshot that is older says nothing of the present: its core has stopped to give any.
const PRESENT: Duration = Duration::from_millis(2500);

const MILLIS_PER_MICRO: f64 = 1e-3;

/// All of it.
pub(super) fn now(subject: &Subject) -> Value {
    let now = subject.feel();
    let problems = health::problems(subject);
    let ready = health::is_ready(subject);
    let draining = subject.state().draining;
    let (names, cores, queued) = {
        let ledger = subject.ledger();
        let routes = ledger.routes.iter().enumerate();
        let asked = routes.filter(|(_, route)| !route.totals.is_empty());
        let names: Vec<(usize, String)> = asked
            .map(|(index, route)| (index, route.name.clone()))
            .collect();
        let cores: Vec<Value> = ledger
            .cores
            .iter()
            .map(|core| self::core(core, now, draining))
            .collect();
        let lanes = ledger.cores.iter().flat_map(|core| &core.gauges.queued);
        let queued: u64 = lanes.map(|(_, count)| count).sum();
        (names, cores, queued)
    };
    let mut all = Summary::new();
    let routes: Vec<Value> = names
        .iter()
        .map(|(index, name)| {
            // Held for one route at a time: the control thread need not wait for all of them.
            let ledger = subject.ledger();
            let mut last = Summary::new();
            for core in &ledger.cores {
                last.add(core, name, now);
            }
            let start = ledger
                .routes
                .get(*index)
                .map(|route| since_start(&route.totals));
            drop(ledger);
            all.merge(&last);
            json!({ "name": name, "last": last.json(), "start": start })
        })
        .collect();
    json!({
        "title": subject.state().api.title,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": subject.since.elapsed().as_secs(),
        "ready": ready,
        "draining": draining,
        "problems": problems,
        "queued": queued,
        "all": all.json(),
        "cores": cores,
        "routes": routes,
    })
}

/// Whether what a core did last was just now.
fn is_present(core: &CoreView, now: Instant) -> bool {
    !core.last_took.is_zero()
        && core
            .heard
            .is_some_and(|heard| now.saturating_duration_since(heard) < PRESENT)
}

fn core(core: &CoreView, now: Instant, draining: bool) -> Value {
    let present = is_present(core, now);
    let per_second = |count: u64| match present {
        true => count as f64 / core.last_took.as_secs_f64(),
        false => 0.0,
    };
    let requests = core
        .last
        .iter()
        .map(|(_, interval)| requests(interval))
        .sum();
    let (gauges, counters) = (&core.gauges, &core.last_counters);
    json!({
        "core": core.cpu,
        "stuck": !draining && health::stuck(core, now).is_some(),
        "lag_seconds": core.alive.map(|alive| now.saturating_duration_since(alive).as_secs_f64()),
        "rate": per_second(requests),
        "busy": per_second(counters.busy_nanos) / 1e9,
        "passes": per_second(counters.passes),
        "accepted": per_second(counters.accepted),
        "connections": gauges.connections,
        "in_flight": gauges.in_flight,
        "postgres_open": gauges.postgres_open,
        "postgres_opening": gauges.postgres_opening,
    })
}

/// What one route, or all of them, did on the cores in the last second.
struct Summary {
    total: Histogram<u64>,
    rate: f64,
    errors: f64,
    sheds: f64,
    /// Postgres' time in microseconds, by all requests.
    postgres: f64,
    batches: BatchSizes,
}

impl Summary {
    fn new() -> Summary {
        Summary {
            total: empty_histogram(),
            rate: 0.0,
            errors: 0.0,
            sheds: 0.0,
            postgres: 0.0,
            batches: BatchSizes::default(),
        }
    }

    fn add(&mut self, core: &CoreView, name: &str, now: Instant) {
        let found = core.last.iter().find(|(known, _)| known == name);
        let Some((_, interval)) = found.filter(|_| is_present(core, now)) else {
            return;
        };
        let took = core.last_took.as_secs_f64();
        add(&mut self.total, interval.latencies.of(Stage::Total));
        self.rate += requests(interval) as f64 / took;
        self.errors += errors(interval) as f64 / took;
        self.sheds += interval.sheds as f64 / took;
        self.postgres += postgres(interval);
        self.batches.add(&interval.batches);
    }

    fn merge(&mut self, other: &Summary) {
        add(&mut self.total, &other.total);
        self.rate += other.rate;
        self.errors += other.errors;
        self.sheds += other.sheds;
        self.postgres += other.postgres;
        self.batches.add(&other.batches);
    }

    fn json(&self) -> Value {
        json!({
            "rate": self.rate,
            "errors": self.errors,
            "sheds": self.sheds,
            "latency": latency(&self.total),
            "postgres_ms": mean(self.postgres, self.total.len()),
            "batch": self.batches.mean(),
        })
    }
}

fn since_start(totals: &RouteInterval) -> Value {
    let total = totals.latencies.of(Stage::Total);
    json!({
        "requests": requests(totals),
        "errors": errors(totals),
        "sheds": totals.sheds,
        "latency": latency(total),
        "postgres_ms": mean(postgres(totals), total.len()),
        "batch": totals.batches.mean(),
    })
}

/// Milliseconds; null where there is nothing.
fn latency(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::default();
    }
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 * MILLIS_PER_MICRO;
    json!({
        "p50": at(0.5),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": histogram.max() as f64 * MILLIS_PER_MICRO,
        "mean": histogram.mean() * MILLIS_PER_MICRO,
    })
}

fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    if !other.is_empty() {
        sum.add(other).expect("all have the same bounds");
    }
}

fn requests(interval: &RouteInterval) -> u64 {
    interval.statuses.iter().map(|(_, count)| count).sum()
}

fn errors(interval: &RouteInterval) -> u64 {
    let failed = interval
        .statuses
        .iter()
        .filter(|(status, _)| *status >= 500);
    failed.map(|(_, count)| count).sum()
}

/// Microseconds of all requests.
fn postgres(interval: &RouteInterval) -> f64 {
    let histogram = interval.latencies.of(Stage::Postgres);
    match histogram.len() {
        0 => 0.0,
        count => histogram.mean() * count as f64,
    }
}

fn mean(micros: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| micros * MILLIS_PER_MICRO / count as f64)
}
