//! Every reason to refuse a token, at a time that the test sets.

use jsonwebtoken::Algorithm::{self, ES256, ES384, EdDSA, HS256, HS384, HS512, RS256};

use super::super::tests::tokens::{Signer, base64url, jwks};
use super::super::tests::{SECRET, settings};
use super::*;

const NOW: u64 = 1_000_000;

fn hs256() -> Signer {
    Signer::hmac("HS256", SECRET)
}

fn secret() -> JwtKeys {
    JwtKeys::from_secret(SECRET, &[HS256]).unwrap()
}

fn check(settings: &Settings, keys: &JwtKeys, token: &str) -> Result<String, Fault> {
    let verified = verify(settings, keys, token.as_bytes(), NOW)?;
    Ok(verified.identity.claims_text().to_owned())
}

/// What becomes of claims that are signed as they should be.
fn claimed(settings: &Settings, claims: &str) -> Result<(), Fault> {
    check(settings, &secret(), &hs256().token(claims)).map(|text| assert_eq!(text, claims))
}

fn with_header(header: &str) -> Result<(), Fault> {
    let token = hs256().token_with(header, r#"{"exp":1000001}"#);
    check(&settings(&[HS256]), &secret(), &token).map(drop)
}

#[test]
fn every_algorithm_verifies_its_own() {
    let long = [SECRET, SECRET].concat();
    for (name, algorithm) in [("HS256", HS256), ("HS384", HS384), ("HS512", HS512)] {
        let keys = JwtKeys::from_secret(&long, &[algorithm]).unwrap();
        let token = Signer::hmac(name, &long).token(r#"{"exp":1000001}"#);
        assert!(
            check(&settings(&[algorithm]), &keys, &token).is_ok(),
            "{name}"
        );
    }
    for (name, algorithm) in [("ES256", ES256), ("ES384", ES384), ("EdDSA", EdDSA)] {
        let signer = Signer::curve(name);
        let token = signer.token(r#"{"exp":1000001}"#);
        let pem = JwtKeys::from_public_keys(signer.public_pem().as_bytes(), &[algorithm]);
        let set = JwtKeys::from_jwks(jwks(&[signer.jwk("a")]).as_bytes(), &[algorithm]);
        for keys in [pem.unwrap(), set.unwrap()] {
            assert!(
                check(&settings(&[algorithm]), &keys, &token).is_ok(),
                "{name}"
            );
            let stranger = Signer::curve(name).token(r#"{"exp":1000001}"#);
            let refused = check(&settings(&[algorithm]), &keys, &stranger);
            assert_eq!(refused, Err(Fault::Signature), "{name}");
        }
    }
}

#[test]
fn algorithms_are_not_confused() {
    let signer = Signer::curve("ES256");
    let pem = signer.public_pem();
    let all = settings(&[HS256, ES256, ES384, EdDSA]);
    let set = jwks(&[signer.jwk("a")]);
    let keys = JwtKeys::from_jwks(set.as_bytes(), &all.algorithms).unwrap();
    assert_eq!(keys.len(), 1);
    // The public key, in every form in which it is known to everybody, as a secret.
    for public in [pem.as_bytes(), pem.trim_end().as_bytes(), set.as_bytes()] {
        let forged = Signer::hmac("HS256", public).token(r#"{"exp":1000001}"#);
        assert_eq!(check(&all, &keys, &forged), Err(Fault::Signature));
        let forged = Signer::hmac("HS256", public).token_of("a", r#"{"exp":1000001}"#);
        assert_eq!(check(&all, &keys, &forged), Err(Fault::Signature));
    }
    // A key of another kind, even if its algorithm is allowed.
    let claims = r#"{"exp":1000001}"#;
    let other = Signer::curve("ES384").token_of("a", claims);
    assert_eq!(check(&all, &keys, &other), Err(Fault::Signature));
    // The signature of one algorithm under the name of another.
    let renamed = signer.token_with(r#"{"alg":"EdDSA","kid":"a"}"#, claims);
    assert_eq!(check(&all, &keys, &renamed), Err(Fault::Signature));
    let renamed = signer.token_with(r#"{"alg":"HS256"}"#, claims);
    assert_eq!(check(&all, &secret(), &renamed), Err(Fault::Signature));
    // One that is not allowed, whoever signed.
    let token = hs256().token(claims);
    let refused = check(&settings(&[HS384]), &secret(), &token);
    assert_eq!(refused, Err(Fault::Algorithm));
}

#[test]
fn none_is_no_algorithm() {
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "RS257",
    ] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        assert_eq!(with_header(&header), Err(Fault::Malformed), "{alg}");
        let head = base64url(header.as_bytes());
        let claims = base64url(br#"{"exp":1000001}"#);
        for token in [format!("{head}.{claims}."), format!("{head}.{claims}")] {
            let refused = check(&settings(&[HS256]), &secret(), &token);
            assert_eq!(refused, Err(Fault::Malformed), "{alg}");
        }
    }
}

#[test]
fn headers() {
    for good in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"jwt"}"#,
        r#"{"alg":"HS256","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":"application/at+jwt"}"#,
        r#"{"alg":"HS256","kid":"whatever","x":1}"#,
        // Keys that a token brings along prove nothing, and are not looked at.
        r#"{"alg":"HS256","jku":"http://evil.example/","jwk":{"kty":"oct","k":"eHh4"}}"#,
    ] {
        assert_eq!(with_header(good), Ok(()), "{good}");
    }
    for (bad, fault) in [
        (r#"{"typ":"JWT"}"#, Fault::Malformed),
        (r#"{"alg":null}"#, Fault::Malformed),
        (r#"{"alg":["HS256"]}"#, Fault::Malformed),
        (r#"{"alg":"HS256","alg":"HS256"}"#, Fault::Malformed),
        (r#"{"alg":"HS256","kid":"a","kid":"b"}"#, Fault::Malformed),
        (r#"{"alg":"HS256","kid":5}"#, Fault::Malformed),
        (r#"{"alg":"HS256","crit":["exp"]}"#, Fault::Critical),
        (r#"{"alg":"HS256","crit":[]}"#, Fault::Critical),
        (
            r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
            Fault::Critical,
        ),
        (r#"{"alg":"HS256","typ":"logout+jwt"}"#, Fault::Type),
        (r#"{"alg":"HS256","typ":"dpop+jwt"}"#, Fault::Type),
        (r#"{"alg":"HS256","typ":""}"#, Fault::Type),
        ("[]", Fault::Malformed),
        ("HS256", Fault::Malformed),
        ("", Fault::Malformed),
    ] {
        assert_eq!(with_header(bad), Err(fault), "{bad}");
    }
}

#[test]
fn three_parts_in_base64url() {
    let good = hs256().token(r#"{"exp":1000001}"#);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("{good}")
    };
    let refused = |token: &str| check(&settings(&[HS256]), &secret(), token).unwrap_err();
    for wrong in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        header.to_owned(),
        format!("{header}.{claims}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header} .{claims}.{signature}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}.{claims}.{signature}\n"),
        format!("{header}.{claims}.+{}", &signature[1..]),
    ] {
        assert_eq!(refused(&wrong), Fault::Malformed, "{wrong}");
    }
    for wrong in [
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{}", &signature[..39]),
        format!("{header}.{claims}.AAAA{}", &signature[4..]),
    ] {
        let fault = refused(&wrong);
        assert!(
            matches!(fault, Fault::Signature | Fault::Malformed),
            "{wrong}"
        );
    }
    // Signed, and still no claims.
    for claims in [
        "",
        "[]",
        "1",
        "null",
        "{",
        "{}x",
        r#"{"exp":1000001,"exp":1000001}"#,
    ] {
        let token = hs256().token(claims);
        assert_eq!(refused(&token), Fault::Malformed, "{claims}");
    }
}

#[test]
fn times_at_their_bounds() {
    let strict = settings(&[HS256]);
    let kind = Settings {
        leeway: 30,
        ..strict.clone()
    };
    let claimed = |settings: &Settings, claims: &str| super::tests::claimed(settings, claims);
    for (claims, expected) in [
        (r#"{"exp":1000001}"#, Ok(())),
        (r#"{"exp":1000001.0}"#, Ok(())),
        (r#"{"exp":1000000}"#, Err(Fault::Expired)),
        (r#"{"exp":1000000.9}"#, Err(Fault::Expired)),
        (r#"{"exp":0}"#, Err(Fault::Expired)),
        (r#"{"exp":2e6,"nbf":1000000}"#, Ok(())),
        (r#"{"exp":2e6,"nbf":1000000.1}"#, Err(Fault::NotYetValid)),
        (r#"{"exp":2e6,"nbf":1000001}"#, Err(Fault::NotYetValid)),
        (r#"{"exp":2e6,"iat":1000000}"#, Ok(())),
        (r#"{"exp":2e6,"iat":1000001}"#, Err(Fault::NotYetValid)),
        (
            r#"{"exp":2e6,"nbf":1,"iat":1000001}"#,
            Err(Fault::NotYetValid),
        ),
    ] {
        assert_eq!(claimed(&strict, claims), expected, "{claims}");
    }
    for (claims, expected) in [
        (r#"{"exp":999971}"#, Ok(())),
        (r#"{"exp":999970}"#, Err(Fault::Expired)),
        (r#"{"exp":2e6,"nbf":1000030}"#, Ok(())),
        (r#"{"exp":2e6,"nbf":1000031}"#, Err(Fault::NotYetValid)),
    ] {
        assert_eq!(claimed(&kind, claims), expected, "{claims}");
    }
}

#[test]
fn times_that_are_none() {
    let settings = settings(&[HS256]);
    assert_eq!(claimed(&settings, "{}"), Err(Fault::Claim("exp")));
    let fault = claimed(&settings, r#"{"nbf":1}"#);
    assert_eq!(fault, Err(Fault::Claim("exp")));
    for value in [
        "null",
        "true",
        "\"2000000\"",
        "[2000000]",
        "{}",
        "-1",
        "-2e6",
        "1e300",
        "9007199254740993",
    ] {
        for name in ["exp", "nbf", "iat"] {
            let claims = match name {
                "exp" => format!(r#"{{"exp":{value}}}"#),
                _ => format!(r#"{{"exp":2e6,"{name}":{value}}}"#),
            };
            let fault = claimed(&settings, &claims).unwrap_err();
            // jsonwebtoken finds a list or an object there malformed by itself.
            let expected = [Fault::Claim(name), Fault::Malformed];
            assert!(expected.contains(&fault), "{claims}: {fault}");
        }
    }
}

#[test]
fn issuers_and_audiences() {
    let issued = Settings {
        issuer: Some("https://id.example".to_owned()),
        ..settings(&[HS256])
    };
    for (claims, passes) in [
        (r#"{"exp":2e6,"iss":"https://id.example"}"#, true),
        (r#"{"exp":2e6}"#, false),
        (r#"{"exp":2e6,"iss":"https://id.example/"}"#, false),
        (r#"{"exp":2e6,"iss":"HTTPS://id.example"}"#, false),
        (r#"{"exp":2e6,"iss":["https://id.example"]}"#, false),
        (r#"{"exp":2e6,"iss":null}"#, false),
    ] {
        let expected = if passes { Ok(()) } else { Err(Fault::Issuer) };
        assert_eq!(claimed(&issued, claims), expected, "{claims}");
    }
    let meant = Settings {
        audience: vec!["shop".to_owned(), "till".to_owned()],
        ..settings(&[HS256])
    };
    let open = settings(&[HS256]);
    for (claims, for_shop, for_anybody) in [
        (r#"{"exp":2e6,"aud":"shop"}"#, true, false),
        (r#"{"exp":2e6,"aud":["x","till"]}"#, true, false),
        (r#"{"exp":2e6}"#, false, true),
        (r#"{"exp":2e6,"aud":"shop2"}"#, false, false),
        (r#"{"exp":2e6,"aud":"shop till"}"#, false, false),
        (r#"{"exp":2e6,"aud":[]}"#, false, false),
        (r#"{"exp":2e6,"aud":null}"#, false, false),
        (r#"{"exp":2e6,"aud":["shop",5]}"#, false, false),
        (r#"{"exp":2e6,"aud":{"shop":1}}"#, false, false),
    ] {
        let outcome = |passes| if passes { Ok(()) } else { Err(Fault::Audience) };
        assert_eq!(claimed(&meant, claims), outcome(for_shop), "{claims}");
        assert_eq!(claimed(&open, claims), outcome(for_anybody), "{claims}");
    }
    assert!(claimed(&open, r#"{"exp":2e6,"sub":5}"#).is_err());
    assert!(claimed(&open, r#"{"exp":2e6,"sub":"5"}"#).is_ok());
}

#[test]
fn keys_are_chosen_by_their_ids() {
    let (first, second) = (Signer::curve("ES256"), Signer::curve("ES256"));
    let set = jwks(&[first.jwk("a"), second.jwk("b")]);
    let keys = JwtKeys::from_jwks(set.as_bytes(), &[ES256]).unwrap();
    let check = |token: &str| check(&settings(&[ES256]), &keys, token).map(drop);
    let claims = r#"{"exp":1000001}"#;
    assert_eq!(check(&first.token_of("a", claims)), Ok(()));
    assert_eq!(check(&second.token_of("b", claims)), Ok(()));
    assert_eq!(check(&second.token_of("a", claims)), Err(Fault::Signature));
    assert_eq!(check(&second.token_of("c", claims)), Err(Fault::UnknownKey));
    assert_eq!(check(&second.token_of("", claims)), Err(Fault::UnknownKey));
    assert_eq!(check(&second.token(claims)), Ok(()));
    let many: Vec<String> = (0..limits::JWT_KEYS_TRIED_MAX)
        .map(|number| Signer::curve("ES256").jwk(&format!("k{number}")))
        .chain([second.jwk("b")])
        .collect();
    let keys = JwtKeys::from_jwks(jwks(&many).as_bytes(), &[ES256]).unwrap();
    let settings = settings(&[ES256]);
    let named = super::tests::check(&settings, &keys, &second.token_of("b", claims));
    assert!(named.is_ok());
    let unnamed = super::tests::check(&settings, &keys, &second.token(claims));
    assert_eq!(unnamed, Err(Fault::Signature));
}

#[test]
fn what_a_key_set_may_hold() {
    let signer = Signer::curve("ES256");
    let usable = signer.jwk("a");
    let with = |from: &str, to: &str| usable.replace(from, to);
    let of = |keys: &[String], allowed: &[Algorithm]| {
        JwtKeys::from_jwks(jwks(keys).as_bytes(), allowed).map(|keys| keys.len())
    };
    for other in [
        with("\"sig\"", "\"enc\""),
        with("\"use\":\"sig\"", "\"key_ops\":[\"encrypt\"]"),
        with("\"use\":\"sig\"", "\"alg\":\"ES384\""),
        with("\"use\":\"sig\"", "\"alg\":\"ECDH-ES\""),
        with("P-256", "P-384"),
        with("P-256", "P-521"),
        with("P-256", "secp256k1"),
        with("\"x\":\"", "\"x\":\"AAAA"),
        r#"{"kty":"oct","kid":"s","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}"#.to_owned(),
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(),
        r#"{"kty":"new"}"#.to_owned(),
    ] {
        let all = &[HS256, RS256, ES256, ES384];
        assert!(of(std::slice::from_ref(&other), all).is_err(), "{other}");
        assert_eq!(of(&[other.clone(), usable.clone()], all), Ok(1), "{other}");
    }
    assert_eq!(
        of(&[with("\"use\":\"sig\"", "\"alg\":\"ES256\"")], &[ES256]),
        Ok(1)
    );
    assert!(of(std::slice::from_ref(&usable), &[EdDSA]).is_err());
    for document in [
        "",
        "{}",
        "[]",
        r#"{"keys":{}}"#,
        r#"{"keys":[]}"#,
        r#"{"keys":[5]}"#,
    ] {
        assert!(
            JwtKeys::from_jwks(document.as_bytes(), &[ES256]).is_err(),
            "{document}"
        );
    }
    let many = |count: usize| vec![usable.clone(); count];
    let most = limits::JWKS_KEYS_MAX;
    assert_eq!(of(&many(most), &[ES256]), Ok(most));
    assert!(of(&many(most + 1), &[ES256]).is_err());
}

#[test]
fn secrets() {
    let of = |text: &str, algorithm| JwtKeys::from_secret(text.as_bytes(), &[algorithm]);
    for (algorithm, least) in [(HS256, 32), (HS384, 48), (HS512, 64)] {
        assert!(of(&"x".repeat(least), algorithm).is_ok());
        let short = of(&("x".repeat(least - 1) + "\n"), algorithm).unwrap_err();
        let length = least - 1;
        assert!(short.contains(&format!("has {length} bytes")), "{short}");
    }
    // The end of the line is not part of it, whatever wrote the file.
    let secret = std::str::from_utf8(SECRET).unwrap();
    let token = hs256().token(r#"{"exp":1000001}"#);
    for end in ["", "\n", "\r\n"] {
        let keys = of(&format!("{secret}{end}"), HS256).unwrap();
        assert!(check(&settings(&[HS256]), &keys, &token).is_ok());
    }
    let keys = of(&format!("{secret}\n\n"), HS256).unwrap();
    assert!(check(&settings(&[HS256]), &keys, &token).is_err());
    let pem = Signer::curve("ES256").public_pem();
    assert!(of(&pem, HS256).unwrap_err().contains("PEM"));
    assert!(of(&"x".repeat(64), ES256).is_err());
}

#[test]
fn public_keys() {
    let of = |text: &str, allowed: &[Algorithm]| {
        JwtKeys::from_public_keys(text.as_bytes(), allowed).map(|keys| keys.len())
    };
    let (first, second) = (Signer::curve("ES256"), Signer::curve("EdDSA"));
    let both = first.public_pem() + &second.public_pem();
    assert_eq!(of(&both, &[ES256, EdDSA]), Ok(2));
    for (text, allowed, words) in [
        (both.as_str(), &[ES256][..], "EdDSA"),
        (&first.public_pem(), &[ES256, RS256], "RS256"),
        (&first.public_pem(), &[HS256], "none of which"),
        ("", &[ES256], "no public key"),
        ("hello", &[ES256], "no public key"),
        (&first.public_pem()[..120], &[ES256], "not PEM, or cut off"),
        (
            &first.public_pem().replace("MFkw", "MFkx"),
            &[ES256],
            "malformed",
        ),
        (
            &first.public_pem().replace("PUBLIC", "PRIVATE"),
            &[ES256],
            "private key",
        ),
        (
            &first.public_pem().replace("PUBLIC KEY", "CERTIFICATE"),
            &[ES256],
            "certificate",
        ),
        (
            &first.public_pem().repeat(limits::JWT_KEYS_TRIED_MAX + 1),
            &[ES256],
            "more than",
        ),
    ] {
        let fault = of(text, allowed).unwrap_err();
        assert!(fault.contains(words), "{fault}");
    }
}
