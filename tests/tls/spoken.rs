//! Requests and answers inside of TLS.

use std::io::{Read, Write};

use rustls::version::{TLS12, TLS13};
use sonic_rs::JsonValueTrait;

use super::support::certificates::{Key, Leaf};
use super::{client_config, client_config_of, https, https_with};

#[test]
fn both_versions_and_every_kind_of_key() {
    for key in [Key::P256, Key::P384, Key::Ed25519, Key::Rsa2048] {
        let https = https_with(
            &Leaf {
                key,
                ..Leaf::default()
            },
            &[],
        );
        for version in [&TLS12, &TLS13] {
            let config = client_config_of(&[version], &https.authority.roots());
            let mut client = https.client_with(config);
            let response = client.request("GET", "/echo/x", None);
            assert_eq!(response.text(), "{\"text\":\"x\"}", "{key:?}");
            let agreed = client.stream.conn.protocol_version();
            assert_eq!(agreed, Some(version.version));
            assert_eq!(client.request("GET", "/health", None).status, 200);
        }
    }
}

#[test]
fn large_bodies_both_ways() {
    let https = https(&["--max-body-bytes", "4m"]);
    let mut client = https.client();
    let text = "z".repeat(1 << 20);
    let response = client.request("POST", "/length", Some(&format!("{{\"text\":\"{text}\"}}")));
    assert_eq!(response.json()["length"].as_u64(), Some(1 << 20));
    let response = client.request("GET", "/large/5000000", None);
    assert_eq!(response.body.len(), "{\"text\":\"\"}".len() + 5_000_000);
    let response = client.request("GET", "/many/20000", None);
    let rows = response.json();
    assert_eq!(rows[19999]["number"].as_u64(), Some(20000));
    // One byte more than is let in is refused, and the refusal can be read while it is being sent.
    let mut client = https.client();
    let length = (4 << 20) + 1;
    client.send(format!(
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    let _ = client.stream.write_all(&vec![b' '; 100_000]);
    assert_eq!(client.response().status, 413);
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order_and_share_records() {
    let https = https(&[]);
    let mut client = https.client();
    assert_eq!(client.request("GET", "/health", None).status, 200);
    let requests: Vec<String> = (0..200)
        .map(|number| format!("GET /echo/{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.send(requests.concat());
    for number in 0..200 {
        assert_eq!(
            client.response().text(),
            format!("{{\"text\":\"{number}\"}}")
        );
    }
    // Answers that are there at once are in the first record, whose header says how long it is.
    client.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20));
    let mut header = [0; 5];
    while client.stream.sock.peek(&mut header).unwrap() < header.len() {}
    let record = usize::from(u16::from_be_bytes([header[3], header[4]]));
    let first = client.response();
    assert!(record > 20 * first.body.len() + 20 * 50, "{record} bytes");
    for _ in 1..20 {
        assert_eq!(client.response().status, 200);
    }
}

/// RFC 9110 §7.4: what is for https is served here, and refused where the connection is a plain one.
#[test]
fn a_target_of_https_is_at_the_right_place() {
    let https = https(&[]);
    let mut client = https.client();
    client.send("GET https://localhost/echo/one HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.response().text(), r#"{"text":"one"}"#);
    client.send("GET http://localhost/echo/two HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.response().text(), r#"{"text":"two"}"#);
}

#[test]
fn a_body_is_asked_for_with_100() {
    let https = https(&[]);
    let mut client = https.client();
    let body = "{\"text\":\"abc\"}";
    let length = body.len();
    client.send(format!(
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut interim = [0; 25];
    client.stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body);
    assert_eq!(client.response().text(), "{\"length\":3}");
}

#[test]
fn the_end_is_said_in_tls_too() {
    let https = https(&["--keep-alive", "300ms"]);
    // `is_closed` fails if the connection ends without close_notify.
    let mut asks = https.client();
    asks.send("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(asks.response().status, 200);
    assert!(asks.is_closed());
    let mut wrong = https.client();
    wrong.send("nonsense\r\n\r\n");
    assert_eq!(wrong.response().status, 400);
    assert!(wrong.is_closed());
    let mut idle = https.client();
    assert_eq!(idle.request("GET", "/health", None).status, 200);
    assert!(idle.is_closed());
}

#[test]
fn a_client_that_has_said_its_end_is_still_answered() {
    let https = https(&[]);
    for polite in [true, false] {
        let mut client = https.client();
        client.send("GET /slow/0.2 HTTP/1.1\r\nHost: a\r\n\r\n");
        if polite {
            client.stream.conn.send_close_notify();
            client.stream.flush().unwrap();
        } else {
            let write = std::net::Shutdown::Write;
            client.stream.sock.shutdown(write).unwrap();
        }
        assert_eq!(client.response().text(), "{\"text\":\"slept\"}");
        assert!(client.is_closed());
    }
}

#[test]
fn http_1_1_is_what_is_agreed_on() {
    let https = https(&[]);
    for (offered, agreed) in [
        (&[&b"http/1.1"[..]][..], Some(&b"http/1.1"[..])),
        (&[b"h2", b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let mut config = client_config(&https.authority.roots());
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let mut client = https.client_with(config);
        assert_eq!(client.request("GET", "/health", None).status, 200);
        assert_eq!(client.stream.conn.alpn_protocol(), agreed);
    }
}
