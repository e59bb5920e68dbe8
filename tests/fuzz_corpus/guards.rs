//! Random replies of Redis, tokens, and header fields that guards read.

use proptest::prelude::*;

use super::fuzz::{forwarded, origins, redis, tokens};
use super::texts::of;

const REPLIES: &[&str] = &[
    "+",
    "-",
    ":",
    "$",
    "*",
    "_",
    ",",
    "#",
    "!",
    "=",
    "(",
    "%",
    "~",
    ">",
    "|",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "OK",
    "t",
    "txt:",
    "NOSCRIPT ",
    "1.5",
    "inf",
    "*2\r\n",
    "$2\r\nab\r\n",
    ":1\r\n",
];

const FIELDS: &[&str] = &[
    "X-Forwarded-For: ",
    "x-forwarded-proto: ",
    "Forwarded: ",
    "for=",
    "proto=",
    "by=",
    ";",
    ", ",
    ",",
    "\"",
    "[",
    "]",
    "\r\n",
    "\r\n",
    "192.0.2.1",
    "10.0.0.2",
    "10.0.0.3:80",
    "2001:db8::1",
    "::1",
    "::ffff:10.0.0.1",
    "unknown",
    "_x",
    "https",
    "http",
    " ",
    "=",
];

const ORIGINS: &[&str] = &[
    "https",
    "http",
    "capacitor",
    "://",
    "://",
    "*.",
    "*",
    "shop.example",
    "shop.",
    "example",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "[::ffff:1:2]",
    ":",
    ":*",
    ":8080",
    ":443",
    ":80",
    "a.",
    ".",
    "-",
    "/",
    "@",
    "null",
    "0x7f",
    "A",
];

const CLAIMS: &[&str] = &[
    "{",
    "}",
    ",",
    ":",
    "\"exp\":",
    "\"nbf\":",
    "\"iat\":",
    "\"iss\":",
    "\"aud\":",
    "\"sub\":",
    "\"a\":",
    "\"i\"",
    "\"shop\"",
    "[",
    "]",
    "1000001",
    "1000031",
    "2e6",
    "0.5",
    "-1",
    "null",
    "true",
    "\"\\u0061\"",
    "\"exp\":1000001,\"iss\":\"i\",\"aud\":\"shop\"",
];

const HEADER: &str = r#"{"alg":"HS256"}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies(text in of(REPLIES, 20)) {
        redis::check(text.as_bytes());
    }

    #[test]
    fn fields_of_proxies(text in of(FIELDS, 16)) {
        forwarded::check(text.as_bytes());
    }

    #[test]
    fn declared_and_sent_origins(declared in of(ORIGINS, 6), sent in of(ORIGINS, 7)) {
        origins::check(format!("{declared}\n{sent}").as_bytes());
        origins::check(format!("https://*.shop.example:*\n{sent}").as_bytes());
    }

    #[test]
    fn signed_claims(claims in of(CLAIMS, 14)) {
        tokens::signed(HEADER.as_bytes(), claims.as_bytes());
        let more = format!("{{\"exp\":1000001,\"iss\":\"i\",\"aud\":\"shop\",\"a\":{claims}}}");
        tokens::signed(HEADER.as_bytes(), more.as_bytes());
    }
}

/// So that the property of those that are taken says something.
#[test]
fn a_good_token_is_taken() {
    let claims = r#"{"exp":1000001,"iss":"i","aud":["x","shop"],"sub":"a"}"#;
    assert!(tokens::signed(HEADER.as_bytes(), claims.as_bytes()));
    assert!(!tokens::signed(HEADER.as_bytes(), b"{}"));
}
