//! Clients that take their time, and where that ends.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{closes, descriptors, error_of, resident_kib, server, wait_until};

/// Sends one byte after the other until the server has had enough.
fn trickle(client: &mut super::Client, bytes: &[u8]) -> super::Response {
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    for byte in bytes {
        // After the answer the server may have closed.
        let _ = client.stream.write_all(&[*byte]);
        let mut peeked = [0];
        if client.stream.peek(&mut peeked).is_ok() {
            break;
        }
    }
    client
        .stream
        .set_read_timeout(Some(super::PATIENCE))
        .unwrap();
    client.response()
}

#[test]
fn slow_heads_and_slow_bodies_are_cut() {
    let (server, _postgres) = server(&["--header-timeout", "400ms", "--body-timeout", "600ms"]);
    let mut client = server.client();
    assert_eq!(client.request("GET", "/health", None).status, 200);
    let endless = format!("GET /health HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(1000));
    let response = trickle(&mut client, endless.as_bytes());
    error_of(&response, 408);
    assert!(closes(&response));

    let mut client = server.client();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    let response = trickle(&mut client, &[b'x'; 1000]);
    error_of(&response, 408);
    assert!(closes(&response));
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let (server, _postgres) = server(&["--keep-alive", "300ms"]);
    let mut fresh = server.client();
    let mut used = server.client();
    assert_eq!(used.request("GET", "/echo/x", None).status, 200);
    // An answer that takes longer than that is waited for.
    assert_eq!(server.get("/slow/0.7").status, 200);
    assert!(fresh.is_closed());
    assert!(used.is_closed());
}

#[test]
fn a_flood_that_is_never_read_is_cut_off() {
    let (server, _postgres) = server(&["--write-timeout", "700ms"]);
    let baseline = descriptors(&server);
    let before = resident_kib(&server);
    for target in ["/health", "/large/20000"] {
        let mut client = server.client();
        client
            .stream
            .set_write_timeout(Some(super::PATIENCE))
            .unwrap();
        let requests = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(1000);
        let start = Instant::now();
        let mut sent = 0usize;
        while client.stream.write_all(requests.as_bytes()).is_ok() {
            sent += requests.len();
            assert!(start.elapsed() < super::PATIENCE, "{sent} bytes were taken");
        }
        wait_until("its descriptor is closed", || {
            descriptors(&server) <= baseline
        });
    }
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more than before");
    assert_eq!(server.get("/health").status, 200);
}
