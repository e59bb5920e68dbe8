//! Percent-decoding (RFC 3986 §2.1), after the target has been split.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode;

use super::syntax::is_unreserved;

/// What can be wrong with percent-encoded text. The request is well framed: the answer is 400 and
/// the connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecodeFault {
    /// A `%` that two hexadecimal digits don't follow (RFC 3986 §2.1).
    MalformedPercent,
    /// The decoded octets are not UTF-8.
    InvalidUtf8,
    /// `%00`: Postgres has no text with it, and C code behind it would cut the text there.
    NulByte,
}

impl DecodeFault {
    /// The status code to answer with.
    pub fn status(self) -> u16 {
        400
    }

    /// One line for the error body.
    pub fn message(self) -> &'static str {
        match self {
            DecodeFault::MalformedPercent => "Malformed percent-encoding",
            DecodeFault::InvalidUtf8 => "Percent-encoded text is not UTF-8",
            DecodeFault::NulByte => "Percent-encoded NUL",
        }
    }
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for DecodeFault {}

/// Decodes one segment of a path; `+` is a plus. Borrows where nothing is encoded.
///
/// # Errors
///
/// Any [`DecodeFault`].
pub fn decode_segment(raw: &str) -> Result<Cow<'_, str>, DecodeFault> {
    decode(Cow::Borrowed(raw))
}

/// Decodes one name or value of a query; `+` is a space (the form encoding of the WHATWG URL
/// standard, §5.1). Borrows where nothing is encoded.
///
/// # Errors
///
/// Any [`DecodeFault`].
pub fn decode_query_part(raw: &str) -> Result<Cow<'_, str>, DecodeFault> {
    if memchr::memchr(b'+', raw.as_bytes()).is_none() {
        return decode(Cow::Borrowed(raw));
    }
    decode(Cow::Owned(raw.replace('+', " ")))
}

/// The `name=value` pairs of a query, decoded, in order, lazily.
///
/// `&` separates, `;` does not; empty pieces are skipped; a piece without `=` has an empty value.
#[derive(Debug, Clone)]
pub struct QueryPairs<'a> {
    rest: &'a str,
}

impl<'a> QueryPairs<'a> {
    /// The pairs of a query as sent, without its `?`.
    pub fn new(query: &'a str) -> QueryPairs<'a> {
        QueryPairs { rest: query }
    }
}

impl<'a> Iterator for QueryPairs<'a> {
    type Item = Result<(Cow<'a, str>, Cow<'a, str>), DecodeFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (piece, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if !piece.is_empty() {
                return Some(decode_pair(piece));
            }
        }
        None
    }
}

/// Decodes the percent-encoded unreserved characters of a path, which mean the same either way
/// (RFC 3986 §6.2.2.2), so that `/us%65rs/1` routes as `/users/1`. Everything else stays as it is,
/// `%2F` above all; so does a path in which any percent-encoding is malformed, because decoding
/// `%%34%31` in part would make it well-formed with another meaning.
///
/// [`decode_segment`] gives the same for the result as for `raw`. Dot segments are not resolved:
/// a `..`, encoded or not, is a segment like any other.
pub fn normalize_path(raw: &str) -> Cow<'_, str> {
    let bytes = raw.as_bytes();
    if !matches!(escapes(bytes), Escapes::WellFormed) {
        return Cow::Borrowed(raw);
    }
    let mut path = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        let (before, escaped) = rest.split_at(at);
        let (escape, after) = escaped.split_at(3);
        path.push_str(before);
        match percent_decode(escape.as_bytes()).next() {
            Some(octet) if is_unreserved(octet) => path.push(char::from(octet)),
            _ => path.push_str(escape),
        }
        rest = after;
    }
    path.push_str(rest);
    Cow::Owned(path)
}

fn decode_pair(piece: &str) -> Result<(Cow<'_, str>, Cow<'_, str>), DecodeFault> {
    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
    Ok((decode_query_part(name)?, decode_query_part(value)?))
}

fn decode(raw: Cow<'_, str>) -> Result<Cow<'_, str>, DecodeFault> {
    match escapes(raw.as_bytes()) {
        Escapes::None => return Ok(raw),
        Escapes::WellFormed => {}
        Escapes::Malformed => return Err(DecodeFault::MalformedPercent),
    }
    let decoded: Vec<u8> = percent_decode(raw.as_bytes()).collect();
    if memchr::memchr(0, &decoded).is_some() {
        return Err(DecodeFault::NulByte);
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| DecodeFault::InvalidUtf8)
}

enum Escapes {
    None,
    WellFormed,
    Malformed,
}

/// Whether `raw` has percent-encodings, and all of them two digits. (The decoder itself lets
/// malformed ones pass as they are.)
fn escapes(raw: &[u8]) -> Escapes {
    let mut found = Escapes::None;
    for at in memchr::memchr_iter(b'%', raw) {
        match raw.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => found = Escapes::WellFormed,
            _ => return Escapes::Malformed,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments() {
        let rows: &[(&str, Result<&str, DecodeFault>)] = &[
            ("", Ok("")),
            ("plain", Ok("plain")),
            ("a+b", Ok("a+b")),
            ("a%20b", Ok("a b")),
            ("a%2Fb", Ok("a/b")),
            ("a%2fb", Ok("a/b")),
            ("caf%C3%A9", Ok("caf\u{e9}")),
            ("%F0%9F%A6%80", Ok("\u{1F980}")),
            ("%2541", Ok("%41")),
            ("%7f%01", Ok("\u{7f}\u{1}")),
            ("%", Err(DecodeFault::MalformedPercent)),
            ("%4", Err(DecodeFault::MalformedPercent)),
            ("a%4g", Err(DecodeFault::MalformedPercent)),
            ("%+1", Err(DecodeFault::MalformedPercent)),
            ("%%41", Err(DecodeFault::MalformedPercent)),
            ("%u0041", Err(DecodeFault::MalformedPercent)),
            ("%C3", Err(DecodeFault::InvalidUtf8)),
            ("%C0%AF", Err(DecodeFault::InvalidUtf8)),
            ("%ED%A0%80", Err(DecodeFault::InvalidUtf8)),
            ("%FF", Err(DecodeFault::InvalidUtf8)),
            ("a%00b", Err(DecodeFault::NulByte)),
        ];
        for (raw, expected) in rows {
            assert_eq!(
                decode_segment(raw).as_deref(),
                expected.as_ref().map(|text| *text),
                "{raw}"
            );
        }
        assert!(matches!(decode_segment("plain"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn query_pairs() {
        let rows: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("&&", &[]),
            ("a=b&c", &[("a", "b"), ("c", "")]),
            ("&a=1&&b=2&", &[("a", "1"), ("b", "2")]),
            ("a=b=c", &[("a", "b=c")]),
            ("=b", &[("", "b")]),
            ("=", &[("", "")]),
            ("a=1;b=2", &[("a", "1;b=2")]),
            ("a+b=c+d%2B", &[("a b", "c d+")]),
            ("a%26b=%3D", &[("a&b", "=")]),
            ("q=caf%C3%A9+%20", &[("q", "caf\u{e9}  ")]),
            ("a=1&a=2", &[("a", "1"), ("a", "2")]),
        ];
        for (query, expected) in rows {
            let pairs: Result<Vec<_>, _> = QueryPairs::new(query).collect();
            let pairs = pairs.unwrap();
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(&pairs, expected, "{query}");
        }
    }

    #[test]
    fn a_faulty_pair_does_not_hide_the_next() {
        let outcomes: Vec<_> = QueryPairs::new("a=%zz&b=%00&c=1").collect();
        assert_eq!(outcomes[0], Err(DecodeFault::MalformedPercent));
        assert_eq!(outcomes[1], Err(DecodeFault::NulByte));
        assert!(outcomes[2].is_ok());
    }

    #[test]
    fn paths() {
        for (raw, expected) in [
            ("/users/1", "/users/1"),
            ("/us%65rs/1", "/users/1"),
            ("/%7Euser/%2D%2e%5F", "/~user/-._"),
            ("/a%2Fb%20c%3f", "/a%2Fb%20c%3f"),
            ("/%2565", "/%2565"),
            ("/%%36%31", "/%%36%31"),
            ("/%65%", "/%65%"),
            ("/caf%c3%a9", "/caf%c3%a9"),
        ] {
            assert_eq!(normalize_path(raw), expected, "{raw}");
        }
        assert!(matches!(normalize_path("/users/1"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn normalizing_never_changes_the_meaning(raw in "(%[0-9a-f]{2}|%|[0-9a-z/+.%\u{e9}]){0,12}") {
            let normalized = normalize_path(&raw);
            prop_assert_eq!(decode_segment(&normalized), decode_segment(&raw));
            prop_assert_eq!(&normalize_path(&normalized), &normalized);
        }

        #[test]
        fn any_text_comes_back(text in "[^\0]{0,40}") {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            let encoded = encoded.to_string();
            let text = Ok(Cow::Borrowed(text.as_str()));
            prop_assert_eq!(&decode_segment(&encoded), &text);
            prop_assert_eq!(&decode_query_part(&encoded), &text);
        }
    }
}
