//! What must hold whatever comes in: one module per fuzz target, each with a `check` that panics when
//! its property does not.
//!
//! The targets in `fuzz_targets/` call these with what libFuzzer makes up, `tests/fuzz_corpus.rs`
//! with the kept corpus and with proptest's inputs, on the stable compiler and without libFuzzer. So
//! nothing here may need either.

pub mod binding;
pub mod body;
pub mod forwarded;
pub mod head;
pub mod json;
pub mod origins;
pub mod redis;
pub mod routes;
pub mod sql;
pub mod tokens;

use pinion::http::{Head, HeadLimits, Parsed};

/// Calls `see` with a request that has these lines, if one may have them.
fn with_request(lines: &[u8], see: impl FnOnce(&pinion::http::Request<'_>)) {
    let input = [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat();
    let mut head = Head::new();
    let parsed = head.parse(&input, &HeadLimits::default());
    // The lines may hold the end of a head.
    if parsed == Ok(Parsed::Complete) && head.len() == input.len() {
        see(&head.request(&input));
    }
}

/// Panics when the property of a target does not hold for an input.
pub type Check = fn(&[u8]);

/// The targets by name: the names of their corpora in `fuzz/corpus/`.
pub const TARGETS: &[(&str, Check)] = &[
    ("head", head::check),
    ("body", body::check),
    ("routes", routes::check),
    ("sql", sql::check),
    ("binding", binding::check),
    ("json", json::check),
    ("redis", redis::check),
    ("tokens", tokens::check),
    ("forwarded", forwarded::check),
    ("origins", origins::check),
];
