//! Single faults of Postgres under the real server: connections that are cut or replaced, tables that
//! change, statements that fail. What happens under the load of every kind of request is in `faults.rs`.

mod support;

#[path = "postgres/connections.rs"]
mod connections;
#[allow(dead_code)] // the tests of batches and of loads use the rest
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
