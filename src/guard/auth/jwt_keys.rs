//! The keys that tokens are verified with.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::{provider, public_key};
use crate::limits;

/// Keys, each with what it may be used for.
#[derive(Clone, Default)]
pub struct JwtKeys {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    /// What tokens call it.
    id: Option<String>,
    key: DecodingKey,
    /// Those of its own kind that the settings allow.
    algorithms: Vec<Algorithm>,
}

/// What becomes of looking for a key.
pub(super) enum Choice<'k> {
    /// One of these.
    Keys(Vec<&'k DecodingKey>),
    /// The token names one that is not known, or none is known at all: it may be new.
    Unknown,
    /// None is for the token's algorithm.
    Unfit,
}

impl JwtKeys {
    /// A secret that is shared with the issuer: the bytes of a file without the end of its last line.
    pub fn from_secret(file: &[u8], algorithms: &[Algorithm]) -> Result<JwtKeys, String> {
        let secret = file.strip_suffix(b"\n").unwrap_or(file);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.starts_with(b"-----BEGIN ") {
            return Err("it is PEM, not a secret: a public key goes to public_key_file".to_owned());
        }
        for algorithm in algorithms {
            // RFC 7518 §3.2: at least as long as what it makes.
            let least = match algorithm {
                Algorithm::HS256 => 32,
                Algorithm::HS384 => 48,
                Algorithm::HS512 => 64,
                other => return Err(unfit(*other)),
            };
            if secret.len() < least {
                let length = secret.len();
                return Err(format!(
                    "the secret has {length} bytes, {algorithm:?} takes at least {least} \
                     (openssl rand -hex {least})"
                ));
            }
        }
        Ok(JwtKeys::new(vec![Key {
            id: None,
            key: DecodingKey::from_secret(secret),
            algorithms: algorithms.to_vec(),
        }]))
    }

    /// Public keys in PEM; several of them are tried one after the other.
    pub fn from_public_keys(file: &[u8], algorithms: &[Algorithm]) -> Result<JwtKeys, String> {
        let parsed = public_key::read(file)?;
        if parsed.len() > limits::JWT_KEYS_TRIED_MAX {
            let most = limits::JWT_KEYS_TRIED_MAX;
            return Err(format!(
                "there are more than {most} keys in it: tell them apart by their ids, in a jwks_file"
            ));
        }
        let mut keys = Vec::new();
        for (key, fitting) in parsed {
            let own = both(fitting, algorithms);
            if own.is_empty() {
                let fitting: Vec<String> = fitting.iter().map(|fits| format!("{fits:?}")).collect();
                return Err(format!(
                    "a key in it is for {}, none of which \"algorithms\" names",
                    fitting.join(", ")
                ));
            }
            check(&key)?;
            keys.push(Key {
                id: None,
                key,
                algorithms: own,
            });
        }
        let keys = JwtKeys::new(keys);
        match algorithms.iter().find(|algorithm| !keys.serve(**algorithm)) {
            Some(algorithm) => Err(unfit(*algorithm)),
            None => Ok(keys),
        }
    }

    /// A JSON Web Key Set (RFC 7517 §5). What is in it for other uses, of other kinds, or secret, is
    /// passed over; nothing else in it is a fault.
    pub fn from_jwks(document: &[u8], algorithms: &[Algorithm]) -> Result<JwtKeys, String> {
        let set: JwkSet = serde_json::from_slice(document)
            .map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
        let usable = set.keys.iter().filter_map(|jwk| from_jwk(jwk, algorithms));
        let keys: Vec<Key> = usable.collect();
        if keys.len() > limits::JWKS_KEYS_MAX {
            let most = limits::JWKS_KEYS_MAX;
            return Err(format!("there are more than {most} keys in it"));
        }
        match keys.is_empty() {
            true => Err("there is no key in it that \"algorithms\" allows".to_owned()),
            false => Ok(JwtKeys::new(keys)),
        }
    }

    fn new(keys: Vec<Key>) -> JwtKeys {
        provider::install();
        JwtKeys { keys }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn serve(&self, algorithm: Algorithm) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| key.algorithms.contains(&algorithm))
    }

    /// The keys for a token with this header: those of its id, and those without one. A token without
    /// an id is for any of them.
    pub(super) fn choose(&self, algorithm: Algorithm, id: Option<&str>) -> Choice<'_> {
        let named: Vec<&Key> = self
            .keys
            .iter()
            .filter(|key| match (id, key.id.as_deref()) {
                (Some(wanted), Some(known)) => wanted == known,
                _ => true,
            })
            .collect();
        if named.is_empty() {
            return Choice::Unknown;
        }
        let fitting: Vec<&DecodingKey> = named
            .into_iter()
            .filter(|key| key.algorithms.contains(&algorithm))
            .map(|key| &key.key)
            .take(limits::JWT_KEYS_TRIED_MAX)
            .collect();
        match fitting.is_empty() {
            true => Choice::Unfit,
            false => Choice::Keys(fitting),
        }
    }
}

/// Says how many, never which.
impl fmt::Debug for JwtKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} keys", self.keys.len())
    }
}

fn both(fitting: &[Algorithm], allowed: &[Algorithm]) -> Vec<Algorithm> {
    let fitting = fitting.iter().copied();
    fitting.filter(|fits| allowed.contains(fits)).collect()
}

fn unfit(algorithm: Algorithm) -> String {
    format!("\"algorithms\" names {algorithm:?}, for which there is no key in it")
}

/// ring takes RSA keys of 2048 to 8192 bits, and says so only when it is to verify a signature. What is
/// around the modulus in DER has 12 bytes and a few more.
fn check(key: &DecodingKey) -> Result<(), String> {
    if key.family() != jsonwebtoken::AlgorithmFamily::Rsa {
        return Ok(());
    }
    let bytes = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => der.len().saturating_sub(12),
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.len(),
    };
    match (256..=1024 + 12).contains(&bytes) {
        true => Ok(()),
        false => Err("an RSA key in it has not 2048 to 8192 bits".to_owned()),
    }
}

/// A key of a set, unless it is for something else.
fn from_jwk(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Key> {
    let common = &jwk.common;
    let is_for_signatures = match &common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
    };
    let verifies = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let (fitting, length): (&[Algorithm], _) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (public_key::RSA, None),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => (&[Algorithm::ES256], Some(65)),
            EllipticCurve::P384 => (&[Algorithm::ES384], Some(97)),
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => (&[Algorithm::EdDSA], Some(32)),
            _ => return None,
        },
        // A secret in a set of public keys was made public with them.
        _ => return None,
    };
    let mut algorithms = both(fitting, allowed);
    if let Some(only) = common.key_algorithm {
        algorithms.retain(|fits| Algorithm::try_from(only).is_ok_and(|only| only == *fits));
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let fits = match length {
        None => check(&key).is_ok(),
        Some(length) => key.try_get_as_bytes().is_ok_and(|key| key.len() == length),
    };
    (is_for_signatures && verifies && fits && !algorithms.is_empty()).then(|| Key {
        id: common.key_id.clone(),
        key,
        algorithms,
    })
}

/// Whether a fault of jsonwebtoken says that another key may do.
pub(super) fn is_wrong_key(error: &jsonwebtoken::errors::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidSignature)
}
