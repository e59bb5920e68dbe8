//! Public keys from PEM (RFC 7468 §13) and from the SubjectPublicKeyInfo in it (RFC 5280 §4.1.2.7).

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::alg_id::{ECDSA_P256, ECDSA_P384, ED25519, RSA_ENCRYPTION};
use rustls::pki_types::pem::{PemObject, SectionKind};

/// A key and the algorithms that it can be used with.
pub(super) type Parsed = (DecodingKey, &'static [Algorithm]);

/// What an RSA key can be used with.
pub(super) const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// All public keys of a file.
pub(super) fn read(text: &[u8]) -> Result<Vec<Parsed>, String> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| "it is not PEM, or cut off".to_owned())?;
        match kind {
            SectionKind::PublicKey => keys.push(parse(&der)?),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(
                    "a private key is in it, which has no place here: whoever has it can make tokens \
                     (openssl pkey -pubout -in FILE -out NEW)"
                        .to_owned(),
                );
            }
            SectionKind::Certificate => {
                return Err("a certificate is in it, not a bare public key \
                            (openssl x509 -pubkey -noout -in FILE)"
                    .to_owned());
            }
            _ => {}
        }
    }
    match keys.is_empty() {
        true => Err("there is no public key in it (BEGIN PUBLIC KEY)".to_owned()),
        false => Ok(keys),
    }
}

fn parse(der: &[u8]) -> Result<Parsed, String> {
    let malformed = || "a public key in it is malformed".to_owned();
    let (info, rest) = element(der, SEQUENCE).ok_or_else(malformed)?;
    let (algorithm, bits) = element(info, SEQUENCE).ok_or_else(malformed)?;
    let (bits, end) = element(bits, BIT_STRING).ok_or_else(malformed)?;
    let Some((0, key)) = bits.split_first() else {
        return Err(malformed()); // no key ends within a byte
    };
    if !rest.is_empty() || !end.is_empty() {
        return Err(malformed());
    }
    if algorithm == RSA_ENCRYPTION.as_ref() {
        return Ok((DecodingKey::from_rsa_der(key), RSA));
    }
    let (key, length, algorithms): (_, _, &[Algorithm]) = if algorithm == ECDSA_P256.as_ref() {
        (DecodingKey::from_ec_der(key), 65, &[Algorithm::ES256])
    } else if algorithm == ECDSA_P384.as_ref() {
        (DecodingKey::from_ec_der(key), 97, &[Algorithm::ES384])
    } else if algorithm == ED25519.as_ref() {
        (DecodingKey::from_ed_der(key), 32, &[Algorithm::EdDSA])
    } else {
        return Err("a public key in it is of a kind that is not supported \
                    (RSA, ECDSA on P-256 or P-384, Ed25519 are)"
            .to_owned());
    };
    match key.try_get_as_bytes().is_ok_and(|key| key.len() == length) {
        true => Ok((key, algorithms)),
        false => Err(malformed()),
    }
}

/// The content of the DER element that begins here, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (&length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(length)), rest)
        }
        _ => return None, // no key has 64 KiB
    };
    rest.split_at_checked(length)
}
