//! Arbitrary bytes, arbitrary cuts, arbitrary ends: the server goes on and keeps nothing.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::{Client, Server, echo};
use super::{descriptors, wait_until};

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum End {
    Reads,
    HalfCloses,
    Closes,
    Resets,
}

/// Requests, whole and damaged.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(&b"GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
        Just(&b"GET /large/300000 HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
        Just(&b"GET /cancellable/0.1 HTTP/1.1\r\nHost: a\r\n\r\n"[..]),
        Just(&b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n{\"text\":\"a\"}"[..]),
        Just(&b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"[..]),
        Just(&b"Expect: 100-continue\r\n"[..]),
        Just(&b"3\r\nabc\r\n0\r\n\r\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"HTTP/1.1 200 OK\r\n"[..]),
        Just(&b"\0\xff\x16\x03"[..]),
    ];
    let damage = (any::<prop::sample::Index>(), any::<u8>());
    (prop::collection::vec(part, 1..8), prop::option::of(damage)).prop_map(|(parts, damage)| {
        let mut bytes = parts.concat();
        if let Some((place, octet)) = damage {
            let place = place.index(bytes.len());
            bytes[place] = octet;
        }
        bytes
    })
}

#[test]
fn nothing_that_a_client_does_harms_the_server() {
    let postgres = echo::postgres();
    // Damage can turn a tenth of a second into hours.
    let flags = [
        ["--header-timeout", "1s"],
        ["--body-timeout", "1s"],
        ["--statement-timeout", "2s"],
    ];
    let flags = flags.as_flattened();
    let mut server = Server::start(echo::ROUTES, &postgres.url(), flags).ready();
    let baseline = descriptors(&server);
    let end = prop::sample::select(vec![End::Reads, End::HalfCloses, End::Closes, End::Resets]);
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &(bytes(), any::<prop::sample::Index>(), end),
        |(bytes, cut, end)| {
            let mut client = server.client();
            let (first, second) = bytes.split_at(cut.index(bytes.len()));
            // The server may have refused and closed in between.
            let _ = client.stream.write_all(first);
            let _ = client.stream.write_all(second);
            leave(&mut client, end);
            Ok(())
        },
    );
    outcome.unwrap();
    assert_eq!(server.get("/echo/x").status, 200);
    wait_until("descriptors are back", || descriptors(&server) <= baseline);
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
}

fn leave(client: &mut Client, end: End) {
    match end {
        End::Reads => {
            let patience = Some(Duration::from_millis(5));
            client.stream.set_read_timeout(patience).unwrap();
            let _ = client.stream.read(&mut [0; 1000]);
        }
        End::HalfCloses => {
            let _ = client.stream.shutdown(Shutdown::Write);
            // Whatever was understood is answered, and then the server closes.
            let answer = client.rest();
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "));
        }
        End::Closes => {}
        End::Resets => {
            let linger = Some(Duration::ZERO);
            let _ = socket2::SockRef::from(&client.stream).set_linger(linger);
        }
    }
}
