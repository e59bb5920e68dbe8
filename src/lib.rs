//! Pinion: Postgres on the web as a JSON API, one pinned io_uring executor per CPU core.
//!
//! The modules stand in the order in which a request meets them; `ARCHITECTURE.md` walks one
//! request through the files.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod limits;

pub mod http;

pub mod api;

pub mod guard;

pub mod json;

pub mod pg;

pub mod ring;

pub mod server;

pub mod demo;
