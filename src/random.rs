//! Random numbers without a system call for each: for spreading load, back-off and ids; not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The keys of std's hash maps are random for each thread and differ for each map.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_do_not_repeat() {
        let numbers: HashSet<u64> = (0..10_000).map(|_| random()).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
