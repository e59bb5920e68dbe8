//! Tests of the parser at its boundary: raw bytes in, outcome out.

mod accepted;
mod body;
#[path = "../../../fuzz/src/body.rs"]
#[allow(dead_code)] // the fuzz targets use all of it
mod fuzz_body;
#[path = "../../../fuzz/src/head.rs"]
#[allow(dead_code)]
mod fuzz_head;
mod limits;
mod refused;

use super::{Fault, Framing, Head, HeadLimits, Method, Parsed, Version};
use fuzz_head::{Said, parse_cut, said, splits_do_not_matter};

fn parse(input: &[u8]) -> Result<Option<Said>, Fault> {
    parse_cut(input, &[], &HeadLimits::default())
}

/// Bytes of a row: `{H}` stands for a valid Host field, `{E}` for it and the end of the head.
fn fill(raw: &str) -> Vec<u8> {
    raw.replace("{E}", "{H}\r\n")
        .replace("{H}", "Host: example.com\r\n")
        .into_bytes()
}
