//! Certificates of clients: who is let in.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::version::{TLS12, TLS13};

use super::support::TempDir;
use super::support::certificates::{Authority, Issued, Leaf, Usage, Validity};
use super::{Https, session, shake_hands, start};

/// A server that knows one authority of clients, and that authority.
fn server(flags: &[&str]) -> (Https, Authority) {
    let clients = Authority::new("Test Clients");
    let directory = TempDir::new();
    let file = clients.file(&directory, "clients.pem");
    let file = file.to_string_lossy();
    let flags = [&["--tls-client-ca", &file], flags].concat();
    let authority = Authority::new("Test Root");
    let issued = authority.issue(&Leaf::default());
    let server = start(authority, &issued, &flags);
    (server, clients)
}

fn leaf(usage: Usage, validity: Validity) -> Leaf<'static> {
    Leaf {
        names: &["client"],
        usage,
        validity,
        ..Leaf::default()
    }
}

/// What comes of showing a certificate, or none, with each version: nothing, or the fault.
fn outcomes(https: &Https, shown: Option<&Issued>) -> [String; 2] {
    [&TLS12, &TLS13].map(|version| {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(https.authority.roots());
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some(issued) => builder
                .with_client_auth_cert(issued.chain.clone(), issued.key())
                .unwrap(),
        };
        let outcome = shake_hands(session(https.address(), &Arc::new(config), "localhost"));
        outcome.map_or_else(|fault| fault, |_| String::new())
    })
}

fn assert_refused(https: &Https, shown: Option<&Issued>, alert: &str) {
    for fault in outcomes(https, shown) {
        assert_eq!(fault, format!("received fatal alert: {alert}"));
    }
}

/// Certificates that nobody is let in with, each with its alert.
fn assert_bad_ones_are_refused(https: &Https, clients: &Authority) {
    let stranger = Authority::new("Stranger").issue(&leaf(Usage::Client, Validity::Now));
    assert_refused(https, Some(&stranger), "UnknownCA");
    // One that has the same name is no more than that.
    let impostor = Authority::new("Test Clients").issue(&leaf(Usage::Client, Validity::Now));
    assert_refused(https, Some(&impostor), "DecryptError");
    let expired = clients.issue(&leaf(Usage::Client, Validity::Past));
    assert_refused(https, Some(&expired), "CertificateExpired");
    let early = clients.issue(&leaf(Usage::Client, Validity::Future));
    assert_refused(https, Some(&early), "CertificateExpired");
    let server = clients.issue(&leaf(Usage::Server, Validity::Now));
    assert_refused(https, Some(&server), "UnsupportedCertificate");
}

#[test]
fn required_of_everybody() {
    for flags in [&[][..], &["--tls-client-auth", "required"]] {
        let (https, clients) = server(flags);
        assert_eq!(
            outcomes(&https, None),
            [
                "received fatal alert: CertificateRequired",
                "received fatal alert: CertificateRequired"
            ]
        );
        assert_bad_ones_are_refused(&https, &clients);
        let good = clients.issue(&leaf(Usage::Client, Validity::Now));
        assert_eq!(outcomes(&https, Some(&good)), ["", ""]);
        let below = clients.below("Test Department");
        let below = below.issue(&leaf(Usage::Client, Validity::Now));
        assert_eq!(outcomes(&https, Some(&below)), ["", ""]);
    }
}

#[test]
fn optional_but_good() {
    let (https, clients) = server(&["--tls-client-auth", "optional"]);
    assert_eq!(outcomes(&https, None), ["", ""]);
    assert_bad_ones_are_refused(&https, &clients);
    let good = clients.issue(&leaf(Usage::Client, Validity::Now));
    assert_eq!(outcomes(&https, Some(&good)), ["", ""]);
}

#[test]
fn asked_for_by_nobody() {
    let authority = Authority::new("Test Root");
    let issued = authority.issue(&Leaf::default());
    let https = start(authority, &issued, &[]);
    let stranger = Authority::new("Stranger").issue(&leaf(Usage::Client, Validity::Past));
    assert_eq!(outcomes(&https, Some(&stranger)), ["", ""]);
}
