//! Certificates of clients.

use std::os::unix::fs::PermissionsExt;

use crate::server::{Shared, Verdict, check, shared};
use crate::support::TempDir;
use crate::support::certificates::{Authority, Issued, Key, Leaf, Usage, Validity, openssl};

fn issue(authority: &Authority, name: &str, validity: Validity) -> Issued {
    authority.issue(&Leaf {
        names: &[name],
        validity,
        usage: Usage::Client,
        ..Leaf::default()
    })
}

/// The settings for a certificate.
fn settings(directory: &TempDir, stem: &str, issued: &Issued) -> String {
    let (certificate, key) = issued.files(directory, stem);
    format!("sslcert={}&sslkey={}", certificate.display(), key.display())
}

#[test]
fn the_server_judges_the_clients_certificate() {
    let shared = shared();
    let Shared {
        postgres, clients, ..
    } = &*shared;
    let directory = TempDir::new();
    let home = directory.path();
    let stranger = Authority::new("A stranger");
    let right = settings(
        &directory,
        "right",
        &issue(clients, "certified", Validity::Now),
    );
    let other = settings(
        &directory,
        "other",
        &issue(clients, "anyone", Validity::Now),
    );
    let wrong = settings(
        &directory,
        "wrong",
        &issue(&stranger, "certified", Validity::Now),
    );
    let expired = settings(
        &directory,
        "expired",
        &issue(clients, "certified", Validity::Past),
    );
    let below = clients.below("Between");
    let chain = settings(
        &directory,
        "chain",
        &issue(&below, "certified", Validity::Now),
    );
    for version in ["TLSv1.2", "TLSv1.3"] {
        for (settings, expected, wanted) in [
            (right.as_str(), Verdict::Encrypted, ""),
            (&chain, Verdict::Encrypted, ""),
            (
                "",
                Verdict::Refused,
                "connection requires a valid client certificate",
            ),
            (
                &other,
                Verdict::Refused,
                "certificate authentication failed",
            ),
            (
                &wrong,
                Verdict::Refused,
                "issuer that the server does not know",
            ),
            (
                &expired,
                Verdict::Refused,
                "the client's certificate (sslcert) has expired",
            ),
        ] {
            let range =
                format!("ssl_min_protocol_version={version}&ssl_max_protocol_version={version}");
            let url = postgres.url("certified", &format!("sslmode=require&{range}&{settings}"));
            let (verdict, words) = postgres.verdict(&url, home);
            assert_eq!(verdict, expected, "{url}: {words}");
            assert!(words.contains(wanted), "{words}");
        }
    }
    // A certificate beside a password.
    for (settings, expected) in [(&right, Verdict::Refused), (&other, Verdict::Refused)] {
        let url = format!("sslmode=require&password=right&{settings}");
        let (verdict, words) = postgres.verdict(&postgres.url("certified_too", &url), home);
        assert_eq!(verdict, expected, "{words}");
    }
    let own = settings_of(clients, &directory, "certified_too");
    let url = format!("sslmode=require&password=right&channel_binding=require&{own}");
    let (verdict, words) = postgres.verdict(&postgres.url("certified_too", &url), home);
    assert_eq!(verdict, Verdict::Encrypted, "{words}");
}

fn settings_of(authority: &Authority, directory: &TempDir, name: &str) -> String {
    settings(directory, name, &issue(authority, name, Validity::Now))
}

#[test]
fn the_mode_says_whether_a_certificate_is_sent() {
    let shared = shared();
    let Shared {
        postgres, clients, ..
    } = &*shared;
    let directory = TempDir::new();
    let home = directory.path();
    let right = settings_of(clients, &directory, "certified");
    // psql 15 does not know the keyword.
    let verdict = |role: &str, settings: &str| {
        postgres.verdict_of_pinion(&postgres.url(role, settings), home)
    };
    let (sent, words) = verdict(
        "certified",
        &format!("sslmode=require&sslcertmode=require&{right}"),
    );
    assert_eq!(sent, Verdict::Encrypted, "{words}");
    let (sent, words) = verdict(
        "certified",
        &format!("sslmode=require&sslcertmode=disable&{right}"),
    );
    assert_eq!(sent, Verdict::Refused);
    assert!(
        words.contains("requires a valid client certificate"),
        "{words}"
    );
    let url = postgres.url(
        "anyone",
        &format!("sslmode=disable&sslcertmode=require&{right}"),
    );
    let (code, _, words) = check(&url, home, &[]);
    assert_eq!(code, Some(1));
    assert!(
        words.contains("sslcertmode=require, but the server has not asked"),
        "{words}"
    );
}

#[test]
fn certificate_and_key_lie_at_their_usual_places() {
    let shared = shared();
    let Shared {
        postgres,
        clients,
        root,
        ..
    } = &*shared;
    let home = TempDir::new();
    let place = home.path().join(".postgresql");
    std::fs::create_dir(&place).expect("a directory");
    let issued = issue(clients, "certified", Validity::Now);
    let (certificate, key) = issued.files(&home, "own");
    std::fs::rename(certificate, place.join("postgresql.crt")).expect("a move");
    std::fs::rename(key, place.join("postgresql.key")).expect("a move");
    std::fs::copy(root, place.join("root.crt")).expect("a copy");
    let url = postgres.url("certified", "sslmode=verify-full");
    let (verdict, words) = postgres.verdict(&url, home.path());
    assert_eq!(verdict, Verdict::Encrypted, "{words}");
}

#[test]
fn a_key_that_can_not_be_used_is_told_with_its_file() {
    let shared = shared();
    let Shared {
        postgres, clients, ..
    } = &*shared;
    let directory = TempDir::new();
    let home = directory.path();
    let issued = issue(clients, "certified", Validity::Now);
    let (certificate, key) = issued.files(&directory, "own");
    let place = |name: &str| home.join(name);
    let mode = |name: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(place(name), permissions).expect("its permissions");
    };
    let copy = |name: &str, bits: u32| {
        std::fs::copy(&key, place(name)).expect("a copy");
        mode(name, bits);
    };
    copy("open.key", 0o644);
    copy("shared.key", 0o640);
    copy("written.key", 0o660);
    let der = place("der.key").display().to_string();
    let own = key.display().to_string();
    openssl(&["pkey", "-in", &own, "-outform", "DER", "-out", &der], "");
    mode("der.key", 0o600);
    let encrypted = openssl(
        &["pkey", "-in", &own, "-aes256", "-passout", "pass:secret"],
        "",
    );
    directory.file("encrypted.key", &encrypted);
    mode("encrypted.key", 0o600);
    directory.file("empty.key", "nothing\n");
    mode("empty.key", 0o600);
    issue(clients, "certified", Validity::Now).files(&directory, "other");
    for (name, wanted) in [
        ("own.key", ""),
        ("der.key", ""),
        // The tests run as root, or the key is nobody's that may share it.
        (
            "shared.key",
            if rustix::process::geteuid().is_root() {
                ""
            } else {
                "others may read it"
            },
        ),
        ("open.key", "others may read it: chmod 600"),
        ("written.key", "others may read it: chmod 600"),
        ("encrypted.key", "it is encrypted"),
        ("empty.key", "no private key is in it"),
        ("other.key", "it is not the key of sslcert"),
        (
            "none.key",
            "it does not exist, but its certificate (sslcert) does",
        ),
        ("", "it is not a regular file"),
    ] {
        let key = place(name).display().to_string();
        let settings = format!(
            "sslmode=require&sslcert={}&sslkey={key}",
            certificate.display()
        );
        let url = postgres.url("certified", &settings);
        let (verdict, words) = postgres.verdict(&url, home);
        let expected = if wanted.is_empty() {
            Verdict::Encrypted
        } else {
            Verdict::Refused
        };
        assert_eq!(verdict, expected, "{name}: {words}");
        if !wanted.is_empty() {
            let start = format!("error: --database-url: sslkey {key}: {wanted}");
            assert!(
                words.starts_with(&start) && words.lines().count() == 1,
                "{start}: {words}"
            );
        }
    }
}

#[test]
fn keys_of_every_kind_sign() {
    let shared = shared();
    let Shared {
        postgres, clients, ..
    } = &*shared;
    let directory = TempDir::new();
    for key in [Key::P256, Key::P384, Key::Ed25519, Key::Rsa2048] {
        let issued = clients.issue(&Leaf {
            names: &["certified"],
            usage: Usage::Client,
            key,
            ..Leaf::default()
        });
        let settings = settings(&directory, &format!("{key:?}"), &issued);
        let url = postgres.url("certified", &format!("sslmode=require&{settings}"));
        // Not by libpq: OpenSSL 3 does not read every Ed25519 key that others write.
        let (verdict, words) = postgres.verdict_of_pinion(&url, directory.path());
        assert_eq!(verdict, Verdict::Encrypted, "{key:?}: {words}");
    }
}
