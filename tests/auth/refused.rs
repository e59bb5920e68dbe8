//! Whatever is wrong, the answer is the same, and says nothing about it.

use super::support::Response;
use super::tokens::{Signer, base64url};
use super::{Fixture, SECRET, bearer, challenges, claims, fixture, good, now, signer};
use pinion::limits;

/// The answer without what is of the moment, and without the challenges.
fn stable(response: &Response) -> (u16, Vec<(String, String)>, String) {
    let of_the_moment = ["date", "x-process-time", "www-authenticate"];
    let mut fields = response.fields.clone();
    fields.retain(|(name, _)| !of_the_moment.contains(&name.as_str()));
    (response.status, fields, response.text().to_owned())
}

const BODY: &str = r#"{"error":"Unauthorized","code":401,"request_id":"same"}"#;

/// Every token that is refused, and why.
fn wrong_tokens() -> Vec<(&'static str, String)> {
    let signed = |claims: &str| signer().token(claims);
    let with = |header: &str| signer().token_with(header, &claims(""));
    let (now, good) = (now(), good());
    let base = |more: &str| format!(r#"{{"iss":"https://id.example","aud":"shop"{more}}}"#);
    let unsigned = |alg: &str| {
        let header = base64url(format!(r#"{{"alg":"{alg}"}}"#).as_bytes());
        format!("{header}.{}.", base64url(claims("").as_bytes()))
    };
    let parts: Vec<&str> = good.split('.').collect();
    let public = Signer::curve("ES256").public_pem();
    vec![
        ("none", unsigned("none")),
        ("None", unsigned("None")),
        ("no signature", unsigned("HS256")),
        (
            "another secret",
            Signer::hmac("HS256", &[b'x'; 32]).token(&claims("")),
        ),
        (
            "a public key as the secret",
            Signer::hmac("HS256", public.as_bytes()).token(&claims("")),
        ),
        (
            "another algorithm",
            Signer::hmac("HS512", SECRET).token(&claims("")),
        ),
        (
            "a key of its own",
            Signer::curve("ES256").token(&claims("")),
        ),
        ("expired", signed(&base(&format!(r#","exp":{}"#, now - 1)))),
        (
            "expired just now",
            signed(&base(&format!(r#","exp":{now}"#))),
        ),
        ("no exp", signed(&base(""))),
        (
            "exp is a string",
            signed(&base(&format!(r#","exp":"{}""#, now + 60))),
        ),
        (
            "not yet",
            signed(&claims(&format!(r#","nbf":{}"#, now + 600))),
        ),
        (
            "from the future",
            signed(&claims(&format!(r#","iat":{}"#, now + 600))),
        ),
        ("nbf is none", signed(&claims(r#","nbf":"0""#))),
        (
            "another audience",
            signed(&claims("").replace("\"shop\"", "\"mail\"")),
        ),
        (
            "no audience",
            signed(&claims("").replace("\"aud\":\"shop\",", "")),
        ),
        (
            "another issuer",
            signed(&claims("").replace("id.example", "evil.example")),
        ),
        (
            "no issuer",
            signed(&claims("").replace("\"iss\":\"https://id.example\",", "")),
        ),
        ("a claim twice", signed(&claims(r#","sub":"a","sub":"b""#))),
        ("sub is no string", signed(&claims(r#","sub":5"#))),
        ("no object", signed("[]")),
        ("no JSON", signed("hello")),
        ("crit", with(r#"{"alg":"HS256","crit":["exp"]}"#)),
        ("typ", with(r#"{"alg":"HS256","typ":"logout+jwt"}"#)),
        ("alg twice", with(r#"{"alg":"HS256","alg":"none"}"#)),
        ("no alg", with(r#"{"typ":"JWT"}"#)),
        ("two parts", parts[..2].join(".")),
        ("four parts", format!("{good}.{}", parts[2])),
        ("padding", format!("{good}=")),
        (
            "no base64",
            format!("{}.{}!.{}", parts[0], parts[1], parts[2]),
        ),
        (
            "another payload",
            format!("{}.{}.{}", parts[0], base64url(b"{}"), parts[2]),
        ),
        ("one word", "hello".to_owned()),
        ("dots", "..".to_owned()),
    ]
}

#[track_caller]
fn check(fixture: &Fixture, path: &str, lines: &str, expected: &[&str]) {
    let response = fixture.get(path, lines);
    let (status, _, body) = stable(&response);
    assert_eq!((status, body.as_str()), (401, BODY), "{path} {lines}");
    assert_eq!(challenges(&response), expected, "{path} {lines}");
    let first = fixture.get("/who", "");
    assert_eq!(stable(&response), stable(&first), "{path} {lines}");
}

const BARE: &str = "Bearer realm=\"api\"";
const INVALID: &str = "Bearer realm=\"api\", error=\"invalid_token\"";
const KEY: &str = "ApiKey realm=\"api\"";

#[test]
fn tokens() {
    let mut fixture = fixture();
    assert_eq!(fixture.with_token("/who", &good()).status, 200);
    let wrong = wrong_tokens();
    for (what, token) in &wrong {
        let response = fixture.with_token("/who", token);
        assert_eq!(response.status, 401, "{what}");
        check(&fixture, "/who", &bearer(token), &[INVALID]);
        check(&fixture, "/either", &bearer(token), &[INVALID, KEY]);
    }
    // The log, at debug, says which part it was, and holds no token.
    fixture.server.wait_for_line("the token has expired");
    fixture.server.wait_for_line("aud is somebody else");
    let log = fixture.server.log().join("\n");
    for (what, token) in wrong.iter().filter(|(_, token)| token.len() > 20) {
        assert!(!log.contains(token.as_str()), "{what}");
    }
}

#[test]
fn credentials() {
    let fixture = fixture();
    let token = bearer(&good());
    let key = "x-api-key: first\r\n";
    check(&fixture, "/who", "", &[BARE]);
    check(&fixture, "/till", "", &[KEY]);
    check(&fixture, "/either", "", &[BARE, KEY]);
    check(&fixture, "/who", key, &[BARE]);
    check(&fixture, "/till", &token, &[KEY]);
    for lines in [
        "Authorization:\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Basic YTpi\r\n",
        &format!("Authorization: Token {}\r\n", good()),
        &format!("Authorization: {}\r\n", good()),
        &token.repeat(2),
        &format!("{token}Authorization: Basic YTpi\r\n"),
        &format!("authorization: Basic YTpi\r\n{token}"),
        &format!("Authorization: Bearer {0}, Bearer {0}\r\n", good()),
        &format!("Authorization: Bearer {0} {0}\r\n", good()),
    ] {
        check(&fixture, "/who", lines, &[INVALID]);
    }
    for lines in [
        "x-api-key:\r\n",
        "x-api-key: second\r\n",
        "x-api-key: First\r\n",
        "X-Api-Key: a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e\r\n",
        "x-api-key: first\r\nX-API-KEY: first\r\n",
        "x-api-key: first, first\r\n",
    ] {
        check(&fixture, "/till", lines, &[KEY]);
    }
    // A wrong one beside a right one is refused, and so are two that are right.
    let wrong_token = format!("Authorization: Bearer a.b.c\r\n{key}");
    for lines in [
        format!("{token}{key}"),
        format!("{token}x-api-key: x\r\n"),
        wrong_token,
    ] {
        check(&fixture, "/either", &lines, &[INVALID, KEY]);
    }
    let reversed = format!("{key}{token}");
    check(&fixture, "/either", &reversed, &[BARE, KEY]);
    // The token is not taken from anywhere else (RFC 6750 §2.2, §2.3).
    let path = format!("/who?access_token={}", good());
    check(&fixture, &path, "", &[BARE]);
}

#[test]
fn a_token_of_the_largest_size_and_one_larger() {
    let fixture = fixture();
    let token = |fill: usize| signer().token(&claims(&format!(r#","sub":"{}""#, "x".repeat(fill))));
    let fill = (limits::TOKEN_BYTES_MAX - token(0).len()) * 3 / 4;
    let sized = |fits: &dyn Fn(usize) -> bool| {
        let tokens = (fill - 8..).map(token);
        tokens.into_iter().find(|token| fits(token.len())).unwrap()
    };
    let largest = sized(&|length| length >= limits::TOKEN_BYTES_MAX - 1);
    assert!(largest.len() <= limits::TOKEN_BYTES_MAX);
    assert_eq!(fixture.with_token("/who", &largest).status, 200);
    let larger = sized(&|length| length > limits::TOKEN_BYTES_MAX);
    assert!(larger.len() <= limits::TOKEN_BYTES_MAX + 2);
    check(&fixture, "/who", &bearer(&larger), &[INVALID]);
}

#[test]
fn before_anything_else_of_the_request_is_looked_at() {
    let fixture = fixture();
    let mut client = fixture.server.client();
    let post = |body: &str, lines: &str| {
        let length = body.len();
        format!(
            "POST /post HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{lines}\r\n{body}"
        )
    };
    for body in ["{", r#"{"text":5}"#, r#"{"other":1}"#, ""] {
        client.send(post(body, ""));
        assert_eq!(client.response().status, 401, "{body}");
    }
    client.send(post("{", &bearer(&good())));
    assert_eq!(client.response().status, 400);
    client.send("GET /who?unknown=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 401);
    // The connection goes on, and is nobody's: the next request has to say who it is from.
    client.send(post(r#"{"text":"a"}"#, &bearer(&good())));
    assert_eq!(client.response().text(), r#"{"text":"a"}"#);
    client.send(post(r#"{"text":"a"}"#, ""));
    assert_eq!(client.response().status, 401);
    client.send("HEAD /who HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response_to_head().status, 401);
    // One that waits for leave to send its body gets none.
    client.send(
        "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, challenges(&response)), (401, vec![BARE]));
    // What there is not is no secret.
    assert_eq!(fixture.get("/nowhere", "").status, 404);
    assert_eq!(fixture.server.send("PUT", "/who", "{}").status, 405);
}
