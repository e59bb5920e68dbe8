//! The guard with requests as bytes and a clock that the test sets.

use proptest::prelude::*;

use super::jwt::{Fault, Source};
use super::*;
use crate::http::{Head, HeadLimits};
use crate::limits;

#[path = "../../../tests/support/tokens.rs"]
pub(super) mod tokens;

use tokens::{Signer, base64url};

pub(super) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_000_000;

pub(super) fn settings(algorithms: &[jsonwebtoken::Algorithm]) -> jwt::Settings {
    jwt::Settings {
        algorithms: algorithms.to_vec(),
        source: Source::SecretFile("secret".into()),
        issuer: None,
        audience: Vec::new(),
        leeway: 0,
    }
}

fn keys(jwt: JwtKeys) -> Keys {
    // printf %s first | sha256sum
    let hash = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    Keys {
        jwt: Arc::new(jwt),
        api_keys: Arc::new(ApiKeys::parse(&format!("till:{hash}")).unwrap()),
    }
}

fn secret_keys(secret: &[u8]) -> JwtKeys {
    JwtKeys::from_secret(secret, &[jsonwebtoken::Algorithm::HS256]).unwrap()
}

fn auth() -> Auth {
    let auth = Auth::new(&Settings {
        jwt: Some(settings(&[jsonwebtoken::Algorithm::HS256])),
        api_key: Some(api_key::Settings {
            header: "x-api-key".to_owned(),
            hashes_file: "keys".into(),
        }),
        database_roles: Vec::new(),
    });
    auth.replace_keys(&keys(secret_keys(SECRET)));
    auth
}

fn route(schemes: &[Scheme]) -> RouteAuth {
    RouteAuth {
        schemes: schemes.to_vec(),
        require: Vec::new(),
    }
}

const JWT: &[Scheme] = &[Scheme::Jwt];
const KEY: &[Scheme] = &[Scheme::ApiKey];
const BOTH: &[Scheme] = &[Scheme::Jwt, Scheme::ApiKey];

fn ask(
    auth: &Auth,
    route: &RouteAuth,
    lines: &str,
    now: u64,
) -> Result<Option<Rc<Identity>>, Refused> {
    let input = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
    let limits = HeadLimits {
        head_bytes_max: 1 << 20,
        ..HeadLimits::default()
    };
    let mut head = Head::default();
    head.parse(input.as_bytes(), &limits).unwrap();
    auth.authenticate(route, &head.request(input.as_bytes()), now)
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn token(claims: &str) -> String {
    Signer::hmac("HS256", SECRET).token(claims)
}

fn good() -> String {
    token(r#"{"exp":1000060,"sub":"anna","role":"agent"}"#)
}

#[track_caller]
fn refused(auth: &Auth, schemes: &[Scheme], lines: &str) -> Refused {
    let refused = ask(auth, &route(schemes), lines, NOW).unwrap_err();
    assert_eq!(refused.status, 401);
    refused
}

#[test]
fn nobody_is_asked_without_a_scheme() {
    let auth = auth();
    let open = RouteAuth::default();
    assert_eq!(ask(&auth, &open, &bearer("nonsense"), NOW), Ok(None));
    assert_eq!(ask(&auth, &open, "x-api-key: wrong\r\n", NOW), Ok(None));
}

#[test]
fn a_token_is_an_identity() {
    let identity = ask(&auth(), &route(JWT), &bearer(&good()), NOW);
    let identity = identity.unwrap().unwrap();
    assert_eq!(identity.scheme, Scheme::Jwt);
    assert_eq!(identity.subject.as_deref(), Some("anna"));
    let text = r#"{"exp":1000060,"sub":"anna","role":"agent"}"#;
    assert_eq!(identity.claims_text(), text);
    assert_eq!(identity.claims.text("role").unwrap(), "agent");
}

#[test]
fn an_api_key_is_an_identity() {
    for schemes in [KEY, BOTH] {
        let identity = ask(&auth(), &route(schemes), "X-API-Key: first\r\n", NOW);
        let identity = identity.unwrap().unwrap();
        assert_eq!(identity.scheme, Scheme::ApiKey);
        assert_eq!(identity.subject.as_deref(), Some("till"));
        assert_eq!(identity.claims_text(), r#"{"sub":"till","auth":"api_key"}"#);
    }
}

#[test]
fn what_does_not_prove_anything() {
    let auth = auth();
    let bare = "Bearer realm=\"api\"";
    let invalid = "Bearer realm=\"api\", error=\"invalid_token\"";
    let key = "ApiKey realm=\"api\"";
    let good = bearer(&good());
    let two = good.repeat(2);
    let both = format!("{good}x-api-key: first\r\n");
    let wrong_key = format!("{good}x-api-key: wrong\r\n");
    let wrong_token = "authorization: Bearer a.b.c\r\nx-api-key: first\r\n";
    for (schemes, lines, challenges) in [
        (JWT, "", vec![bare]),
        (KEY, "", vec![key]),
        (BOTH, "", vec![bare, key]),
        (JWT, "x-api-key: first\r\n", vec![bare]),
        (KEY, &good, vec![key]),
        (JWT, "authorization:\r\n", vec![invalid]),
        (JWT, "authorization: Basic YTpi\r\n", vec![invalid]),
        (
            BOTH,
            "authorization: Basic YTpi\r\nx-api-key: first\r\n",
            vec![invalid, key],
        ),
        (JWT, &two, vec![invalid]),
        (
            JWT,
            &format!("{good}authorization: Basic YTpi\r\n"),
            vec![invalid],
        ),
        (JWT, &format!("authorization:\r\n{good}"), vec![invalid]),
        (BOTH, &both, vec![invalid, key]),
        (BOTH, &wrong_key, vec![invalid, key]),
        (BOTH, wrong_token, vec![invalid, key]),
        (KEY, "x-api-key: wrong\r\n", vec![key]),
        (KEY, "x-api-key:\r\n", vec![key]),
        (KEY, "x-api-key: first\r\nx-api-key: first\r\n", vec![key]),
        (BOTH, "x-api-key: wrong\r\n", vec![bare, key]),
    ] {
        let refused = refused(&auth, schemes, lines);
        assert_eq!(refused.challenges, challenges, "{schemes:?} {lines}");
    }
}

#[test]
fn without_keys_nobody_is_anybody() {
    let auth = auth();
    auth.replace_keys(&Keys::default());
    assert!(auth.lacks_keys());
    let reason = refused(&auth, JWT, &bearer(&good())).reason;
    assert_eq!(reason, Reason::Token(Fault::UnknownKey));
    assert_eq!(
        refused(&auth, KEY, "x-api-key: first\r\n").reason,
        Reason::Key
    );
}

#[test]
fn a_requirement_that_is_not_met_is_403() {
    let mut route = route(BOTH);
    route.require = vec![
        Requirement {
            claim: "role".into(),
            values: vec![Wanted::Text("admin".into()), Wanted::Text("agent".into())],
        },
        Requirement {
            claim: "tenant".into(),
            values: vec![Wanted::Integer(1)],
        },
    ];
    let ask = |claims: &str| ask(&auth(), &route, &bearer(&token(claims)), NOW);
    assert!(ask(r#"{"exp":1000060,"role":"agent","tenant":1}"#).is_ok());
    for (claims, claim) in [
        (r#"{"exp":1000060,"role":"user","tenant":1}"#, "role"),
        (r#"{"exp":1000060,"role":"agent","tenant":2}"#, "tenant"),
        (r#"{"exp":1000060,"role":"agent"}"#, "tenant"),
    ] {
        let refused = ask(claims).unwrap_err();
        assert_eq!(refused.status, 403);
        let challenge = "Bearer realm=\"api\", error=\"insufficient_scope\"";
        assert_eq!(refused.challenges, [challenge]);
        assert_eq!(refused.reason, Reason::Claim(claim.into()));
    }
    // Whoever is not known at all is told so first.
    assert_eq!(ask(r#"{"exp":1,"role":"user"}"#).unwrap_err().status, 401);
    let key = super::tests::ask(&auth(), &route, "x-api-key: first\r\n", NOW).unwrap_err();
    assert_eq!((key.status, key.challenges.len()), (403, 0));
}

#[test]
fn a_hot_token_is_verified_once() {
    let auth = auth();
    let find = |now| ask(&auth, &route(JWT), &bearer(&good()), now);
    let first = find(NOW).unwrap().unwrap();
    for _ in 0..10 {
        // Another verification would give another identity.
        assert!(Rc::ptr_eq(&first, &find(NOW + 1).unwrap().unwrap()));
    }
    assert!(find(NOW + 59).is_ok());
    let expired = find(NOW + 60).unwrap_err();
    assert_eq!(expired.reason, Reason::Token(Fault::Expired));
    // A clock that is set back.
    assert!(find(NOW).is_ok());
}

#[test]
fn wrong_tokens_are_not_kept_and_drive_nobody_out() {
    let auth = auth();
    let first = ask(&auth, &route(JWT), &bearer(&good()), NOW);
    let first = first.unwrap().unwrap();
    let stranger = Signer::hmac("HS256", b"another secret of thirty-two byte");
    for number in 0..2 * limits::TOKENS_CACHED_MAX {
        let wrong = stranger.token(&format!(r#"{{"exp":1000060,"sub":"{number}"}}"#));
        assert!(ask(&auth, &route(JWT), &bearer(&wrong), NOW).is_err());
    }
    let again = ask(&auth, &route(JWT), &bearer(&good()), NOW);
    assert!(Rc::ptr_eq(&first, &again.unwrap().unwrap()));
}

#[test]
fn other_keys_forget_what_the_former_have_verified() {
    let auth = auth();
    assert!(ask(&auth, &route(JWT), &bearer(&good()), NOW).is_ok());
    let secret = b"another secret of thirty-two byte";
    auth.replace_keys(&keys(secret_keys(secret)));
    let reason = refused(&auth, JWT, &bearer(&good())).reason;
    assert_eq!(reason, Reason::Token(Fault::Signature));
    let fresh = Signer::hmac("HS256", secret).token(r#"{"exp":1000060}"#);
    assert!(ask(&auth, &route(JWT), &bearer(&fresh), NOW).is_ok());
}

#[test]
fn a_token_at_the_bound_and_one_byte_over() {
    let auth = auth();
    let sized = |length: usize| {
        let claims = |fill| format!(r#"{{"exp":1000060,"x":"{}"}}"#, "x".repeat(fill));
        let token = (0..).map(|fill| token(&claims(fill)));
        token
            .skip(length * 3 / 4 - 200)
            .find(|token| token.len() >= length)
    };
    let largest = sized(limits::TOKEN_BYTES_MAX).unwrap();
    assert_eq!(largest.len(), limits::TOKEN_BYTES_MAX);
    assert!(ask(&auth, &route(JWT), &bearer(&largest), NOW).is_ok());
    let larger = sized(limits::TOKEN_BYTES_MAX + 1).unwrap();
    assert!(larger.len() <= limits::TOKEN_BYTES_MAX + 2);
    let reason = refused(&auth, JWT, &bearer(&larger)).reason;
    assert_eq!(reason, Reason::Token(Fault::TooLong));
}

#[test]
fn the_words_for_the_log_hold_nothing_of_the_token() {
    let auth = auth();
    for token in ["secretsecret", &token(r#"{"exp":"secretsecret"}"#)] {
        let words = refused(&auth, JWT, &bearer(token)).reason.to_string();
        assert!(!words.contains("secret"), "{words}");
    }
}

proptest! {
    /// Whatever is changed about a token, and whatever is not one at all, is refused.
    #[test]
    fn no_other_token_passes(
        at in any::<prop::sample::Index>(),
        to in prop::sample::select(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/".to_vec()),
        how in 0..4,
        other in any::<prop::sample::Index>(),
    ) {
        let auth = auth();
        let good = good();
        prop_assert!(ask(&auth, &route(JWT), &bearer(&good), NOW).is_ok());
        let mut wrong = good.clone().into_bytes();
        let at = at.index(wrong.len());
        let other = other.index(wrong.len());
        match how {
            0 => wrong[at] = to,
            1 => wrong.insert(at, to),
            2 => drop(wrong.remove(at)),
            _ => wrong.swap(at, other),
        }
        let wrong = String::from_utf8(wrong).unwrap();
        prop_assume!(wrong != good);
        prop_assert!(ask(&auth, &route(JWT), &bearer(&wrong), NOW).is_err(), "{}", wrong);
    }

    /// A signature of one message under another, and parts of two tokens joined.
    #[test]
    fn parts_of_several_tokens_are_none(first in 0..3usize, second in 0..3usize, third in 0..3usize) {
        let auth = auth();
        let tokens = [
            token(r#"{"exp":1000060,"sub":"a"}"#),
            token(r#"{"exp":1000061,"sub":"b"}"#),
            Signer::hmac("HS256", SECRET).token_with(r#"{"alg":"HS256"}"#, r#"{"exp":1000062}"#),
        ];
        let part = |token: usize, part| tokens[token].split('.').nth(part).unwrap();
        let joined = [part(first, 0), part(second, 1), part(third, 2)].join(".");
        let passes = ask(&auth, &route(JWT), &bearer(&joined), NOW).is_ok();
        prop_assert_eq!(passes, tokens.contains(&joined));
    }

    #[test]
    fn nothing_panics(token in "[ -~]{0,300}", claims in "\\PC{0,80}") {
        let auth = auth();
        let _ = ask(&auth, &route(JWT), &bearer(&token), NOW);
        let signed = Signer::hmac("HS256", SECRET).token(&claims);
        let _ = ask(&auth, &route(JWT), &bearer(&signed), NOW);
        let header = Signer::hmac("HS256", SECRET).token_with(&claims, "{}");
        let _ = ask(&auth, &route(JWT), &bearer(&header), NOW);
        let _ = base64url(claims.as_bytes());
    }
}
