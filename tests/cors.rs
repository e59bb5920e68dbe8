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

use std::sync::{Arc, Weak};

use support::{Postgres, Response, Server, Shared};

const ROUTES: &str = r#"
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
name = "nothing"
method = "DELETE"
path = "/echo/{text}"
result = "exec"
sql = "select where :text::text is null"

[[route]]
name = "none"
method = "GET"
path = "/none"
result = "one"
sql = "select 1 as one where false"

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
    static SHARED: Shared = Shared::new(Weak::new());
    let postgres = Postgres::shared(&SHARED, || Postgres::start(""));
    let table = table.map_or_else(String::new, |lines| format!("[cors]\n{lines}\n"));
    let server = Server::start(&format!("{table}{ROUTES}"), &postgres.url(), flags).ready();
    (server, postgres)
}

fn server(table: &str) -> (Server, Arc<Postgres>) {
    server_of(Some(table), &[])
}

/// One exchange on a connection of its own.
fn answer(server: &Server, request: &str) -> Response {
    let mut client = server.client();
    client.send(request);
    match request.starts_with("HEAD ") {
        true => client.response_to_head(),
        false => client.response(),
    }
}

/// A request with these lines behind its Host.
fn request(line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// The fields of CORS that a response has, in their order.
fn cors_fields(response: &Response) -> Vec<(&str, &str)> {
    let fields = response.fields.iter();
    fields
        .filter(|(name, _)| name.starts_with("access-control-") || name == "vary")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
