//! The log as whoever reads it gets it: its formats line by line, the logs of requests, and what happens when
//! nobody reads.

mod support;

#[path = "logs/access.rs"]
mod access;
#[path = "logs/formats.rs"]
mod formats;
#[path = "logs/full.rs"]
mod full;
#[path = "logs/injection.rs"]
mod injection;
#[path = "logs/slow.rs"]
mod slow;

use std::process::Command;

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

use support::{Client, Postgres, Response, Server, Signal, TempDir, echo, pinion};

/// A server of the echo routes and some more that logs JSON.
fn server(postgres: &Postgres, flags: &[&str]) -> Server {
    let routes = [echo::ROUTES, echo::EMPTY, MORE].concat();
    let flags = [&["--log-format", "json"], flags].concat();
    Server::start(&routes, &postgres.url(), &flags).ready()
}

/// One that Postgres refuses for its value, and one that fails by a fault of the server's.
const MORE: &str = r#"
[[route]]
name = "divide"
method = "GET"
path = "/divide/{number}"
result = "one"
sql = "select 1 / :number::int4 as one"

[[route]]
name = "broken"
method = "GET"
path = "/broken"
result = "one"
batch = false
sql = "select pg_read_file('/nowhere') as text"
"#;

/// `pinion serve` of the echo routes at a database that nobody serves; its stderr is piped.
fn without_database(directory: &TempDir, flags: &[&str]) -> Command {
    let routes = directory.routes(echo::ROUTES);
    let mut command = pinion(&["serve", "--cores", "0", "--routes"]);
    let nowhere = format!("postgres:///x?host={}", directory.path().display());
    command.arg(routes).args(["--database-url", &nowhere]);
    command.args(flags);
    command.env_remove("JOURNAL_STREAM").env_remove("NO_COLOR");
    command
}

/// Stops a server: all lines of its log, each a JSON object.
fn stop(mut server: Server) -> Vec<Value> {
    server.signal(Signal::TERM);
    server.wait_for_line("\"stopped\"");
    server.log().iter().map(|line| json(line)).collect()
}

/// A line of the log.
fn json(line: &str) -> Value {
    let value: Value = sonic_rs::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert!(!line.contains(char::is_control), "{line:?}");
    for key in ["timestamp", "level", "message", "target"] {
        assert!(value[key].is_str(), "no {key}: {line}");
    }
    let mut keys: Vec<&str> = value
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, _)| key)
        .collect();
    keys.sort_unstable();
    assert!(keys.windows(2).all(|two| two[0] != two[1]), "{line}");
    value
}

/// Those of one log.
fn of_target<'a>(lines: &'a [Value], target: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = lines.iter().collect();
    found.retain(|line| line["target"].as_str() == Some(target));
    found
}

/// Asks for all of them on one connection, each with its id, and gives the answers.
fn ask(client: &mut Client, requests: &[(&str, String)]) -> Vec<Response> {
    let mut answers = Vec::new();
    for part in requests.chunks(100) {
        for (target, id) in part {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Request-ID: {id}\r\n\r\n");
            client.send(head);
        }
        answers.extend(part.iter().map(|_| client.response()));
    }
    answers
}

/// Request ids of this kind, one for each number.
fn numbered(kind: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{kind}-{number:05}"))
        .collect()
}

fn ids<'a>(lines: &[&'a Value]) -> Vec<&'a str> {
    lines
        .iter()
        .map(|line| line["request_id"].as_str().expect("an id"))
        .collect()
}
