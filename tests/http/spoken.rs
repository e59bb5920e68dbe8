//! What is spoken well: methods, pipelines, large answers, ids (`tests/protocol/` has the rest).

use std::fmt::Write;

use sonic_rs::JsonValueTrait;

use super::{closes, error_of, server};

#[test]
fn head_and_options() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    for target in ["/health", "/ready", "/echo/x", "/nowhere"] {
        let get = client.request("GET", target, None);
        let head = client.request("HEAD", target, None);
        assert_eq!(head.status, get.status, "{target}");
        assert_eq!(
            head.field("content-length"),
            get.field("content-length"),
            "{target}"
        );
        assert!(head.body.is_empty());
    }
    for (target, allow) in [
        ("*", "GET, HEAD, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
        ("/echo/x", "GET, HEAD, OPTIONS"),
        ("/echo", "POST, OPTIONS"),
    ] {
        let response = client.request("OPTIONS", target, None);
        assert_eq!(response.status, 204, "{target}");
        assert_eq!(response.field("allow"), Some(allow), "{target}");
        assert_eq!(response.field("content-length"), None);
    }
    assert_eq!(client.request("OPTIONS", "/nowhere", None).status, 404);
}

#[test]
fn a_hundred_mixed_requests_in_one_go_are_answered_in_order() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    let mut requests = String::new();
    for number in 0..100 {
        let json = format!("{{\"text\":\"{number}\"}}");
        let length = json.len();
        let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
        let _ = match number % 6 {
            0 => write!(requests, "GET /echo/{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => write!(requests, "HEAD /echo/{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            2 => write!(requests, "{post}Content-Length: {length}\r\n\r\n{json}"),
            3 => write!(
                requests,
                "{post}Transfer-Encoding: chunked\r\n\r\n{:x};a=b\r\n{}\r\n{:x}\r\n{}\r\n0\r\nX: y\r\n\r\n",
                3,
                &json[..3],
                length - 3,
                &json[3..]
            ),
            4 => write!(requests, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
            _ => write!(
                requests,
                "GET /nowhere/{number} HTTP/1.1\r\nHost: a\r\n\r\n"
            ),
        };
    }
    client.send(requests);
    for number in 0..100 {
        let response = match number % 6 {
            1 => client.response_to_head(),
            _ => client.response(),
        };
        match number % 6 {
            1 => assert_eq!(response.status, 200),
            4 => assert_eq!(response.json()["status"].as_str(), Some("ok")),
            5 => drop(error_of(&response, 404)),
            _ => {
                let text = number.to_string();
                assert_eq!(response.json()["text"].as_str(), Some(text.as_str()));
            }
        }
        assert!(!closes(&response));
    }
}

#[test]
fn pipelined_requests_are_in_flight_together() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    let start = std::time::Instant::now();
    client.send("GET /slow/2 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4));
    for _ in 0..4 {
        assert_eq!(client.response().status, 200);
    }
    assert!(
        start.elapsed().as_secs_f64() < 7.5,
        "one after the other they take eight"
    );
}

#[test]
fn a_fast_answer_waits_for_a_slow_one_before_it() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(
        [
            get("/slow/0.5"),
            get("/echo/x"),
            get("/health"),
            get("/slow/0"),
        ]
        .concat(),
    );
    assert_eq!(client.response().json()["text"].as_str(), Some("slept"));
    assert_eq!(client.response().json()["text"].as_str(), Some("x"));
    assert_eq!(client.response().json()["status"].as_str(), Some("ok"));
    assert_eq!(client.response().json()["text"].as_str(), Some("slept"));
}

#[test]
fn large_answers_arrive_whole_at_a_slow_reader() {
    let (server, _postgres) = server(&["--send-buffer", "16k"]);
    let mut client = server.client();
    client.send("GET /large/3000000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5));
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let response = client.response();
        assert_eq!(response.status, 200);
        assert_eq!(response.json()["text"].as_str().unwrap().len(), 3_000_000);
    }
}

#[test]
fn a_body_is_asked_for_where_the_client_waits_for_that() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 12\r\n\r\n";
    client.send(head);
    assert_eq!(client.response().status, 100);
    client.send("{\"text\":\"a\"}");
    assert_eq!(client.response().json()["text"].as_str(), Some("a"));
    // It is there already.
    client.send(format!("{head}{{\"text\":\"b\"}}"));
    assert_eq!(client.response().json()["text"].as_str(), Some("b"));
    // Nobody would take it.
    client.send(head.replace("/echo", "/nowhere"));
    let response = client.response();
    error_of(&response, 404);
    assert!(closes(&response));
    assert!(client.is_closed());
}

#[test]
fn a_request_keeps_its_own_id_if_that_is_one() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    let mut id = |sent: &str| {
        client.send(format!(
            "GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-ID: {sent}\r\n\r\n"
        ));
        let response = client.response();
        error_of(&response, 404);
        response.field("x-request-id").unwrap().to_owned()
    };
    let longest = "x".repeat(64);
    for good in ["abc-DEF_1.2", &longest] {
        assert_eq!(id(good), good);
    }
    let too_long = "x".repeat(65);
    for bad in ["", "a b", "\"a\"", "é", &too_long] {
        let made = id(bad);
        assert_ne!(made, bad);
        assert_eq!(made.len(), 36, "{made}");
        assert_ne!(id(bad), made, "each request has its own");
    }
}
