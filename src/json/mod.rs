//! Postgres binary columns → JSON bytes, and text or JSON → Postgres binary parameters.
//!
//! Pure code over bytes. Both directions are resolved once, at start-up, from the types that
//! Postgres described ([`Columns`], [`Encoder`], [`Decoder`]); a request then only walks bytes: no
//! value stands between the column and the JSON.
//!
//! What a column looks like is what `row_to_json` prints for it in a session with `TimeZone=UTC`,
//! `DateStyle=ISO`, `IntervalStyle=postgres` and `bytea_output=hex`; `tests/json_oracle.rs` holds
//! the two against each other. One case is worth knowing: `oid` is a JSON string there, and so
//! here.

mod array;
mod bytes;
mod columns;
mod composite;
mod cursor;
mod decode;
mod encode;
mod escape;
mod float;
mod interval;
mod interval_text;
mod network;
mod numeric;
mod range;
mod reader;
mod time;
mod time_text;
mod types;

#[cfg(test)]
mod tests;

pub use columns::Columns;
pub use decode::Decoder;
pub use encode::Encoder;
pub use escape::write_string;
pub use types::{DecodeFault, EncodeFault, UnsupportedType, ValueKind};

use std::error::Error;

use tokio_postgres::types::{FromSql, Type};

/// The bytes of a column as Postgres sent them, whatever its type; `None` is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(pub Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
