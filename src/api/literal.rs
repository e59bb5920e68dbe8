//! Values written in the routes file: defaults and the choices of an enum.

use std::fmt;

use toml::Spanned;
use toml::de::DeValue;

use super::tree::{Faults, described};

/// A value written in the routes file: a default or one of an enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A string, a date or a time.
    Text(String),
    /// A number, in decimal digits as Postgres reads them.
    Number(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A list, for an array type.
    List(Vec<Literal>),
}

impl Literal {
    /// The text that stands for a single value; a list has none.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Literal::Text(text) | Literal::Number(text) => Some(text),
            Literal::Boolean(true) => Some("true"),
            Literal::Boolean(false) => Some("false"),
            Literal::List(_) => None,
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Text(text) => write!(out, "'{text}'"),
            Literal::Number(text) => out.write_str(text),
            Literal::Boolean(boolean) => write!(out, "{boolean}"),
            Literal::List(items) => {
                out.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if index > 0 { ", " } else { "" })?;
                }
                out.write_str("]")
            }
        }
    }
}

/// A default: a single value or a list of such.
pub(super) fn literal(faults: &mut Faults<'_>, value: &Spanned<DeValue<'_>>) -> Option<Literal> {
    match value.get_ref().as_array() {
        Some(array) => {
            let items: Vec<Option<Literal>> =
                array.iter().map(|item| scalar(faults, item)).collect();
            items
                .into_iter()
                .collect::<Option<Vec<Literal>>>()
                .map(Literal::List)
        }
        None => scalar(faults, value),
    }
}

/// A single value.
pub(super) fn scalar(faults: &mut Faults<'_>, value: &Spanned<DeValue<'_>>) -> Option<Literal> {
    match value.get_ref() {
        DeValue::String(text) => Some(Literal::Text(text.as_ref().to_owned())),
        DeValue::Boolean(boolean) => Some(Literal::Boolean(*boolean)),
        DeValue::Datetime(datetime) => Some(Literal::Text(datetime.to_string())),
        number_value @ (DeValue::Integer(_) | DeValue::Float(_)) => {
            let number = number(number_value);
            if number.is_none() {
                faults.add(value.span(), "this number is too large");
            }
            number.map(Literal::Number)
        }
        DeValue::Array(_) | DeValue::Table(_) => {
            let found = described(value.get_ref());
            faults.add(value.span(), format!("a value can't be {found} here"));
            None
        }
    }
}

/// A TOML number in decimal digits.
pub(super) fn number(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(float) => Some(float.as_str().trim_start_matches('+').to_owned()),
        _ => None,
    }
}
