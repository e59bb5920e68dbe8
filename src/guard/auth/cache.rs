//! Tokens that have been verified, so that a hot one costs a hash and not a signature.

use std::collections::HashMap;
use std::rc::Rc;

use super::api_key::{Hash, hash};
use super::identity::Identity;
use super::jwt::Verified;
use crate::limits;

/// Verified tokens by their SHA-256: who can't find two texts with the same can't pass one token for
/// another, and the tokens themselves are not kept. Only what has been verified comes in, so that no
/// number of wrong tokens drives out a right one.
///
/// It is two tables. What is found in the old one moves to the young one; once that holds half of the bound
/// it becomes the old one, and the old one, which nobody has asked for meanwhile, is forgotten.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    tokens: HashMap<Hash, Entry>,
    bytes: usize,
}

/// A token and the seconds since 1970 for which it is good: `from..until`.
#[derive(Debug)]
struct Entry {
    identity: Rc<Identity>,
    from: u64,
    until: u64,
}

/// Bytes of an entry beside its claims: keys, members, tables.
const ENTRY_BYTES: usize = 512;

impl Cache {
    /// Whose token it is, if it has been verified and is still good.
    pub(super) fn find(&mut self, token: &[u8], now: u64) -> Option<Rc<Identity>> {
        let hash = hash(token);
        if let Some(entry) = self.young.tokens.get(&hash) {
            return entry.identity_at(now);
        }
        let entry = self.old.take(&hash)?;
        let identity = entry.identity_at(now);
        if identity.is_some() {
            self.add(hash, entry);
        }
        identity
    }

    /// Keeps a token.
    pub(super) fn keep(&mut self, token: &[u8], verified: Verified) -> Rc<Identity> {
        let identity = Rc::new(verified.identity);
        let entry = Entry {
            identity: identity.clone(),
            from: verified.from,
            until: verified.until,
        };
        self.add(hash(token), entry);
        identity
    }

    fn add(&mut self, hash: Hash, entry: Entry) {
        let is_full = self.young.tokens.len() >= limits::TOKENS_CACHED_MAX / 2
            || self.young.bytes + entry.bytes() > limits::TOKENS_CACHED_BYTES_MAX / 2;
        if is_full {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.add(hash, entry);
    }

    /// Forgets all of them: the keys that they were verified with are others now.
    pub(super) fn clear(&mut self) {
        *self = Cache::default();
    }
}

impl Generation {
    fn add(&mut self, hash: Hash, entry: Entry) {
        self.bytes += entry.bytes();
        if let Some(former) = self.tokens.insert(hash, entry) {
            self.bytes -= former.bytes();
        }
    }

    fn take(&mut self, hash: &Hash) -> Option<Entry> {
        let entry = self.tokens.remove(hash)?;
        self.bytes -= entry.bytes();
        Some(entry)
    }
}

impl Entry {
    fn identity_at(&self, now: u64) -> Option<Rc<Identity>> {
        (self.from..self.until)
            .contains(&now)
            .then(|| self.identity.clone())
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + 2 * self.identity.claims_text().len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Claims, Scheme};
    use super::*;

    fn verified(from: u64, until: u64, sub: &str) -> Verified {
        Verified {
            identity: Identity::new(Scheme::Jwt, Claims::of_texts(&[("sub", sub)])),
            from,
            until,
        }
    }

    fn count(cache: &Cache) -> usize {
        cache.young.tokens.len() + cache.old.tokens.len()
    }

    #[test]
    fn a_token_is_known_while_it_is_good() {
        let mut cache = Cache::default();
        let kept = cache.keep(b"t", verified(10, 20, "a"));
        for now in [10, 19] {
            assert!(Rc::ptr_eq(&kept, &cache.find(b"t", now).unwrap()));
        }
        for now in [0, 9, 20, u64::MAX] {
            assert!(cache.find(b"t", now).is_none(), "{now}");
        }
        assert!(cache.find(b"T", 15).is_none());
        assert!(cache.find(b"", 15).is_none());
        cache.clear();
        assert!(cache.find(b"t", 15).is_none());
    }

    #[test]
    fn what_is_asked_for_stays_and_the_number_is_bounded() {
        let mut cache = Cache::default();
        cache.keep(b"hot", verified(0, 100, "hot"));
        cache.keep(b"cold", verified(0, 100, "cold"));
        for number in 0..3 * limits::TOKENS_CACHED_MAX {
            cache.keep(&number.to_be_bytes(), verified(0, 100, "x"));
            assert!(cache.find(b"hot", 1).is_some(), "{number}");
            assert!(count(&cache) <= limits::TOKENS_CACHED_MAX);
        }
        assert!(cache.find(b"cold", 1).is_none());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = Cache::default();
        let sub = "s".repeat(limits::TOKEN_BYTES_MAX);
        for number in 0..4000_u32 {
            cache.keep(&number.to_be_bytes(), verified(0, 100, &sub));
            let bytes = cache.young.bytes + cache.old.bytes;
            assert!(bytes <= limits::TOKENS_CACHED_BYTES_MAX, "{bytes}");
        }
        assert!(count(&cache) < limits::TOKENS_CACHED_MAX / 2);
        let sum = |generation: &Generation| generation.tokens.values().map(Entry::bytes).sum();
        let counted: [usize; 2] = [sum(&cache.young), sum(&cache.old)];
        assert_eq!(counted, [cache.young.bytes, cache.old.bytes]);
    }
}
