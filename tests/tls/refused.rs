//! Who does not get in, and what each side is told of it.

use std::io::Read;
use std::sync::Arc;

use super::support::Client;
use super::support::certificates::{Authority, Leaf, Validity};
use super::{client_config, https, session, shake_hands, start};

#[test]
fn plain_http_on_the_port_is_told_what_it_is() {
    let https = https(&[]);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "nonsense",
    ] {
        let mut client = Client::connect(https.address());
        client.send(request.to_uppercase());
        client.send("x".repeat(100_000));
        let response = client.response();
        assert_eq!(response.status, 400);
        assert!(
            response.text().contains("HTTPS port"),
            "{}",
            response.text()
        );
        assert_eq!(response.field("connection"), Some("close"));
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_only_speaks_another_protocol() {
    let https = https(&[]);
    let mut config = client_config(&https.authority.roots());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let outcome = shake_hands(session(https.address(), &Arc::new(config), "localhost"));
    let fault = outcome.err().expect("a refusal");
    assert_eq!(fault, "received fatal alert: NoApplicationProtocol");
}

#[test]
fn a_client_that_does_not_believe_the_server_says_why() {
    let authority = Authority::new("Test Root");
    for (leaf, name, known, fault) in [
        (
            Leaf::default(),
            "elsewhere.test",
            true,
            "not valid for name",
        ),
        (Leaf::default(), "localhost", false, "UnknownIssuer"),
        (
            Leaf {
                validity: Validity::Past,
                ..Leaf::default()
            },
            "localhost",
            true,
            "expired",
        ),
    ] {
        let stranger = Authority::new("Stranger").roots();
        let roots = if known { authority.roots() } else { stranger };
        let issued = authority.issue(&leaf);
        let mut https = start(
            Authority::new("Unused"),
            &issued,
            &["--log", "info,pinion::server=debug"],
        );
        let config = Arc::new(client_config(&roots));
        for _ in 0..3 {
            let outcome = shake_hands(session(https.address(), &config, name));
            let said = outcome.err().expect("a refusal");
            assert!(said.contains(fault), "{said}");
        }
        let line = https.server.wait_for_line("a TLS handshake failed");
        assert!(
            line.contains("DEBUG") && line.contains("received fatal alert"),
            "{line}"
        );
        // Many are one line for those who do not look closer.
        let told = https
            .server
            .log()
            .iter()
            .filter(|line| line.contains("INFO TLS handshakes"));
        assert_eq!(told.count(), 1);
    }
}

#[test]
fn tls_on_the_plain_port_is_no_request() {
    let mut https = https(&["--listen", "http://127.0.0.1:0"]);
    let address = https.plain_address();
    let config = Arc::new(client_config(&https.authority.roots()));
    let fault = shake_hands(session(address, &config, "localhost")).err();
    assert!(
        fault.expect("a refusal").contains("corrupt"),
        "it was answered in plain text"
    );
    let mut session = session(address, &config, "localhost");
    let mut hello = Vec::new();
    session.conn.write_tls(&mut hello).unwrap();
    let mut client = Client::over(session.sock);
    client.send(hello);
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.response().status, 400);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}
