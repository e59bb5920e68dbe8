//! Flags and files that can't be used, told before anything is served.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::certificates::{Authority, Key, Leaf, Validity, openssl};
use super::support::{Client, Signal, TempDir, ended, pinion};
use super::{Https, https, https_of, start};

/// A server with such a certificate, and what it warns of.
fn warned(leaf: &Leaf<'_>) -> (Https, String) {
    let authority = Authority::new("Test Root");
    let issued = authority.issue(leaf);
    let mut https = start(authority, &issued, &[]);
    let warnings = https
        .server
        .log()
        .iter()
        .filter(|line| line.contains("WARN"));
    let warnings = warnings.cloned().collect::<Vec<_>>().join("\n");
    (https, warnings)
}

/// What a server says that must not start.
fn refused(certificate: &Path, key: &Path, more: &[&str]) -> String {
    let [certificate, key] = [certificate, key].map(|path| path.to_string_lossy());
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let listen = ["--listen", "127.0.0.1:0"];
    super::support::echo::refused(&[&listen, &tls[..], more].concat())
}

#[test]
fn each_form_of_a_key_is_read() {
    let convert = |command: &str, key: &str| openssl(&[command, "-traditional"], key);
    for (kind, command, begin) in [
        (Key::Rsa2048, "rsa", "-----BEGIN RSA PRIVATE KEY-----"),
        (Key::P256, "pkey", "-----BEGIN EC PRIVATE KEY-----"),
        (Key::P256, "", "-----BEGIN PRIVATE KEY-----"),
    ] {
        let authority = Authority::new("Test Root");
        let mut issued = authority.issue(&Leaf {
            key: kind,
            ..Leaf::default()
        });
        if !command.is_empty() {
            issued.key_pem = convert(command, &issued.key_pem);
        }
        assert!(issued.key_pem.starts_with(begin), "{}", issued.key_pem);
        // What tools write around it is no matter.
        issued.key_pem = format!("Bag Attributes\n  friendlyName: x\n{}", issued.key_pem);
        let https = https_of(authority, &issued, &[]);
        assert_eq!(https.client().request("GET", "/echo/x", None).status, 200);
    }
}

#[test]
fn files_that_can_not_be_used_are_told_with_flag_and_reason() {
    let directory = TempDir::new();
    let authority = Authority::new("Test Root");
    let issued = authority.issue(&Leaf::default());
    let (certificate, key) = issued.files(&directory, "good");
    let (_, other_key) = authority.issue(&Leaf::default()).files(&directory, "other");
    let missing = directory.path().join("missing");
    let empty = directory.file("empty", "");
    let half = directory.file("half", &issued.chain_pem[..issued.chain_pem.len() / 2]);
    let not_base64 = directory.file("base64", &issued.chain_pem.replace('M', "!"));
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_certificate = directory.file("der", no_certificate);
    let no_key = no_key_file(&directory);
    let large = directory.file("large", &" ".repeat((4 << 20) + 1));
    let encrypted = openssl(&["pkcs8", "-topk8", "-passout", "pass:x"], &issued.key_pem);
    let encrypted = directory.file("encrypted", &encrypted);
    let old = ["ec", "-aes128", "-passout", "pass:x"];
    let encrypted_old = directory.file("encrypted-old", &openssl(&old, &issued.key_pem));
    for (certificate, key, flag, reason) in [
        (&missing, &key, "--tls-cert", "No such file"),
        (&certificate, &missing, "--tls-key", "No such file"),
        (
            &directory.path().to_owned(),
            &key,
            "--tls-cert",
            "no regular file",
        ),
        (&empty, &key, "--tls-cert", "no certificate in it"),
        (&key, &key, "--tls-cert", "no certificate in it"),
        (&half, &key, "--tls-cert", "cut off"),
        (&not_base64, &key, "--tls-cert", "not base64"),
        (&no_certificate, &key, "--tls-cert", "a certificate in it: "),
        (&large, &key, "--tls-cert", "larger than 4 MiB"),
        (&certificate, &empty, "--tls-key", "no private key in it"),
        (
            &certificate,
            &certificate,
            "--tls-key",
            "no private key in it",
        ),
        (&certificate, &no_key, "--tls-key", "not supported"),
        (&certificate, &encrypted, "--tls-key", "encrypted"),
        (&certificate, &encrypted_old, "--tls-key", "encrypted"),
        (
            &certificate,
            &other_key,
            "--tls-key",
            "not the key of the first certificate",
        ),
    ] {
        let fault = refused(certificate, key, &[]);
        let named = if flag == "--tls-cert" {
            certificate
        } else {
            key
        };
        let begin = format!("error: {flag} {}: ", named.display());
        assert!(
            fault.starts_with(&begin) && fault.contains(reason),
            "{reason}: {fault}"
        );
    }
    for file in [&missing, &empty, &key] {
        let file = file.to_string_lossy();
        let fault = refused(&certificate, &key, &["--tls-client-ca", &file]);
        assert!(
            fault.starts_with(&format!("error: --tls-client-ca {file}: ")),
            "{fault}"
        );
    }
}

/// A key of 1024 bits, which nobody should use any more.
fn no_key_file(directory: &TempDir) -> std::path::PathBuf {
    let arguments = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
    ];
    directory.file("weak", &openssl(&arguments, ""))
}

#[test]
fn flags_that_contradict_each_other() {
    let directory = TempDir::new();
    let (certificate, key) = Authority::new("Test Root")
        .issue(&Leaf::default())
        .files(&directory, "x");
    let fault = refused(&certificate, &key, &["--tls-client-auth", "optional"]);
    assert_eq!(fault, "error: --tls-client-auth: needs --tls-client-ca");
    let mut command = pinion(&["serve", "--routes", "x", "--listen", "https://127.0.0.1:0"]);
    command.env("PINION_CORES", "0");
    let (code, _, text) = ended(command);
    assert_eq!(code, Some(1));
    assert!(text.contains("--tls-cert and --tls-key"), "{text}");
}

#[test]
fn what_is_questionable_is_warned_of() {
    let past = Leaf {
        validity: Validity::Past,
        ..Leaf::default()
    };
    let (https, warnings) = warned(&past);
    let file = https.certificate.display().to_string();
    assert!(
        warnings.contains("expired") && warnings.contains(&file),
        "{warnings}"
    );
    let future = Leaf {
        validity: Validity::Future,
        ..Leaf::default()
    };
    assert!(warned(&future).1.contains("not valid yet"));
    let soon = Leaf {
        validity: Validity::Soon,
        ..Leaf::default()
    };
    let (_, warnings) = warned(&soon);
    assert!(warnings.contains("expires in "), "{warnings}");

    let (mut https, warnings) = warned(&Leaf::default());
    assert_eq!(warnings, "");
    std::fs::set_permissions(&https.key, PermissionsExt::from_mode(0o644)).unwrap();
    https.server.signal(Signal::HUP);
    let line = https
        .server
        .wait_for_line("every user of this machine can read the key");
    assert!(line.contains(&https.key.display().to_string()), "{line}");
}

#[test]
fn listeners_of_both_kinds_at_once() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let mut https = https(&["--listen", "http://127.0.0.1:0", "--listen", &unix]);
    let plain = https.plain_address();
    let mut client = Client::connect(plain);
    assert_eq!(client.request("GET", "/echo/x", None).status, 200);
    let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut client = Client::over(stream);
    assert_eq!(client.request("GET", "/echo/x", None).status, 200);
    assert_eq!(https.client().request("GET", "/echo/x", None).status, 200);
    // TLS to the plain one: bytes that are no request.
    let mut client = Client::connect(plain);
    client.send([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3, b'\r', b'\n', b'\r', b'\n']);
    assert_eq!(client.response().status, 400);
    assert!(client.is_closed());
}
