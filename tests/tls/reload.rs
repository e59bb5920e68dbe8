//! Other certificates without a restart, and sessions that are taken up again.

use std::sync::Arc;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};

use super::support::certificates::{Authority, Leaf, Usage};
use super::support::{Client, Server, Signal};
use super::{Https, Session, client_config, client_config_of, https, session, shake_hands, start};

/// Shakes hands as a client that keeps its sessions; of which kind the handshake was.
fn kind(https: &Https, config: &Arc<ClientConfig>) -> HandshakeKind {
    let client = shake_hands(session(https.address(), config, "localhost")).unwrap();
    client.stream.conn.handshake_kind().unwrap()
}

/// The certificate that the server shows now.
fn shown(https: &Https) -> Vec<u8> {
    let mut client = https.client();
    assert_eq!(client.request("GET", "/health", None).status, 200);
    client.stream.conn.peer_certificates().unwrap()[0].to_vec()
}

fn reload(https: &mut Https, line: &str) {
    https.server.forget_log();
    https.server.signal(Signal::HUP);
    https.server.wait_for_line(line);
}

const LOADED: &str = "have been loaded again";
const KEPT: &str = "stay as they were";

fn still_works(client: &mut Client<Session>) {
    assert_eq!(client.request("GET", "/echo/x", None).status, 200);
}

#[test]
fn the_next_connection_sees_the_next_certificate() {
    let mut https = https(&[]);
    let first = shown(&https);
    let mut open = https.client();
    still_works(&mut open);
    let next = https.authority.issue(&Leaf {
        serial: 2,
        ..Leaf::default()
    });
    next.files(&https.directory, "server");
    assert_eq!(shown(&https), first, "not before it is told to");
    reload(&mut https, LOADED);
    super::wait_until("each core has it", || {
        shown(&https) == next.chain[0].to_vec()
    });
    still_works(&mut open);

    // Files that can't be used change nothing: a key of another certificate, no key, nothing at all.
    let other = https.authority.issue(&Leaf {
        serial: 3,
        ..Leaf::default()
    });
    for (broken, reason) in [
        (&*other.key_pem, "not the key of the first certificate"),
        ("", "no private key in it"),
    ] {
        std::fs::write(&https.key, broken).unwrap();
        reload(&mut https, KEPT);
        let log = https.server.log().join("\n");
        assert!(log.contains(reason), "{log}");
        assert_eq!(shown(&https), next.chain[0].to_vec());
    }
    std::fs::remove_file(&https.certificate).unwrap();
    reload(&mut https, KEPT);
    assert_eq!(shown(&https), next.chain[0].to_vec());
    other.files(&https.directory, "server");
    reload(&mut https, LOADED);
    super::wait_until("each core has it", || {
        shown(&https) == other.chain[0].to_vec()
    });
    still_works(&mut open);
    https.server.signal(Signal::TERM);
    assert_eq!(https.server.exit().code(), Some(0));
}

#[test]
fn without_tls_the_signal_changes_nothing() {
    let postgres = super::support::echo::postgres();
    let mut server = Server::start(super::support::echo::ROUTES, &postgres.url(), &[]).ready();
    let mut open = server.client();
    assert_eq!(open.request("GET", "/echo/x", None).status, 200);
    server.signal(Signal::HUP);
    server.wait_for_line("SIGHUP");
    assert_eq!(open.request("GET", "/echo/x", None).status, 200);
    assert_eq!(server.get("/echo/x").status, 200);
}

#[test]
fn sessions_are_taken_up_again_on_whatever_core() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let cores = if cores > 1 { "0,1" } else { "0" };
    let mut https = https(&["--cores", cores]);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(client_config_of(&[version], &https.authority.roots()));
        assert_eq!(kind(&https, &config), HandshakeKind::Full);
        // The kernel spreads them: that all twenty meet the same core is not to be expected.
        for _ in 0..20 {
            assert_eq!(kind(&https, &config), HandshakeKind::Resumed);
        }
        reload(&mut https, LOADED);
        assert_eq!(kind(&https, &config), HandshakeKind::Resumed, "same key");
    }
    let config = Arc::new(client_config(&https.authority.roots()));
    assert_eq!(kind(&https, &config), HandshakeKind::Full);
    let next = https.authority.issue(&Leaf {
        serial: 2,
        ..Leaf::default()
    });
    next.files(&https.directory, "server");
    reload(&mut https, LOADED);
    super::wait_until("each core has it", || {
        shown(&https) == next.chain[0].to_vec()
    });
    assert_eq!(kind(&https, &config), HandshakeKind::Full, "another key");
}

#[test]
fn whom_the_server_does_not_know_any_more_is_not_let_in_with_a_ticket() {
    let clients = Authority::new("Test Clients");
    let directory = super::TempDir::new();
    let file = clients.file(&directory, "clients.pem");
    let authority = Authority::new("Test Root");
    let issued = authority.issue(&Leaf::default());
    let flags = ["--tls-client-ca", &*file.to_string_lossy()];
    let mut https = start(authority, &issued, &flags);
    let client = clients.issue(&Leaf {
        names: &["client"],
        usage: Usage::Client,
        ..Leaf::default()
    });
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(https.authority.roots())
            .with_client_auth_cert(client.chain.clone(), client.key())
            .unwrap();
    let config = Arc::new(config);
    assert_eq!(kind(&https, &config), HandshakeKind::Full);
    assert_eq!(kind(&https, &config), HandshakeKind::Resumed);
    Authority::new("Others").file(&directory, "clients.pem");
    reload(&mut https, LOADED);
    super::wait_until("each core has it", || {
        let outcome = shake_hands(session(https.address(), &config, "localhost"));
        outcome.is_err_and(|fault| fault == "received fatal alert: UnknownCA")
    });
}
