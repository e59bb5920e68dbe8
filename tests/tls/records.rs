//! Records that come in pieces, that are too small, too large, too many or no records at all.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, StreamOwned,
};

use super::support::{Client, connect};
use super::{Https, client_config, client_config_of, descriptors, https, session, wait_until};

/// A socket that sends what it is given in pieces, their lengths from a sequence of its own.
struct Pieces {
    socket: TcpStream,
    state: u64,
    length_max: u64,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state = self
            .state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let length = 1 + (self.state >> 33) % self.length_max;
        self.socket
            .write(&bytes[..bytes.len().min(length as usize)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

#[test]
fn records_may_be_cut_anywhere() {
    let https = https(&[]);
    let body = format!("{{\"text\":\"{}\"}}", "p".repeat(3000));
    for (seed, length_max) in (1..=24).zip([1, 2, 3, 7, 64, 300, 1000, 5000].into_iter().cycle()) {
        let version = [&TLS12, &TLS13][seed as usize % 2];
        let config = client_config_of(&[version], &https.authority.roots());
        let StreamOwned { conn, sock } = session(https.address(), &Arc::new(config), "localhost");
        let pieces = Pieces {
            socket: sock,
            state: seed,
            length_max,
        };
        let mut client = Client::over(StreamOwned::new(conn, pieces));
        let response = client.request("POST", "/length", Some(&body));
        assert_eq!(response.text(), "{\"length\":3000}", "seed {seed}");
        let requests = "GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
        client.send(requests);
        for _ in 0..5 {
            assert_eq!(client.response().status, 200, "seed {seed}");
        }
    }
}

#[test]
fn records_of_one_byte_make_a_request() {
    let https = https(&[]);
    let mut client = https.client();
    for octet in b"GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send([*octet]);
    }
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_handshake_message_may_come_in_many_records() {
    let https = https(&[]);
    let config = client_config(&https.authority.roots());
    let StreamOwned { mut conn, mut sock } =
        session(https.address(), &Arc::new(config), "localhost");
    let mut hello = Vec::new();
    conn.write_tls(&mut hello).unwrap();
    let (header, payload) = hello.split_at(5);
    for part in payload.chunks(7) {
        let record = [&header[..3], &[0, part.len() as u8], part].concat();
        sock.write_all(&record).unwrap();
    }
    let mut client = Client::over(StreamOwned::new(conn, sock));
    assert_eq!(client.request("GET", "/echo/x", None).status, 200);
}

/// Sends bytes instead of a handshake, which the server does not let pass: it closes, with nothing
/// or an alert before.
fn alert_to(https: &Https, bytes: &[u8]) -> Option<u8> {
    let mut socket = connect(https.address());
    // It may have been refused before all of it was taken.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    match &answer[..] {
        [] => None,
        [21, 3, _, 0, 2, 2, description] => Some(*description),
        _ => panic!("more than an alert: {answer:02x?}"),
    }
}

#[test]
fn what_is_no_handshake_is_not_let_pass() {
    let https = https(&[]);
    let baseline = descriptors(https.server.pid());
    let decode_error = Some(50);
    let ssl_2 = [
        0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80, 3, 0,
    ];
    assert_eq!(alert_to(&https, &ssl_2), decode_error);
    assert_eq!(alert_to(&https, &[0; 64]), decode_error);
    assert_eq!(alert_to(&https, b"\xff\xfe\xfd"), decode_error);
    // Longer than any record.
    assert_eq!(alert_to(&https, b"\x16\x03\x01\x48\x01"), decode_error);
    // Data before there is a key for it; a message of 16 MiB; many records with nothing in them.
    alert_to(&https, b"\x17\x03\x03\x00\x01x");
    alert_to(
        &https,
        &[&b"\x16\x03\x01\x40\x00"[..], &[0xff; 16384]].concat(),
    );
    alert_to(&https, &b"\x16\x03\x01\x00\x00".repeat(1000));
    wait_until("descriptors are back", || {
        descriptors(https.server.pid()) <= baseline
    });
    assert_eq!(https.client().request("GET", "/health", None).status, 200);
}

/// What the server answers to one record with so much plaintext, as it comes over the wire.
fn answer_to_record(https: &Https, length: usize) -> Vec<u8> {
    let mut config = client_config_of(&[&TLS13], &https.authority.roots());
    config.enable_secret_extraction = true;
    let mut client = https.client_with(config);
    assert_eq!(client.request("GET", "/health", None).status, 200);
    let StreamOwned { conn, mut sock } = client.stream;
    let suite = conn.negotiated_cipher_suite().unwrap().tls13().unwrap();
    let (sequence, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
        panic!("another cipher was agreed on");
    };
    let head = "GET /echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ";
    let head = format!("{head}{}\r\n\r\n", "p".repeat(length - head.len() - 4));
    let message = OutboundPlainMessage {
        typ: ContentType::ApplicationData,
        version: ProtocolVersion::TLSv1_3,
        payload: OutboundChunks::Single(head.as_bytes()),
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    let record = encrypter.encrypt(message, sequence).unwrap().encode();
    sock.write_all(&record).unwrap();
    let mut answer = Vec::new();
    sock.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_record_has_16_kib_at_the_most() {
    let https = https(&["--max-head-bytes", "32k"]);
    let answer = answer_to_record(&https, 16384);
    assert!(answer.len() > 100, "a response and the end: {answer:02x?}");
    // Nothing but an alert of two bytes, one for its type and sixteen that authenticate it.
    let answer = answer_to_record(&https, 16385);
    assert_eq!(answer[..5], [0x17, 3, 3, 0, 19]);
    assert_eq!(answer.len(), 24, "{answer:02x?}");
}

/// A connection on which one request has been answered.
fn used(https: &Https) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    let mut client = https.client();
    assert_eq!(client.request("GET", "/health", None).status, 200);
    client
}

/// What the server ends the session with.
fn fault_of(client: &mut Client<StreamOwned<ClientConnection, TcpStream>>) -> String {
    let mut rest = [0; 1000];
    match client.stream.read(&mut rest) {
        Ok(count) => panic!("no fault: {count} bytes"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_comes_after_the_handshake_has_to_be_of_the_session() {
    let https = https(&[]);
    let baseline = descriptors(https.server.pid());
    for (bytes, alert) in [
        (
            &b"\x17\x03\x03\x00\x20 this is not what was agreed on."[..],
            "BadRecordMac",
        ),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", "DecodeError"),
        (b"\x17\x03\x03\x48\x01", "DecodeError"),
    ] {
        let mut client = used(&https);
        client.stream.sock.write_all(bytes).unwrap();
        assert_eq!(
            fault_of(&mut client),
            format!("received fatal alert: {alert}")
        );
    }
    wait_until("descriptors are back", || {
        descriptors(https.server.pid()) <= baseline
    });
}

#[test]
fn keys_may_be_changed_but_not_for_ever() {
    let https = https(&[]);
    let update = |client: &mut Client<StreamOwned<ClientConnection, TcpStream>>, count| {
        for _ in 0..count {
            client.stream.conn.refresh_traffic_keys().unwrap();
            let _ = client.stream.flush();
        }
    };
    let mut client = used(&https);
    for _ in 0..10 {
        update(&mut client, 32); // what is allowed without data between
        assert_eq!(client.request("GET", "/echo/x", None).status, 200);
    }
    update(&mut client, 33);
    let fault = fault_of(&mut client);
    assert!(
        fault.contains("fatal alert") || fault.contains("closed"),
        "{fault}"
    );
}

#[test]
fn a_request_that_was_cut_short_is_none() {
    let https = https(&[]);
    let baseline = descriptors(https.server.pid());
    for request in [
        "GET /echo/x HTTP/1.1\r\nHost: a\r\n",
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"text\":",
    ] {
        let mut client = https.client();
        client.send(request);
        client.stream.sock.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(
            !rest.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }
    wait_until("descriptors are back", || {
        descriptors(https.server.pid()) <= baseline
    });
}
