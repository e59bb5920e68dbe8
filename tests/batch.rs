//! Micro-batching: which routes may be batched, that a batch gives each key what the declared statement
//! alone gives it, and that no client can tell that its request had company.

#[path = "batch/bounds.rs"]
mod bounds;
#[path = "batch/cases.rs"]
mod cases;
#[path = "batch/changes.rs"]
mod changes;
#[path = "batch/eligible.rs"]
mod eligible;
#[allow(dead_code)] // its own tests use the rest
#[path = "postgres/fixture.rs"]
mod fixture;
#[path = "batch/flights.rs"]
mod flights;
#[path = "batch/gated.rs"]
mod gated;
#[path = "batch/same_answers.rs"]
mod same_answers;
#[path = "batch/same_rows.rs"]
mod same_rows;
mod support;
