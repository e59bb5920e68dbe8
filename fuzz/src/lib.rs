//! What must hold whatever comes in: one module per fuzz target, each with a `check` that panics when
//! its property does not.
//!
//! The targets in `fuzz_targets/` call these with what libFuzzer makes up, `tests/fuzz_corpus.rs`
//! with the kept corpus and with proptest's inputs, on the stable compiler and without libFuzzer. So
//! nothing here may need either.

pub mod binding;
pub mod body;
pub mod head;
pub mod json;
pub mod routes;
pub mod sql;

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
];
