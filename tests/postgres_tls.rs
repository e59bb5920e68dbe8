//! TLS to Postgres: the real binary and, for comparison, psql (libpq) against a real Postgres with
//! real certificates; and against servers that no real one would be.

#[path = "postgres_tls/binding.rs"]
mod binding;
#[path = "postgres_tls/client.rs"]
mod client;
#[path = "postgres_tls/fake.rs"]
mod fake;
#[path = "postgres_tls/files.rs"]
mod files;
#[allow(dead_code)] // the tests of Postgres use the rest
#[path = "postgres/fixture.rs"]
mod fixture;
#[path = "postgres_tls/modes.rs"]
mod modes;
#[path = "postgres_tls/server.rs"]
mod server;
#[path = "postgres_tls/serving.rs"]
mod serving;
mod support;
