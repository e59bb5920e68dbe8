//! Channel binding (SCRAM-SHA-256-PLUS), and certificates as Postgres's documentation and others
//! make them.

use std::path::Path;

use crate::server::{TlsPostgres, Verdict, shared};
use crate::support::TempDir;
use crate::support::certificates::openssl;

#[test]
fn a_password_is_bound_to_the_servers_certificate_if_it_is_to_be() {
    let shared = shared();
    let (postgres, home) = (&shared.postgres, shared.postgres.directory.path());
    for (role, settings, expected) in [
        (
            "bound",
            "sslmode=require&channel_binding=require",
            Verdict::Encrypted,
        ),
        (
            "bound",
            "sslmode=require&channel_binding=prefer",
            Verdict::Encrypted,
        ),
        (
            "bound",
            "sslmode=require&channel_binding=disable",
            Verdict::Encrypted,
        ),
        (
            "bound",
            "sslmode=disable&channel_binding=prefer",
            Verdict::Plain,
        ),
        (
            "bound",
            "sslmode=disable&channel_binding=require",
            Verdict::Refused,
        ),
        (
            "hashed",
            "sslmode=require&channel_binding=prefer",
            Verdict::Encrypted,
        ),
        (
            "hashed",
            "sslmode=require&channel_binding=require",
            Verdict::Refused,
        ),
        (
            "anyone",
            "sslmode=require&channel_binding=prefer",
            Verdict::Encrypted,
        ),
        (
            "anyone",
            "sslmode=require&channel_binding=require",
            Verdict::Refused,
        ),
    ] {
        let url = postgres.url(role, &format!("{settings}&password=right"));
        let (verdict, words) = postgres.verdict(&url, home);
        assert_eq!(verdict, expected, "{url}: {words}");
        let told = words.contains("channel_binding=require, but the server did not bind");
        assert_eq!(told, verdict == Verdict::Refused, "{words}");
    }
    let url = postgres.url("bound", "sslmode=require&password=wrong");
    let (verdict, words) = postgres.verdict(&url, home);
    assert_eq!(verdict, Verdict::Refused);
    assert!(words.contains("password authentication failed"), "{words}");
}

/// A self-signed certificate of a kind is its own root. The server hashes it for the binding by its
/// own rules, so a session says that the two agree on the hash.
#[test]
fn every_kind_of_signature_is_hashed_as_the_server_does() {
    let postgres = TlsPostgres::start("");
    let home = TempDir::new();
    let elliptic = |curve| format!("-newkey ec -pkeyopt ec_paramgen_curve:{curve}");
    let rsa = "-newkey rsa:2048".to_owned();
    for (name, options, binds) in [
        ("rsa-sha256", format!("{rsa} -sha256"), true),
        ("rsa-sha384", format!("{rsa} -sha384"), true),
        ("rsa-sha512", format!("{rsa} -sha512"), true),
        ("ec-sha256", format!("{} -sha256", elliptic("P-256")), true),
        ("ec-sha384", format!("{} -sha384", elliptic("P-384")), true),
        ("ec-sha512", format!("{} -sha512", elliptic("P-256")), true),
        ("ed25519", "-newkey ed25519".to_owned(), false),
    ] {
        let root = self_signed(&postgres, home.path(), name, &options);
        let settings = format!("sslmode=verify-full&sslrootcert={root}&password=right");
        let required = postgres.url("bound", &format!("{settings}&channel_binding=require"));
        let expected = if binds {
            Verdict::Encrypted
        } else {
            Verdict::Refused
        };
        let (verdict, words) = postgres.verdict(&required, home.path());
        assert_eq!(verdict, expected, "{name}: {words}");
        // libpq fails here where there is no hash (Ed25519); we do without.
        let (verdict, words) =
            postgres.verdict_of_pinion(&postgres.url("bound", &settings), home.path());
        assert_eq!(verdict, Verdict::Encrypted, "{name}: {words}");
    }
}

/// Makes the server use a self-signed certificate for localhost; the file of its root.
fn self_signed(postgres: &TlsPostgres, directory: &Path, name: &str, options: &str) -> String {
    let path = |end: &str| {
        directory
            .join(format!("{name}.{end}"))
            .display()
            .to_string()
    };
    let (certificate, key) = (path("crt"), path("key"));
    let mut arguments = vec![
        "req",
        "-x509",
        "-nodes",
        "-days",
        "365",
        "-subj",
        "/CN=localhost",
    ];
    arguments.extend(options.split(' '));
    arguments.extend(["-out", &certificate, "-keyout", &key]);
    openssl(&arguments, "");
    use_certificate(postgres, name, &certificate, &key);
    certificate
}

fn use_certificate(postgres: &TlsPostgres, name: &str, certificate: &str, key: &str) {
    let copy = |end: &str, path: &str| {
        let text = std::fs::read_to_string(path).expect("it was made");
        postgres
            .file(&format!("{name}.{end}"), &text)
            .display()
            .to_string()
    };
    let (certificate, key) = (copy("crt", certificate), copy("key", key));
    postgres.configure(&format!(
        "ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n"
    ));
}

/// PostgreSQL §19.9.5: a self-signed certificate with a common name and no other, and one of X.509
/// version 1 by a root.
#[test]
fn certificates_by_the_recipes_of_the_documentation_are_verified() {
    let postgres = TlsPostgres::start("");
    let home = TempDir::new();
    let path = |name: &str| home.path().join(name).display().to_string();
    let root = self_signed(&postgres, home.path(), "self", "-newkey rsa:2048");
    judge(&postgres, &home, &root);

    let (request, root, root_key) = (path("root.csr"), path("root.crt"), path("root.key"));
    openssl(
        &[
            "req", "-new", "-nodes", "-newkey", "rsa:2048", "-out", &request, "-keyout", &root_key,
            "-subj", "/CN=root",
        ],
        "",
    );
    let extensions = home.file("v3_ca", "basicConstraints = critical,CA:true\n");
    let extensions = extensions.display().to_string();
    openssl(
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-days",
            "3650",
            "-extfile",
            &extensions,
            "-signkey",
            &root_key,
            "-out",
            &root,
        ],
        "",
    );
    let (request, certificate, key) = (path("server.csr"), path("server.crt"), path("server.key"));
    openssl(
        &[
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-out",
            &request,
            "-keyout",
            &key,
            "-subj",
            "/CN=localhost",
        ],
        "",
    );
    openssl(
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-days",
            "365",
            "-CA",
            &root,
            "-CAkey",
            &root_key,
            "-CAcreateserial",
            "-out",
            &certificate,
        ],
        "",
    );
    let text = openssl(&["x509", "-in", &certificate, "-noout", "-text"], "");
    assert!(
        text.contains("Version: 1"),
        "no longer what this is about: {text}"
    );
    use_certificate(&postgres, "server", &certificate, &key);
    judge(&postgres, &home, &root);
    // A root of the same name has not signed it.
    let other = path("other.crt");
    openssl(
        &[
            "req",
            "-x509",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-keyout",
            &path("other.key"),
            "-out",
            &other,
            "-subj",
            "/CN=root",
        ],
        "",
    );
    let url = postgres.url("anyone", &format!("sslmode=verify-ca&sslrootcert={other}"));
    let (verdict, words) = postgres.verdict(&url, home.path());
    assert_eq!(verdict, Verdict::Refused);
    assert!(words.contains("\"root\", who is not among"), "{words}");
}

/// By its common name, which is localhost.
fn judge(postgres: &TlsPostgres, home: &TempDir, root: &str) {
    for (mode, host, expected) in [
        ("require", "localhost", Verdict::Encrypted),
        ("verify-ca", "db.example", Verdict::Encrypted),
        ("verify-full", "localhost", Verdict::Encrypted),
        ("verify-full", "LOCALHOST", Verdict::Encrypted),
        ("verify-full", "db.example", Verdict::Refused),
    ] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let settings = format!(
                "sslmode={mode}&sslrootcert={root}&ssl_min_protocol_version={version}\
                 &ssl_max_protocol_version={version}"
            );
            let url = postgres.url("anyone", &settings).replace("localhost", host);
            let (verdict, words) = postgres.verdict(&url, home.path());
            assert_eq!(verdict, expected, "{url}: {words}");
            if verdict == Verdict::Refused {
                assert!(
                    words.contains("is for localhost, not for db.example"),
                    "{words}"
                );
            }
        }
    }
}
