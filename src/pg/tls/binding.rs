//! What SCRAM binds a session to: `tls-server-end-point` (RFC 5929 §4).

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::certificate::{Certificate, Reader};

/// The hash of a server's certificate: by the hash of its own signature, SHA-256 in place of MD5 and
/// SHA-1. `None` where the signature has no hash of its own (Ed25519), for which RFC 5929 has no rule.
pub(in crate::pg) fn server_end_point(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::parse(der).ok()?;
    Some(match hash_of(certificate.signature_algorithm)? {
        Hash::Sha224 => Sha224::digest(der).to_vec(),
        Hash::Sha256 => Sha256::digest(der).to_vec(),
        Hash::Sha384 => Sha384::digest(der).to_vec(),
        Hash::Sha512 => Sha512::digest(der).to_vec(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// pkcs-1, 1.2.840.113549.1.1 (RFC 8017 appendix C).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// id-ecSigType, 1.2.840.10045.4 (RFC 5480 appendix A).
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
/// hashAlgs, 2.16.840.1.101.3.4.2 (RFC 5754 §2).
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// The hash of an AlgorithmIdentifier, given without its tag and length.
fn hash_of(algorithm: &[u8]) -> Option<Hash> {
    let mut algorithm = Reader(algorithm);
    let identifier = algorithm.expect(OBJECT).ok()?;
    if let Some(scheme) = identifier.strip_prefix(RSA) {
        return match scheme {
            [4 | 5 | 11] => Some(Hash::Sha256), // with MD5, SHA-1, SHA-256
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [14] => Some(Hash::Sha224),
            [10] => hash_of_pss(algorithm),
            _ => None,
        };
    }
    match identifier.strip_prefix(ECDSA)? {
        [1] | [3, 2] => Some(Hash::Sha256), // with SHA-1, SHA-256
        [3, 1] => Some(Hash::Sha224),
        [3, 3] => Some(Hash::Sha384),
        [3, 4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// RSASSA-PSS names its hash in its parameters; SHA-1 unless it does.
fn hash_of_pss(mut algorithm: Reader<'_>) -> Option<Hash> {
    let parameters = algorithm.expect(SEQUENCE).ok()?;
    let Some(hash) = Reader(parameters).optional(0xa0).ok()? else {
        return Some(Hash::Sha256);
    };
    let identifier = Reader(Reader(hash).expect(SEQUENCE).ok()?)
        .expect(OBJECT)
        .ok()?;
    match identifier.strip_prefix(SHA2)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        [4] => Some(Hash::Sha224),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let object = |prefix: &[u8], rest: &[u8]| {
            let length = u8::try_from(prefix.len() + rest.len()).unwrap();
            [&[OBJECT, length], prefix, rest].concat()
        };
        for (prefix, rest, expected) in [
            (RSA, &[4][..], Some(Hash::Sha256)),
            (RSA, &[5], Some(Hash::Sha256)),
            (RSA, &[11], Some(Hash::Sha256)),
            (RSA, &[12], Some(Hash::Sha384)),
            (RSA, &[13], Some(Hash::Sha512)),
            (RSA, &[14], Some(Hash::Sha224)),
            (RSA, &[1], None),
            (ECDSA, &[1], Some(Hash::Sha256)),
            (ECDSA, &[3, 1], Some(Hash::Sha224)),
            (ECDSA, &[3, 2], Some(Hash::Sha256)),
            (ECDSA, &[3, 3], Some(Hash::Sha384)),
            (ECDSA, &[3, 4], Some(Hash::Sha512)),
            (&[0x2b, 0x65], &[0x70], None), // Ed25519
        ] {
            assert_eq!(
                hash_of(&object(prefix, rest)),
                expected,
                "{prefix:?} {rest:?}"
            );
        }
        let wrap = |tag: u8, contents: &[u8]| {
            [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat()
        };
        let pss = |parameters: &[u8]| [object(RSA, &[10]), wrap(SEQUENCE, parameters)].concat();
        assert_eq!(hash_of(&pss(&[])), Some(Hash::Sha256));
        for (number, expected) in [
            (1, Some(Hash::Sha256)),
            (2, Some(Hash::Sha384)),
            (3, Some(Hash::Sha512)),
            (4, Some(Hash::Sha224)),
            (8, None),
        ] {
            let hash = wrap(0xa0, &wrap(SEQUENCE, &object(SHA2, &[number])));
            assert_eq!(hash_of(&pss(&hash)), expected, "{number}");
        }
    }
}
