//! Faults of Postgres under the real server: connections that are cut, frozen or refused, tables
//! that change, statements that fail. Whatever happens, no answer is wrong or another's.

mod support;

#[path = "postgres/connections.rs"]
mod connections;
#[path = "postgres/fixture.rs"]
mod fixture;
#[path = "postgres/options.rs"]
mod options;
#[path = "postgres/outages.rs"]
mod outages;
#[path = "postgres/statements.rs"]
mod statements;
#[path = "postgres/tables.rs"]
mod tables;
