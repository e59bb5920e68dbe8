//! API keys: long random words, of which the server knows the hashes alone.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use ring::digest::{SHA256, digest};

use super::claims::Claims;
use super::identity::{Identity, Scheme};
use crate::limits;

/// `[auth.api_key]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The field that holds the key, in lower case.
    pub header: String,
    /// The file with `name:sha256` on each line.
    pub hashes_file: PathBuf,
}

/// SHA-256 of something secret.
pub(super) type Hash = [u8; 32];

/// The keys that are known: the name that each stands for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ApiKeys {
    keys: Vec<(Box<str>, Hash)>,
}

impl ApiKeys {
    /// Reads a file: on each line a name, a colon and the SHA-256 of a key in hexadecimal. Lines that are
    /// empty or begin with `#` are passed over. A name may have several keys, so that one can take the
    /// place of another; a key has one name. All faults are found in one go, each with its line.
    pub fn parse(text: &str) -> Result<ApiKeys, Vec<String>> {
        let mut keys = ApiKeys::default();
        let mut lines: HashMap<Hash, usize> = HashMap::new();
        let mut faults = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match entry(line) {
                Ok((name, hash)) => match lines.insert(hash, number) {
                    Some(first) => faults.push(format!(
                        "line {number}: the key of line {first} is there again"
                    )),
                    None => keys.keys.push((name.into(), hash)),
                },
                Err(what) => faults.push(format!("line {number}: {what}")),
            }
        }
        if keys.keys.len() > limits::API_KEYS_MAX {
            faults.push(format!("there are more than {} keys", limits::API_KEYS_MAX));
        }
        match faults.is_empty() {
            true => Ok(keys),
            false => Err(faults),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Says how many, never which.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} keys", self.keys.len())
    }
}

fn entry(line: &str) -> Result<(&str, Hash), &'static str> {
    // From the right: a name may hold a colon, a hash does not.
    let (name, hash) = line
        .rsplit_once(':')
        .ok_or("it is not \"name:sha256\": there is no colon")?;
    let (name, hash) = (name.trim(), hash.trim());
    if name.is_empty() || name.len() > limits::API_KEY_NAME_BYTES_MAX {
        return Err("a name has 1 to 128 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("a name holds no control characters");
    }
    let what = "a hash is 64 hexadecimal digits (printf %s KEY | sha256sum)";
    parse_hash(hash).map(|hash| (name, hash)).ok_or(what)
}

fn parse_hash(text: &str) -> Option<Hash> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut hash = Hash::default();
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |octet: u8| char::from(octet).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(hash)
}

/// SHA-256.
pub(super) fn hash(secret: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

/// The identities of the known keys, as a core holds them.
///
/// A key is looked up by its hash, in a table of hashes. How long that takes depends on the hash of what was
/// sent, never on a known key: to learn something of a known hash from the time, one would have to send
/// words whose hashes begin as one chooses, and for the next bits that costs as much as finding them by
/// trial. And a hash does not tell the key: those are random.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Hash, Rc<Identity>>);

impl Known {
    pub(super) fn new(keys: &ApiKeys) -> Known {
        let mut names: HashMap<&str, Rc<Identity>> = HashMap::new();
        let identity = |name: &str| {
            let claims = Claims::of_texts(&[("sub", name), ("auth", Scheme::ApiKey.as_str())]);
            Rc::new(Identity::new(Scheme::ApiKey, claims))
        };
        let known = keys.keys.iter().map(|(name, hash)| {
            let identity = names.entry(name).or_insert_with(|| identity(name));
            (*hash, identity.clone())
        });
        Known(known.collect())
    }

    /// Whose key it is.
    pub(super) fn find(&self, key: &[u8]) -> Option<Rc<Identity>> {
        if key.is_empty() || key.len() > limits::API_KEY_BYTES_MAX {
            return None;
        }
        self.0.get(&hash(key)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf %s first | sha256sum
    const FIRST: &str = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    const SECOND: &str = "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4";

    #[test]
    fn names_and_hashes() {
        let upper = SECOND.to_uppercase();
        let text = format!("# keys\n\n  till 5 : {FIRST} \r\ncity:till:{upper}\n");
        let keys = ApiKeys::parse(&text).unwrap();
        let known = Known::new(&keys);
        let till = known.find(b"first").unwrap();
        assert_eq!(till.subject.as_deref(), Some("till 5"));
        assert_eq!(till.claims_text(), r#"{"sub":"till 5","auth":"api_key"}"#);
        assert_eq!(till.scheme, Scheme::ApiKey);
        let city = known.find(b"second").unwrap();
        assert_eq!(city.subject.as_deref(), Some("city:till"));
        for wrong in [&b""[..], b"First", b"first ", b"firs", FIRST.as_bytes()] {
            assert!(known.find(wrong).is_none());
        }
        assert!(Rc::ptr_eq(&till, &known.find(b"first").unwrap()));
    }

    #[test]
    fn a_name_may_have_two_keys_and_a_key_one_name() {
        let keys = ApiKeys::parse(&format!("a:{FIRST}\na:{SECOND}")).unwrap();
        let known = Known::new(&keys);
        let (first, second) = (known.find(b"first"), known.find(b"second"));
        assert!(Rc::ptr_eq(&first.unwrap(), &second.unwrap()));
        let faults = ApiKeys::parse(&format!("a:{FIRST}\n\nb:{FIRST}")).unwrap_err();
        assert_eq!(faults, ["line 3: the key of line 1 is there again"]);
    }

    #[test]
    fn every_fault_has_its_line() {
        let text = format!("a\n:{FIRST}\nb:12\nc:{FIRST}0\nd:{}g\n", &FIRST[1..]);
        let faults = ApiKeys::parse(&text).unwrap_err();
        let begins: Vec<&str> = faults.iter().map(|fault| &fault[..22]).collect();
        assert_eq!(
            begins,
            [
                "line 1: it is not \"nam",
                "line 2: a name has 1 t",
                "line 3: a hash is 64 h",
                "line 4: a hash is 64 h",
                "line 5: a hash is 64 h",
            ]
        );
    }

    #[test]
    fn bounds() {
        let named = |length| format!("{}:{FIRST}", "n".repeat(length));
        assert!(ApiKeys::parse(&named(limits::API_KEY_NAME_BYTES_MAX)).is_ok());
        assert!(ApiKeys::parse(&named(limits::API_KEY_NAME_BYTES_MAX + 1)).is_err());
        let many = |count: usize| {
            let line = |number| format!("n:{number:064x}\n");
            ApiKeys::parse(&(0..count).map(line).collect::<String>())
        };
        assert!(many(limits::API_KEYS_MAX).is_ok());
        assert!(many(limits::API_KEYS_MAX + 1).is_err());
        let long = vec![b'k'; limits::API_KEY_BYTES_MAX + 1];
        let keys = ApiKeys {
            keys: vec![("n".into(), hash(&long)), ("m".into(), hash(&long[1..]))],
        };
        let known = Known::new(&keys);
        assert!(known.find(&long).is_none());
        assert!(known.find(&long[1..]).is_some());
    }
}
