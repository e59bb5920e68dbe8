//! Raw bytes → fault, each row with the section of the RFC that it is about.

use super::*;

/// Rows as [`fill`] takes them.
const REFUSED: &[(&str, &str, Fault)] = &[
    // Empty lines and line ends
    (
        "9112 §2.2",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\n{E}",
        Fault::EmptyLines,
    ),
    ("9112 §2.2", "\nGET / HTTP/1.1\r\n{E}", Fault::BareLineFeed),
    (
        "9112 §2.2",
        "\rGET / HTTP/1.1\r\n{E}",
        Fault::BareCarriageReturn,
    ),
    ("9112 §2.2", "GET / HTTP/1.1\n{E}", Fault::BareLineFeed),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r{E}",
        Fault::BareCarriageReturn,
    ),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\r\n{E}",
        Fault::BareCarriageReturn,
    ),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\nA: b\n{E}",
        Fault::BareLineFeed,
    ),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\nA: b\r{E}",
        Fault::BareCarriageReturn,
    ),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\nA: b\rc\r\n{E}",
        Fault::BareCarriageReturn,
    ),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\nA: b\nc\r\n{E}",
        Fault::BareLineFeed,
    ),
    ("9112 §2.2", "GET / HTTP/1.1\r\n{H}\n", Fault::BareLineFeed),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\n{H}\rx",
        Fault::BareCarriageReturn,
    ),
    (
        "9112 §2.2",
        "GET / HTTP/1.1\r\n A: b\r\n{E}",
        Fault::FoldedLine,
    ),
    // Method
    ("9112 §3", " GET / HTTP/1.1\r\n{E}", Fault::MalformedMethod),
    ("9112 §3", "\tGET / HTTP/1.1\r\n{E}", Fault::MalformedMethod),
    ("9112 §3", "GET\r\n{E}", Fault::MalformedMethod),
    ("9112 §3", "GET\t/ HTTP/1.1\r\n{E}", Fault::MalformedMethod),
    (
        "9112 §3",
        "G\u{0}T / HTTP/1.1\r\n{E}",
        Fault::MalformedMethod,
    ),
    ("9112 §3", "GET\n", Fault::BareLineFeed),
    (
        "9112 §3",
        "G\u{e9}T / HTTP/1.1\r\n{E}",
        Fault::MalformedMethod,
    ),
    (
        "8446 §5.1 (TLS to the plain port)",
        "\u{16}\u{3}\u{1}",
        Fault::MalformedMethod,
    ),
    ("9110 §9.1", "get / HTTP/1.1\r\n{E}", Fault::UnknownMethod),
    ("9110 §9.1", "FROB / HTTP/1.1\r\n{E}", Fault::UnknownMethod),
    (
        "9110 §9.3.6",
        "CONNECT example.com:80 HTTP/1.1\r\n{E}",
        Fault::UnknownMethod,
    ),
    (
        "9110 §9.3.8",
        "TRACE / HTTP/1.1\r\n{E}",
        Fault::UnknownMethod,
    ),
    // Target
    ("9112 §3", "GET  / HTTP/1.1\r\n{E}", Fault::MalformedTarget),
    ("9112 §3", "GET /\t HTTP/1.1\r\n{E}", Fault::MalformedTarget),
    (
        "9112 §3",
        "GET /\u{b}HTTP/1.1\r\n{E}",
        Fault::MalformedTarget,
    ),
    (
        "9112 §3.2",
        "GET /\u{0} HTTP/1.1\r\n{E}",
        Fault::MalformedTarget,
    ),
    (
        "9112 §3.2",
        "GET /\u{7f} HTTP/1.1\r\n{E}",
        Fault::MalformedTarget,
    ),
    (
        "9112 §3.2",
        "GET /caf\u{e9} HTTP/1.1\r\n{E}",
        Fault::MalformedTarget,
    ),
    (
        "9112 §3.2",
        "GET /a b HTTP/1.1\r\n{E}",
        Fault::MalformedVersion,
    ),
    (
        "9110 §7.1",
        "GET /a#b HTTP/1.1\r\n{E}",
        Fault::FragmentInTarget,
    ),
    (
        "9110 §7.4",
        "GET https://example.com/ HTTP/1.1\r\n{E}",
        Fault::MisdirectedTarget,
    ),
    (
        "9112 §3.2.1",
        "GET users/1 HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9112 §3.2.1",
        "GET ?a=b HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9112 §3.2.3",
        "GET example.com:80 HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9112 §3.2.4",
        "GET * HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9112 §3.2.4",
        "OPTIONS *a HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9112 §3.2.2",
        "GET ftp://example.com/ HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9112 §3.2.2",
        "GET http:/example.com/ HTTP/1.1\r\n{E}",
        Fault::UnsupportedTargetForm,
    ),
    (
        "9110 §4.2.1",
        "GET http:///path HTTP/1.1\r\n{E}",
        Fault::InvalidHost,
    ),
    (
        "9110 §4.2.4",
        "GET http://user@example.com/ HTTP/1.1\r\n{E}",
        Fault::InvalidHost,
    ),
    (
        "3986 §3.2.3",
        "GET http://example.com:port/ HTTP/1.1\r\n{E}",
        Fault::InvalidHost,
    ),
    // Version
    ("9112 §3 (HTTP/0.9)", "GET /\r\n", Fault::MissingVersion),
    ("9112 §3 (HTTP/0.9)", "GET /\n", Fault::BareLineFeed),
    ("9112 §3", "GET / \r\n{E}", Fault::MalformedVersion),
    ("9112 §3", "GET / \n", Fault::BareLineFeed),
    (
        "9112 §2.3",
        "GET / http/1.1\r\n{E}",
        Fault::MalformedVersion,
    ),
    ("9112 §2.3", "GET / HTTP/1\r\n{E}", Fault::MalformedVersion),
    ("9112 §2.3", "GET / HTTP/1.\r\n{E}", Fault::MalformedVersion),
    (
        "9112 §2.3",
        "GET / HTTP/11.1\r\n{E}",
        Fault::MalformedVersion,
    ),
    (
        "9112 §2.3",
        "GET / HTTP/1.10\r\n{E}",
        Fault::MalformedVersion,
    ),
    (
        "9112 §2.3",
        "GET / HTTP/1,1\r\n{E}",
        Fault::MalformedVersion,
    ),
    (
        "9112 §2.3",
        "GET / HTTP/x.1\r\n{E}",
        Fault::MalformedVersion,
    ),
    ("9112 §3", "GET / HTTP/1.1 \r\n{E}", Fault::MalformedVersion),
    ("9112 §3", "GET /  HTTP/1.1\r\n{E}", Fault::MalformedVersion),
    ("9112 §3", "GET / HTTP/1.1x\r\n{E}", Fault::MalformedVersion),
    (
        "9110 §15.6.6",
        "GET / HTTP/2.0\r\n{E}",
        Fault::UnsupportedVersion,
    ),
    (
        "9110 §15.6.6",
        "GET / HTTP/0.9\r\n{E}",
        Fault::UnsupportedVersion,
    ),
    (
        "9113 §3.4",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Fault::UnsupportedVersion,
    ),
    // Field lines
    (
        "9112 §5.1",
        "GET / HTTP/1.1\r\nHost : a\r\n{E}",
        Fault::WhitespaceBeforeColon,
    ),
    (
        "9112 §5.1",
        "GET / HTTP/1.1\r\nHost\t: a\r\n{E}",
        Fault::WhitespaceBeforeColon,
    ),
    (
        "9112 §5.2",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n{E}",
        Fault::FoldedLine,
    ),
    (
        "9112 §5.2",
        "GET / HTTP/1.1\r\nA: b\r\n\tc\r\n{E}",
        Fault::FoldedLine,
    ),
    (
        "9112 §5.2",
        "GET / HTTP/1.1\r\n{H} \r\n\r\n",
        Fault::FoldedLine,
    ),
    (
        "9112 §5",
        "GET / HTTP/1.1\r\n: b\r\n{E}",
        Fault::MalformedFieldName,
    ),
    (
        "9112 §5",
        "GET / HTTP/1.1\r\nA\r\n{E}",
        Fault::MalformedFieldName,
    ),
    ("9112 §5", "GET / HTTP/1.1\r\nA\n", Fault::BareLineFeed),
    (
        "9112 §5",
        "GET / HTTP/1.1\r\nA=b\r\n{E}",
        Fault::MalformedFieldName,
    ),
    (
        "9112 §5",
        "GET / HTTP/1.1\r\n\u{e9}: b\r\n{E}",
        Fault::MalformedFieldName,
    ),
    (
        "9112 §5",
        "GET / HTTP/1.1\r\nA\u{0}: b\r\n{E}",
        Fault::MalformedFieldName,
    ),
    (
        "9112 §5",
        "GET / HTTP/1.1\r\n\u{b}A: b\r\n{E}",
        Fault::MalformedFieldName,
    ),
    (
        "9110 §5.5",
        "GET / HTTP/1.1\r\nA: b\u{0}\r\n{E}",
        Fault::MalformedFieldValue,
    ),
    (
        "9110 §5.5",
        "GET / HTTP/1.1\r\nA: \u{b}b\r\n{E}",
        Fault::MalformedFieldValue,
    ),
    (
        "9110 §5.5",
        "GET / HTTP/1.1\r\nA: b\u{7f}\r\n{E}",
        Fault::MalformedFieldValue,
    ),
    // Host
    ("9112 §3.2", "GET / HTTP/1.1\r\n\r\n", Fault::MissingHost),
    (
        "9112 §3.2",
        "GET http://a/ HTTP/1.1\r\n\r\n",
        Fault::MissingHost,
    ),
    (
        "9112 §3.2",
        "GET / HTTP/1.1\r\n{H}{H}\r\n",
        Fault::RepeatedHost,
    ),
    (
        "9112 §3.2",
        "GET / HTTP/1.0\r\n{H}{H}\r\n",
        Fault::RepeatedHost,
    ),
    (
        "9112 §3.2",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        Fault::InvalidHost,
    ),
    (
        "9112 §3.2",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        Fault::InvalidHost,
    ),
    (
        "9112 §3.2",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        Fault::InvalidHost,
    ),
    (
        "9110 §7.2",
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        Fault::InvalidHost,
    ),
    (
        "9110 §7.2",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        Fault::InvalidHost,
    ),
    (
        "9110 §7.2",
        "GET / HTTP/1.0\r\nHost: a:b\r\n\r\n",
        Fault::InvalidHost,
    ),
    // Length of the body
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length:\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length: -5\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length: 5 5\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9110 §8.6",
        "POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n{E}",
        Fault::InvalidContentLength,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\ncontent-length: 5\r\n{E}",
        Fault::RepeatedContentLength,
    ),
    (
        "9112 §6.1",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n{E}",
        Fault::AmbiguousLength,
    ),
    (
        "9112 §6.1",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n{E}",
        Fault::AmbiguousLength,
    ),
    (
        "9112 §6.1",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §6.1",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §6.1",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n{E}",
        Fault::UnsupportedTransferCoding,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §6.3",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked;q=1\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding: ,chunked\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding:\r\n{E}",
        Fault::InvalidTransferEncoding,
    ),
    (
        "9112 §7",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \u{b}chunked\r\n{E}",
        Fault::MalformedFieldValue,
    ),
    // Expect
    (
        "9110 §10.1.1",
        "PUT / HTTP/1.1\r\nExpect: 200-maybe\r\n{E}",
        Fault::UnknownExpectation,
    ),
    (
        "9110 §10.1.1",
        "PUT / HTTP/1.1\r\nExpect:\r\n{E}",
        Fault::UnknownExpectation,
    ),
    (
        "9110 §10.1.1",
        "PUT / HTTP/1.1\r\nExpect: 100-continue, x\r\n{E}",
        Fault::UnknownExpectation,
    ),
];

#[test]
fn refused() {
    for (section, raw, fault) in REFUSED {
        let outcome = splits_do_not_matter(&fill(raw), &HeadLimits::default());
        assert_eq!(outcome, Err(*fault), "RFC {section}: {raw:?}");
    }
}

#[test]
fn every_fault_of_a_head_has_a_row() {
    use Fault::*;
    // TargetTooLong, TooManyFields and HeadTooLarge are in limits.rs.
    let all = [
        EmptyLines,
        BareCarriageReturn,
        BareLineFeed,
        MalformedMethod,
        UnknownMethod,
        MalformedTarget,
        FragmentInTarget,
        UnsupportedTargetForm,
        MisdirectedTarget,
        MissingVersion,
        MalformedVersion,
        UnsupportedVersion,
        MalformedFieldName,
        WhitespaceBeforeColon,
        FoldedLine,
        MalformedFieldValue,
        MissingHost,
        RepeatedHost,
        InvalidHost,
        InvalidContentLength,
        RepeatedContentLength,
        AmbiguousLength,
        InvalidTransferEncoding,
        UnsupportedTransferCoding,
        UnknownExpectation,
    ];
    for fault in all {
        assert!(
            REFUSED.iter().any(|(_, _, refused)| *refused == fault),
            "{fault:?}"
        );
    }
}

#[test]
fn statuses() {
    for (fault, status) in [
        (Fault::BareLineFeed, 400),
        (Fault::AmbiguousLength, 400),
        (Fault::InvalidTransferEncoding, 400),
        (Fault::MissingVersion, 400),
        (Fault::BodyTooLarge, 413),
        (Fault::TargetTooLong, 414),
        (Fault::UnknownExpectation, 417),
        (Fault::MisdirectedTarget, 421),
        (Fault::HeadTooLarge, 431),
        (Fault::TooManyFields, 431),
        (Fault::TrailersTooLarge, 431),
        (Fault::UnknownMethod, 501),
        (Fault::UnsupportedTransferCoding, 501),
        (Fault::UnsupportedVersion, 505),
    ] {
        assert_eq!(fault.status(), status, "{fault:?}");
        assert!(!fault.message().is_empty());
    }
}
