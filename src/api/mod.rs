//! The declared API, pure: what the routes file says, checked once, and how a request binds to it.
//!
//! [`load`] reads the file; Postgres describes each statement; [`Route::plan`] checks the one against the
//! other; [`Router::find`] and [`Plan::bind`] then serve every request without looking back at the file.

mod batch;
mod bind;
mod constraint;
mod decimal;
mod detail;
pub mod diagnostics;
mod file;
mod guards;
mod lexer;
mod literal;
mod params;
mod pinned;
mod plan;
mod planning;
mod route;
mod route_auth;
pub mod router;
mod scan;
mod settings;
pub mod sql;
mod sql_place;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
mod tree;

pub use batch::{Batch, BatchMode, BatchStatement, Keyed, TooLarge};
pub use bind::{BindFault, Bound, Input};
pub use constraint::Constraints;
pub use detail::Detail;
pub use diagnostics::{Diagnostic, Diagnostics};
pub use file::{Api, Lane, load};
pub use literal::Literal;
pub use params::{In, Param};
pub use plan::{Plan, PlanParam};
pub use route::{ResultKind, Route};
pub use router::{Captures, Found, Method, Router, Template};
pub use table::{Resolved, guard_words, table};
pub use transaction::{Setting, Settings, Transaction};
