//! Raw bytes → outcome, each row with the section of the RFC that it is about.

use super::*;

/// Rows that are refused. `{H}` stands for a valid Host field, `{E}` for the rest of a valid head.
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

fn fill(raw: &str) -> Vec<u8> {
    raw.replace("{E}", "{H}\r\n")
        .replace("{H}", "Host: example.com\r\n")
        .into_bytes()
}

#[test]
fn refused() {
    for (section, raw, fault) in REFUSED {
        let outcome = parse_all_ways(&fill(raw), &HeadLimits::default());
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

fn accepted(raw: &str) -> Said {
    let input = fill(raw);
    for end in 0..input.len() {
        assert_eq!(parse(&input[..end]), Ok(None), "{raw:?} cut off at {end}");
    }
    let said = parse_all_ways(&input, &HeadLimits::default());
    let said = said
        .unwrap_or_else(|fault| panic!("{raw:?}: {fault:?}"))
        .unwrap();
    assert_eq!(said.bytes, input.len());
    said
}

#[test]
fn request_lines_that_pass() {
    for method in Method::ALL {
        let said = accepted(&format!("{} /a HTTP/1.1\r\n{{E}}", method.name()));
        assert_eq!(
            (said.method, said.version),
            (method, Version::Http11),
            "9110 §9.1"
        );
    }
    for (section, raw, version) in [
        ("9112 §2.3", "GET / HTTP/1.0\r\n\r\n", Version::Http10),
        ("9110 §2.5", "GET / HTTP/1.2\r\n{E}", Version::Http11),
        ("9110 §2.5", "GET / HTTP/1.9\r\n{E}", Version::Http11),
        ("9112 §2.2", "\r\nGET / HTTP/1.1\r\n{E}", Version::Http11),
        (
            "9112 §2.2",
            "\r\n\r\nGET / HTTP/1.1\r\n{E}",
            Version::Http11,
        ),
    ] {
        assert_eq!(accepted(raw).version, version, "RFC {section}: {raw:?}");
    }
}

#[test]
fn targets_that_pass() {
    for (section, target, path, query, host) in [
        ("9112 §3.2.1", "/", "/", None, "example.com"),
        (
            "9112 §3.2.1",
            "/a/b?c=d",
            "/a/b",
            Some("c=d"),
            "example.com",
        ),
        ("9112 §3.2.1", "/?", "/", Some(""), "example.com"),
        ("9112 §3.2.1", "/a?b?c", "/a", Some("b?c"), "example.com"),
        ("9112 §3.2.1", "//a//b", "//a//b", None, "example.com"),
        (
            "9112 §3.2.1",
            "/http://x/",
            "/http://x/",
            None,
            "example.com",
        ),
        ("3986 §2.1", "/%zz%2F%00", "/%zz%2F%00", None, "example.com"),
        (
            "(browsers)",
            "/a?b=\"{}|\\^`<>[]",
            "/a",
            Some("b=\"{}|\\^`<>[]"),
            "example.com",
        ),
        ("9112 §3.2.2", "http://other/a?b", "/a", Some("b"), "other"),
        (
            "9112 §3.2.2",
            "HTTPS://other:8443/a",
            "/a",
            None,
            "other:8443",
        ),
        ("9112 §3.2.2", "http://[::1]:80/a", "/a", None, "[::1]:80"),
        ("9112 §3.2.2", "http://other", "/", None, "other"),
        ("9112 §3.2.2", "http://other?b", "/", Some("b"), "other"),
        (
            "9112 §3.2.2",
            "http://other/a?b=http://c/@",
            "/a",
            Some("b=http://c/@"),
            "other",
        ),
    ] {
        let said = accepted(&format!("GET {target} HTTP/1.1\r\n{{E}}"));
        assert_eq!(said.path, path, "RFC {section}: {target}");
        assert_eq!(said.query.as_deref(), query, "RFC {section}: {target}");
        assert_eq!(said.host.as_deref(), Some(host), "RFC {section}: {target}");
    }
    assert_eq!(
        accepted("OPTIONS * HTTP/1.1\r\n{E}").path,
        "*",
        "9112 §3.2.4"
    );
    assert_eq!(
        accepted("OPTIONS http://a HTTP/1.1\r\n{E}").path,
        "*",
        "9112 §3.2.4"
    );
    assert_eq!(
        accepted("OPTIONS http://a?b HTTP/1.1\r\n{E}").path,
        "/",
        "9112 §3.2.4"
    );
    assert_eq!(
        accepted("OPTIONS http://a/ HTTP/1.1\r\n{E}").path,
        "/",
        "9112 §3.2.4"
    );
    assert_eq!(accepted("GET / HTTP/1.0\r\n\r\n").host, None, "9112 §3.2");
    assert_eq!(
        accepted("GET http://a/ HTTP/1.0\r\n\r\n").host.as_deref(),
        Some("a")
    );
}

#[test]
fn fields_that_pass() {
    let said = accepted(
        "GET / HTTP/1.1\r\n{H}Empty:\r\nBlank: \t \r\nTight:a\r\nWide: \t a \t b\t \r\n\
         Obs: caf\u{e9}\r\n!#$%&'*+-.^_`|~0aZ: token\r\nTwice: 1\r\nTWICE: 2\r\n\r\n",
    );
    let values = |name: &str| -> Vec<&[u8]> {
        let named = said.headers.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_slice()).collect()
    };
    assert_eq!(said.headers.len(), 9);
    assert_eq!(values("Empty"), [b""], "9112 §5");
    assert_eq!(values("Blank"), [b""], "9110 §5.5");
    assert_eq!(values("Tight"), [b"a"], "9112 §5.1");
    assert_eq!(values("Wide"), [b"a \t b"], "9112 §5.1");
    assert_eq!(values("Obs"), ["caf\u{e9}".as_bytes()], "9110 §5.5");
    assert_eq!(values("!#$%&'*+-.^_`|~0aZ"), [b"token"], "9110 §5.6.2");

    let input =
        fill("GET / HTTP/1.1\r\n{H}Content-Type: application/JSON ; a=b\r\nX-Id: 7\r\n\r\n");
    let mut head = Head::new();
    assert_eq!(
        head.parse(&input, &HeadLimits::default()),
        Ok(Parsed::Complete)
    );
    let request = head.request(&input);
    assert_eq!(request.header("x-ID"), Some(&b"7"[..]), "9110 §5.1");
    assert_eq!(request.header("x-i"), None);
    assert_eq!(request.header("content-type"), request.content_type());
    assert_eq!(
        request.media_type(),
        Some(&b"application/JSON"[..]),
        "9110 §8.3.1"
    );
    assert_eq!(request.headers().len(), 3);
}

#[test]
fn framing_that_passes() {
    for (section, fields, framing) in [
        ("9112 §6.3", "", Framing::None),
        ("9112 §6.3", "Content-Length: 0\r\n", Framing::Length(0)),
        ("9110 §8.6", "Content-Length: 007\r\n", Framing::Length(7)),
        ("9110 §8.6", "CONTENT-LENGTH:\t42 \r\n", Framing::Length(42)),
        (
            "9110 §8.6",
            "Content-Length: 18446744073709551615\r\n",
            Framing::Length(u64::MAX),
        ),
        (
            "9112 §7.1",
            "Transfer-Encoding: chunked\r\n",
            Framing::Chunked,
        ),
        (
            "9112 §7",
            "transfer-encoding: CHUNKED \r\n",
            Framing::Chunked,
        ),
        (
            "(no such field)",
            "Content_Length: x\r\nX-Content-Length: x\r\n",
            Framing::None,
        ),
    ] {
        let said = accepted(&format!("POST / HTTP/1.1\r\n{fields}{{E}}"));
        assert_eq!(said.framing, framing, "RFC {section}: {fields:?}");
    }
}

#[test]
fn persistence() {
    for (section, version, fields, keep_alive) in [
        ("9112 §9.3", "1.1", "", true),
        ("9112 §9.3", "1.1", "Connection: close\r\n", false),
        ("9112 §9.3", "1.1", "Connection: Close\r\n", false),
        ("9112 §9.3", "1.1", "Connection: keep-alive\r\n", true),
        (
            "9112 §9.3",
            "1.1",
            "Connection: foo, \tclose ,bar\r\n",
            false,
        ),
        (
            "9112 §9.3",
            "1.1",
            "Connection: foo\r\nConnection: close\r\n",
            false,
        ),
        (
            "9112 §9.3",
            "1.1",
            "Connection: closed, not-close\r\n",
            true,
        ),
        ("9112 §9.3", "1.1", "Connection:\r\n", true),
        ("9112 §9.3", "1.0", "", false),
        ("9112 §9.3", "1.0", "Connection: Keep-Alive\r\n", true),
        (
            "9112 §9.3",
            "1.0",
            "Connection: keep-alive, close\r\n",
            false,
        ),
        (
            "9112 §9.3",
            "1.0",
            "Connection: close\r\nConnection: keep-alive\r\n",
            false,
        ),
    ] {
        let said = accepted(&format!("GET / HTTP/{version}\r\n{fields}{{E}}"));
        assert_eq!(
            said.keep_alive, keep_alive,
            "RFC {section}: {version} {fields:?}"
        );
    }
}

#[test]
fn what_the_answer_says_of_the_connection() {
    use crate::http::Persistence;
    for (raw, closing, persistence) in [
        ("GET / HTTP/1.1\r\n{E}", false, Persistence::Implied),
        ("GET / HTTP/1.1\r\n{E}", true, Persistence::Close),
        (
            "GET / HTTP/1.1\r\nConnection: close\r\n{E}",
            false,
            Persistence::Close,
        ),
        ("GET / HTTP/1.0\r\n{E}", false, Persistence::Close),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n{E}",
            false,
            Persistence::KeepAlive,
        ),
        (
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n{E}",
            true,
            Persistence::Close,
        ),
    ] {
        let mut head = Head::new();
        assert_eq!(
            head.parse(&fill(raw), &HeadLimits::default()),
            Ok(Parsed::Complete)
        );
        assert_eq!(head.persistence(closing), persistence, "{raw:?} {closing}");
    }
}

#[test]
fn expectations() {
    for (section, raw, expects) in [
        (
            "9110 §10.1.1",
            "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n{E}",
            true,
        ),
        (
            "9110 §10.1.1",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n{E}",
            true,
        ),
        (
            "9110 §10.1.1",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n{E}",
            false,
        ),
        (
            "9110 §10.1.1",
            "PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n{E}",
            false,
        ),
        (
            "9110 §10.1.1",
            "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n{E}",
            false,
        ),
        (
            "9110 §10.1.1",
            "PUT / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n{E}",
            false,
        ),
    ] {
        assert_eq!(
            accepted(raw).expects_continue,
            expects,
            "RFC {section}: {raw:?}"
        );
    }
}

#[test]
fn pipelined_requests_back_to_back() {
    let stream = fill(
        "GET /1 HTTP/1.1\r\n{E}POST /2 HTTP/1.1\r\nContent-Length: 5\r\n{H}\r\nhello\r\n\
         PUT /3 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{H}\r\n2\r\nhi\r\n0\r\n\r\n\
         DELETE /4 HTTP/1.1\r\nConnection: close\r\n{E}",
    );
    let mut head = Head::new();
    let (mut rest, mut seen) = (stream.as_slice(), Vec::new());
    while !rest.is_empty() {
        assert!(head.is_idle());
        assert_eq!(
            head.parse(rest, &HeadLimits::default()),
            Ok(Parsed::Complete)
        );
        let path = head.request(rest).path().to_owned();
        rest = &rest[head.len()..];
        let mut body = Vec::new();
        let mut decoder = crate::http::BodyDecoder::new(head.framing(), 16).unwrap();
        let progress = decoder.decode(rest, &mut body).unwrap();
        assert!(progress.done);
        rest = &rest[progress.consumed..];
        seen.push((
            head.method(),
            path,
            String::from_utf8(body).unwrap(),
            head.keep_alive(),
        ));
        head.reset();
    }
    assert_eq!(
        seen,
        [
            (Method::Get, "/1".into(), String::new(), true),
            (Method::Post, "/2".into(), "hello".into(), true),
            (Method::Put, "/3".into(), "hi".into(), true),
            (Method::Delete, "/4".into(), String::new(), false),
        ]
    );
}
