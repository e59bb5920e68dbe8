//! Raw bytes → request, each row with the section of the RFC that it is about.

use super::*;

fn accepted(raw: &str) -> Said {
    let input = fill(raw);
    for end in 0..input.len() {
        assert_eq!(parse(&input[..end]), Ok(None), "{raw:?} cut off at {end}");
    }
    let said = splits_do_not_matter(&input, &HeadLimits::default());
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
            "HTTP://other:8443/a",
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
fn an_origin_is_the_only_one() {
    for (fields, origin) in [
        ("", None),
        ("Origins: a\r\n", None),
        ("oRIGIN:  https://a.example \r\n", Some("https://a.example")),
        ("Origin: null\r\n", Some("null")),
        ("Origin:\r\n", Some("")),
        (
            "Origin: https://a.example\r\norigin: https://b.example\r\n",
            Some(""),
        ),
        ("Origin: a\r\norigin: a\r\norigin: a\r\n", Some("")),
    ] {
        let input = fill(&format!("GET / HTTP/1.1\r\n{{H}}{fields}\r\n"));
        let mut head = Head::new();
        let parsed = head.parse(&input, &HeadLimits::default());
        assert_eq!(parsed, Ok(Parsed::Complete));
        let found = head.request(&input).origin();
        assert_eq!(found, origin.map(str::as_bytes), "{fields}");
    }
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
