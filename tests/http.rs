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

use std::sync::Arc;

use sonic_rs::JsonValueTrait;

use support::{Client, PATIENCE, Postgres, Response, Server, wait_until};

/// A server over the routes without a table, and the Postgres that it needs.
fn server(flags: &[&str]) -> (Server, Arc<Postgres>) {
    support::echo::server("", flags)
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
