//! Keys that can't be used, told before anything is served.

use std::os::unix::fs::PermissionsExt;

use super::support::{Server, TempDir, ended};
use super::tokens::{Signer, jwks};
use super::{ROUTES, SECRET, TABLES, echo, filled, secret_file, serve};

/// The fault that a server with these tables ends with.
fn refused(directory: &TempDir, tables: &str) -> String {
    let (code, _, text) = ended(serve(directory, tables));
    assert_eq!(code, Some(1), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{text}");
    last.to_owned()
}

#[test]
fn files_are_told_with_setting_and_reason() {
    let _postgres = echo::postgres();
    let directory = TempDir::new();
    directory.file("api-keys", "");
    let fault = refused(&directory, TABLES);
    let path = directory.path().join("secret");
    let expected = format!(
        "error: [auth.jwt] secret_file {}: it can't be read",
        path.display()
    );
    assert!(fault.starts_with(&expected), "{fault}");
    secret_file(&directory, &SECRET[..31]);
    let fault = refused(&directory, TABLES);
    assert!(
        fault.contains("31 bytes, HS256 takes at least 32"),
        "{fault}"
    );
    secret_file(&directory, SECRET);
    directory.file("api-keys", "# one\nname:abc\n\nname\n");
    let fault = refused(&directory, TABLES);
    assert!(fault.contains("[auth.api_key] hashes_file"), "{fault}");
    assert!(
        fault.contains("line 2: ") && fault.contains("line 4: "),
        "{fault}"
    );
    directory.file("api-keys", "");

    let public = |source: &str, algorithms: &str| {
        TABLES
            .replace("secret_file", source)
            .replace("[\"HS256\"]", algorithms)
    };
    let signer = Signer::curve("ES256");
    for (content, source, algorithms, words) in [
        (
            signer.public_pem(),
            "public_key_file",
            r#"["EdDSA"]"#,
            "is for ES256, none of which",
        ),
        (
            signer.public_pem(),
            "public_key_file",
            r#"["ES256", "EdDSA"]"#,
            "names EdDSA",
        ),
        (
            String::new(),
            "public_key_file",
            r#"["ES256"]"#,
            "no public key",
        ),
        (
            jwks(&[]),
            "jwks_file",
            r#"["ES256"]"#,
            "there is no key in it",
        ),
        (
            signer.public_pem(),
            "jwks_file",
            r#"["ES256"]"#,
            "it is no JSON Web Key Set",
        ),
        (
            " ".repeat((4 << 20) + 1),
            "jwks_file",
            r#"["ES256"]"#,
            "larger than 4 MiB",
        ),
    ] {
        directory.file("secret", &content);
        let fault = refused(&directory, &public(source, algorithms));
        assert!(fault.contains(words), "{fault}");
        assert!(fault.contains(&format!("[auth.jwt] {source}")), "{fault}");
    }
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    let postgres = echo::postgres();
    for (mode, warns) in [(0o644, true), (0o640, false), (0o600, false)] {
        let directory = TempDir::new();
        secret_file(&directory, SECRET);
        directory.file("api-keys", "");
        let path = directory.path().join("secret");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let file = filled(&directory, TABLES) + ROUTES;
        let mut server = Server::start(&file, &postgres.url(), &[]);
        let log = server.log().join("\n");
        assert_eq!(
            log.contains("every user of this machine can read"),
            warns,
            "{log}"
        );
    }
}
