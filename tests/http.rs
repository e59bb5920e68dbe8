//! HTTP as the real binary speaks it, byte by byte, and how it behaves when clients misbehave or
//! the server stops.

mod support;

#[path = "http/bounds.rs"]
mod bounds;
#[path = "http/chaos.rs"]
mod chaos;
#[path = "http/drain.rs"]
mod drain;
#[path = "http/listeners.rs"]
mod listeners;
#[path = "http/refused.rs"]
mod refused;
#[path = "http/spoken.rs"]
mod spoken;
#[path = "http/timeouts.rs"]
mod timeouts;

use std::sync::{Arc, Weak};

use sonic_rs::JsonValueTrait;

use support::{Client, PATIENCE, Postgres, Response, Server, Shared, wait_until};

/// Routes without a table.
const ROUTES: &str = r#"
[api]
title = "Echo"
version = "1"

[lane.slow]
connections = 4

[[route]]
name = "echo"
method = "GET"
path = "/echo/{text}"
result = "one"
sql = "select :text::text as text"

[[route]]
name = "post_echo"
method = "POST"
path = "/echo"
result = "one"
sql = "select :text::text as text"
[route.params]
text = { in = "body" }

[[route]]
name = "large"
method = "GET"
path = "/large/{bytes}"
result = "one"
sql = "select repeat('x', :bytes::int4) as text"

[[route]]
name = "slow"
method = "GET"
path = "/slow/{seconds}"
result = "one"
lane = "slow"
sql = "select 'slept' as text from pg_sleep(:seconds)"

[[route]]
name = "slow_cancellable"
method = "GET"
path = "/cancellable/{seconds}"
result = "one"
lane = "slow"
cancel = true
sql = "select 'slept' as text from pg_sleep(:seconds)"
"#;

/// A Postgres without any table, shared by the tests that run at the same time.
fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(""))
}

/// A server over these routes, and the Postgres that it needs.
fn server(flags: &[&str]) -> (Server, Arc<Postgres>) {
    let postgres = postgres();
    let flags = [&["--statement-timeout", "60s"], flags].concat();
    let server = Server::start(ROUTES, &postgres.url(), &flags).ready();
    (server, postgres)
}

/// Sends a request that is in flight for some seconds, to a server with `--max-in-flight 1`, and
/// returns once it is.
fn in_flight(server: &Server, target: &str) -> Client {
    let mut slow = server.client();
    slow.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    wait_until("the slow request is in flight", || {
        server.get("/echo/x").status == 503
    });
    slow
}

/// Checks the body that every error has; gives its message.
fn error_of(response: &Response, status: u16) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.field("content-type"), Some("application/json"));
    let body = response.json();
    assert_eq!(body["code"].as_u64(), Some(u64::from(status)));
    let id = body["request_id"].as_str().expect("an id");
    assert!(!id.is_empty());
    assert_eq!(response.field("x-request-id"), Some(id));
    body["error"].as_str().expect("a message").to_owned()
}

fn closes(response: &Response) -> bool {
    response.field("connection") == Some("close")
}

/// The open descriptors of the server.
fn descriptors(server: &Server) -> usize {
    support::process::descriptors(server.pid())
}

/// Resident memory of the server in KiB.
fn resident_kib(server: &Server) -> usize {
    support::process::resident_kib(server.pid())
}
