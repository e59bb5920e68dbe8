//! Pinion: Postgres on the web as a JSON API, one pinned io_uring executor per CPU core.
//!
//! First how it starts, then the modules in the order in which a request meets them;
//! `ARCHITECTURE.md` walks one request through the files.

#![deny(unsafe_code)]
#![warn(missing_docs)]
#![warn(
    clippy::cloned_instead_of_copied,
    clippy::manual_let_else,
    clippy::needless_pass_by_value,
    clippy::redundant_closure_for_method_calls,
    clippy::semicolon_if_nothing_returned,
    clippy::undocumented_unsafe_blocks,
    clippy::uninlined_format_args,
    clippy::unused_self,
    clippy::unwrap_used
)]

// The unit tests share code with `fuzz/`, which knows the crate by its name.
#[cfg(test)]
extern crate self as pinion;

pub mod cli;
pub mod config;
pub mod run;

pub mod check;
pub mod demo;
pub mod upgrade;

pub mod server;

pub mod ring;

pub mod tls;

pub mod http;

pub mod api;

pub mod guard;

pub mod pg;

pub mod redis;

pub mod json;

pub mod metrics;

pub mod log;

pub mod report;

pub mod admin;

pub mod error;

pub mod channel;
pub mod duration;
pub mod limits;
pub mod random;
pub mod told;
