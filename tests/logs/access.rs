//! `--access-log`: which requests have a line, and what it says.

use std::collections::HashSet;

use sonic_rs::{JsonValueTrait, Value};

use super::support::{Client, Server, TempDir, echo, ended, pinion};
use super::{ask, ids, numbered, of_target, server, stop, without_database};

/// Beside what the tests wait for.
const ONLY_ERRORS: &str = "error,pinion::server=info";

/// Every kind of answer: its target and status.
const KINDS: [(&str, u16); 8] = [
    ("/health?secret=1", 200),
    ("/ready", 200),
    ("/echo/a", 200),
    ("/echo/b", 200),
    ("/none", 404),
    ("/nowhere", 404),
    ("/divide/0", 422),
    ("/broken", 500),
];

/// The access log of a server that was asked `count` times for every kind, and the ids.
fn of_every_kind(flags: &[&str], count: usize) -> (Vec<Value>, Vec<(u16, String)>) {
    let postgres = echo::postgres();
    let server = server(&postgres, flags);
    let asked: Vec<(&str, u16, String)> = numbered("kind", count)
        .into_iter()
        .flat_map(|id| KINDS.map(|(target, status)| (target, status, format!("{id}.{status}"))))
        .collect();
    let requests: Vec<_> = asked
        .iter()
        .map(|(target, _, id)| (*target, id.clone()))
        .collect();
    let answers = ask(&mut server.client(), &requests);
    for ((target, status, _), answer) in asked.iter().zip(&answers) {
        assert_eq!(answer.status, *status, "{target}: {}", answer.text());
    }
    let log = stop(server);
    let access = of_target(&log, "access").into_iter().cloned();
    // That it is ready was asked for by others as well.
    let ours = |line: &Value| {
        line["request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("kind-"))
    };
    let asked = asked.into_iter().map(|(_, status, id)| (status, id));
    (access.filter(ours).collect(), asked.collect())
}

#[test]
fn nothing_unless_it_is_asked_for() {
    let (access, _) = of_every_kind(&[], 1);
    assert!(access.is_empty(), "{access:?}");
    let (access, _) = of_every_kind(&["--access-log", "off"], 1);
    assert!(access.is_empty(), "{access:?}");
}

#[test]
fn all_is_a_line_for_each_answer_in_its_order() {
    for flags in [
        &["--access-log", "all"][..],
        &["--access-log", "all", "--log", ONLY_ERRORS],
    ] {
        let (access, asked) = of_every_kind(flags, 20);
        let lines: Vec<&Value> = access.iter().collect();
        let expected: Vec<&str> = asked.iter().map(|(_, id)| &**id).collect();
        assert_eq!(ids(&lines), expected);
        for (line, (status, _)) in access.iter().zip(&asked) {
            assert_eq!(line["status"].as_u64(), Some(u64::from(*status)));
            assert!(
                line["path"]
                    .as_str()
                    .is_some_and(|path| !path.contains('?')),
                "{line:?}"
            );
            assert!(line["query"].is_null(), "{line:?}");
        }
    }
}

#[test]
fn errors_are_those_from_a_status_on() {
    for (flag, least) in [("errors", 400), ("errors=422", 422), ("errors=500", 500)] {
        let (access, asked) = of_every_kind(&["--access-log", flag], 3);
        let lines: Vec<&Value> = access.iter().collect();
        let failed = asked.iter().filter(|(status, _)| *status >= least);
        let expected: Vec<&str> = failed.map(|(_, id)| &**id).collect();
        assert_eq!(ids(&lines), expected, "{flag}");
    }
}

#[test]
fn routes_are_named_or_left_out() {
    let routes = |flag: &str| {
        let (access, _) = of_every_kind(&["--access-log", flag], 1);
        let names = access
            .iter()
            .map(|line| line["route"].as_str().unwrap_or("").to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(
        routes("route=echo,route=/health"),
        ["/health", "echo", "echo"]
    );
    assert_eq!(routes("errors,route=broken,route=echo"), ["broken"]);
    assert_eq!(
        routes("except=/health,except=/ready,except=(unmatched)"),
        ["echo", "echo", "none", "divide", "broken"]
    );
}

#[test]
fn a_route_that_is_not_there_is_a_fault_of_the_start() {
    let directory = TempDir::new();
    for (flag, words) in [
        ("route=ecko", "--access-log: there is no route \"ecko\""),
        (
            "everything",
            "--access-log everything: \"everything\" is no part of it",
        ),
        ("sample=2", "--access-log sample=2: sample=2: a part of all"),
    ] {
        let (code, _, err) = ended(without_database(&directory, &["--access-log", flag]));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.starts_with("error: ") && err.contains(words), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let mut by_environment = without_database(&directory, &[]);
    by_environment.env("PINION_ACCESS_LOG", "route=ecko");
    assert!(ended(by_environment).2.contains("\"ecko\""));
    let (_, help, _) = ended(pinion(&["serve", "--help"]));
    for flag in ["--access-log", "--slow-log", "--slow-log-params"] {
        assert!(help.contains(flag), "{help}");
    }
}

#[test]
fn a_sample_is_the_same_on_every_host_and_as_large_as_it_is_said_to_be() {
    let postgres = echo::postgres();
    let requests: Vec<(&str, String)> = numbered("sampled", 4000)
        .into_iter()
        .map(|id| ("/health", id))
        .collect();
    let sample = |flag: &str| {
        let server = server(&postgres, &["--access-log", flag]);
        ask(&mut server.client(), &requests);
        let log = stop(server);
        let mut lines = of_target(&log, "access");
        lines.retain(|line| line["route"].as_str() == Some("/health"));
        let sampled: HashSet<String> = ids(&lines).into_iter().map(str::to_owned).collect();
        assert_eq!(sampled.len(), lines.len());
        sampled
    };
    let (tenth, again) = (sample("sample=0.1"), sample("sample=0.1,route=/health"));
    assert_eq!(tenth, again);
    // 400 of 4000, give or take five standard deviations of 19.
    assert!((305..=495).contains(&tenth.len()), "{}", tenth.len());
    let half = sample("sample=0.5,errors");
    assert!((1842..=2158).contains(&half.len()), "{}", half.len());
    assert!(half.is_superset(&tenth));
}

#[test]
fn a_line_says_what_is_known_of_the_request() {
    let postgres = echo::postgres();
    let trusted = "[proxy]\ntrusted = [\"127.0.0.1/32\"]\n";
    let routes = [trusted, echo::ROUTES].concat();
    let flags = ["--log-format", "json", "--access-log", "all,query"];
    let server = Server::start(&routes, &postgres.url(), &flags).ready();
    let mut client = server.client();
    client.send(
        "GET /slow/0.2 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\
         X-Request-ID: known\r\nUser-Agent: tester/1.0\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    );
    let bytes = client.response().body.len();
    client.send("HEAD /health?x=%0a HTTP/1.0\r\nX-Request-ID: bare\r\n\r\n");
    client.response_to_head();
    let log = stop(server);
    let of = |id: &str| -> Value {
        let mut lines = of_target(&log, "access");
        lines.retain(|line| line["request_id"].as_str() == Some(id));
        assert_eq!(lines.len(), 1);
        lines[0].clone()
    };
    let known = of("known");
    for (key, value) in [
        ("level", "INFO"),
        ("message", "request"),
        ("method", "GET"),
        ("path", "/slow/0.2"),
        ("route", "slow"),
        ("client", "192.0.2.7"),
        ("http", "1.1"),
        ("user_agent", "tester/1.0"),
        ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ] {
        assert_eq!(known[key].as_str(), Some(value), "{known:?}");
    }
    assert_eq!(known["status"].as_u64(), Some(200));
    assert_eq!(known["bytes"].as_u64(), Some(bytes as u64));
    let stage = |key: &str| {
        known[key]
            .as_f64()
            .unwrap_or_else(|| panic!("no {key}: {known:?}"))
    };
    assert!(stage("postgres_ms") >= 199.0, "{known:?}");
    let parts: f64 = ["read_ms", "wait_ms", "postgres_ms", "write_ms"]
        .iter()
        .map(|key| stage(key))
        .sum();
    assert!((stage("duration_ms") - parts).abs() < 0.01, "{known:?}");
    let bare = of("bare");
    assert_eq!(
        (bare["method"].as_str(), bare["http"].as_str()),
        (Some("HEAD"), Some("1.0"))
    );
    assert_eq!(
        (bare["bytes"].as_u64(), bare["client"].as_str()),
        (Some(0), Some("127.0.0.1"))
    );
    assert_eq!(
        (bare["query"].as_str(), bare["path"].as_str()),
        (Some("x=%0a"), Some("/health"))
    );
    for key in ["user_agent", "trace_id", "aborted"] {
        assert!(bare[key].is_null(), "{key}: {bare:?}");
    }
}

#[test]
fn what_is_no_request_is_told_of_as_well() {
    let postgres = echo::postgres();
    let server = server(&postgres, &["--access-log", "errors"]);
    let mut client = Client::connect(server.address);
    client.send("nonsense\r\n\r\n");
    let answer = client.response();
    let id = answer.field("x-request-id").expect("an id");
    let log = stop(server);
    let lines = of_target(&log, "access");
    let line = lines
        .iter()
        .find(|line| line["request_id"].as_str() == Some(id));
    let line = line.expect("a line");
    assert_eq!(line["status"].as_u64(), Some(u64::from(answer.status)));
    assert_eq!(line["route"].as_str(), Some("(unmatched)"));
    assert_eq!(line["client"].as_str(), Some("127.0.0.1"));
    assert!(
        line["method"].is_null() && line["path"].is_null(),
        "{line:?}"
    );
}

/// More than sockets hold for a client that does not read.
#[test]
fn an_answer_that_its_client_did_not_wait_for_is_told_of_as_that() {
    let postgres = echo::postgres();
    let flags = [
        "--access-log",
        "route=large",
        "--send-buffer",
        "65536",
        "--statement-timeout",
        "20s",
    ];
    let mut server = server(&postgres, &flags);
    let mut client = server.client();
    client.send("GET /large/8000000 HTTP/1.1\r\nHost: a\r\nX-Request-ID: gone\r\n\r\n");
    let mut first = [0; 1000];
    std::io::Read::read_exact(&mut client.stream, &mut first).expect("the beginning");
    drop(client);
    let line = super::json(&server.wait_for_line("\"gone\""));
    assert_eq!(line["aborted"].as_bool(), Some(true), "{line:?}");
    assert_eq!(line["status"].as_u64(), Some(200), "{line:?}");
    // And one that reads all of it.
    let whole = server.get("/large/8000000");
    let id = whole.field("x-request-id").expect("an id");
    let line = super::json(&server.wait_for_line(id));
    assert!(line["aborted"].is_null(), "{line:?}");
    assert_eq!(line["bytes"].as_u64(), Some(whole.body.len() as u64));
}
