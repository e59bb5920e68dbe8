//! Other keys without a restart.

use super::support::{Signal, wait_until};
use super::tokens::Signer;
use super::{Fixture, bearer, claims, fixture, good, secret_file};

fn reload(fixture: &mut Fixture, line: &str) {
    fixture.server.forget_log();
    fixture.server.signal(Signal::HUP);
    fixture.server.wait_for_line(line);
}

const LOADED: &str = "the keys of [auth] have been loaded again";
const KEPT: &str = "keys stay as they were";
const OTHER: &[u8] = b"another secret of the test, 32 b.";

#[test]
fn another_secret_and_other_api_keys() {
    let mut fixture = fixture();
    let old = bearer(&good());
    let new = bearer(&Signer::hmac("HS256", OTHER).token(&claims(r#","sub":"anna""#)));
    let mut open = fixture.server.client();
    let ask = format!("GET /who HTTP/1.1\r\nHost: a\r\n{old}\r\n");
    open.send(&ask);
    assert_eq!(open.response().status, 200);

    secret_file(&fixture.directory, OTHER);
    assert_eq!(
        fixture.get("/who", &old).status,
        200,
        "not before it is told to"
    );
    reload(&mut fixture, LOADED);
    wait_until("the core has it", || {
        fixture.get("/who", &new).status == 200
    });
    // Also on a connection that was open, and a token that was known.
    open.send(&ask);
    assert_eq!(open.response().status, 401);
    assert_eq!(fixture.get("/till", "x-api-key: first\r\n").status, 200);

    // printf %s second | sha256sum
    let hash = "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4";
    fixture
        .directory
        .file("api-keys", &format!("till 2:{hash}"));
    reload(&mut fixture, LOADED);
    wait_until("the core has it", || {
        fixture.get("/till", "x-api-key: second\r\n").status == 200
    });
    assert_eq!(fixture.get("/till", "x-api-key: first\r\n").status, 401);
}

#[test]
fn files_that_can_not_be_used_change_nothing() {
    let mut fixture = fixture();
    let token = bearer(&good());
    for (broken, reason) in [
        (&b"short"[..], "the secret has 5 bytes"),
        (b"", "the secret has 0 bytes"),
        (
            b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
            "it is PEM",
        ),
    ] {
        secret_file(&fixture.directory, broken);
        reload(&mut fixture, KEPT);
        let log = fixture.server.log().join("\n");
        assert!(
            log.contains("[auth.jwt] secret_file") && log.contains(reason),
            "{log}"
        );
        assert_eq!(fixture.get("/who", &token).status, 200);
    }
    std::fs::remove_file(fixture.directory.path().join("secret")).unwrap();
    fixture.directory.file("api-keys", "till 1\nx:y\n");
    reload(&mut fixture, "line 1: it is not");
    fixture.server.wait_for_line("it can't be read");
    let log = fixture.server.log().join("\n");
    assert!(log.contains("line 2: a hash is"), "{log}");
    assert!(!log.contains(LOADED), "{log}");
    assert_eq!(fixture.get("/who", &token).status, 200);
    assert_eq!(fixture.get("/till", "x-api-key: first\r\n").status, 200);
}
