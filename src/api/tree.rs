//! Walking the parsed TOML by hand: typed access to the keys of one table, with every fault kept.
//!
//! A derived deserializer would stop at the first fault; a start-up check owes its reader all of them.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Source, alternatives, nearest};

/// The file being read and the faults found so far.
pub(super) struct Faults<'s> {
    pub(super) source: &'s Source,
    pub(super) list: Vec<Diagnostic>,
}

impl Faults<'_> {
    /// Keeps a fault.
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.list.push(Diagnostic::new(self.source, span, message));
    }

    /// Keeps a fault and how to mend it.
    pub(super) fn add_with_help(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.list
            .push(Diagnostic::new(self.source, span, message).help(help));
    }
}

/// A value and the bytes of the file that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// One table whose keys are known; what it is called stands in its faults.
pub(super) struct Section<'t> {
    pub(super) name: Cow<'static, str>,
    /// Where the table begins: the place of a missing key.
    pub(super) span: Range<usize>,
    table: &'t DeTable<'t>,
}

impl<'t> Section<'t> {
    /// The table of a value; anything else is a fault, and so is every key that is not known.
    pub(super) fn open(
        faults: &mut Faults<'_>,
        name: impl Into<Cow<'static, str>>,
        value: &'t Spanned<DeValue<'t>>,
        known: &[&'static str],
    ) -> Option<Section<'t>> {
        let name = name.into();
        let Some(table) = value.get_ref().as_table() else {
            let found = described(value.get_ref());
            faults.add(value.span(), format!("{name} must be a table, not {found}"));
            return None;
        };
        for key in table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                unknown_key(faults, &name, key, known);
            }
        }
        Some(Section {
            name,
            span: value.span(),
            table,
        })
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Where a key stands, if it is there.
    pub(super) fn key_span(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    /// A text.
    pub(super) fn text(&self, faults: &mut Faults<'_>, key: &str) -> Option<Place<&'t str>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Place {
                value: text.as_ref(),
                span: value.span(),
            }),
            other => wrong_type(faults, key, value, "a string", other),
        }
    }

    /// A text that must be there.
    pub(super) fn required_text(
        &self,
        faults: &mut Faults<'_>,
        key: &str,
    ) -> Option<Place<&'t str>> {
        if self.value(key).is_none() {
            faults.add(self.span.clone(), format!("{} has no \"{key}\"", self.name));
        }
        self.text(faults, key)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, faults: &mut Faults<'_>, key: &str) -> Option<Place<bool>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(Place {
                value: *boolean,
                span: value.span(),
            }),
            other => wrong_type(faults, key, value, "true or false", other),
        }
    }

    /// A whole number within a range.
    pub(super) fn integer(
        &self,
        faults: &mut Faults<'_>,
        key: &str,
        range: RangeInclusive<i64>,
    ) -> Option<Place<i64>> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return wrong_type(faults, key, value, "a whole number", value.get_ref());
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(Place {
                value: number,
                span: value.span(),
            }),
            _ => {
                let (least, most) = (range.start(), range.end());
                faults.add(value.span(), format!("\"{key}\" must be {least} to {most}"));
                None
            }
        }
    }
}

/// A fault for a key that this table does not have.
pub(super) fn unknown_key(
    faults: &mut Faults<'_>,
    section: &str,
    key: &Spanned<Cow<'_, str>>,
    known: &[&'static str],
) {
    let help = match nearest(key.get_ref(), known.iter().copied()) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!("known here: {}", known.join(", ")),
    };
    faults.add_with_help(
        key.span(),
        format!("unknown key \"{}\" in {section}", key.get_ref()),
        help,
    );
}

/// One of a set of words; any other is a fault that lists them.
pub(super) fn one_of<T: Copy>(
    faults: &mut Faults<'_>,
    key: &str,
    text: &Place<&str>,
    words: &[(&'static str, T)],
) -> Option<T> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.value) {
        return Some(*meaning);
    }
    let names = words.iter().map(|(word, _)| *word);
    let message = format!("\"{key}\" must be {}", alternatives(names.clone()));
    match nearest(&text.value.to_lowercase(), names.clone())
        .or_else(|| nearest(&text.value.to_uppercase(), names))
    {
        Some(word) => faults.add_with_help(
            text.span.clone(),
            message,
            format!("did you mean \"{word}\"?"),
        ),
        None => faults.add(text.span.clone(), message),
    }
    None
}

/// A TOML type for a sentence.
pub(super) fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Whether a text can name a route, a lane or a parameter: ASCII letters, digits and `_`, not beginning
/// with a digit.
pub(super) fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Adds the fault of a value that is not of the wanted type.
fn wrong_type<T>(
    faults: &mut Faults<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    wanted: &str,
    found: &DeValue<'_>,
) -> Option<T> {
    faults.add(
        value.span(),
        format!("\"{key}\" must be {wanted}, not {}", described(found)),
    );
    None
}
