//! Clients that take what they can get: slow ones, greedy ones, those that come by the thousand, hold
//! on, vanish, or never read. What each may have is bounded, and the others don't notice.

mod support;

#[path = "greedy/churn.rs"]
mod churn;
#[path = "greedy/deadlines.rs"]
mod deadlines;
#[path = "greedy/descriptors.rs"]
mod descriptors;
#[path = "greedy/fairness.rs"]
mod fairness;
#[path = "greedy/memory.rs"]
mod memory;
#[path = "greedy/places.rs"]
mod places;
#[path = "greedy/readers.rs"]
mod readers;

use std::sync::Arc;

use support::{Client, PATIENCE, Postgres, Server, echo, process, wait_until};

/// Routes beside those that answer what they are asked for.
const MORE: &str = r#"
[[route]]
name = "rows"
method = "GET"
path = "/rows/{count}"
result = "many"
sql = "select n, repeat('y', 1000) as text from generate_series(1, :count::int4) n order by n"

[[route]]
name = "hurried"
method = "GET"
path = "/hurried/{seconds}"
result = "one"
lane = "slow"
timeout = "1ms"
sql = "select 'slept' as text from pg_sleep(:seconds)"
"#;

/// A server over routes without a table, and the Postgres that it needs.
fn server(flags: &[&str]) -> (Server, Arc<Postgres>) {
    echo::server(MORE, flags)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// How often a test of many does what it does: `default`, unless the variable says otherwise.
fn times(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Descriptors of a server that has no client any more.
fn descriptors_at_rest(server: &Server) -> usize {
    let (mut last, mut same) = (0, 0);
    wait_until("it is at rest", || {
        let now = process::descriptors(server.pid());
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 20
    });
    last
}

/// How many lines of the log so far contain `part`.
fn lines(server: &mut Server, part: &str) -> usize {
    let log = server.log();
    log.iter().filter(|line| line.contains(part)).count()
}
