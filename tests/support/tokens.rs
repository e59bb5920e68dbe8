//! Makes tokens, and the keys for them, without the library that reads them.

#![allow(dead_code)] // each test uses its own part of it

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use ring::{hmac, rsa};

/// Somebody who makes tokens.
pub struct Signer {
    pub algorithm: &'static str,
    key: Key,
}

enum Key {
    Secret(hmac::Key),
    Ecdsa(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
}

impl Signer {
    /// Of HS256, HS384 or HS512.
    pub fn hmac(algorithm: &'static str, secret: &[u8]) -> Signer {
        let hash = match algorithm {
            "HS256" => hmac::HMAC_SHA256,
            "HS384" => hmac::HMAC_SHA384,
            "HS512" => hmac::HMAC_SHA512,
            other => panic!("{other}"),
        };
        Signer {
            algorithm,
            key: Key::Secret(hmac::Key::new(hash, secret)),
        }
    }

    /// Of ES256, ES384 or EdDSA, with a new key.
    pub fn curve(algorithm: &'static str) -> Signer {
        let random = SystemRandom::new();
        let ecdsa = |curve| {
            let key = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
            Key::Ecdsa(EcdsaKeyPair::from_pkcs8(curve, key.as_ref(), &random).unwrap())
        };
        let key = match algorithm {
            "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" => {
                let key = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Key::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
            }
            other => panic!("{other}"),
        };
        Signer { algorithm, key }
    }

    /// Of RS256, RS512 or PS256, with a private key in PKCS#8.
    pub fn rsa(algorithm: &'static str, pkcs8: &[u8]) -> Signer {
        let encoding: &dyn RsaEncoding = match algorithm {
            "RS256" => &RSA_PKCS1_SHA256,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            other => panic!("{other}"),
        };
        let key = RsaKeyPair::from_pkcs8(pkcs8).unwrap();
        Signer {
            algorithm,
            key: Key::Rsa(key, encoding),
        }
    }

    /// A token with the usual header.
    pub fn token(&self, claims: &str) -> String {
        let algorithm = self.algorithm;
        self.token_with(&format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#), claims)
    }

    /// A token that names its key.
    pub fn token_of(&self, id: &str, claims: &str) -> String {
        let algorithm = self.algorithm;
        self.token_with(&format!(r#"{{"alg":"{algorithm}","kid":"{id}"}}"#), claims)
    }

    /// A token with any header.
    pub fn token_with(&self, header: &str, claims: &str) -> String {
        let message = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(claims.as_bytes())
        );
        format!("{message}.{}", base64url(&self.sign(message.as_bytes())))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Key::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed(key) => key.sign(message).as_ref().to_vec(),
            Key::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    fn public(&self) -> &[u8] {
        match &self.key {
            Key::Secret(_) => panic!("a secret has no public key"),
            Key::Ecdsa(key) => key.public_key().as_ref(),
            Key::Ed(key) => key.public_key().as_ref(),
            Key::Rsa(key, _) => key.public().as_ref(),
        }
    }

    /// The public key in PEM.
    pub fn public_pem(&self) -> String {
        let prefix: &[u8] = match self.algorithm {
            "ES256" => &hex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
            "ES384" => &hex("3076301006072a8648ce3d020106052b81040022036200"),
            "EdDSA" => &hex("302a300506032b6570032100"),
            // That of 2048 bits, whose PKCS#1 form has 270 bytes.
            _ => &hex("30820122300d06092a864886f70d01010105000382010f00"),
        };
        let der = [prefix, self.public()].concat();
        let text = base64(&der, b"+/") + &"=".repeat((3 - der.len() % 3) % 3);
        let lines: Vec<&str> = (0..text.len().div_ceil(64))
            .map(|line| &text[64 * line..text.len().min(64 * line + 64)])
            .collect();
        let body = lines.join("\n");
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    /// The public key as a JSON Web Key.
    pub fn jwk(&self, id: &str) -> String {
        let public = self.public();
        let members = match (&self.key, self.algorithm) {
            (Key::Rsa(key, _), _) => {
                let rsa::PublicKeyComponents { n, e } =
                    rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                format!(
                    r#""kty":"RSA","n":"{}","e":"{}""#,
                    base64url(&n),
                    base64url(&e)
                )
            }
            (_, "EdDSA") => format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, base64url(public)),
            (_, algorithm) => {
                let curve = if algorithm == "ES256" {
                    "P-256"
                } else {
                    "P-384"
                };
                let (x, y) = public[1..].split_at(public.len() / 2);
                let (x, y) = (base64url(x), base64url(y));
                format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#)
            }
        };
        format!(r#"{{"kid":"{id}","use":"sig",{members}}}"#)
    }
}

/// A JSON Web Key Set.
pub fn jwks(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// RFC 4648 §5, without padding.
pub fn base64url(bytes: &[u8]) -> String {
    base64(bytes, b"-_")
}

fn base64(bytes: &[u8], last: &[u8; 2]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        for digit in 0..=chunk.len() {
            let value = (group >> (18 - 6 * digit) & 63) as u8;
            text.push(char::from(match value {
                0..26 => b'A' + value,
                26..52 => b'a' + value - 26,
                52..62 => b'0' + value - 52,
                _ => last[usize::from(value - 62)],
            }));
        }
    }
    text
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
