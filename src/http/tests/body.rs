//! Bodies at their boundary: raw bytes in, body or fault out, however they are cut.

use super::fuzz_body::{Outcome, decode_cut, splits_do_not_matter};
use crate::http::{BodyDecoder, Fault, Framing};
use crate::limits;

fn chunked(input: &[u8]) -> Option<Outcome> {
    splits_do_not_matter(Framing::Chunked, input, 64)
}

#[test]
fn length() {
    let ten = b"0123456789GET /";
    assert_eq!(
        splits_do_not_matter(Framing::Length(10), ten, 10),
        Some(Ok((b"0123456789".to_vec(), 10)))
    );
    assert_eq!(splits_do_not_matter(Framing::Length(16), ten, 16), None);
    assert_eq!(
        splits_do_not_matter(Framing::Length(11), b"", 10),
        Some(Err(Fault::BodyTooLarge))
    );
    assert_eq!(
        splits_do_not_matter(Framing::Length(u64::MAX), b"", 10),
        Some(Err(Fault::BodyTooLarge))
    );
    assert_eq!(
        splits_do_not_matter(Framing::Length(0), b"GET", 0),
        Some(Ok((vec![], 0)))
    );
    assert_eq!(
        splits_do_not_matter(Framing::None, b"GET", 0),
        Some(Ok((vec![], 0)))
    );
    assert!(BodyDecoder::new(Framing::Length(0), 0).unwrap().is_done());
}

#[test]
fn chunked_bodies_that_pass() {
    let rows: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n7\r\n, world\r\n000\r\n\r\n", "hello, world"),
        (
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
        ),
        ("00000000000000000001\r\nx\r\n0\r\n\r\n", "x"),
        // §7.1.1: extensions, with and without value, quoted, with bad whitespace
        ("1;a\r\nx\r\n0;b=c\r\n\r\n", "x"),
        ("1;a=\"q\\\"; \t\u{e9}\";b\r\nx\r\n0\r\n\r\n", "x"),
        ("1 ; a = b ; c\r\nx\r\n0\r\n\r\n", "x"),
        // §7.1.2: trailers are checked and dropped
        (
            "1\r\nx\r\n0\r\nETag: \"1\"\r\nEmpty:\r\nContent-Length: 99\r\n\r\n",
            "x",
        ),
        // data that looks like framing is data
        ("7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n\r\n"),
    ];
    for (input, expected) in rows {
        let outcome = chunked(input.as_bytes());
        assert_eq!(
            outcome,
            Some(Ok((expected.as_bytes().to_vec(), input.len()))),
            "{input:?}"
        );
        let followed = format!("{input}GET / HTTP/1.1\r\n");
        let outcome = chunked(followed.as_bytes());
        assert_eq!(
            outcome,
            Some(Ok((expected.as_bytes().to_vec(), input.len()))),
            "{input:?}"
        );
        for end in 0..input.len() {
            assert_eq!(
                decode_cut(Framing::Chunked, &input.as_bytes()[..end], &[], 64),
                None
            );
        }
    }
}

#[test]
fn chunked_bodies_that_are_refused() {
    let rows: &[(&str, Fault)] = &[
        // §7.1: 1*HEXDIG
        ("\r\n", Fault::InvalidChunkSize),
        ("g\r\n", Fault::InvalidChunkSize),
        ("0x1\r\n", Fault::InvalidChunkSize),
        ("-1\r\n", Fault::InvalidChunkSize),
        ("+1\r\n", Fault::InvalidChunkSize),
        (" 1\r\n", Fault::InvalidChunkSize),
        ("1_0\r\n", Fault::InvalidChunkSize),
        (";a\r\n", Fault::InvalidChunkSize),
        ("10000000000000000\r\n", Fault::InvalidChunkSize),
        ("ffffffffffffffff\r\n", Fault::BodyTooLarge),
        // CRLF octet by octet
        ("1\n", Fault::BareLineFeed),
        ("1\rx", Fault::BareCarriageReturn),
        ("1\r\nx\n", Fault::InvalidChunkEnd),
        ("1\r\nx\rx", Fault::InvalidChunkEnd),
        ("1\r\nxx", Fault::InvalidChunkEnd),
        ("0\r\n\n", Fault::BareLineFeed),
        ("0\r\n\rx", Fault::BareCarriageReturn),
        // §7.1.1: chunk-ext
        ("1 \r\n", Fault::InvalidChunkExtension),
        ("1 2\r\n", Fault::InvalidChunkExtension),
        ("1;\r\n", Fault::InvalidChunkExtension),
        ("1;a=\r\n", Fault::InvalidChunkExtension),
        ("1;a b\r\n", Fault::InvalidChunkExtension),
        ("1;a=b c\r\n", Fault::InvalidChunkExtension),
        ("1;a=\"b\r\n", Fault::InvalidChunkExtension),
        ("1;a=\"b\"c\r\n", Fault::InvalidChunkExtension),
        ("1;a=\"\\\r\n", Fault::InvalidChunkExtension),
        ("1;a\u{1}\r\n", Fault::InvalidChunkExtension),
        ("1;a\n", Fault::BareLineFeed),
        ("1;a=\"b\n", Fault::BareLineFeed),
        ("1;a\rx", Fault::BareCarriageReturn),
        // §7.1.2, §5: trailers as strict as fields
        ("0\r\nA : b\r\n\r\n", Fault::WhitespaceBeforeColon),
        ("0\r\n A: b\r\n\r\n", Fault::FoldedLine),
        ("0\r\nA: b\r\n c\r\n\r\n", Fault::FoldedLine),
        ("0\r\n: b\r\n\r\n", Fault::MalformedFieldName),
        ("0\r\nA\r\n\r\n", Fault::MalformedFieldName),
        ("0\r\nA: \u{0}\r\n\r\n", Fault::MalformedFieldValue),
        ("0\r\nA: b\n", Fault::BareLineFeed),
        ("0\r\nA\n", Fault::BareLineFeed),
        ("0\r\nA: b\rc", Fault::BareCarriageReturn),
    ];
    for (input, fault) in rows {
        assert_eq!(chunked(input.as_bytes()), Some(Err(*fault)), "{input:?}");
    }
}

#[test]
fn chunked_bodies_at_their_limits() {
    let body = |bytes: usize| format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes));
    assert!(chunked(body(64).as_bytes()).unwrap().is_ok());
    assert_eq!(chunked(body(65).as_bytes()), Some(Err(Fault::BodyTooLarge)));
    assert_eq!(
        chunked(b"41\r\n"),
        Some(Err(Fault::BodyTooLarge)),
        "refused when announced"
    );
    let in_two = |last: &str| format!("3f\r\n{}\r\n{last}\r\n0\r\n\r\n", "x".repeat(63));
    assert!(chunked(in_two("1\r\nx").as_bytes()).unwrap().is_ok());
    assert_eq!(
        chunked(in_two("2\r\nxx").as_bytes()),
        Some(Err(Fault::BodyTooLarge))
    );

    let line = |bytes: usize| format!("0;{}\r\n\r\n", "a".repeat(bytes - 4));
    assert!(
        chunked(line(limits::CHUNK_LINE_BYTES_MAX).as_bytes())
            .unwrap()
            .is_ok()
    );
    let over = line(limits::CHUNK_LINE_BYTES_MAX + 1);
    assert_eq!(chunked(over.as_bytes()), Some(Err(Fault::ChunkLineTooLong)));

    let trailers = |bytes: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(bytes - 6));
    let decode = |input: String| decode_cut(Framing::Chunked, input.as_bytes(), &[], 0);
    assert!(decode(trailers(limits::TRAILER_BYTES_MAX)).unwrap().is_ok());
    let over = trailers(limits::TRAILER_BYTES_MAX + 1);
    assert_eq!(decode(over), Some(Err(Fault::TrailersTooLarge)));
}

#[test]
fn extensions_of_all_chunks_together_are_bounded() {
    let counted = limits::CHUNK_LINE_BYTES_MAX - 18;
    let lines = limits::CHUNK_EXTENSION_BYTES_MAX / counted;
    let chunk = format!(
        "1;{}\r\nx\r\n",
        "a".repeat(limits::CHUNK_LINE_BYTES_MAX - 4)
    );
    let within = chunk.repeat(lines) + "0\r\n\r\n";
    let over = chunk.repeat(lines + 1) + "0\r\n\r\n";
    let decode = |input: &str| decode_cut(Framing::Chunked, input.as_bytes(), &[], 4096).unwrap();
    assert!(decode(&within).is_ok());
    assert_eq!(decode(&over), Err(Fault::ChunkLineTooLong));
}
