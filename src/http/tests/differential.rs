//! The same bytes for this parser and for httparse: every difference has its reason here.

use proptest::prelude::*;

use super::arbitrary::{head, piece};
use super::*;

/// What httparse says, in the terms that both have.
fn other(input: &[u8]) -> Result<Option<Said>, httparse::Error> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(bytes) = request.parse(input)? else {
        return Ok(None);
    };
    let headers = request
        .headers
        .iter()
        .map(|field| (field.name.to_owned(), field.value.to_vec()));
    Ok(Some(Said {
        bytes,
        method: Method::from_name(request.method.unwrap().as_bytes()).unwrap_or(Method::Get),
        version: if request.version == Some(0) {
            Version::Http10
        } else {
            Version::Http11
        },
        path: request.path.unwrap().to_owned(),
        query: None,
        host: None,
        content_type: None,
        framing: Framing::None,
        keep_alive: true,
        expects_continue: false,
        headers: headers.collect(),
    }))
}

/// Whether httparse, which knows lines but not what they mean, may take what this parser refuses.
fn only_refused_here(fault: Fault) -> bool {
    match fault {
        // It takes a lone LF as the end of a line, and any number of empty lines.
        Fault::BareLineFeed | Fault::EmptyLines => true,
        // It takes any token as method, and any visible or non-ASCII octets as target.
        Fault::UnknownMethod
        | Fault::FragmentInTarget
        | Fault::MalformedTarget
        | Fault::UnsupportedTargetForm
        | Fault::MisdirectedTarget => true,
        // It doesn't look into fields.
        Fault::MissingHost
        | Fault::RepeatedHost
        | Fault::InvalidHost
        | Fault::InvalidContentLength
        | Fault::RepeatedContentLength
        | Fault::AmbiguousLength
        | Fault::InvalidTransferEncoding
        | Fault::UnsupportedTransferCoding
        | Fault::UnknownExpectation => true,
        // `PRI` is a method to it; the version after it may be 1.1.
        Fault::UnsupportedVersion => true,
        _ => false,
    }
}

fn compare(input: &[u8]) {
    match (parse(input), other(input)) {
        (Ok(Some(mine)), Ok(Some(theirs))) => {
            assert_eq!(mine.bytes, theirs.bytes, "{input:?}");
            assert_eq!(mine.method, theirs.method, "{input:?}");
            assert_eq!(mine.version, theirs.version, "{input:?}");
            assert_eq!(mine.headers, theirs.headers, "{input:?}");
            let query = mine
                .query
                .map_or(String::new(), |query| format!("?{query}"));
            assert!(
                theirs.path.ends_with(&format!("{}{query}", mine.path)),
                "{input:?}"
            );
        }
        // It knows the minor versions 0 and 1 only (RFC 9110 §2.5 wants the others as 1.1).
        (Ok(_), Err(httparse::Error::Version)) => {
            let text = String::from_utf8_lossy(input);
            assert!(
                (2..=9).any(|minor| text.contains(&format!(" HTTP/1.{minor}"))),
                "{input:?}"
            );
        }
        (Ok(None), Ok(None)) => {}
        (Err(fault), Ok(_)) => assert!(only_refused_here(fault), "{fault:?}: {input:?}"),
        (Err(_), Err(_)) => {}
        (mine, theirs) => panic!("{mine:?} but {theirs:?}: {input:?}"),
    }
}

#[test]
fn known_differences_are_still_there() {
    for input in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    ] {
        assert!(
            parse(input).is_err() && matches!(other(input), Ok(Some(_))),
            "{input:?}"
        );
    }
    let minor = b"GET / HTTP/1.2\r\nHost: a\r\n\r\n";
    assert!(matches!(parse(minor), Ok(Some(_))) && other(minor).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn on_heads(input in head()) {
        compare(&input);
    }

    #[test]
    fn on_pieces(pieces in prop::collection::vec(piece(), 0..10)) {
        compare(&pieces.concat());
    }

    #[test]
    fn on_heads_cut_off(input in head(), end in 0usize..200) {
        compare(&input[..end.min(input.len())]);
    }
}
