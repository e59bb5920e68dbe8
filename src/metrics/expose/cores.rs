//! Metrics of cores, and those that are counted over all of them.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::super::{Closed, CoreView, Counters, Ledger};
use super::family::{Family, Value};

/// All of them.
pub(super) fn families(ledger: &Mutex<Ledger>, now: Instant) -> Vec<Family> {
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let cores = &ledger.cores[..];
    [
        connections(cores),
        by_core(cores, now),
        postgres(cores),
        load(cores),
        refusals(cores),
    ]
    .concat()
}

fn connections(cores: &[CoreView]) -> Vec<Family> {
    let mut closed = Family::counter(
        "pinion_connections_closed",
        "Client connections that ended, by reason.",
    );
    for reason in Closed::ALL {
        let count = sum(cores, |counters| counters.closed[reason as usize]);
        closed.push([("reason", reason.name().to_owned())], Value::Whole(count));
    }
    vec![
        each(
            cores,
            Family::gauge("pinion_connections", "Client connections that are open."),
            |core| Value::Whole(core.gauges.connections),
        ),
        each(
            cores,
            Family::counter(
                "pinion_connections_accepted",
                "Client connections that were accepted.",
            ),
            |core| Value::Whole(core.counters.accepted),
        ),
        closed,
        counter(
            cores,
            "pinion_listener_full",
            "Times that a client had to wait in the backlog as --max-connections were open.",
            |counters| counters.full,
        ),
        counter(
            cores,
            "pinion_received_bytes",
            "Bytes received from clients and from Postgres, as the sockets carried them.",
            |counters| counters.bytes_received,
        ),
        counter(
            cores,
            "pinion_sent_bytes",
            "Bytes sent to clients and to Postgres, as the sockets carried them.",
            |counters| counters.bytes_sent,
        ),
    ]
}

fn by_core(cores: &[CoreView], now: Instant) -> Vec<Family> {
    let mut lag = Family::gauge(
        "pinion_core_heartbeat_lag_seconds",
        "Time since the core was last seen to move; one that serves has a hundred passes a second at least.",
    );
    for core in cores {
        // Before its first pass there is nothing to be late.
        if let Some(alive) = core.alive {
            lag.push([label(core)], seconds(now.saturating_duration_since(alive)));
        }
    }
    let mut age = Family::gauge(
        "pinion_core_snapshot_age_seconds",
        "Time since the core handed over what it had counted.",
    );
    for core in cores {
        if let Some(heard) = core.heard {
            age.push([label(core)], seconds(now.saturating_duration_since(heard)));
        }
    }
    vec![
        lag,
        age,
        each(
            cores,
            Family::counter(
                "pinion_core_busy_seconds",
                "Time that the core did not wait in the kernel.",
            ),
            |core| Value::Real(core.counters.busy_nanos as f64 / 1e9),
        ),
        each(
            cores,
            Family::counter("pinion_core_passes", "Passes of the core's ring."),
            |core| Value::Whole(core.counters.passes),
        ),
    ]
}

fn postgres(cores: &[CoreView]) -> Vec<Family> {
    let mut connections = Family::gauge(
        "pinion_postgres_connections",
        "Connections to Postgres, by state.",
    );
    for core in cores {
        let gauges = &core.gauges;
        for (state, count) in [
            ("open", gauges.postgres_open),
            ("opening", gauges.postgres_opening),
        ] {
            let labels = [label(core), ("state", state.to_owned())];
            connections.push(labels, Value::Whole(count));
        }
    }
    let broken = cores.iter().map(|core| core.gauges.broken_routes).max();
    vec![
        connections,
        counter(
            cores,
            "pinion_postgres_connections_opened",
            "Sessions of Postgres that were opened.",
            |counters| counters.postgres_opened,
        ),
        counter(
            cores,
            "pinion_postgres_connections_lost",
            "Sessions of Postgres that were lost.",
            |counters| counters.postgres_lost,
        ),
        counter(
            cores,
            "pinion_postgres_connections_refused",
            "Attempts to open a session of Postgres that failed.",
            |counters| counters.postgres_refused,
        ),
        counter(
            cores,
            "pinion_retries",
            "Statements that were sent once more.",
            |counters| counters.retries,
        ),
        Family::gauge(
            "pinion_routes_broken",
            "Routes that can't be served, as their statements don't prepare.",
        )
        .with([], Value::Whole(broken.unwrap_or_default())),
    ]
}

fn load(cores: &[CoreView]) -> Vec<Family> {
    let mut queued = Family::gauge(
        "pinion_queued",
        "Requests that wait for a place on a connection, or for the next batch, by lane.",
    );
    let lanes = cores.iter().flat_map(|core| &core.gauges.queued);
    for (lane, count) in lanes {
        let known = queued
            .samples
            .iter_mut()
            .find(|sample| sample.labels[0].1 == *lane);
        match known.map(|sample| &mut sample.value) {
            Some(Value::Whole(sum)) => *sum += count,
            _ => queued.push([("lane", lane.clone())], Value::Whole(*count)),
        }
    }
    vec![
        each(
            cores,
            Family::gauge(
                "pinion_in_flight",
                "Requests that are being answered from Postgres.",
            ),
            |core| Value::Whole(core.gauges.in_flight),
        ),
        queued,
    ]
}

fn refusals(cores: &[CoreView]) -> Vec<Family> {
    let failures = |status: &str, count| ([("status", status.to_owned())], Value::Whole(count));
    let (unauthorized, denied) = failures("401", sum(cores, |counters| counters.unauthorized));
    let (forbidden, refused) = failures("403", sum(cores, |counters| counters.forbidden));
    vec![
        counter(
            cores,
            "pinion_rate_limited",
            "Requests that were answered 429.",
            |counters| counters.rate_limited,
        ),
        counter(
            cores,
            "pinion_rate_limit_store_failures",
            "Rate limits that could not be decided on, as the store did not answer.",
            |counters| counters.store_failures,
        ),
        Family::counter(
            "pinion_auth_failures",
            "Requests that were answered 401 or 403.",
        )
        .with(unauthorized, denied)
        .with(forbidden, refused),
        counter(
            cores,
            "pinion_panics",
            "Panics that were answered 500.",
            |counters| counters.panics,
        ),
    ]
}

fn each(cores: &[CoreView], mut family: Family, value: impl Fn(&CoreView) -> Value) -> Family {
    for core in cores {
        family.push([label(core)], value(core));
    }
    family
}

fn counter(
    cores: &[CoreView],
    name: &'static str,
    help: &'static str,
    count: impl Fn(&Counters) -> u64,
) -> Family {
    Family::counter(name, help).with([], Value::Whole(sum(cores, count)))
}

fn sum(cores: &[CoreView], count: impl Fn(&Counters) -> u64) -> u64 {
    cores.iter().map(|core| count(&core.counters)).sum()
}

fn label(core: &CoreView) -> (&'static str, String) {
    ("core", core.cpu.to_string())
}

fn seconds(duration: std::time::Duration) -> Value {
    Value::Real(duration.as_secs_f64())
}
