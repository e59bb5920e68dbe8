//! What takes more than one exchange: which requests of a pipeline may overlap, and what becomes of
//! them when the client ends its side.

use std::net::Shutdown;

use super::server;
use super::support::Client;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(target: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn bodies(client: &mut Client, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| client.response().text().to_owned())
        .collect()
}

/// RFC 9112 §9.3.2: only safe methods may overlap, so what follows a write sees it.
#[test]
fn a_request_sees_the_writes_before_it_on_its_connection() {
    let (server, _postgres) = server();
    let pipeline = [
        get("/hits/order"),
        post("/slow/hit/order"),
        get("/hits/order"),
        get("/hits/order"),
        post("/slow/hit/order"),
        post("/hit/order"),
        get("/hits/order"),
    ];
    let seen = ["0", "", "1", "1", "", "", "3"];
    let mut client = server.client();
    client.send(pipeline.concat());
    assert_eq!(bodies(&mut client, seen.len()), seen);
    // A write waits for the reads before it as well.
    let mut client = server.client();
    client.send(
        [
            get("/slow/0.3"),
            get("/hits/order"),
            post("/hit/order"),
            get("/hits/order"),
        ]
        .concat(),
    );
    assert_eq!(bodies(&mut client, 4), ["\"slept\"", "3", "", "4"]);
}

/// What waits for its turn is still answered when the client has ended its side meanwhile, and not when
/// a request before it was the last.
#[test]
fn requests_that_wait_for_a_write_outlive_a_half_close() {
    let (server, _postgres) = server();
    let mut client = server.client();
    let write = "POST /slow/hit/half HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx";
    client.send([write, &post("/slow/hit/half"), &get("/hits/half"), write].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bodies(&mut client, 4), ["", "", "2", ""]);
    assert!(client.is_closed());

    let mut client = server.client();
    let last = "POST /slow/hit/half HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.send([last, &post("/hit/half"), &post("/hit/half")].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.response().field("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(server.get("/hits/half").text(), "4");
}

/// A write that is held back, and the bytes behind it, arrive in pieces.
#[test]
fn a_pipeline_in_pieces_is_answered_the_same() {
    let (server, _postgres) = server();
    let pipeline = [
        get("/slow/0.1"),
        post("/hit/pieces"),
        get("/hits/pieces"),
        "POST /slow/hit/pieces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\n\r\n".to_owned(),
        get("/hits/pieces"),
        "GET /nowhere HTTP/1.1\nHost: a\n\n".to_owned(),
    ]
    .concat();
    let mut client = server.client();
    for piece in pipeline.as_bytes().chunks(7) {
        client.send(piece);
    }
    assert_eq!(bodies(&mut client, 5), ["\"slept\"", "", "1", "", "2"]);
    let last = client.response();
    assert_eq!(
        (last.status, last.field("connection")),
        (400, Some("close"))
    );
    assert!(client.is_closed());
}
