//! Random heads and bodies.

use proptest::prelude::*;

use super::fuzz::{body, head};

/// Pieces of requests, well-formed and not, that random sequences of make interesting heads.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(&[
            "GET ", "POST ", "OPTIONS ", "PRI ", "/", "/a/b?c=d", "*", "http://h:1/p", " ", "\t", ":",
            " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/1.7\r\n", " HTTP/2.0\r\n", "\r\n", "\r\n\r\n",
            "\n", "\r", "Host: a\r\n", "Host: a b\r\n", "A: b\r\n", "A : b\r\n", "A: b\r\n c\r\n",
            "Content-Length: 5\r\n", "Content-Length: x\r\n", "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n",
        ][..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}

/// Mostly well-formed heads, here and there with a piece too many.
fn whole_head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => prop::sample::select(&[
            "GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.0\r\n", "\r\nPUT /c HTTP/1.1\r\n",
        ][..]),
        1 => Just(""),
    ];
    let field = prop_oneof![
        6 => "[A-Za-z-]{1,17}:[ \t]{0,2}[ -~]{0,20}[ \t]{0,2}\r\n".prop_map(String::into_bytes),
        1 => piece(),
    ];
    let host = prop::sample::select(&["Host: a\r\n", "Host: a\r\n", "Host: a\r\n", ""][..]);
    (line, host, prop::collection::vec(field, 0..6)).prop_map(|(line, host, fields)| {
        [line.as_bytes(), host.as_bytes(), &fields.concat(), b"\r\n"].concat()
    })
}

/// The octets of chunked bodies, in any order.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[
            "0", "1", "5", "a", "ff", "\r\n", "\r\n", "hello", ";a=b", ";a=\"b\\\"c\"", " ", "X: y",
            "\r", "\n", "0\r\n\r\n",
        ][..]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn heads(input in whole_head(), end in 0usize..250) {
        head::check(&input);
        head::check(&input[..end.min(input.len())]);
    }

    #[test]
    fn heads_of_arbitrary_pieces(pieces in prop::collection::vec(piece(), 0..14)) {
        head::check(&pieces.concat());
    }

    #[test]
    fn heads_of_arbitrary_octets(input in prop::collection::vec(any::<u8>(), 0..300)) {
        head::check(&input);
    }

    #[test]
    fn bodies(limits in any::<[u8; 2]>(), input in chunks()) {
        body::check(&[&limits, &input[..]].concat());
    }

    #[test]
    fn bodies_of_arbitrary_octets(input in prop::collection::vec(any::<u8>(), 0..200)) {
        body::check(&input);
    }
}

/// The reasons that the comparison with httparse allows are the reasons of today.
#[test]
fn httparse_still_takes_what_is_refused_here() {
    for input in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    ] {
        let mine = head::parse_cut(input, &[], &pinion::http::HeadLimits::default());
        assert!(mine.is_err(), "{input:?}");
        assert!(
            matches!(head::httparse_says(input), Ok(Some(_))),
            "{input:?}"
        );
    }
    let minor = b"GET / HTTP/1.2\r\nHost: a\r\n\r\n";
    head::check(minor);
    assert!(head::httparse_says(minor).is_err());
}
