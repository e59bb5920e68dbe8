//! Bodies at their boundary: raw bytes in, body or fault out, however they are cut.

use proptest::prelude::*;

use crate::http::{BodyDecoder, Fault, Framing, Progress};
use crate::limits;

type Outcome = Result<(Vec<u8>, usize), Fault>;

/// Decodes `input`, handed over in pieces that end at `cuts`; `None` while incomplete.
fn decode_cut(framing: Framing, input: &[u8], cuts: &[usize], max: usize) -> Option<Outcome> {
    let mut body = Vec::new();
    let mut decoder = match BodyDecoder::new(framing, max) {
        Ok(decoder) => decoder,
        Err(fault) => return Some(Err(fault)),
    };
    let mut at = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        match decoder.decode(&input[at..cut], &mut body) {
            Err(fault) => {
                assert_eq!(
                    decoder.decode(b"0\r\n\r\n", &mut body),
                    Err(fault),
                    "sticks"
                );
                return Some(Err(fault));
            }
            Ok(Progress {
                consumed,
                done: true,
            }) => return Some(Ok((body, at + consumed))),
            Ok(Progress {
                consumed,
                done: false,
            }) => assert_eq!(consumed, cut - at),
        }
        at = cut;
    }
    None
}

/// Decodes whole, cut at every place, and byte by byte: always the same.
fn decode_all_ways(framing: Framing, input: &[u8], max: usize) -> Option<Outcome> {
    let whole = decode_cut(framing, input, &[], max);
    for cut in 0..=input.len() {
        assert_eq!(
            decode_cut(framing, input, &[cut], max),
            whole,
            "cut at {cut}"
        );
    }
    let every: Vec<usize> = (0..=input.len()).collect();
    assert_eq!(
        decode_cut(framing, input, &every, max),
        whole,
        "byte by byte"
    );
    whole
}

fn chunked(input: &[u8]) -> Option<Outcome> {
    decode_all_ways(Framing::Chunked, input, 64)
}

#[test]
fn length() {
    let ten = b"0123456789GET /";
    assert_eq!(
        decode_all_ways(Framing::Length(10), ten, 10),
        Some(Ok((b"0123456789".to_vec(), 10)))
    );
    assert_eq!(decode_all_ways(Framing::Length(16), ten, 16), None);
    assert_eq!(
        decode_all_ways(Framing::Length(11), b"", 10),
        Some(Err(Fault::BodyTooLarge))
    );
    assert_eq!(
        decode_all_ways(Framing::Length(u64::MAX), b"", 10),
        Some(Err(Fault::BodyTooLarge))
    );
    assert_eq!(
        decode_all_ways(Framing::Length(0), b"GET", 0),
        Some(Ok((vec![], 0)))
    );
    assert_eq!(
        decode_all_ways(Framing::None, b"GET", 0),
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

proptest! {
    #[test]
    fn any_split_of_any_chunking_gives_the_body_back(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
        mut cuts in prop::collection::vec(0usize..400, 0..12),
    ) {
        let mut input = Vec::new();
        for chunk in &chunks {
            input.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            input.extend_from_slice(chunk);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"0\r\n\r\n");
        let length = input.len();
        input.extend_from_slice(b"next");
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(input.len()));
        cuts.sort_unstable();
        let outcome = decode_cut(Framing::Chunked, &input, &cuts, 4096);
        prop_assert_eq!(outcome, Some(Ok((chunks.concat(), length))));
    }

    #[test]
    fn arbitrary_octets_never_panic_and_splits_never_matter(
        input in "[0-9a-f;=\" \\\\\r\n:x\u{e9}]{0,60}",
        cut in 0usize..60,
    ) {
        let cut = cut.min(input.len());
        let whole = decode_cut(Framing::Chunked, input.as_bytes(), &[], 32);
        prop_assert_eq!(decode_cut(Framing::Chunked, input.as_bytes(), &[cut], 32), whole);
    }
}
