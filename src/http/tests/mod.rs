//! Tests of the parser at its boundary: raw bytes in, outcome out.

mod accepted;
mod arbitrary;
mod body;
mod differential;
mod limits;
mod refused;

use super::{Fault, Framing, Head, HeadLimits, Method, Parsed, Version};

/// Everything that a complete head says, in values of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    bytes: usize,
    method: Method,
    version: Version,
    path: String,
    query: Option<String>,
    host: Option<String>,
    content_type: Option<Vec<u8>>,
    framing: Framing,
    keep_alive: bool,
    expects_continue: bool,
    headers: Vec<(String, Vec<u8>)>,
}

fn said(head: &Head, input: &[u8]) -> Said {
    let request = head.request(input);
    Said {
        bytes: head.len(),
        method: request.method(),
        version: request.version(),
        path: request.path().to_owned(),
        query: request.query().map(str::to_owned),
        host: request.host().map(str::to_owned),
        content_type: request.content_type().map(<[u8]>::to_vec),
        framing: head.framing(),
        keep_alive: head.keep_alive(),
        expects_continue: head.expects_continue(),
        headers: request
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect(),
    }
}

/// Parses `input` as it arrives in pieces that end at `cuts`; `None` while incomplete.
///
/// Every piece comes in a buffer of its own, so that a place remembered by address would show.
fn parse_cut(input: &[u8], cuts: &[usize], limits: &HeadLimits) -> Result<Option<Said>, Fault> {
    let mut head = Head::new();
    for &cut in cuts.iter().chain([&input.len()]) {
        let arrived = input[..cut].to_vec();
        match head.parse(&arrived, limits) {
            Ok(Parsed::Partial) => assert!(head.len() <= cut),
            Ok(Parsed::Complete) => {
                assert_eq!(
                    head.parse(&arrived, limits),
                    Ok(Parsed::Complete),
                    "stays complete"
                );
                return Ok(Some(said(&head, &arrived)));
            }
            Err(fault) => {
                assert_eq!(head.parse(input, limits), Err(fault), "stays failed");
                return Err(fault);
            }
        }
    }
    Ok(None)
}

fn parse(input: &[u8]) -> Result<Option<Said>, Fault> {
    parse_cut(input, &[], &HeadLimits::default())
}

/// Parses whole, cut at every place, and byte by byte: always the same.
fn parse_all_ways(input: &[u8], limits: &HeadLimits) -> Result<Option<Said>, Fault> {
    let whole = parse_cut(input, &[], limits);
    for cut in 0..=input.len() {
        assert_eq!(
            parse_cut(input, &[cut], limits),
            whole,
            "cut at {cut} of {input:?}"
        );
    }
    let every: Vec<usize> = (0..=input.len()).collect();
    assert_eq!(
        parse_cut(input, &every, limits),
        whole,
        "byte by byte of {input:?}"
    );
    whole
}

/// Bytes of a row: `{H}` stands for a valid Host field, `{E}` for it and the end of the head.
fn fill(raw: &str) -> Vec<u8> {
    raw.replace("{E}", "{H}\r\n")
        .replace("{H}", "Host: example.com\r\n")
        .into_bytes()
}
