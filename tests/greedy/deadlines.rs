//! Each time that a client has is a total: what trickles in does not prolong it.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::support::Response;
use super::{Client, PATIENCE, Server, get, server};

/// Far less than any of the times: one that began again with each byte would never be over.
const STEP: Duration = Duration::from_millis(50);

const STRICT: [&str; 6] = [
    "--header-timeout",
    "700ms",
    "--body-timeout",
    "700ms",
    "--keep-alive",
    "700ms",
];
const TIME: Duration = Duration::from_millis(700);

const POST: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";

/// Sends one part after the other until there is an answer or the end; when that was.
fn trickle(client: &mut Client, parts: impl Iterator<Item = Vec<u8>>) -> Duration {
    let start = Instant::now();
    client.stream.set_read_timeout(Some(STEP)).unwrap();
    for part in parts {
        let _ = client.stream.write_all(&part); // it may be closed already
        if client.stream.peek(&mut [0]).is_ok() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "it goes on for ever");
    }
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    start.elapsed()
}

fn endless(part: &str) -> impl Iterator<Item = Vec<u8>> + use<> {
    std::iter::repeat(part.as_bytes().to_vec())
}

fn assert_late(response: &Response) {
    assert_eq!(response.status, 408, "{}", response.text());
    assert_eq!(response.field("connection"), Some("close"));
}

#[test]
fn a_head_that_trickles_is_cut() {
    let (server, _postgres) = server(&STRICT);
    for begin in ["G", "GET /health HTTP/1.1\r\nX: ", "\r\nPOST /echo"] {
        let mut client = server.client();
        client.send(begin);
        assert!(trickle(&mut client, endless("a")) >= TIME, "{begin:?}");
        assert_late(&client.response());
        assert!(client.is_closed());
    }
}

#[test]
fn a_body_that_trickles_is_cut() {
    let (server, _postgres) = server(&STRICT);
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
    for (head, part) in [
        (format!("{POST}Content-Length: 10000\r\n\r\n"), "x"),
        (chunked.clone(), "1\r\nx\r\n"),
        (chunked.clone() + "ffff\r\n", "x"),
        (chunked.clone(), "1;a=b"),
        (chunked + "0\r\n", "A: b\r\n"),
    ] {
        let mut client = server.client();
        client.send(&head);
        assert!(trickle(&mut client, endless(part)) >= TIME, "{head}{part}");
        assert_late(&client.response());
        assert!(client.is_closed());
    }
}

/// Answers in between do not begin the time of the next head again.
#[test]
fn a_head_that_trickles_behind_answers_is_cut() {
    let (server, _postgres) = server(&STRICT);
    let mut client = server.client();
    client.send(
        (0..6)
            .map(|n| get(&format!("/slow/0.{n}")))
            .collect::<String>(),
    );
    client.send("GET /");
    let start = Instant::now();
    thread::scope(|scope| {
        let mut writer = client.stream.try_clone().unwrap();
        scope.spawn(move || {
            while writer.write_all(b"a").is_ok() && start.elapsed() < PATIENCE {
                thread::sleep(STEP);
            }
        });
        for _ in 0..6 {
            assert_eq!(client.response().status, 200);
        }
        assert_late(&client.response());
        // The writer ends when the server no longer listens to it.
        client.rest();
    });
    assert!(start.elapsed() >= TIME && start.elapsed() < PATIENCE);
}

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    let (server, _postgres) = server(&STRICT);
    let empty_lines = || {
        endless("\r")
            .zip(endless("\n"))
            .map(|(a, b)| [a, b].concat())
    };
    // One that says nothing, ever; one after a request; one that says nothing by empty lines.
    for (first, then) in [("", 0), ("/health", 0), ("", 2), ("/health", 1)] {
        let mut client = server.client();
        if !first.is_empty() {
            assert_eq!(client.request("GET", first, None).status, 200);
        }
        let start = Instant::now();
        trickle(&mut client, empty_lines().take(then));
        assert!(client.is_closed(), "{first} {then}");
        assert!(start.elapsed() > TIME / 2 && start.elapsed() < PATIENCE);
    }
}

/// Each of them takes its time, and less of it than it has: nothing is missing.
#[test]
fn slow_clients_within_their_time_are_served() {
    let (server, _postgres) = server(&[]);
    let slowly = |server: &Server, text: &str, parts: usize| {
        let mut client = server.client();
        for part in text.as_bytes().chunks(text.len().div_ceil(parts)) {
            client.send(part);
            thread::sleep(STEP);
        }
        client.response()
    };
    let body = r#"{"text": "slow"}"#;
    let length = format!("{POST}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunks: String = body.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    for text in [get("/echo/slow"), length, chunked] {
        let response = slowly(&server, &text, 20);
        assert_eq!(
            (response.status, response.text()),
            (200, r#"{"text":"slow"}"#)
        );
    }
}
