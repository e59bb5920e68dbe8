//! Tokens: none is taken that the secret has not signed, or whose header and claims say anything else than they
//! have to; and key sets, whatever they hold.

use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pinion::api;
use pinion::guard::auth::{Auth, Identity, JwtKeys, Keys, RouteAuth, Scheme, jwt};
use pinion::limits;
use ring::hmac;
use serde_json::Value;

use super::with_request;

const SECRET: &[u8] = b"a secret of the fuzzer, 32 bytes";
/// Seconds since 1970.
const NOW: u64 = 1_000_000;
const LEEWAY: u64 = 30;

/// All of it for one input, by its first byte: what Authorization says, the header and the claims of a token
/// with a line feed between them, or a key set.
pub fn check(input: &[u8]) {
    let Some((kind, input)) = input.split_first() else {
        return;
    };
    match kind % 3 {
        0 => as_sent(input),
        1 => {
            let end = input.iter().position(|octet| *octet == b'\n');
            let (header, claims) = input.split_at(end.unwrap_or(input.len()));
            signed(header, claims.get(1..).unwrap_or_default());
        }
        _ => key_set(input),
    }
}

// ---- Tokens ----

fn settings(algorithms: &str, source: &str) -> jwt::Settings {
    let text = format!(
        "[auth.jwt]\nalgorithms = {algorithms}\n{source} = \"x\"\nissuer = \"i\"\naudience = \"shop\"\n\
         [[route]]\nname = \"a\"\nmethod = \"GET\"\npath = \"/\"\nresult = \"one\"\nsql = \"select 1 as a\"\n"
    );
    let api = api::load("routes.toml", &text).expect("a routes file");
    api.guards.auth.jwt.expect("[auth.jwt]")
}

/// A guard that knows the secret.
fn guard() -> Auth {
    static SETTINGS: OnceLock<jwt::Settings> = OnceLock::new();
    let settings = SETTINGS.get_or_init(|| settings("[\"HS256\"]", "secret_file"));
    let keys = JwtKeys::from_secret(SECRET, &settings.algorithms).expect("long enough");
    guard_of(settings.clone(), keys)
}

fn guard_of(settings: jwt::Settings, keys: JwtKeys) -> Auth {
    let auth = Auth::new(&pinion::guard::auth::Settings {
        jwt: Some(settings),
        ..Default::default()
    });
    auth.replace_keys(&Keys {
        jwt: Arc::new(keys),
        ..Keys::default()
    });
    auth
}

/// Whom the guard takes a request for that has these lines.
fn asked(auth: &Auth, lines: &[u8], now: u64) -> Option<Rc<Identity>> {
    let route = RouteAuth {
        schemes: vec![Scheme::Jwt],
        require: Vec::new(),
    };
    let mut found = None;
    with_request(lines, |request| {
        found = match auth.authenticate(&route, request, now) {
            Ok(identity) => Some(identity.expect("the route asks")),
            Err(refused) => {
                assert_eq!((refused.status, refused.challenges.len()), (401, 1));
                None
            }
        };
    });
    found
}

fn lines(token: &str) -> Vec<u8> {
    format!("Authorization: Bearer {token}\r\n").into_bytes()
}

fn as_sent(value: &[u8]) {
    let lines = [b"Authorization: ", value, b"\r\n"].concat();
    if asked(&guard(), &lines, NOW).is_none() {
        return;
    }
    let text = std::str::from_utf8(value).expect("ASCII");
    let token = text.rsplit(' ').next().unwrap_or_default();
    let (message, signature) = token.rsplit_once('.').expect("parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    hmac::verify(&key, message.as_bytes(), &signature).expect("the secret's signature");
}

/// A token with this header and these claims, signed with the secret: whether it is taken.
pub fn signed(header: &[u8], claims: &[u8]) -> bool {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = hmac::sign(&key, message.as_bytes());
    let token = format!("{message}.{}", encode(signature.as_ref()));
    let guard = guard();
    let Some(identity) = asked(&guard, &lines(&token), NOW) else {
        return false;
    };
    assert!(token.len() <= limits::TOKEN_BYTES_MAX);
    check_header(&serde_json::from_slice(header).expect("JSON"));
    // It takes no number past a double, no half of a surrogate pair and no deep lists in any claim.
    let Ok(said) = serde_json::from_slice::<Value>(claims) else {
        return true;
    };
    let expires = check_claims(&said);
    // What goes to Postgres is what was signed.
    let told: Value = serde_json::from_str(identity.claims_text()).expect("JSON");
    assert_eq!(told, said);
    assert_eq!(identity.subject.as_deref(), said["sub"].as_str());
    // From the cache it is the same, as long as it is good, and not when another one's time has come.
    let again = asked(&guard, &lines(&token), NOW);
    assert!(again.is_some_and(|again| Rc::ptr_eq(&again, &identity)));
    let last = expires + LEEWAY - 1;
    assert!(asked(&guard, &lines(&token), last).is_some());
    assert!(asked(&guard, &lines(&token), last + 1).is_none());
    true
}

fn check_header(header: &Value) {
    assert_eq!(header["alg"], "HS256");
    assert!(header["crit"].is_null());
    let kind = header["typ"].as_str().unwrap_or("JWT").to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    assert!(["jwt", "at+jwt"].contains(&kind));
}

/// The second in which they expire.
fn check_claims(claims: &Value) -> u64 {
    let time = |name: &str| match &claims[name] {
        Value::Null => {
            assert!(claims.get(name).is_none(), "{name}");
            None
        }
        time => Some(time.as_f64().expect("a number")),
    };
    let expires = time("exp").expect("it expires");
    assert!(expires.floor() as u64 + LEEWAY > NOW);
    for name in ["nbf", "iat"] {
        assert!(time(name).unwrap_or(0.0) <= (NOW + LEEWAY) as f64);
    }
    assert_eq!(claims["iss"], "i");
    let is_ours = |named: &Value| named == "shop";
    let audience = &claims["aud"];
    assert!(
        is_ours(audience)
            || audience
                .as_array()
                .is_some_and(|all| all.iter().any(is_ours))
    );
    assert!(claims.get("sub").is_none_or(Value::is_string));
    expires.floor() as u64
}

// ---- Key sets ----

/// Tokens that no key has signed are refused, whatever the keys are.
fn key_set(document: &[u8]) {
    let algorithms = ["RS256", "PS512", "ES256", "ES384", "EdDSA"];
    static SETTINGS: OnceLock<jwt::Settings> = OnceLock::new();
    let settings = SETTINGS.get_or_init(|| settings(&format!("{algorithms:?}"), "jwks_file"));
    let keys = match JwtKeys::from_jwks(document, &settings.algorithms) {
        Ok(keys) => keys,
        Err(reason) => return assert!(!reason.is_empty()),
    };
    assert!((1..=limits::JWKS_KEYS_MAX).contains(&keys.len()));
    let guard = guard_of(settings.clone(), keys);
    let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":2000000,"iss":"i","aud":"shop"}"#);
    for algorithm in algorithms {
        for length in [0, 64, 96, 256] {
            let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"{algorithm}\"}}"));
            let signature = URL_SAFE_NO_PAD.encode(vec![1; length]);
            let token = format!("{header}.{claims}.{signature}");
            assert!(asked(&guard, &lines(&token), NOW).is_none());
        }
    }
}
