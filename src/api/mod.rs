//! The declared API: what the routes file says, checked once and pure.

mod constraint;
mod decimal;
pub mod diagnostics;
mod file;
mod lexer;
mod params;
mod route;
pub mod router;
pub mod sql;
#[cfg(test)]
mod tests;
mod tree;

pub use constraint::{Constraints, Literal};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use file::{Api, Lane, load};
pub use params::{In, Param};
pub use route::{ResultKind, Route};
pub use router::{Captures, Found, Method, Router, Template};
