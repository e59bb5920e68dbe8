//! Routes whose saturation is set by sleeping, not by the machine, and what an open loop found of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use crate::support::open_loop::{Load, Outcome};
use crate::support::{Postgres, Shared};

/// How long a statement takes is in a table, so that a test can slow Postgres down.
pub const SCHEMA: &str = "
create table pace (seconds float8 not null);
insert into pace values (0.01);
create function rest(id int8, seconds float8) returns int8 language plpgsql stable as $$
begin
  perform pg_sleep(seconds);
  return id;
end $$;
";

/// Four connections that sleep for 10 ms: 400 requests a second. A batch that sleeps for 4 ms a key: 250.
pub const ROUTES: &str = r#"
[lane.other]
connections = 1

[[route]]
name = "single"
method = "GET"
path = "/single/{id}"
result = "scalar"
batch = false
sql = "select rest(:id, seconds) as id from pace"

[[route]]
name = "batched"
method = "GET"
path = "/batched/{id}"
result = "scalar"
batch = true
sql = "select rest(:id, 0.004) as id"

[[route]]
name = "other"
method = "GET"
path = "/other/{id}"
result = "scalar"
lane = "other"
sql = "select :id::int8 as id"
"#;

/// A load and a test at a time: each has the machine to itself, as far as this binary goes.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(SCHEMA))
}

/// A machine that stands still for half a second costs a good answer its time. No number of attempts makes
/// a server good that lets too many wait.
const ATTEMPTS: usize = 4;

/// Has one of the attempts succeed; each says what is wrong with it.
pub fn succeeds(attempt: impl Fn() -> Result<(), String>) {
    let mut attempts = 0;
    while let Err(fault) = attempt() {
        println!("{fault}");
        attempts += 1;
        assert!(attempts < ATTEMPTS, "{fault}");
    }
}

/// The text of a request.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// An open loop on one path, each request with a key of its own.
pub fn load(address: SocketAddr, path: &str, rate: f64, time: Duration) -> Outcome {
    Load {
        address,
        rate,
        time,
        connections_max: 900,
        target: &|number| format!("/{path}/{number}"),
        body: &|number| number.to_string(),
    }
    .run()
}

/// Every answer is right, or a refusal that says when to come again.
pub fn expect_answers_and_refusals(outcome: &Outcome) {
    for answer in &outcome.answers {
        match answer.status {
            200 => assert_eq!(answer.retry_after, None),
            503 => assert!(
                answer.retry_after.is_some_and(|it| (1..=8).contains(&it)),
                "{answer:?}"
            ),
            _ => panic!("{answer:?}"),
        }
    }
}

/// A line of the table that a test prints.
pub fn row(name: &str, asked: f64, outcome: &Outcome) -> String {
    let (good, refused) = (outcome.of(200), outcome.of(503));
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    format!(
        "| {name:15} | {asked:7.0} | {:7.0} | {:5.1} % | {:7.1} | {:7.1} | {:7.1} | {:7.1} |",
        outcome.goodput(),
        100.0 * refused.count() as f64 / outcome.answers.len() as f64,
        milliseconds(good.quantile(0.5)),
        milliseconds(good.quantile(0.99)),
        milliseconds(refused.quantile(0.5)),
        milliseconds(refused.quantile(0.99)),
    )
}

pub const HEADING: &str = "
| load            | asked/s |  good/s | refused | p50 ms  | p99 ms  | 503 p50 | 503 p99 |
|-----------------|--------:|--------:|--------:|--------:|--------:|--------:|--------:|";
