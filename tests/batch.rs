//! Micro-batching as the database sees it: which routes may be batched, and that a batch gives each key
//! what the declared statement alone gives it.

#[path = "batch/cases.rs"]
mod cases;
#[path = "batch/eligible.rs"]
mod eligible;
#[path = "batch/same_rows.rs"]
mod same_rows;
mod support;
