//! One binary column → one JSON value.

use tokio_postgres::types::Type;

use super::reader::exactly;
use super::time::Style;
use super::types::{Scalar, Shape};
use super::{
    EncodeFault, UnsupportedType, array, bytes, composite, escape, float, interval, network,
    numeric, range, time,
};

/// Turns columns of one type into JSON.
#[derive(Clone, Debug)]
pub struct Encoder {
    shape: Shape,
}

impl Encoder {
    /// Resolves a type with everything inside it, once.
    pub fn resolve(ty: &Type) -> Result<Encoder, UnsupportedType> {
        Ok(Encoder {
            shape: Shape::resolve(ty)?,
        })
    }

    /// The JSON type of a value that is not null: `integer`, `number`, `string`, `boolean`,
    /// `array of integer`, `object`, `any`.
    pub fn json_type(&self) -> String {
        self.shape.json_type()
    }

    /// Appends one column; `None` is NULL. After a fault `out` may hold a part of the value.
    pub fn encode(&self, raw: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        match raw {
            Some(raw) => shape_json(&self.shape, raw, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }
}

/// Appends a value that is not NULL.
pub(super) fn shape_json(shape: &Shape, raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    match shape {
        Shape::Scalar(scalar) => scalar_json(*scalar, raw, out),
        Shape::Enum(_) => {
            escape::write_string(utf8(raw)?, out);
            Ok(())
        }
        Shape::Array(element) => array::write_json(&element.shape, raw, out),
        Shape::Range(bound) => range::write_json(*bound, raw, out),
        Shape::Multirange(bound) => range::write_multirange_json(*bound, raw, out),
        Shape::Composite(members) => composite::write_json(members, raw, out),
    }
}

/// Appends what the type's output function prints, without quotes or escapes.
pub(super) fn scalar_text(
    scalar: Scalar,
    raw: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeFault> {
    match scalar {
        Scalar::Bool => out.push(if boolean(raw)? { b't' } else { b'f' }),
        Scalar::Int2 => write_integer(i16::from_be_bytes(exactly(raw)?), out),
        Scalar::Int4 => write_integer(i32::from_be_bytes(exactly(raw)?), out),
        Scalar::Int8 => write_integer(i64::from_be_bytes(exactly(raw)?), out),
        Scalar::Oid => write_integer(u32::from_be_bytes(exactly(raw)?), out),
        Scalar::Float4 => float::write_text(f32::from_be_bytes(exactly(raw)?), out),
        Scalar::Float8 => float::write_text(f64::from_be_bytes(exactly(raw)?), out),
        Scalar::Numeric => numeric::write_text(raw, out)?,
        Scalar::Text | Scalar::Name => out.extend_from_slice(utf8(raw)?.as_bytes()),
        Scalar::Json => out.extend_from_slice(json_text(raw)?.as_bytes()),
        Scalar::Jsonb => out.extend_from_slice(jsonb_text(raw)?.as_bytes()),
        Scalar::Char => {
            let mut room = [0; 4];
            let len = bytes::char_text(raw, &mut room)?;
            out.extend_from_slice(&room[..len]);
        }
        Scalar::Uuid => {
            let uuid = uuid::Uuid::from_bytes(exactly(raw)?);
            let mut room = [0; uuid::fmt::Hyphenated::LENGTH];
            out.extend_from_slice(uuid.hyphenated().encode_lower(&mut room).as_bytes());
        }
        Scalar::Date => time::write_date(raw, out)?,
        Scalar::Time => time::write_time(raw, out)?,
        Scalar::TimeTz => time::write_time_tz(raw, out)?,
        Scalar::Timestamp => time::write_timestamp(raw, Style::Text, false, out)?,
        Scalar::TimestampTz => time::write_timestamp(raw, Style::Text, true, out)?,
        Scalar::Interval => interval::write_text(raw, out)?,
        Scalar::Bytea => {
            out.extend_from_slice(b"\\x");
            bytes::write_hex(raw, out);
        }
        Scalar::Inet | Scalar::Cidr => network::write_inet(raw, out)?,
        Scalar::MacAddr => network::write_mac::<6>(exactly(raw)?, out),
        Scalar::MacAddr8 => network::write_mac::<8>(exactly(raw)?, out),
    }
    Ok(())
}

fn scalar_json(scalar: Scalar, raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    match scalar {
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 | Scalar::Json | Scalar::Jsonb => {
            scalar_text(scalar, raw, out)
        }
        Scalar::Text | Scalar::Name => {
            escape::write_string(utf8(raw)?, out);
            Ok(())
        }
        Scalar::Bool => {
            out.extend_from_slice(if boolean(raw)? { b"true" } else { b"false" });
            Ok(())
        }
        Scalar::Float4 => {
            float::write_json(f32::from_be_bytes(exactly(raw)?), out);
            Ok(())
        }
        Scalar::Float8 => {
            float::write_json(f64::from_be_bytes(exactly(raw)?), out);
            Ok(())
        }
        Scalar::Numeric => numeric::write_json(raw, out),
        Scalar::Timestamp | Scalar::TimestampTz => {
            out.push(b'"');
            time::write_timestamp(raw, Style::Json, scalar == Scalar::TimestampTz, out)?;
            out.push(b'"');
            Ok(())
        }
        Scalar::Bytea => {
            out.extend_from_slice(b"\"\\\\x");
            bytes::write_hex(raw, out);
            out.push(b'"');
            Ok(())
        }
        Scalar::Char => {
            let mut room = [0; 4];
            let len = bytes::char_text(raw, &mut room)?;
            escape::write_string(utf8(&room[..len])?, out);
            Ok(())
        }
        // Digits, letters and punctuation that JSON does not escape.
        Scalar::Oid
        | Scalar::Uuid
        | Scalar::Date
        | Scalar::Time
        | Scalar::TimeTz
        | Scalar::Interval
        | Scalar::Inet
        | Scalar::Cidr
        | Scalar::MacAddr
        | Scalar::MacAddr8 => {
            out.push(b'"');
            scalar_text(scalar, raw, out)?;
            out.push(b'"');
            Ok(())
        }
    }
}

fn boolean(raw: &[u8]) -> Result<bool, EncodeFault> {
    match exactly(raw)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(EncodeFault::Malformed),
    }
}

fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn utf8(raw: &[u8]) -> Result<&str, EncodeFault> {
    std::str::from_utf8(raw).map_err(|_| EncodeFault::NotUtf8)
}

/// The document as it was stored: Postgres checked that it is JSON.
fn json_text(raw: &[u8]) -> Result<&str, EncodeFault> {
    if raw.is_empty() {
        Err(EncodeFault::Truncated)
    } else {
        utf8(raw)
    }
}

/// Version 1 is the document's text; there has never been another.
fn jsonb_text(raw: &[u8]) -> Result<&str, EncodeFault> {
    match raw {
        [1, text @ ..] => json_text(text),
        [] => Err(EncodeFault::Truncated),
        _ => Err(EncodeFault::Malformed),
    }
}
