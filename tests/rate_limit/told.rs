//! What clients are told of their limit.

use sonic_rs::JsonValueTrait;

use crate::support::Response;
use crate::{get, has_two_cores, server};

/// The interval of three requests in 31 days, in seconds.
const INTERVAL: u64 = 31 * 24 * 3600 / 3;

/// The seconds in a RateLimit field with so many requests left.
fn seconds(response: &Response, rule: &str, remaining: u64) -> u64 {
    let value = response.field("ratelimit").expect("a RateLimit field");
    let prefix = format!("\"{rule}\";r={remaining};t=");
    let seconds = value.strip_prefix(&prefix);
    let seconds = seconds.unwrap_or_else(|| panic!("{value} does not begin with {prefix}"));
    seconds.parse().expect("seconds")
}

#[test]
fn every_response_of_a_limited_route_tells_what_is_left() {
    let cores = if has_two_cores() { 2 } else { 1 };
    let (server, _postgres) = server("", cores, &[]);
    // Each on a connection of its own, so on any core.
    let first = server.get("/three/1");
    assert_eq!(first.status, 200);
    assert_eq!(
        first.field("ratelimit-policy"),
        Some("\"three\";q=3;w=2678400")
    );
    assert_eq!(seconds(&first, "three", 2), INTERVAL);
    assert_eq!(first.field("retry-after"), None);
    // A fault of the request counts, and so does HEAD.
    let fault = server.get("/three/x");
    assert_eq!(fault.status, 422);
    let left = seconds(&fault, "three", 1);
    assert!((INTERVAL + 1..=2 * INTERVAL).contains(&left), "{left}");
    let head = server.client().request("HEAD", "/three/1", None);
    assert_eq!(head.status, 200);
    let left = seconds(&head, "three", 0);
    assert!((2 * INTERVAL + 1..=3 * INTERVAL).contains(&left), "{left}");
    for refused in [
        server.get("/three/1"),
        server.get("/three/x"),
        server.send("POST", "/three", r#"{"text": 1}"#),
        server.send("POST", "/three", "no JSON"),
    ] {
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert_eq!(
            refused.field("ratelimit-policy"),
            first.field("ratelimit-policy")
        );
        let left = seconds(&refused, "three", 0);
        assert!((INTERVAL / 2..=INTERVAL).contains(&left), "{left}");
        assert_eq!(
            refused.field("retry-after"),
            Some(left.to_string().as_str())
        );
        assert_eq!(refused.field("content-type"), Some("application/json"));
        let body = refused.json();
        assert_eq!(body["error"].as_str(), Some("Too many requests"));
        assert_eq!(body["code"].as_u64(), Some(429));
        assert_eq!(body["request_id"].as_str(), refused.field("x-request-id"));
        // The other guards' lines are there as on any response.
        assert_eq!(refused.field("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn what_has_no_limit_tells_nothing_and_uses_nothing() {
    let (server, _postgres) = server("", 1, &[]);
    for _ in 0..5 {
        for (target, status) in [
            ("/free/1", 200),
            ("/health", 200),
            ("/ready", 200),
            ("/none", 404),
        ] {
            let response = server.get(target);
            assert_eq!(response.status, status);
            assert_eq!(response.field("ratelimit"), None);
            assert_eq!(response.field("ratelimit-policy"), None);
        }
        for (method, status) in [("OPTIONS", 204), ("PUT", 405)] {
            let response = server.client().request(method, "/three/1", None);
            assert_eq!(response.status, status);
            assert_eq!(response.field("ratelimit"), None);
        }
    }
    assert_eq!(seconds(&server.get("/three/1"), "three", 2), INTERVAL);
}

#[test]
fn a_burst_that_is_not_all_of_the_requests_is_told() {
    let (server, _postgres) = server("", 1, &[]);
    let mut client = server.client();
    let first = get(&mut client, "/bursts/1", "X-KEY: a\r\n");
    let policy = "\"bursts\";q=31;w=2678400;pinion-burst=2";
    assert_eq!(first.field("ratelimit-policy"), Some(policy));
    assert_eq!(seconds(&first, "bursts", 1), 24 * 3600);
    assert_eq!(get(&mut client, "/bursts/1", "x-key: a\r\n").status, 200);
    assert_eq!(get(&mut client, "/bursts/1", "x-key: a\r\n").status, 429);
    // The first of several counts; an empty one is a value; none leaves the address.
    assert_eq!(
        get(&mut client, "/bursts/1", "x-key: b\r\nx-key: a\r\n").status,
        200
    );
    for lines in ["x-key:\r\n", ""] {
        for status in [200, 200, 429] {
            assert_eq!(
                get(&mut client, "/bursts/1", lines).status,
                status,
                "{lines:?}"
            );
        }
    }
}

#[test]
fn pipelined_requests_are_refused_in_their_order() {
    let (server, _postgres) = server("", 1, &[]);
    let mut client = server.client();
    client.send("GET /three/7 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(10));
    for index in 0..10 {
        let response = client.response();
        match index {
            0..3 => assert_eq!(response.text(), r#"{"text":7}"#),
            _ => assert_eq!(response.status, 429),
        }
        seconds(&response, "three", 2u64.saturating_sub(index));
    }
}
