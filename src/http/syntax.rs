//! Octet classes of HTTP and URIs, and the scans over them.
//!
//! The tables are computed at compile time from the grammar, so that a check costs one load.

/// Octets of a class, indexed by octet value.
type Class = [bool; 256];

/// `tchar` (RFC 9110 §5.6.2): what methods and field names are made of.
const TOKEN: Class = class(b"!#$%&'*+-.^_`|~", true);

/// Octets of a request target that pass (RFC 9112 §3.2): every visible ASCII character but `#`.
/// Wider than the URI grammar (`|`, `{`, `"` and their like pass), because browsers send those
/// unencoded in queries and they can't change where the target ends.
const TARGET: Class = {
    let mut target = class(b"", false);
    let mut octet = 0x21;
    while octet < 0x7F {
        target[octet] = octet != b'#' as usize;
        octet += 1;
    }
    target
};

/// `unreserved` and `sub-delims` (RFC 3986 §2): a registered name, but for its percent-encodings.
const REGISTERED_NAME: Class = class(b"-._~!$&'()*+,;=", true);

/// `unreserved` (RFC 3986 §2.3): octets that mean the same percent-encoded or not.
const UNRESERVED: Class = class(b"-._~", true);

const fn class(others: &[u8], alphanumeric: bool) -> Class {
    let mut class = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        class[octet] = alphanumeric && (octet as u8).is_ascii_alphanumeric();
        octet += 1;
    }
    let mut index = 0;
    while index < others.len() {
        class[others[index] as usize] = true;
        index += 1;
    }
    class
}

/// Whether `octet` is a `tchar` (RFC 9110 §5.6.2).
#[inline]
pub(super) fn is_token(octet: u8) -> bool {
    TOKEN[octet as usize]
}

/// Whether `octet` may stand in a registered name unencoded (RFC 3986 §3.2.2).
#[inline]
fn is_registered_name(octet: u8) -> bool {
    REGISTERED_NAME[octet as usize]
}

/// Whether `octet` is `unreserved` (RFC 3986 §2.3).
#[inline]
pub(super) fn is_unreserved(octet: u8) -> bool {
    UNRESERVED[octet as usize]
}

/// Whether `octet` may stand in a field value (RFC 9110 §5.5): anything but controls, HTAB excepted.
#[inline]
pub(super) fn is_field_value(octet: u8) -> bool {
    octet == b'\t' || (octet >= b' ' && octet != 0x7F)
}

/// Whether `octet` is optional whitespace (RFC 9110 §5.6.3): SP or HTAB, nothing else.
#[inline]
pub(super) fn is_whitespace(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// Index of the first octet at or after `at` that is not a `tchar`; the length where all are.
#[inline]
pub(super) fn token_end(bytes: &[u8], at: usize) -> usize {
    scan(bytes, at, words::not_plain, is_token)
}

/// Index of the first octet at or after `at` that may not stand in a target; the length if none.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    scan(bytes, at, words::not_target, |octet| TARGET[octet as usize])
}

/// Index of the first octet at or after `at` that may not stand in a field value; the length if none.
#[inline]
pub(super) fn field_value_end(bytes: &[u8], at: usize) -> usize {
    scan(bytes, at, words::control, is_field_value)
}

/// Index of the first octet at or after `at` that may not stand in a registered name unencoded; the
/// length if none.
#[inline]
pub(super) fn registered_name_end(bytes: &[u8], at: usize) -> usize {
    scan(bytes, at, words::not_plain, is_registered_name)
}

/// `value` without SP and HTAB at both ends (RFC 9110 §5.5).
#[inline]
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_whitespace(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_whitespace(*last)
    {
        value = rest;
    }
    value
}

/// Index of the first octet at or after `at` that does not belong; the length where all do.
///
/// Eight octets are looked at in one step: `suspects` marks in its lowest top bit the first octet of
/// a word that may not belong, and `belongs` decides. Every octet before it has to belong.
#[inline]
fn scan(
    bytes: &[u8],
    mut at: usize,
    suspects: impl Fn(u64) -> u64,
    belongs: impl Fn(u8) -> bool,
) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let suspects = suspects(u64::from_le_bytes(*word));
        if suspects == 0 {
            at += 8;
            continue;
        }
        at += suspects.trailing_zeros() as usize / 8;
        if !belongs(bytes[at]) {
            return at;
        }
        at += 1;
    }
    while let Some(&octet) = bytes.get(at) {
        if !belongs(octet) {
            break;
        }
        at += 1;
    }
    at
}

/// Classes of the eight octets of a word at once, first octet lowest. The answer has the top bit of
/// an octet set where the octet is meant.
mod words {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);

    /// Controls, HTAB among them.
    #[inline]
    pub fn control(word: u64) -> u64 {
        (below(word, 0x20) | equal(word, 0x7F)) & TOPS
    }

    /// Whatever no target has: controls, SP, `#` and everything that is not ASCII.
    #[inline]
    pub fn not_target(word: u64) -> u64 {
        (below(word, 0x21) | equal(word, 0x7F) | equal(word, b'#') | word) & TOPS
    }

    /// Whatever is no letter, digit, `-` or `.`: those are most of every token and host.
    #[inline]
    pub fn not_plain(word: u64) -> u64 {
        let ascii = word & !TOPS;
        let letters = within(ascii | (ONES * 0x20), b'a', b'z');
        let others = within(ascii, b'-', b'9') & !within(ascii, b'/', b'/');
        !(letters | others) & TOPS | word & TOPS
    }

    /// Octets of `word` below `bound`, which is 0x80 at the most. Exact up to the lowest; a borrow
    /// may mark octets above that one by mistake, which is why only the lowest mark is used.
    #[inline]
    fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * u64::from(bound)) & !word
    }

    /// Octets of `word` that are `octet`; exact up to the lowest, as in [`below`].
    #[inline]
    fn equal(word: u64, octet: u8) -> u64 {
        below(word ^ (ONES * u64::from(octet)), 1)
    }

    /// Octets from `first` to `last` in a word of ASCII: no sum leaves its octet, so all are exact.
    #[inline]
    fn within(ascii: u64, first: u8, last: u8) -> u64 {
        (ascii + ONES * u64::from(0x80 - first)) & !(ascii + ONES * u64::from(0x7F - last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_grammar() {
        for octet in 0..=255u8 {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&octet);
            let visible = (0x21..=0x7E).contains(&octet);
            assert_eq!(is_token(octet), visible && !delimiter, "tchar {octet:#x}");
            assert_eq!(
                target_end(&[octet], 0) == 1,
                visible && octet != b'#',
                "target {octet:#x}"
            );
            let control = octet < 0x20 || octet == 0x7F;
            assert_eq!(
                is_field_value(octet),
                octet == b'\t' || !control,
                "value {octet:#x}"
            );
        }
    }

    /// Every octet at every place of a word and past it, after every kind of octet that belongs.
    #[test]
    fn scans_find_every_octet_at_every_place() {
        type Scan = fn(&[u8], usize) -> usize;
        type Belongs = fn(u8) -> bool;
        let scans: [(Scan, Belongs, &[u8]); 4] = [
            (token_end, is_token, b"aZ0-.!_~"),
            (target_end, |octet| TARGET[octet as usize], b"aZ0/?!~\""),
            (field_value_end, is_field_value, b"a\t \x80\xFF!~"),
            (registered_name_end, is_registered_name, b"aZ0-.!_~"),
        ];
        for (scan, belongs, fillers) in scans {
            for (octet, &filler) in (0..=255u8).flat_map(|o| fillers.iter().map(move |f| (o, f))) {
                for (length, place) in (1..20).flat_map(|l| (0..l).map(move |p| (l, p))) {
                    let mut bytes = vec![filler; length];
                    bytes[place] = octet;
                    let expected = if belongs(octet) { length } else { place };
                    assert_eq!(
                        scan(&bytes, 0),
                        expected,
                        "{octet:#x} at {place} of {filler:#x}"
                    );
                    assert_eq!(scan(&bytes, place), expected, "from {octet:#x}");
                }
            }
        }
    }

    #[test]
    fn trim_takes_only_space_and_tab() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b"\x0Ba\x0C"), b"\x0Ba\x0C");
        assert_eq!(trim(b" \t "), b"");
    }
}
