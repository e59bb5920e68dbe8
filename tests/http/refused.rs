//! Everything that is refused, over the socket.

use super::{closes, error_of, server};

/// Sends bytes on a connection of their own; the answer has to be an error that closes.
fn refused(server: &super::Server, bytes: impl AsRef<[u8]>, status: u16) {
    let shown =
        String::from_utf8_lossy(&bytes.as_ref()[..bytes.as_ref().len().min(60)]).into_owned();
    let mut client = server.client();
    client.send(bytes.as_ref());
    let response = client.response();
    assert_eq!(response.status, status, "{shown}");
    error_of(&response, status);
    assert!(closes(&response), "{shown}");
    assert!(client.is_closed(), "{shown}");
}

#[test]
fn doubt_about_framing_is_answered_and_closes() {
    let (server, _postgres) = server(&[]);
    let follower = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, status) in [
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /health HTTP/1.1\nHost: a\n\n", 400),
        ("GET /health\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET /health HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n",
            400,
        ),
        (
            "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        ("BREW /echo HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("TRACE /health HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nExpect: much\r\n\r\n",
            417,
        ),
        ("\u{16}\u{3}\u{1}", 400),
    ] {
        refused(&server, request, status);
        // What follows is not taken for a request, however well it looks.
        refused(&server, request.to_owned() + follower, status);
    }
}

#[test]
fn what_is_understood_and_refused_keeps_the_connection() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    error_of(&client.request("GET", "/nowhere", None), 404);
    for (method, target, allow) in [
        ("DELETE", "/echo/x", "GET, HEAD, OPTIONS"),
        ("GET", "/echo", "POST, OPTIONS"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
    ] {
        let response = client.request(method, target, None);
        error_of(&response, 405);
        assert_eq!(response.field("allow"), Some(allow), "{target}");
        assert!(!closes(&response));
    }
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n1",
    );
    let response = client.response();
    error_of(&response, 415);
    assert!(!closes(&response));
    error_of(&client.request("POST", "/echo", Some("{")), 400);
    error_of(&client.request("POST", "/echo", Some("{}")), 422);
    assert_eq!(client.request("GET", "/health", None).status, 200);
}

#[test]
fn bodies_at_their_bound_and_one_over() {
    let (server, _postgres) = server(&["--max-body-bytes", "100"]);
    let json = format!("{{\"text\":\"{}\"}}", "x".repeat(89));
    assert_eq!(json.len(), 100);
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let mut client = server.client();
    client.send(format!("{post}Content-Length: 100\r\n\r\n{json}"));
    assert_eq!(client.response().status, 200);
    client.send(format!(
        "{post}Transfer-Encoding: chunked\r\n\r\n5\r\n{}\r\n5f\r\n{}\r\n0\r\n\r\n",
        &json[..5],
        &json[5..]
    ));
    assert_eq!(client.response().status, 200);
    refused(&server, format!("{post}Content-Length: 101\r\n\r\n"), 413);
    refused(
        &server,
        format!("{post}Content-Length: 101\r\n\r\n{json} "),
        413,
    );
    let chunks = format!("{post}Transfer-Encoding: chunked\r\n\r\n64\r\n{json}\r\n1\r\n");
    refused(&server, chunks, 413);
    // Its length is known to be too much before a body is asked for.
    let expect = format!("{post}Expect: 100-continue\r\nContent-Length: 101\r\n\r\n");
    refused(&server, expect, 413);
}

#[test]
fn an_error_is_read_by_a_client_that_sends_on() {
    let (server, _postgres) = server(&[]);
    for _ in 0..10 {
        let mut client = server.client();
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
        for _ in 0..80 {
            client.send(vec![b'x'; 100_000]);
        }
        error_of(&client.response(), 413);
    }
}

#[test]
fn heads_at_their_bound_and_one_over() {
    let (server, _postgres) = server(&["--max-head-bytes", "256"]);
    let head = |bytes: usize| {
        let start = "GET /health HTTP/1.1\r\nHost: a\r\nX: ";
        let filler = "x".repeat(bytes - start.len() - 4);
        format!("{start}{filler}\r\n\r\n")
    };
    let mut client = server.client();
    client.send(head(256));
    assert_eq!(client.response().status, 200);
    refused(&server, head(257), 431);
}

#[test]
fn targets_and_fields_at_their_bound_and_one_over() {
    let (server, _postgres) = server(&[]);
    let mut client = server.client();
    let target = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    let bound = pinion::limits::TARGET_BYTES_MAX;
    assert_eq!(client.request("GET", &target(bound), None).status, 404);
    let long = target(bound + 1);
    refused(
        &server,
        format!("GET {long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        414,
    );
    let fields = |count: usize| {
        let fields = "X: y\r\n".repeat(count - 1);
        format!("GET /health HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    client.send(fields(pinion::limits::HEADERS_MAX));
    assert_eq!(client.response().status, 200);
    refused(&server, fields(pinion::limits::HEADERS_MAX + 1), 431);
}
