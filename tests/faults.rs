//! Postgres faults under load: a real server over a real Postgres to which one thing after the other
//! happens while every kind of request is asked. Affected reads are run again once or refused, writes are
//! never repeated, no answer is wrong or another's, and all is well again within a second of Postgres
//! being back, without a restart and with each cause told once.

#[path = "faults/changed.rs"]
mod changed;
#[path = "faults/cut.rs"]
mod cut;
#[allow(dead_code)] // the tests of single faults use the rest
#[path = "postgres/fixture.rs"]
mod fixture;
#[path = "faults/frozen.rs"]
mod frozen;
#[path = "faults/full.rs"]
mod full;
#[allow(dead_code)] // those of batches use the rest
#[path = "batch/gated.rs"]
mod gated;
#[path = "faults/promoted.rs"]
mod promoted;
#[path = "faults/refused.rs"]
mod refused;
#[path = "faults/slow.rs"]
mod slow;
#[path = "faults/stopped.rs"]
mod stopped;
mod support;
