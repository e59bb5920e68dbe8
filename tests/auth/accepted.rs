//! What proves who asks.

use super::support::certificates::{Authority, Key, Leaf};
use super::tokens::{Signer, jwks};
use super::{ROUTES, TempDir, bearer, claims, fixture, fixture_of, good};

#[test]
fn a_token_and_an_api_key_each_where_they_are_asked_for() {
    let fixture = fixture();
    let token = bearer(&good());
    let key = "x-api-key: first\r\n";
    let text = |path, lines: &str| {
        let response = fixture.get(path, lines);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.text().to_owned()
    };
    assert_eq!(text("/who", &token), r#"{"sub":"anna"}"#);
    assert_eq!(text("/till", key), r#"{"name":"till 1"}"#);
    assert_eq!(text("/either", &token), r#"{"sub":"anna","auth":"token"}"#);
    assert_eq!(text("/either", key), r#"{"sub":"till 1","auth":"api_key"}"#);
    assert_eq!(text("/open", ""), r#"{"one":1}"#);
    // What nobody asks for is not looked at.
    assert_eq!(text("/open", "Authorization: nonsense\r\n"), r#"{"one":1}"#);
    let other = "Authorization: Basic YTpi\r\nx-api-key: first\r\n";
    assert_eq!(text("/till", other), r#"{"name":"till 1"}"#);
}

#[test]
fn every_kind_of_public_key() {
    let rsa = Authority::new("Test Root").issue(&Leaf {
        key: Key::Rsa2048,
        ..Leaf::default()
    });
    let rsa = rsa.key();
    let signers = [
        ("r", Signer::rsa("RS256", rsa.secret_der())),
        ("r", Signer::rsa("RS512", rsa.secret_der())),
        ("r", Signer::rsa("PS256", rsa.secret_der())),
        ("e", Signer::curve("ES256")),
        ("f", Signer::curve("ES384")),
        ("d", Signer::curve("EdDSA")),
    ];
    let tables = |source: &str, algorithms: &[&str]| {
        format!(
            "[auth.jwt]\nalgorithms = {algorithms:?}\n{source} = \"{{dir}}/keys\"\naudience = \"shop\"\n[auth.api_key]\nhashes_file = \"{{dir}}/none\"\n"
        )
    };
    let check = |content: &str, source: &str, signers: &[&(&str, Signer)]| {
        let directory = TempDir::new();
        directory.file("keys", content);
        directory.file("none", "");
        let names: Vec<&str> = signers.iter().map(|(_, signer)| signer.algorithm).collect();
        let fixture = fixture_of(directory, &tables(source, &names), ROUTES);
        for (id, signer) in signers {
            let claims = claims(r#","sub":"anna""#);
            for token in [signer.token(&claims), signer.token_of(id, &claims)] {
                let response = fixture.with_token("/who", &token);
                assert_eq!(response.status, 200, "{} {source}", signer.algorithm);
            }
            // The same algorithm, another key.
            if !signer.algorithm.ends_with("256") || signer.algorithm == "ES256" {
                let name = signer.algorithm;
                if name != "RS512" {
                    let token = Signer::curve(name).token_of(id, &claims);
                    assert_eq!(fixture.with_token("/who", &token).status, 401, "{name}");
                }
            }
        }
    };
    // RSA three times is one key.
    let set: Vec<String> = signers[2..].iter().map(|(id, key)| key.jwk(id)).collect();
    check(
        &jwks(&set),
        "jwks_file",
        &signers.iter().collect::<Vec<_>>(),
    );
    let pem: String = signers[2..]
        .iter()
        .map(|(_, key)| key.public_pem())
        .collect();
    check(&pem, "public_key_file", &signers.iter().collect::<Vec<_>>());
}

#[test]
fn a_hot_token_on_one_connection() {
    let fixture = fixture();
    let mut client = fixture.server.client();
    let request = format!("GET /who HTTP/1.1\r\nHost: a\r\n{}\r\n", bearer(&good()));
    client.send(request.repeat(50));
    for _ in 0..50 {
        assert_eq!(client.response().text(), r#"{"sub":"anna"}"#);
    }
}
