//! What every response says beside its answer: the request's id, its time, the security headers; and
//! whose word about the client is believed.

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use sonic_rs::JsonValueTrait;

use support::echo::{self, answer, request};
use support::{Postgres, Response, Server, TempDir, ended, pinion};

/// Beside those that echo: one that Postgres refuses for its value.
const MORE: &str = r#"
[[route]]
name = "broken"
method = "GET"
path = "/broken/{number}"
result = "one"
sql = "select 1 / :number::int4 as one"
"#;

/// The fields of a response over a plain connection, without a table.
const DEFAULTS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    (
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

const HSTS: &str = "strict-transport-security";

fn server(tables: &str) -> (Server, Arc<Postgres>) {
    let postgres = echo::postgres();
    let routes = [tables, echo::ROUTES, echo::EMPTY, MORE].concat();
    let server = Server::start(&routes, &postgres.url(), &["--header-timeout", "1s"]).ready();
    (server, postgres)
}

/// A GET with further lines.
fn get(server: &Server, target: &str, lines: &str) -> Response {
    answer(server, &request(&format!("GET {target}"), lines))
}

/// One request of every kind of answer, with its status.
fn every_kind() -> Vec<(u16, String)> {
    let long = "x".repeat(20_000);
    let more = [
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, request("GET /", "Broken : line\r\n")),
        (408, "GET / HTTP/1.1\r\nHost:".to_owned()),
        (413, request("POST /echo", "Content-Length: 99999999\r\n")),
        (414, request(&format!("GET /{long}"), "")),
        (
            417,
            request("POST /echo", "Content-Length: 1\r\nExpect: x\r\n"),
        ),
        (422, request("GET /broken/x", "")),
        (422, request("GET /broken/0", "")),
        (431, request("GET /", &format!("A: {long}\r\n"))),
        (501, request("BREW /", "")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ];
    let common = echo::every_kind("").into_iter();
    common.chain(more).collect()
}

#[test]
fn every_response_says_it_errors_included() {
    let (server, _postgres) = server("");
    let mut ids = HashSet::new();
    for (status, request) in every_kind() {
        let response = answer(&server, &request);
        let what = request.lines().next().unwrap_or_default();
        let what = &what[..what.len().min(60)];
        assert_eq!(response.status, status, "{what}: {}", response.text());
        for (name, value) in DEFAULTS {
            assert_eq!(response.field(name), Some(value), "{what}");
        }
        assert_eq!(response.field(HSTS), None, "{what}");
        assert_eq!(response.field("server"), None, "{what}");
        let id = response.field("x-request-id").expect("an id").to_owned();
        if status >= 400 {
            assert_eq!(response.json()["request_id"].as_str(), Some(&*id), "{what}");
        }
        assert!(ids.insert(id), "{what}: its own");
        let took = response.field("x-process-time").expect("a time");
        let (whole, fraction) = took.split_once('.').expect("seconds");
        assert_eq!(fraction.len(), 6, "{took}");
        assert!(whole.parse::<u64>().is_ok() && fraction.parse::<u64>().is_ok());
    }
}

#[test]
fn the_time_is_that_of_the_request() {
    let (server, _postgres) = server("");
    let took = |target| {
        let response = get(&server, target, "");
        assert_eq!(response.status, 200);
        let took = response.field("x-process-time").expect("a time");
        took.parse::<f64>().expect("seconds")
    };
    assert!(took("/slow/0.2") >= 0.2);
    assert!(took("/health") < took("/slow/0.2"));
}

#[test]
fn an_id_is_the_clients_if_it_is_well_formed() {
    let (server, _postgres) = server("");
    let longest = "x".repeat(64);
    for id in ["a", "4bf92f3577b34da6a3ce929d0e0e4736", "A-z_0.9", &longest] {
        for (target, status) in [("/health", 200), ("/echo/a", 200), ("/nowhere", 404)] {
            let response = get(&server, target, &format!("X-Request-ID: {id}\r\n"));
            assert_eq!(response.status, status);
            assert_eq!(response.field("x-request-id"), Some(id));
        }
    }
    let longer = "x".repeat(65);
    for id in ["", "a b", "a\"b", "a,b", "\u{e9}", &longer] {
        let response = get(&server, "/nowhere", &format!("X-Request-ID: {id}\r\n"));
        let made = response.field("x-request-id").expect("an id");
        // A UUIDv7: its version, and 36 characters.
        assert_eq!((made.len(), &made[14..15]), (36, "7"), "{id:?}");
        assert_eq!(response.json()["request_id"].as_str(), Some(made));
    }
}

#[test]
fn the_table_changes_them() {
    let (server, _postgres) = server(
        r#"
[security_headers]
frame_options = "SAMEORIGIN"
referrer_policy = false
hsts = "2h"
[proxy]
trusted = ["127.0.0.1"]
"#,
    );
    let response = get(&server, "/echo/a", "X-Forwarded-Proto: https\r\n");
    assert_eq!(response.field("x-frame-options"), Some("SAMEORIGIN"));
    assert_eq!(response.field("referrer-policy"), None);
    assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.field(HSTS), Some("max-age=7200"));
    let response = get(&server, "/echo/a", "X-Forwarded-Proto: http\r\n");
    assert_eq!(response.field(HSTS), None);
}

#[test]
fn they_can_be_switched_off() {
    let (server, _postgres) = server("[security_headers]\nenabled = false\n");
    let response = get(&server, "/echo/a", "");
    for (name, _) in DEFAULTS {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert!(response.field("x-request-id").is_some());
}

#[test]
fn only_a_trusted_proxy_says_that_the_client_came_encrypted() {
    let https = "X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1;proto=https\r\n";
    for (table, trusted) in [
        ("", false),
        ("[proxy]\ntrusted = [\"10.0.0.0/8\", \"unix\"]\n", false),
        ("[proxy]\ntrusted = [\"127.0.0.0/8\"]\n", true),
        (
            "[proxy]\ntrusted = [\"127.0.0.1\"]\nfield = \"forwarded\"\n",
            true,
        ),
    ] {
        let (server, _postgres) = server(table);
        let response = get(&server, "/health", https);
        let hsts = response.field(HSTS);
        assert_eq!(hsts, trusted.then_some("max-age=31536000"), "{table}");
    }
}

#[test]
fn what_can_not_be_meant_is_a_fault() {
    let cases = [
        ("[security_headers]\nframes = 1\n", "unknown key \"frames\""),
        (
            "[security_headers]\nhsts = \"1 year\"\n",
            "\"hsts\" must be a duration",
        ),
        (
            "[security_headers]\nhsts = \"1500ms\"\n",
            "\"hsts\" must be a duration",
        ),
        (
            "[security_headers]\nhsts = true\n",
            "\"hsts\" must be a string, or false",
        ),
        (
            "[security_headers]\nreferrer_policy = \"a\\r\\nb: c\"\n",
            "one line of ASCII",
        ),
        (
            "[security_headers]\nreferrer_policy = \" a\"\n",
            "one line of ASCII",
        ),
        (
            "[security_headers]\nreferrer_policy = \"\"\n",
            "one line of ASCII",
        ),
        (
            "[security_headers]\nenabled = false\nhsts = \"1y\"\n",
            "nothing is sent with enabled = false",
        ),
        (
            "security_headers = 1\n",
            "[security_headers] must be a table",
        ),
        ("[proxy]\n", "[proxy] has no \"trusted\""),
        (
            "[proxy]\ntrusted = \"10.0.0.0/8\"\n",
            "must be a list of networks",
        ),
        ("[proxy]\ntrusted = [1]\n", "in quotes"),
        (
            "[proxy]\ntrusted = [\"10.0.0.1/8\"]\n",
            "beyond its network's",
        ),
        ("[proxy]\ntrusted = [\"10.0.0.0/33\"]\n", "0 to 32 bits"),
        (
            "[proxy]\ntrusted = []\nfield = \"x-real-ip\"\n",
            "\"field\" must be",
        ),
    ];
    for (table, message) in cases {
        let directory = TempDir::new();
        let file = directory.file("routes.toml", &format!("{table}\n{MORE}"));
        let mut command = pinion(&["check", "--database-url", "postgres:///x", "--routes"]);
        command.arg(file);
        let (code, _, err) = ended(command);
        assert_eq!(code, Some(1), "{table}: {err}");
        assert!(err.contains(message), "{table}: {err}");
        assert!(err.contains("routes.toml:"), "{table}: {err}");
    }
}
