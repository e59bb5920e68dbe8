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
pub(super) fn is_registered_name(octet: u8) -> bool {
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
    scan(bytes, at, is_token)
}

/// Index of the first octet at or after `at` that may not stand in a target; the length if none.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    scan(bytes, at, |octet| TARGET[octet as usize])
}

/// Index of the first octet at or after `at` that may not stand in a field value; the length if none.
///
/// Values are most of a head, so eight octets are looked at in one step.
#[inline]
pub(super) fn field_value_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let suspects = controls(u64::from_le_bytes(*word));
        if suspects == 0 {
            at += 8;
            continue;
        }
        at += suspects.trailing_zeros() as usize / 8;
        if !is_field_value(bytes[at]) {
            return at;
        }
        at += 1; // an HTAB
    }
    scan(bytes, at, is_field_value)
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

#[inline]
fn scan(bytes: &[u8], mut at: usize, belongs: impl Fn(u8) -> bool) -> usize {
    while let Some(&octet) = bytes.get(at) {
        if !belongs(octet) {
            break;
        }
        at += 1;
    }
    at
}

/// The top bit of each octet of `word` that is a control (below SP, or DEL).
///
/// Exact up to and including the lowest such octet; a borrow may mark octets above it by mistake,
/// which is why only the lowest mark is used.
#[inline]
fn controls(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_le_bytes([0x80; 8]);
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let without_delete = word ^ (ONES * 0x7F);
    let delete = without_delete.wrapping_sub(ONES) & !without_delete;
    (below_space | delete) & TOPS
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

    #[test]
    fn value_scan_finds_every_octet_at_every_place() {
        for octet in 0..=255u8 {
            for length in 1..20 {
                for place in 0..length {
                    for filler in [b'a', b'\t', 0xFF, b' ', 0x80] {
                        let mut bytes = vec![filler; length];
                        bytes[place] = octet;
                        let expected = if is_field_value(octet) { length } else { place };
                        assert_eq!(
                            field_value_end(&bytes, 0),
                            expected,
                            "{octet:#x} at {place}"
                        );
                    }
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
