//! The handbook: its commands are run under the faults that they are for, and what it names is there.

mod support;

#[path = "docs/alerts.rs"]
mod alerts;
#[path = "docs/facts.rs"]
mod facts;
#[path = "docs/follow.rs"]
mod follow;
#[path = "docs/host.rs"]
mod host;
#[path = "docs/others.rs"]
mod others;
