//! `Connection` over a scripted peer and a scripted handler: no socket, no clock, no Postgres.

mod accounts;
mod chaos;
mod deadlines;
mod ending;
mod order;
mod script;
mod splits;
mod stage;
