//! Stopping: what is in flight is finished, nothing new is begun, and it ends in time.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::support::Signal;
use super::{closes, in_flight, server, wait_until};

#[test]
fn a_signal_finishes_what_is_in_flight() {
    for signal in [Signal::TERM, Signal::INT] {
        let (mut server, _postgres) = server(&["--max-in-flight", "1"]);
        let mut idle = server.client();
        let mut used = server.client();
        assert_eq!(used.request("GET", "/health", None).status, 200);
        let mut slow = in_flight(&server, "/slow/2");
        server.signal(signal);
        server.wait_for_line("stopping");
        assert!(idle.is_closed());
        assert!(used.is_closed());
        wait_until("new connections are refused", || {
            let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
            TcpStream::connect(server.address).is_err_and(refused)
        });
        slow.stream.set_nonblocking(true).unwrap();
        let early = slow.stream.peek(&mut [0]);
        assert!(
            early.is_err(),
            "refused while the last request is in flight"
        );
        slow.stream.set_nonblocking(false).unwrap();
        let response = slow.response();
        assert_eq!(response.status, 200);
        assert!(closes(&response));
        assert!(slow.is_closed());
        drop(slow);
        assert_eq!(server.exit().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn what_takes_too_long_is_given_up() {
    let (mut server, _postgres) = server(&["--max-in-flight", "1", "--drain-timeout", "300ms"]);
    let mut slow = in_flight(&server, "/slow/50");
    let start = Instant::now();
    server.signal(Signal::TERM);
    server.wait_for_line("gave up");
    assert_eq!(server.exit().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(slow.is_closed());
}

#[test]
fn a_second_signal_stops_at_once() {
    let (mut server, _postgres) = server(&["--max-in-flight", "1"]);
    let mut slow = in_flight(&server, "/slow/50");
    let start = Instant::now();
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    server.signal(Signal::INT);
    server.wait_for_line("at once");
    assert_eq!(server.exit().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(slow.is_closed());
}

#[test]
fn a_request_that_is_half_there_is_still_answered() {
    let (mut server, _postgres) = server(&[]);
    let mut client = server.client();
    client.send("GET /echo/x HT");
    // Its first bytes have arrived when an answer to a later request has.
    assert_eq!(server.get("/health").status, 200);
    server.signal(Signal::TERM);
    server.wait_for_line("stopping");
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(closes(&response));
    drop(client);
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn hundreds_of_idle_connections_do_not_hold_up_a_stop() {
    let (server, _postgres) = server(&["--drain-timeout", "60s"]);
    let mut clients: Vec<_> = (0..300).map(|_| server.client()).collect();
    for client in clients.iter_mut().step_by(2) {
        assert_eq!(client.request("GET", "/health", None).status, 200);
    }
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.exit().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20));
    for client in &mut clients {
        assert!(client.is_closed());
    }
}

#[test]
fn an_idle_server_stops_at_once() {
    let (server, _postgres) = server(&["--drain-timeout", "60s"]);
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.exit().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20));
}
