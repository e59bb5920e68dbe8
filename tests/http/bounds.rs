//! Bounds on connections and requests, and clients that vanish: nothing leaks.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use super::support::{Client, Server, echo, find};
use super::{closes, descriptors, error_of, in_flight, server, wait_until};

/// Whether the server has sent nothing for a while.
fn is_silent(client: &Client) -> bool {
    let stream = &client.stream;
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let silent =
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    silent
}

#[test]
fn a_connection_too_many_waits_for_its_turn() {
    let (mut server, _postgres) = server(&["--max-connections", "1", "--listen", "[::1]:0"]);
    let other = server.address_in_line("listening on http://[::1]");
    let mut first = server.client();
    assert_eq!(first.request("GET", "/health", None).status, 200);
    // On the same listener and on the other one.
    for address in [server.address, other] {
        let mut next = Client::connect(address);
        next.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(is_silent(&next), "{address}");
        drop(first);
        assert_eq!(next.response().status, 200, "{address}");
        first = next;
    }
}

#[test]
fn a_request_too_many_is_refused_at_once() {
    let (server, _postgres) = server(&["--max-in-flight", "1"]);
    let mut slow = in_flight(&server, "/slow/2");
    let response = server.get("/echo/x");
    error_of(&response, 503);
    assert_eq!(response.field("retry-after"), Some("1"));
    assert!(!closes(&response));
    assert_eq!(server.get("/health").status, 200, "needs no place");
    assert!(is_silent(&slow), "the refusal did not wait for it");
    assert_eq!(slow.response().status, 200);
    assert_eq!(server.get("/echo/x").status, 200, "the place is free again");
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let postgres = echo::postgres();
    // Statements of other tests may sleep on the same Postgres, also when their server has gone.
    let url = format!("{}&application_name=vanished", postgres.url());
    let flags = ["--max-in-flight", "200", "--statement-timeout", "60s"];
    let server = Server::start(echo::ROUTES, &url, &flags).ready();
    let baseline = descriptors(&server);
    let unfinished = [
        "",
        "GET /ech",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf",
        "GET /slow/0.3 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /cancellable/50 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /cancellable/50 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /large/3000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for round in 0..3 {
        for request in unfinished {
            let mut client = server.client();
            client.send(request);
            if round == 1 {
                // Long enough for the request to be in flight.
                std::thread::sleep(Duration::from_millis(50));
            }
            if round == 2 {
                // Closing resets the connection.
                let linger = Some(Duration::ZERO);
                socket2::SockRef::from(&client.stream)
                    .set_linger(linger)
                    .unwrap();
            }
        }
    }
    wait_until("descriptors are back", || descriptors(&server) <= baseline);
    wait_until("statements have ended", || {
        postgres.sql(
            "select count(*) from pg_stat_activity \
             where state = 'active' and application_name = 'vanished'",
        ) == "0"
    });
    assert_eq!(server.get("/echo/x").status, 200);
}

/// A cancellation may reach Postgres before the statement that it is for, and is ignored then.
#[test]
fn a_cancellation_that_comes_early_is_sent_again() {
    let (server, _postgres) = server(&[]);
    let baseline = descriptors(&server);
    for _ in 0..60 {
        let mut client = server.client();
        client.send("GET /cancellable/50 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // A connection lives until its statement has ended.
    wait_until("statements have ended", || descriptors(&server) <= baseline);
    assert_eq!(server.get("/cancellable/0").status, 200);
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    let (server, _postgres) = server(&[]);
    let baseline = descriptors(&server);
    for number in 0..2000 {
        let stream = TcpStream::connect(server.address).unwrap();
        if number % 10 == 0 {
            let mut client = Client::connect(server.address);
            client.send("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert!(find(&client.rest(), b"{\"status\":\"ok\"}").is_some());
        }
        drop(stream);
    }
    wait_until("descriptors are back", || descriptors(&server) <= baseline);
}
