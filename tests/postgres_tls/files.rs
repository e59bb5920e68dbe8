//! Files of roots and revocation lists: their faults at the start, and their change later.

use std::path::Path;

use crate::fixture::{lines, until};
use crate::server::{Shared, TlsPostgres, Verdict, check, shared};
use crate::serving::{ROUTES, terminate};
use crate::support::certificates::{Authority, Leaf, Usage, Validity};
use crate::support::{Server, TempDir, ended, pinion};

#[test]
fn a_file_that_can_not_be_used_ends_the_start_with_one_line() {
    let shared = shared();
    let Shared {
        postgres,
        authority,
        root,
        ..
    } = &*shared;
    let directory = TempDir::new();
    let file = |name: &str, text: &str| directory.file(name, text).display().to_string();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken_list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let expired = authority.issue(&Leaf {
        validity: Validity::Past,
        ..Leaf::default()
    });
    let (root, none) = (root.display(), directory.path().join("none"));
    let (none, directory_path) = (none.display(), directory.path().display());
    let empty = file("empty", "");
    let broken = file("broken", broken);
    let broken_list = file("broken-list", broken_list);
    let cut = file(
        "cut",
        "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
    );
    let expired = file("expired", &expired.chain_pem);
    let full = format!("sslmode=verify-full&sslrootcert={root}");
    for (settings, wanted) in [
        (
            format!("sslmode=verify-full&sslrootcert={none}"),
            format!("sslrootcert {none}: it does not exist"),
        ),
        (
            format!("sslmode=require&sslrootcert={empty}"),
            format!("sslrootcert {empty}: no certificate"),
        ),
        (
            format!("sslmode=require&sslrootcert={cut}"),
            format!("sslrootcert {cut}: it is not PEM"),
        ),
        (
            format!("sslmode=require&sslrootcert={broken}"),
            format!("sslrootcert {broken}: certificate 1 in it is malformed"),
        ),
        (
            format!("sslmode=require&sslrootcert={expired}"),
            format!("sslrootcert {expired}: every certificate in it has expired"),
        ),
        (
            format!("sslmode=require&sslrootcert={directory_path}"),
            format!("sslrootcert {directory_path}: it is not a regular file"),
        ),
        (
            format!("{full}&sslcrl={empty}"),
            format!("sslcrl {empty}: no revocation list"),
        ),
        (
            format!("{full}&sslcrl={broken_list}"),
            format!("sslcrl {broken_list}: "),
        ),
        (
            format!("{full}&sslcrldir={none}"),
            format!("sslcrldir {none}: No such file"),
        ),
        (
            format!("{full}&sslcrldir={directory_path}"),
            format!("sslcrldir {directory_path}: no revocation list is in it"),
        ),
        (
            "sslmode=require&sslrootcert=system".to_owned(),
            "sslrootcert=system needs sslmode=verify-full".to_owned(),
        ),
        (
            format!("sslmode=require&sslcert={empty}"),
            format!("sslcert {empty}: no certificate"),
        ),
        (
            format!("sslmode=require&sslcertmode=require&sslcert={none}"),
            format!("sslcert {none}: it does not exist, and sslcertmode=require"),
        ),
    ] {
        let url = postgres.url("anyone", &settings);
        let wanted = format!("error: --database-url: {wanted}");
        let (code, _, err) = check(&url, directory.path(), &[]);
        assert_eq!(code, Some(1), "{settings}: {err}");
        assert!(
            err.starts_with(&wanted) && err.lines().count() == 1,
            "{wanted}: {err}"
        );
        // serve says the same.
        let routes = directory.file("routes.toml", ROUTES);
        let mut command = pinion(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
        command
            .arg("--routes")
            .arg(routes)
            .env("HOME", directory.path());
        let (code, _, err) = ended(command);
        assert_eq!(code, Some(1), "{settings}: {err}");
        assert!(
            err.lines()
                .last()
                .is_some_and(|line| line.starts_with(&wanted)),
            "{wanted}: {err}"
        );
    }
}

/// A server without TLS, or whose certificate is not believed, is a fault of the configuration.
#[test]
fn a_server_that_is_not_believed_ends_the_start() {
    let shared = shared();
    let directory = TempDir::new();
    let stranger = Authority::new("A stranger").file(&directory, "stranger.crt");
    let settings = format!("sslmode=verify-ca&sslrootcert={}", stranger.display());
    let url = shared.postgres.url("anyone", &settings);
    let routes = directory.file("routes.toml", ROUTES);
    let mut command = pinion(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]);
    command.arg("--routes").arg(routes);
    let (code, _, err) = ended(command);
    assert_eq!(code, Some(1), "{err}");
    let line = err.lines().last().unwrap_or_default();
    let wanted = format!(
        "the server's certificate is by \"The root\", who is not among the issuers of sslrootcert {}",
        stranger.display()
    );
    assert!(
        line.starts_with("error: no connection to Postgres: ") && line.contains(&wanted),
        "{err}"
    );
}

#[test]
fn the_machines_trust_store_is_one_of_roots() {
    let shared = shared();
    let root = shared.root.display().to_string();
    let url = shared.postgres.url("anyone", "sslrootcert=system");
    let directory = TempDir::new();
    // Nothing of the machine's own, which may be named by a variable as well.
    let nothing = directory.path().join("nothing").display().to_string();
    let check = |url: &str, file: &str| {
        let variables = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", &nothing)];
        check(url, Path::new("/nonexistent"), &variables)
    };
    let (code, _, err) = check(&url, &root);
    assert_eq!(code, Some(0), "{err}");
    let other = Authority::new("A stranger")
        .file(&directory, "other")
        .display()
        .to_string();
    let (code, _, err) = check(&url, &other);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("not among the issuers of the machine's trust store"),
        "{err}"
    );
    let empty = directory.file("empty", "").display().to_string();
    let (code, _, err) = check(&url, &empty);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("sslrootcert system: the machine's trust store has no certificates"),
        "{err}"
    );
    // The default of the mode is verify-full then.
    let url = url.replace("localhost", "db.example");
    let (code, _, err) = check(&url, &root);
    assert_eq!(code, Some(1));
    assert!(err.contains("not for db.example"), "{err}");
}

#[test]
fn the_environment_says_it_as_well() {
    let shared = shared();
    let Shared {
        postgres,
        clients,
        root,
        ..
    } = &*shared;
    let directory = TempDir::new();
    let client = clients.issue(&Leaf {
        names: &["certified"],
        usage: Usage::Client,
        ..Leaf::default()
    });
    let (certificate, key) = client.files(&directory, "own");
    let [root, certificate, key] =
        [root, &certificate, &key].map(|path| path.display().to_string());
    let variables = [
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", root.as_str()),
        ("PGSSLCERT", &certificate),
        ("PGSSLKEY", &key),
    ];
    let url = postgres.url("certified", "");
    let (code, _, err) = check(&url, directory.path(), &variables);
    assert_eq!(code, Some(0), "{err}");
    let (code, _, err) = check(&url, directory.path(), &variables[..2]);
    assert_eq!(code, Some(1));
    assert!(err.contains("requires a valid client certificate"), "{err}");
    let (code, _, err) = check(
        &url.replace("localhost", "db.example"),
        directory.path(),
        &variables,
    );
    assert_eq!(code, Some(1));
    assert!(err.contains("not for db.example"), "{err}");
}

#[test]
fn revocation_lists_may_lie_in_a_directory() {
    let shared = shared();
    let Shared {
        postgres,
        authority,
        root,
        ..
    } = &*shared;
    let directory = TempDir::new();
    let settings = format!(
        "sslmode=verify-full&sslrootcert={}&sslcrldir={}",
        root.display(),
        directory.path().display()
    );
    let url = postgres.url("anyone", &settings);
    // Those of others beside it, whichever is found first.
    for number in 1..=4 {
        let list = Authority::new(&format!("Stranger {number}")).revocation_list(&[1]);
        directory.file(&format!("{number}123abcd.r0"), &list);
    }
    for (serials, expected) in [
        (&[2, 3][..], Verdict::Encrypted),
        (&[2, 1], Verdict::Refused),
    ] {
        directory.file("list.pem", &authority.revocation_list(serials));
        let hash = ["crl", "-hash", "-noout", "-in"];
        let list = directory.path().join("list.pem").display().to_string();
        let hash = crate::support::certificates::openssl(&[&hash[..], &[&list]].concat(), "");
        directory.file(
            &format!("{}.r0", hash.trim()),
            &authority.revocation_list(serials),
        );
        let (verdict, words) = postgres.verdict(&url, directory.path());
        assert_eq!(verdict, expected, "{words}");
    }
    // A list by somebody else says nothing about this certificate.
    let other = TempDir::new();
    other.file(
        "0123abcd.r0",
        &Authority::new("A stranger").revocation_list(&[]),
    );
    let url = url.replace(
        &directory.path().display().to_string(),
        &other.path().display().to_string(),
    );
    let (verdict, words) = postgres.verdict(&url, other.path());
    assert_eq!(verdict, Verdict::Refused);
    assert!(words.contains("may have been revoked"), "{words}");
}

#[test]
fn a_running_server_takes_files_that_were_replaced() {
    let postgres = TlsPostgres::start("");
    let (old, new) = (
        Authority::new("The old root"),
        Authority::new("The new root"),
    );
    let clients = Authority::new("The clients' root");
    let directory = TempDir::new();
    let root = old.file(&directory, "root.crt");
    let client = |validity| {
        clients.issue(&Leaf {
            names: &["certified"],
            usage: Usage::Client,
            validity,
            ..Leaf::default()
        })
    };
    let (certificate, key) = client(Validity::Now).files(&directory, "client");
    let leaf = Leaf::default();
    postgres.configure(&postgres.certificate("old", &old.issue(&leaf), Some(&clients)));
    let settings = format!(
        "sslmode=verify-full&application_name=rotated&sslrootcert={}&sslcert={}&sslkey={}",
        root.display(),
        certificate.display(),
        key.display()
    );
    let mut server = Server::start(ROUTES, &postgres.url("certified", &settings), &[]).ready();
    assert_eq!(server.get("/items/1").status, 200);

    // The server's certificate is by another root now: existing sessions go on, new ones fail.
    postgres.configure(&postgres.certificate("new", &new.issue(&leaf), Some(&clients)));
    assert_eq!(server.get("/items/2").status, 200);
    terminate(&postgres, "rotated");
    let reason = "is by \\\"The new root\\\", who is not among the issuers of sslrootcert";
    until("the reason", || {
        server.get("/ready").text().contains(reason)
    });
    assert_eq!(server.get("/items/3").status, 503);
    new.file(&directory, "root.crt");
    until("it serves again", || server.get("/ready").status == 200);
    assert_eq!(server.get("/items/4").status, 200);

    // The client's certificate has expired, and is replaced.
    client(Validity::Past).files(&directory, "client");
    terminate(&postgres, "rotated");
    until("the reason", || {
        server
            .get("/ready")
            .text()
            .contains("the client's certificate (sslcert) has expired")
    });
    client(Validity::Now).files(&directory, "client");
    until("it serves again", || server.get("/ready").status == 200);
    assert_eq!(server.get("/items/5").status, 200);

    // Half of a rotation is told, and mended by the other half.
    let (other, _) = client(Validity::Now).files(&directory, "other");
    std::fs::copy(other, &certificate).expect("a copy");
    terminate(&postgres, "rotated");
    until("the reason", || {
        server
            .get("/ready")
            .text()
            .contains("it is not the key of sslcert")
    });
    std::fs::copy(directory.path().join("other.key"), &key).expect("a copy");
    until("it serves again", || server.get("/ready").status == 200);
    // Each of the reasons was told by each lane when it came up, and not for every attempt.
    for reason in [
        "who is not among the issuers",
        "has expired",
        "it is not the key of sslcert",
    ] {
        let told = lines(&mut server, reason);
        assert!(
            (1..=3).contains(&told),
            "{told} times: {reason}: {:?}",
            server.log()
        );
    }
}
