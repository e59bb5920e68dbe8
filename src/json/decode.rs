//! Text or JSON → one binary parameter, checked before Postgres sees it.

use std::borrow::Cow;

use tokio_postgres::types::Type;

use super::cursor::{self, unescape};
use super::types::{Scalar, Shape, type_name};
use super::{
    DecodeFault, UnsupportedType, ValueKind, array, bytes, composite, float, interval_text,
    network, numeric, range, time_text,
};

/// Bytes of a `name`, without its terminating NUL (Postgres, NAMEDATALEN - 1).
const NAME_BYTES_MAX: usize = 63;

/// Turns text or JSON into binary parameters of one type.
///
/// It takes less than Postgres' own input functions do, never more: no space around numbers, no
/// notation whose meaning depends on a setting or on the clock, nothing that Postgres would cut.
#[derive(Clone, Debug)]
pub struct Decoder {
    name: String,
    shape: Shape,
}

impl Decoder {
    /// Resolves a type with everything inside it, once.
    pub fn resolve(ty: &Type) -> Result<Decoder, UnsupportedType> {
        Ok(Decoder {
            name: type_name(ty),
            shape: Shape::resolve(ty)?,
        })
    }

    /// The type's name: `int8`, `text[]`.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Which constraints make sense on the parameter.
    pub fn kind(&self) -> ValueKind {
        ValueKind::of(&self.shape)
    }

    /// Whether the type is an array, so that a repeated query parameter is a list of elements.
    pub fn is_list(&self) -> bool {
        matches!(self.shape, Shape::Array(_))
    }

    /// Appends the parameter for a text from a path, query or header. For an array the text is its
    /// only element; a composite is given as a JSON object. After a fault `out` is as it was.
    pub fn text(&self, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
        restore_on_fault(out, |out| shape_text(&self.shape, text, out))
    }

    /// Appends the parameter for the texts of a repeated query parameter: an array of as many
    /// elements. For any other type there must be one text. After a fault `out` is as it was.
    pub fn text_list(&self, items: &[&str], out: &mut Vec<u8>) -> Result<(), DecodeFault> {
        match (&self.shape, items) {
            (Shape::Array(element), _) => {
                restore_on_fault(out, |out| array::decode_texts(element, items, out))
            }
            (_, [text]) => self.text(text, out),
            _ => Err(DecodeFault::new(
                "too_long",
                "Input should be a single value",
            )),
        }
    }

    /// Appends the parameter for the text of one valid JSON value. SQL NULL is the caller's: `null`
    /// here is a value of json and jsonb, and a fault elsewhere. After a fault `out` is as it was.
    pub fn json(&self, raw: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
        let raw = raw.trim_matches([' ', '\t', '\r', '\n']);
        restore_on_fault(out, |out| shape_json(&self.shape, raw, out))
    }
}

/// Appends a value's length and then the value that `write` makes.
pub(super) fn prefixed(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeFault>,
) -> Result<(), DecodeFault> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let len = i32::try_from(out.len() - start - 4)
        .map_err(|_| DecodeFault::new("too_long", "Input is larger than a value can be"))?;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// Appends the value that a text stands for.
pub(super) fn shape_text(shape: &Shape, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    match shape {
        Shape::Scalar(scalar) => scalar_text(*scalar, text, out),
        Shape::Enum(labels) => write_label(labels, text, out),
        Shape::Array(element) => array::decode_texts(element, &[text], out),
        Shape::Range(bound) => range::parse(*bound, text, out),
        Shape::Multirange(bound) => range::parse_multirange(*bound, text, out),
        Shape::Composite(members) => {
            cursor::check(text, false)?;
            composite::decode_json(members, text.trim_matches([' ', '\t', '\r', '\n']), out)
        }
    }
}

/// Appends the value that a JSON value, without space around it, stands for.
pub(super) fn shape_json(shape: &Shape, raw: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    match shape {
        Shape::Scalar(scalar) => scalar_json(*scalar, raw, out),
        Shape::Enum(labels) => write_label(labels, &string(raw, STRING_TYPE)?, out),
        Shape::Array(element) => array::decode_json(element, raw, out),
        Shape::Range(_) | Shape::Multirange(_) => {
            shape_text(shape, &string(raw, STRING_TYPE)?, out)
        }
        Shape::Composite(members) => composite::decode_json(members, raw, out),
    }
}

pub(super) const HOLDS_NUL: DecodeFault =
    DecodeFault::new("string_nul", "Input should not hold a NUL character");

const STRING_TYPE: DecodeFault = DecodeFault::new("string_type", "Input should be a valid string");

fn scalar_text(scalar: Scalar, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    match scalar {
        Scalar::Bool => {
            let value = boolean(text);
            out.push(u8::from(value.ok_or(DecodeFault::new(
                "bool_parsing",
                "Input should be a valid boolean",
            ))?));
        }
        Scalar::Int2 => out.extend_from_slice(&integer::<i16>(text)?.to_be_bytes()),
        Scalar::Int4 => out.extend_from_slice(&integer::<i32>(text)?.to_be_bytes()),
        Scalar::Int8 => out.extend_from_slice(&integer::<i64>(text)?.to_be_bytes()),
        Scalar::Oid => out.extend_from_slice(&integer::<u32>(text)?.to_be_bytes()),
        Scalar::Float4 => out.extend_from_slice(&float::parse::<f32>(text)?.to_be_bytes()),
        Scalar::Float8 => out.extend_from_slice(&float::parse::<f64>(text)?.to_be_bytes()),
        Scalar::Numeric => numeric::parse(text, out)?,
        Scalar::Text => write_text(text, out)?,
        Scalar::Name if text.len() > NAME_BYTES_MAX => {
            return Err(DecodeFault::new(
                "string_too_long",
                "Input should have at most 63 bytes",
            ));
        }
        Scalar::Name => write_text(text, out)?,
        Scalar::Char => bytes::parse_char(text, out)?,
        Scalar::Uuid => out.extend_from_slice(uuid(text)?.as_bytes()),
        Scalar::Date => time_text::parse_date(text, out)?,
        Scalar::Time => time_text::parse_time(text, out)?,
        Scalar::TimeTz => time_text::parse_time_tz(text, out)?,
        Scalar::Timestamp => time_text::parse_timestamp(text, false, out)?,
        Scalar::TimestampTz => time_text::parse_timestamp(text, true, out)?,
        Scalar::Interval => interval_text::parse(text, out)?,
        Scalar::Json => {
            cursor::check(text, false)?;
            out.extend_from_slice(text.as_bytes());
        }
        Scalar::Jsonb => write_jsonb(text, out)?,
        Scalar::Bytea => bytes::parse_bytea(text, out)?,
        Scalar::Inet => network::parse_inet(text, false, out)?,
        Scalar::Cidr => network::parse_inet(text, true, out)?,
        Scalar::MacAddr => network::parse_mac(text, out)?,
        Scalar::MacAddr8 => network::parse_mac8(text, out)?,
    }
    Ok(())
}

fn scalar_json(scalar: Scalar, raw: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let is_number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match scalar {
        Scalar::Json => {
            out.extend_from_slice(raw.as_bytes());
            Ok(())
        }
        Scalar::Jsonb => write_jsonb(raw, out),
        Scalar::Bool if matches!(raw, "true" | "false") => scalar_text(scalar, raw, out),
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 | Scalar::Oid if is_number => {
            if memchr::memchr3(b'.', b'e', b'E', raw.as_bytes()).is_some() {
                return Err(DecodeFault::new(
                    "int_from_float",
                    "Input should be an integer, got a number with a fraction or exponent",
                ));
            }
            scalar_text(scalar, raw, out)
        }
        Scalar::Float4 | Scalar::Float8 | Scalar::Numeric if is_number => {
            scalar_text(scalar, raw, out)
        }
        // JSON has no literal for these; they come back as row_to_json prints them.
        Scalar::Float4 | Scalar::Float8
            if matches!(raw, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"") =>
        {
            scalar_text(scalar, raw.trim_matches('"'), out)
        }
        Scalar::Bool
        | Scalar::Int2
        | Scalar::Int4
        | Scalar::Int8
        | Scalar::Float4
        | Scalar::Float8 => Err(type_fault(scalar)),
        // An oid too: row_to_json prints it as a string, so that is how it may come back. And a
        // decimal in a string is how many libraries keep its digits exact.
        _ => scalar_text(scalar, &string(raw, type_fault(scalar))?, out),
    }
}

/// The fault of a JSON value of the wrong JSON type.
fn type_fault(scalar: Scalar) -> DecodeFault {
    match scalar {
        Scalar::Bool => DecodeFault::new("bool_type", "Input should be a boolean"),
        Scalar::Int2 | Scalar::Int4 | Scalar::Int8 | Scalar::Oid => {
            DecodeFault::new("int_type", "Input should be an integer")
        }
        Scalar::Float4 | Scalar::Float8 => {
            DecodeFault::new("float_type", "Input should be a number")
        }
        Scalar::Numeric => DecodeFault::new(
            "decimal_type",
            "Input should be a number or a decimal in a string",
        ),
        Scalar::Uuid => DecodeFault::new("uuid_type", "Input should be a UUID in a string"),
        Scalar::Date => DecodeFault::new("date_type", "Input should be a date in a string"),
        Scalar::Time | Scalar::TimeTz => {
            DecodeFault::new("time_type", "Input should be a time in a string")
        }
        Scalar::Timestamp | Scalar::TimestampTz => {
            DecodeFault::new("datetime_type", "Input should be a datetime in a string")
        }
        Scalar::Interval => {
            DecodeFault::new("time_delta_type", "Input should be a duration in a string")
        }
        Scalar::Bytea => DecodeFault::new("bytes_type", "Input should be bytes in a string"),
        _ => STRING_TYPE,
    }
}

/// The content of a JSON string; anything else is `fault`.
fn string(raw: &str, fault: DecodeFault) -> Result<Cow<'_, str>, DecodeFault> {
    if raw.starts_with('"') {
        unescape(raw)
    } else {
        Err(fault)
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(&["true", "1", "t", "yes", "y", "on"]) {
        Some(true)
    } else if is_one_of(&["false", "0", "f", "no", "n", "off"]) {
        Some(false)
    } else {
        None
    }
}

fn integer<T: Integer>(text: &str) -> Result<T, DecodeFault> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecodeFault::new(
            "int_parsing",
            "Input should be a valid integer",
        ));
    }
    // What is left to fail is the range.
    text.parse()
        .map_err(|_| DecodeFault::new("int_parsing_size", T::RANGE))
}

trait Integer: std::str::FromStr {
    const RANGE: &'static str;
}

impl Integer for i16 {
    const RANGE: &'static str = "Input should be between -32768 and 32767";
}

impl Integer for i32 {
    const RANGE: &'static str = "Input should be between -2147483648 and 2147483647";
}

impl Integer for i64 {
    const RANGE: &'static str =
        "Input should be between -9223372036854775808 and 9223372036854775807";
}

impl Integer for u32 {
    const RANGE: &'static str = "Input should be between 0 and 4294967295";
}

/// Hyphens or none, braces or none; no `urn:uuid:`, which Postgres does not read either.
fn uuid(text: &str) -> Result<uuid::Uuid, DecodeFault> {
    let fault = DecodeFault::new("uuid_parsing", "Input should be a valid UUID");
    if text.len() > 38 {
        Err(fault)
    } else {
        uuid::Uuid::try_parse(text).map_err(|_| fault)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(HOLDS_NUL);
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_jsonb(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    cursor::check(text, true)?;
    out.push(1);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_label(labels: &[String], text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    if !labels.iter().any(|label| label == text) {
        let quoted: Vec<String> = labels.iter().map(|label| format!("'{label}'")).collect();
        let message = format!("Input should be one of {}", quoted.join(", "));
        return Err(DecodeFault {
            kind: "enum",
            message: Cow::Owned(message),
        });
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn restore_on_fault(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeFault>,
) -> Result<(), DecodeFault> {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}
