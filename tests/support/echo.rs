//! Routes without a table: what they answer is what they are asked for.

use std::sync::{Arc, Weak};

use super::{Postgres, Response, Server, Shared, TempDir, ended, pinion};

/// Texts of any length, at once or after a while.
pub const ROUTES: &str = r#"
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

/// Routes that have nothing to answer: 204 and 404.
pub const EMPTY: &str = r#"
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
"#;

/// A Postgres without any table, shared by the tests that run at the same time.
pub fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(""))
}

/// A server over these routes and `more`, and the Postgres that it needs.
pub fn server(more: &str, flags: &[&str]) -> (Server, Arc<Postgres>) {
    let postgres = postgres();
    let flags = [&["--statement-timeout", "60s"], flags].concat();
    let routes = format!("{ROUTES}{more}");
    let server = Server::start(&routes, &postgres.url(), &flags).ready();
    (server, postgres)
}

/// The fault that a server over these routes ends with, which it has to.
pub fn refused(flags: &[&str]) -> String {
    let postgres = postgres();
    let directory = TempDir::new();
    let mut command = pinion(&["serve", "--cores", "0", "--routes"]);
    command.arg(directory.file("routes.toml", ROUTES));
    command
        .args(["--database-url", &postgres.url()])
        .args(flags);
    let (code, _, text) = ended(command);
    assert_eq!(code, Some(1), "{text}");
    let faults: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(faults.len(), 1, "{text}");
    assert_eq!(text.lines().last(), Some(faults[0]), "{text}");
    faults[0].to_owned()
}

/// One exchange on a connection of its own.
pub fn answer(server: &Server, request: &str) -> Response {
    let mut client = server.client();
    client.send(request);
    match request.starts_with("HEAD ") {
        true => client.response_to_head(),
        false => client.response(),
    }
}

/// A request with these lines behind its Host.
pub fn request(line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// Requests with these lines of [`ROUTES`] and [`EMPTY`], one of each kind of answer that needs nothing else,
/// with its status.
pub fn every_kind(lines: &str) -> Vec<(u16, String)> {
    let request = |line: &str, more: &str| request(line, &format!("{lines}{more}"));
    let post = |body: &str| {
        let length = body.len();
        let lines = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        request("POST /echo", &lines) + body
    };
    let waiting = "Content-Length: 1\r\nExpect: 100-continue\r\n";
    vec![
        (200, request("GET /health", "")),
        (200, request("GET /ready", "")),
        (200, request("HEAD /health", "")),
        (200, request("GET /echo/a", "")),
        (200, request("HEAD /echo/a", "")),
        (200, post(r#"{"text":"a"}"#)),
        (204, request("DELETE /echo/a", "")),
        (204, request("OPTIONS /echo/a", "")),
        (204, request("OPTIONS *", "")),
        (400, post("{")),
        (404, request("GET /nowhere", "")),
        (404, request("GET /none", "")),
        (404, request("POST /nowhere", waiting)),
        (405, request("PUT /echo/a", "")),
        (412, request("GET /echo/a", "If-Match: \"x\"\r\n")),
        (415, request("POST /echo", "Content-Length: 1\r\n") + "x"),
        (422, post(r#"{"text":1}"#)),
    ]
}
