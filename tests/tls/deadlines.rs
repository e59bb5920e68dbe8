//! Handshakes that take their time, clients that do not read, and the stop.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::StreamOwned;

use super::support::{Client, PATIENCE, Signal, connect};
use super::{Https, client_config, descriptors, https, session, wait_until};

/// The first message of a handshake.
fn hello(https: &Https) -> Vec<u8> {
    let config = Arc::new(client_config(&https.authority.roots()));
    let mut session = session(https.address(), &config, "localhost");
    let mut bytes = Vec::new();
    session.conn.write_tls(&mut bytes).unwrap();
    bytes
}

/// Waits for the server's end, whatever it sends before.
fn wait_for_end(socket: &mut TcpStream) {
    match socket.read_to_end(&mut Vec::new()) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => {}
    }
}

#[test]
fn a_handshake_has_the_time_of_a_head() {
    let https = https(&["--header-timeout", "500ms"]);
    let hello = hello(&https);
    let baseline = descriptors(https.server.pid());
    // Nothing, a part, all of it and then nothing more.
    for length in [0, 1, 100, hello.len()] {
        let mut socket = connect(https.address());
        socket.write_all(&hello[..length]).unwrap();
        wait_for_end(&mut socket);
    }
    // A byte now and then does not prolong it.
    let mut socket = connect(https.address());
    let start = Instant::now();
    for octet in &hello {
        if socket.write_all(&[*octet]).is_err() || start.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() < PATIENCE);
    wait_for_end(&mut socket);
    wait_until("descriptors are back", || {
        descriptors(https.server.pid()) <= baseline
    });
    assert_eq!(https.client().request("GET", "/health", None).status, 200);
}

#[test]
fn a_half_handshake_is_a_connection() {
    let https = https(&["--max-connections", "1", "--header-timeout", "60s"]);
    let half = connect(https.address());
    (&half).write_all(&hello(&https)[..50]).unwrap();
    let config = Arc::new(client_config(&https.authority.roots()));
    let session = session(https.address(), &config, "localhost");
    let patience = Some(Duration::from_millis(300));
    session.sock.set_read_timeout(patience).unwrap();
    let mut client = Client::over(session);
    let early = client
        .stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    let early = early.unwrap_err().kind();
    assert_eq!(early, ErrorKind::WouldBlock, "there is no room for it");
    drop(half);
    client.stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.request("GET", "/health", None).status, 200);
}

#[test]
fn a_flood_that_is_never_read_is_cut_off() {
    let https = https(&["--write-timeout", "700ms"]);
    let baseline = descriptors(https.server.pid());
    for target in ["/health", "/large/200000"] {
        let StreamOwned { mut conn, mut sock } = https.client().stream;
        while conn.is_handshaking() {
            conn.complete_io(&mut sock).unwrap();
        }
        conn.set_buffer_limit(None);
        let requests = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(1000);
        sock.set_write_timeout(Some(PATIENCE)).unwrap();
        let start = Instant::now();
        let mut records = Vec::new();
        loop {
            conn.writer().write_all(requests.as_bytes()).unwrap();
            while conn.wants_write() {
                conn.write_tls(&mut records).unwrap();
            }
            if sock.write_all(&records).is_err() {
                break;
            }
            records.clear();
            assert!(start.elapsed() < PATIENCE, "it is not cut off");
        }
        wait_until("its descriptor is closed", || {
            descriptors(https.server.pid()) <= baseline
        });
    }
    assert_eq!(https.client().request("GET", "/health", None).status, 200);
}

#[test]
fn a_stop_finishes_what_is_in_flight() {
    let mut https = https(&["--drain-timeout", "60s", "--header-timeout", "60s"]);
    let mut slow = https.client();
    slow.send("GET /slow/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut idle = https.client();
    assert_eq!(idle.request("GET", "/health", None).status, 200);
    let mut silent = connect(https.address());
    let mut half = connect(https.address());
    half.write_all(&hello(&https)[..50]).unwrap();
    let mut half_way = connect(https.address());
    half_way.write_all(&hello(&https)).unwrap();
    half_way.read_exact(&mut [0]).unwrap();
    let start = Instant::now();
    https.server.signal(Signal::TERM);
    https.server.wait_for_line("stopping");
    assert!(idle.is_closed(), "with close_notify");
    for socket in [&mut silent, &mut half, &mut half_way] {
        wait_for_end(socket);
    }
    let response = slow.response();
    assert_eq!(response.text(), "{\"text\":\"slept\"}");
    assert_eq!(response.field("connection"), Some("close"));
    assert!(slow.is_closed());
    drop(slow);
    assert_eq!(https.server.exit().code(), Some(0));
    assert!(
        start.elapsed() < Duration::from_secs(25),
        "nobody else was waited for"
    );
}
