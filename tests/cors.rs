//! Pages of other origins: what the server says to them byte by byte, and what a browser makes of it.

mod support;

#[path = "cors/actual.rs"]
mod actual;
#[path = "cors/browser.rs"]
mod browser;
#[path = "cors/preflight.rs"]
mod preflight;
#[path = "cors/start_up.rs"]
mod start_up;

use std::sync::Arc;

use support::echo::{self, answer, request};
use support::{Postgres, Response, Server};

/// Beside those that echo: a fault of the route, and what a browser sends by itself.
const MORE: &str = r#"
[[route]]
name = "two"
method = "GET"
path = "/two"
result = "one"
sql = "select generate_series(1, 2) as two"

[[route]]
name = "cookie"
method = "GET"
path = "/cookie"
result = "one"
sql = "select :cookie::text as cookie"
[route.params]
cookie = { in = "header", nullable = true }
"#;

/// A server with a `[cors]` table of these lines, or without one.
fn server_of(table: Option<&str>, flags: &[&str]) -> (Server, Arc<Postgres>) {
    let postgres = echo::postgres();
    let table = table.map_or_else(String::new, |lines| format!("[cors]\n{lines}\n"));
    let routes = [&table, echo::ROUTES, echo::EMPTY, MORE].concat();
    let server = Server::start(&routes, &postgres.url(), flags).ready();
    (server, postgres)
}

fn server(table: &str) -> (Server, Arc<Postgres>) {
    server_of(Some(table), &[])
}

/// The fields of CORS that a response has, in their order.
fn cors_fields(response: &Response) -> Vec<(&str, &str)> {
    let fields = response.fields.iter();
    fields
        .filter(|(name, _)| name.starts_with("access-control-") || name == "vary")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
