//! Heads nobody wrote by hand: no panic, and no split that matters.

use proptest::prelude::*;

use super::*;

/// Pieces of requests, well-formed and not, that random sequences of make interesting heads.
pub(super) fn piece() -> impl Strategy<Value = Vec<u8>> {
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
pub(super) fn head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => prop::sample::select(&["GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.0\r\n", "\r\nPUT /c HTTP/1.1\r\n"][..]),
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

fn splits_do_not_matter(input: &[u8], cuts: &mut [usize]) {
    let limits = HeadLimits {
        head_bytes_max: 200,
        target_bytes_max: 40,
        headers_max: 6,
    };
    cuts.iter_mut()
        .for_each(|cut| *cut = (*cut).min(input.len()));
    cuts.sort_unstable();
    let whole = parse_cut(input, &[], &limits);
    assert_eq!(parse_cut(input, cuts, &limits), whole);
    let every: Vec<usize> = (0..=input.len()).collect();
    assert_eq!(parse_cut(input, &every, &limits), whole);
}

proptest! {
    #[test]
    fn of_arbitrary_octets(
        input in prop::collection::vec(any::<u8>(), 0..300),
        mut cuts in prop::collection::vec(0usize..300, 0..6),
    ) {
        splits_do_not_matter(&input, &mut cuts);
    }

    #[test]
    fn of_arbitrary_pieces(
        pieces in prop::collection::vec(piece(), 0..14),
        mut cuts in prop::collection::vec(0usize..300, 0..6),
    ) {
        splits_do_not_matter(&pieces.concat(), &mut cuts);
    }

    #[test]
    fn of_heads(input in head(), mut cuts in prop::collection::vec(0usize..300, 0..6)) {
        splits_do_not_matter(&input, &mut cuts);
    }
}
