//! JSON Web Tokens (RFC 7519), as RFC 8725 asks them to be verified.

use std::fmt;
use std::path::PathBuf;

use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};

use super::claims::{Claims, text_of};
use super::identity::{Identity, Scheme};
use super::jwt_keys::{Choice, JwtKeys, is_wrong_key};
use crate::limits;

/// `[auth.jwt]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub source: Source,
    /// `iss` has to be this.
    pub issuer: Option<String>,
    /// `aud` has to be or to hold one of these. Without any of them a token with an `aud` is for
    /// somebody else, and refused (RFC 7519 §4.1.3).
    pub audience: Vec<String>,
    /// Seconds by which the clocks of the issuer and of the server may differ.
    pub leeway: u64,
}

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A secret.
    SecretFile(PathBuf),
    /// Public keys in PEM.
    PublicKeyFile(PathBuf),
    /// A JSON Web Key Set (RFC 7517).
    JwksFile(PathBuf),
    /// The same, where the issuer publishes it.
    JwksUrl(String),
}

/// A token that has been verified.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// Seconds since 1970: it is good from `from` on, and no longer good at `until`.
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Why a token is refused: for the log, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than [`limits::TOKEN_BYTES_MAX`].
    TooLong,
    /// It is not three parts in base64url, or not JSON in them, or a member is there twice.
    Malformed,
    /// `alg` is none that is allowed.
    Algorithm,
    /// `crit` names what has to be understood, and nothing is (RFC 7515 §4.1.11).
    Critical,
    /// `typ` says that it is something else than an access token (RFC 8725 §3.11).
    Type,
    /// The key is not known, or none is.
    UnknownKey,
    /// No known key of the token's kind has made the signature.
    Signature,
    /// A claim is missing or not of its type.
    Claim(&'static str),
    /// `exp` is over.
    Expired,
    /// `nbf` or `iat` is to come.
    NotYetValid,
    /// `iss` is another.
    Issuer,
    /// `aud` is somebody else.
    Audience,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Fault::TooLong => "the token is too long",
            Fault::Malformed => "the token is malformed",
            Fault::Algorithm => "alg is not allowed",
            Fault::Critical => "crit is not supported",
            Fault::Type => "typ is not that of an access token",
            Fault::UnknownKey => "the key is not known",
            Fault::Signature => "the signature is wrong",
            Fault::Claim(name) => return write!(formatter, "{name} is missing or malformed"),
            Fault::Expired => "the token has expired",
            Fault::NotYetValid => "the token is not valid yet",
            Fault::Issuer => "iss is not the issuer",
            Fault::Audience => "aud is somebody else",
        };
        formatter.write_str(text)
    }
}

/// Verifies a token at `now`, in seconds since 1970.
pub(super) fn verify(
    settings: &Settings,
    keys: &JwtKeys,
    token: &[u8],
    now: u64,
) -> Result<Verified, Fault> {
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let header = decode_header(token).map_err(|_| Fault::Malformed)?;
    check_header(settings, &header)?;
    let keys = match keys.choose(header.alg, header.kid.as_deref()) {
        Choice::Keys(keys) => keys,
        Choice::Unknown => return Err(Fault::UnknownKey),
        Choice::Unfit => return Err(Fault::Signature),
    };
    let claims = verify_signature(token, header.alg, &keys)?;
    let (from, until) = check_times(&claims, settings.leeway)?;
    if now >= until {
        return Err(Fault::Expired);
    }
    if now < from {
        return Err(Fault::NotYetValid);
    }
    check_parties(settings, &claims)?;
    Ok(Verified {
        identity: Identity::new(Scheme::Jwt, claims),
        from,
        until,
    })
}

fn check_header(settings: &Settings, header: &Header) -> Result<(), Fault> {
    if !settings.algorithms.contains(&header.alg) {
        return Err(Fault::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Fault::Critical);
    }
    // RFC 7519 §5.1, RFC 9068 §2.1: a prefix of "application/" may be left out.
    let is_access_token = header.typ.as_deref().is_none_or(|typ| {
        let typ = typ.to_ascii_lowercase();
        matches!(
            typ.strip_prefix("application/").unwrap_or(&typ),
            "jwt" | "at+jwt"
        )
    });
    match is_access_token {
        true => Ok(()),
        false => Err(Fault::Type),
    }
}

/// The claims, once one of the keys has been found to have signed them. Everything about them is checked
/// here and not by jsonwebtoken, which would read the clock.
fn verify_signature(
    token: &[u8],
    algorithm: Algorithm,
    keys: &[&DecodingKey],
) -> Result<Claims, Fault> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    for key in keys {
        match decode::<Claims>(token, key, &validation) {
            Ok(data) => return Ok(data.claims),
            Err(error) if is_wrong_key(&error) => {}
            Err(_) => return Err(Fault::Malformed),
        }
    }
    Err(Fault::Signature)
}

/// From when on and until when: `exp` is required, `nbf` and `iat` are not. A token that says it was
/// issued in the future comes from a wrong clock or from a liar.
fn check_times(claims: &Claims, leeway: u64) -> Result<(u64, u64), Fault> {
    let time = |name| match claims.json(name) {
        None => Ok(None),
        Some(json) => match numeric_date(json) {
            Some(time) => Ok(Some(time)),
            None => Err(Fault::Claim(name)),
        },
    };
    let until = time("exp")?.ok_or(Fault::Claim("exp"))?.floor() as u64 + leeway;
    let earliest = time("nbf")?.unwrap_or(0.0).max(time("iat")?.unwrap_or(0.0));
    Ok(((earliest.ceil() as u64).saturating_sub(leeway), until))
}

/// Seconds since 1970, perhaps with a fraction (RFC 7519 §2), up to what a double counts exactly.
fn numeric_date(json: &str) -> Option<f64> {
    let seconds: f64 = json.parse().ok()?;
    (0.0..=9_007_199_254_740_991.0)
        .contains(&seconds)
        .then_some(seconds)
}

fn check_parties(settings: &Settings, claims: &Claims) -> Result<(), Fault> {
    if claims.json("sub").is_some() && claims.text("sub").is_none() {
        return Err(Fault::Claim("sub"));
    }
    if let Some(issuer) = &settings.issuer
        && claims.text("iss").as_deref() != Some(issuer)
    {
        return Err(Fault::Issuer);
    }
    let is_ours = |named: &str| settings.audience.iter().any(|ours| ours == named);
    let is_meant = match claims.json("aud") {
        None => settings.audience.is_empty(),
        Some(json) => match text_of(json) {
            Some(named) => is_ours(&named),
            None => serde_json::from_str::<Vec<String>>(json)
                .is_ok_and(|list| list.iter().any(|named| is_ours(named))),
        },
    };
    match is_meant {
        true => Ok(()),
        false => Err(Fault::Audience),
    }
}

#[cfg(test)]
mod tests;
