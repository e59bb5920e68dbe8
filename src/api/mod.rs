//! The declared API: what the routes file says, checked once and pure.

pub mod diagnostics;
mod lexer;
pub mod sql;
mod tree;
