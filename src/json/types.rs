//! What Pinion knows of a Postgres type, resolved once for both directions, and the faults.

use std::borrow::Cow;
use std::fmt;

use tokio_postgres::types::{Kind, Type};

use super::escape;

/// A type without inner structure that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    /// Every type whose binary form is its text: text, varchar, bpchar, name, citext, unknown.
    Text,
    /// `name`, text of at most 63 bytes.
    Name,
    /// The one-byte `"char"`.
    Char,
    Uuid,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Json,
    Jsonb,
    Bytea,
    Inet,
    Cidr,
    MacAddr,
    MacAddr8,
}

/// The structure of a type; domains are already replaced by what they stand on.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Scalar(Scalar),
    /// The labels, in the order of the type.
    Enum(Box<[String]>),
    Array(Box<Element>),
    Range(Scalar),
    Multirange(Scalar),
    Composite(Box<[Member]>),
}

/// The element of an array. `oid` is the declared one (a domain's own): binary arrays carry it.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub oid: u32,
    pub shape: Shape,
}

/// An attribute of a composite type.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub name: String,
    /// `"name":`, escaped.
    pub key: Box<[u8]>,
    pub oid: u32,
    pub shape: Shape,
}

impl Shape {
    /// Resolves a type, domains replaced by their base, inner types included.
    pub fn resolve(ty: &Type) -> Result<Shape, UnsupportedType> {
        if let Some(scalar) = Scalar::of(ty) {
            return Ok(Shape::Scalar(scalar));
        }
        match ty.kind() {
            Kind::Enum(labels) => Ok(Shape::Enum(labels.as_slice().into())),
            Kind::Domain(base) => Shape::resolve(base),
            Kind::Array(element) => Ok(Shape::Array(Box::new(Element {
                oid: element.oid(),
                shape: Shape::resolve(element)?,
            }))),
            Kind::Range(bound) => range_bound(ty, bound).map(Shape::Range),
            Kind::Multirange(bound) => range_bound(ty, bound).map(Shape::Multirange),
            Kind::Composite(fields) => {
                let members = fields.iter().map(|field| {
                    Ok(Member {
                        name: field.name().to_owned(),
                        key: escape::key(field.name()),
                        oid: field.type_().oid(),
                        shape: Shape::resolve(field.type_())?,
                    })
                });
                members.collect::<Result<_, _>>().map(Shape::Composite)
            }
            _ => Err(UnsupportedType::new(ty)),
        }
    }

    /// The JSON type of a value that is not null, in the words of `pinion check`.
    pub fn json_type(&self) -> String {
        match self {
            Shape::Scalar(scalar) => scalar.json_type().to_owned(),
            Shape::Enum(_) | Shape::Range(_) | Shape::Multirange(_) => "string".to_owned(),
            Shape::Array(element) => format!("array of {}", element.shape.json_type()),
            Shape::Composite(_) => "object".to_owned(),
        }
    }
}

/// Ranges are printed by the text form of their bounds, which only scalars and enums have here.
fn range_bound(range: &Type, bound: &Type) -> Result<Scalar, UnsupportedType> {
    match Shape::resolve(bound) {
        Ok(Shape::Scalar(scalar)) => Ok(scalar),
        // An enum's binary form is its label; Postgres checks the label of a bound.
        Ok(Shape::Enum(_)) => Ok(Scalar::Text),
        _ => Err(UnsupportedType::new(range)),
    }
}

impl Scalar {
    fn of(ty: &Type) -> Option<Scalar> {
        Some(match *ty {
            Type::BOOL => Scalar::Bool,
            Type::INT2 => Scalar::Int2,
            Type::INT4 => Scalar::Int4,
            Type::INT8 => Scalar::Int8,
            Type::OID => Scalar::Oid,
            Type::FLOAT4 => Scalar::Float4,
            Type::FLOAT8 => Scalar::Float8,
            Type::NUMERIC => Scalar::Numeric,
            // A function that returns nothing yields one empty column, which row_to_json prints
            // as an empty string.
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::UNKNOWN | Type::VOID => Scalar::Text,
            Type::NAME => Scalar::Name,
            Type::CHAR => Scalar::Char,
            Type::UUID => Scalar::Uuid,
            Type::DATE => Scalar::Date,
            Type::TIME => Scalar::Time,
            Type::TIMETZ => Scalar::TimeTz,
            Type::TIMESTAMP => Scalar::Timestamp,
            Type::TIMESTAMPTZ => Scalar::TimestampTz,
            Type::INTERVAL => Scalar::Interval,
            Type::JSON => Scalar::Json,
            Type::JSONB => Scalar::Jsonb,
            Type::BYTEA => Scalar::Bytea,
            Type::INET => Scalar::Inet,
            Type::CIDR => Scalar::Cidr,
            Type::MACADDR => Scalar::MacAddr,
            Type::MACADDR8 => Scalar::MacAddr8,
            _ if ty.name() == "citext" && *ty.kind() == Kind::Simple => Scalar::Text,
            _ => return None,
        })
    }

    fn json_type(self) -> &'static str {
        match self {
            Scalar::Bool => "boolean",
            Scalar::Int2 | Scalar::Int4 | Scalar::Int8 => "integer",
            Scalar::Float4 | Scalar::Float8 | Scalar::Numeric => "number",
            Scalar::Json | Scalar::Jsonb => "any",
            _ => "string",
        }
    }
}

/// What kind of value a parameter takes, for the constraints that make sense on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// int2, int4, int8, oid.
    Integer,
    /// float4, float8, numeric.
    Number,
    /// text, varchar, char, name, citext, enums.
    Text,
    /// bool.
    Boolean,
    /// json, jsonb.
    Json,
    /// Everything else: dates, uuids, arrays, composites, …
    Other,
}

impl ValueKind {
    pub(super) fn of(shape: &Shape) -> ValueKind {
        let scalar = match shape {
            Shape::Scalar(scalar) => *scalar,
            Shape::Enum(_) => return ValueKind::Text,
            _ => return ValueKind::Other,
        };
        match scalar {
            Scalar::Int2 | Scalar::Int4 | Scalar::Int8 | Scalar::Oid => ValueKind::Integer,
            Scalar::Float4 | Scalar::Float8 | Scalar::Numeric => ValueKind::Number,
            Scalar::Text | Scalar::Name | Scalar::Char => ValueKind::Text,
            Scalar::Bool => ValueKind::Boolean,
            Scalar::Json | Scalar::Jsonb => ValueKind::Json,
            _ => ValueKind::Other,
        }
    }
}

/// A type that has no JSON form here: a start-up fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedType {
    /// The type's name, as Postgres prints it.
    pub name: String,
}

impl UnsupportedType {
    fn new(ty: &Type) -> UnsupportedType {
        UnsupportedType {
            name: type_name(ty),
        }
    }
}

impl fmt::Display for UnsupportedType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "type {} is not supported: cast it, e.g. ::text",
            self.name
        )
    }
}

impl std::error::Error for UnsupportedType {}

/// The name of a type as a user writes it: `int8`, `text[]`.
pub(super) fn type_name(ty: &Type) -> String {
    match ty.kind() {
        Kind::Array(element) if ty.name().starts_with('_') => format!("{}[]", type_name(element)),
        _ => ty.to_string(),
    }
}

/// A column whose bytes are not what its type sends. Postgres doesn't do that: the fault is a
/// changed type behind a prepared statement, or a broken connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeFault {
    /// The value ends before its type does.
    Truncated,
    /// The value goes on after its type ended.
    TrailingBytes,
    /// Text that is not UTF-8 (a database in SQL_ASCII can hold it).
    NotUtf8,
    /// A field of the value is outside what the type allows.
    Malformed,
}

impl fmt::Display for EncodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EncodeFault::Truncated => "column value is shorter than its type",
            EncodeFault::TrailingBytes => "column value is longer than its type",
            EncodeFault::NotUtf8 => "column text is not UTF-8",
            EncodeFault::Malformed => "column value is not valid for its type",
        })
    }
}

impl std::error::Error for EncodeFault {}

/// A value that can't be of the parameter's type: one 422 detail. Never holds the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeFault {
    /// Stable machine-readable word, in pydantic's vocabulary where it has one: `int_parsing`.
    pub kind: &'static str,
    /// For people.
    pub message: Cow<'static, str>,
}

impl DecodeFault {
    pub(super) const fn new(kind: &'static str, message: &'static str) -> DecodeFault {
        DecodeFault {
            kind,
            message: Cow::Borrowed(message),
        }
    }
}

impl fmt::Display for DecodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeFault {}
