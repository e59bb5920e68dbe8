//! `[route.params]`: where each value comes from, its type where it is pinned, and its constraints.

use std::cmp::Ordering;
use std::ops::Range;

use regex::Regex;
use tokio_postgres::types::Type;
use toml::Spanned;
use toml::de::DeValue;

use super::constraint::{Constraints, Seen};
use super::decimal;
use super::literal::{Literal, literal, number, scalar};
use super::pinned;
use super::router::Method;
use super::tree::{Faults, Section, described, is_identifier, one_of};

/// Where in a request a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum In {
    /// A segment of the path.
    Path,
    /// A query parameter.
    Query,
    /// A member of the JSON body, or the whole of it.
    Body,
    /// A header field.
    Header,
    /// A claim of whoever asks.
    Claim,
}

impl In {
    /// The word for it in the routes file and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            In::Path => "path",
            In::Query => "query",
            In::Body => "body",
            In::Header => "header",
            In::Claim => "claim",
        }
    }
}

/// One parameter of a route as it is declared.
#[derive(Debug, Clone)]
pub struct Param {
    /// The name behind the colon in the SQL.
    pub name: String,
    /// Where its value stands.
    pub source: In,
    /// Its name in the request: the header field's or the claim's, otherwise `name`.
    pub external: String,
    /// The type that the file pins; Postgres infers it otherwise.
    pub pinned: Option<Type>,
    /// What its values must keep to.
    pub constraints: Constraints,
    /// The value when the request has none.
    pub default: Option<Literal>,
    /// Whether NULL is a value, also when the request has none.
    pub nullable: bool,
    /// Whether the value is the whole body.
    pub whole: bool,
    /// Where it is declared: its key, or the path.
    pub(super) span: Range<usize>,
    /// Where its settings stand, by key.
    keys: Vec<(&'static str, Range<usize>)>,
}

impl Param {
    /// A path parameter that has no entry of its own.
    pub(super) fn from_path(name: &str, span: Range<usize>) -> Param {
        Param {
            name: name.to_owned(),
            source: In::Path,
            external: name.to_owned(),
            pinned: None,
            constraints: Constraints::default(),
            default: None,
            nullable: false,
            whole: false,
            span,
            keys: Vec::new(),
        }
    }

    /// Where a setting stands, or the parameter if it has no such setting.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        let known = self.keys.iter().find(|(name, _)| *name == key);
        known.map_or_else(|| self.span.clone(), |(_, span)| span.clone())
    }
}

const KEYS: &[&str] = &[
    "in",
    "type",
    "ge",
    "le",
    "min_length",
    "max_length",
    "pattern",
    "enum",
    "default",
    "nullable",
    "whole",
    "name",
];

/// Reads the entries of `params`, in the order of the file.
pub(super) fn read(
    faults: &mut Faults<'_>,
    value: &Spanned<DeValue<'_>>,
    method: Option<Method>,
    path_params: &[String],
) -> Vec<Param> {
    let Some(table) = value.get_ref().as_table() else {
        let found = described(value.get_ref());
        faults.add(
            value.span(),
            format!("\"params\" must be a table, not {found}"),
        );
        return Vec::new();
    };
    let mut params = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !is_identifier(name) {
            let message = format!("\"{name}\" can't name a parameter");
            faults.add_with_help(key.span(), message, "names are ASCII letters, digits and _");
            continue;
        }
        let Some(section) = Section::open(faults, format!("parameter \"{name}\""), value, KEYS)
        else {
            continue;
        };
        let entry = Entry {
            section,
            name,
            span: key.span(),
            in_path: path_params.iter().any(|path| path == name),
        };
        params.extend(entry.read(faults, method));
    }
    params.sort_by_key(|param| param.span.start);
    whole_stands_alone(faults, &params);
    params
}

/// A body is either one document or members by name.
fn whole_stands_alone(faults: &mut Faults<'_>, params: &[Param]) {
    let mut body = params.iter().filter(|param| param.source == In::Body);
    if let Some(whole) = params.iter().find(|param| param.whole)
        && let Some(other) = body.find(|param| param.name != whole.name)
    {
        let message = format!(
            "\"{}\" takes the whole body, so \"{}\" can't be a member of it",
            whole.name, other.name
        );
        faults.add(other.span.clone(), message);
    }
}

/// One entry of `params`.
struct Entry<'t> {
    section: Section<'t>,
    name: &'t str,
    span: Range<usize>,
    in_path: bool,
}

impl Entry<'_> {
    fn read(&self, faults: &mut Faults<'_>, method: Option<Method>) -> Option<Param> {
        let source = self.source(faults, method);
        let nullable = self.section.boolean(faults, "nullable");
        let whole = self
            .section
            .boolean(faults, "whole")
            .is_some_and(|whole| whole.value);
        let default = self
            .section
            .value("default")
            .and_then(|value| literal(faults, value));
        let pinned = self.pinned(faults);
        let constraints = self.constraints(faults);
        let external = self.external(faults, source);
        // The rest was read for its faults' sake.
        let source = source?;
        let param = Param {
            name: self.name.to_owned(),
            source,
            external: external.unwrap_or_else(|| self.name.to_owned()),
            pinned,
            constraints,
            default,
            nullable: nullable.is_some_and(|nullable| nullable.value),
            whole,
            span: self.span.clone(),
            keys: KEYS
                .iter()
                .filter_map(|key| self.section.value(key).map(|value| (*key, value.span())))
                .collect(),
        };
        check_contradictions(faults, &param);
        Some(param)
    }

    fn source(&self, faults: &mut Faults<'_>, method: Option<Method>) -> Option<In> {
        let name = self.name;
        let Some(text) = self.section.text(faults, "in") else {
            if self.in_path {
                return Some(In::Path);
            }
            if self.section.value("in").is_none() {
                let message = format!("parameter \"{name}\" does not say where it stands");
                faults.add_with_help(
                    self.span.clone(),
                    message,
                    "in = \"query\", \"body\" or \"header\"",
                );
            }
            return None;
        };
        let words = [
            ("path", In::Path),
            ("query", In::Query),
            ("body", In::Body),
            ("header", In::Header),
            ("claim", In::Claim),
        ];
        let source = one_of(faults, "in", &text, &words)?;
        if source == In::Path && !self.in_path {
            faults.add(text.span, format!("the path has no {{{name}}}"));
            return None;
        }
        if source != In::Path && self.in_path {
            faults.add(
                text.span,
                format!(
                    "\"{name}\" stands in the path, so it can't come from the {}",
                    source.as_str()
                ),
            );
            return None;
        }
        if source == In::Body
            && let Some(method @ (Method::Get | Method::Delete)) = method
        {
            faults.add(text.span, format!("a {method} request has no body"));
        }
        Some(source)
    }

    fn pinned(&self, faults: &mut Faults<'_>) -> Option<Type> {
        let text = self.section.text(faults, "type")?;
        match pinned::find(text.value) {
            Ok(ty) => Some(ty),
            Err(help) => {
                let message = format!("\"{}\" is not a type that can be pinned", text.value);
                faults.add_with_help(text.span, message, help);
                None
            }
        }
    }

    fn constraints(&self, faults: &mut Faults<'_>) -> Constraints {
        let lengths = 0..=i64::from(u32::MAX);
        let length = |faults: &mut Faults<'_>, key| {
            let length = self.section.integer(faults, key, lengths.clone())?;
            u32::try_from(length.value).ok()
        };
        Constraints {
            ge: self.bound(faults, "ge"),
            le: self.bound(faults, "le"),
            min_length: length(faults, "min_length"),
            max_length: length(faults, "max_length"),
            pattern: self.pattern(faults),
            choices: self.choices(faults),
        }
    }

    fn bound(&self, faults: &mut Faults<'_>, key: &str) -> Option<String> {
        let value = self.section.value(key)?;
        match number(value.get_ref()) {
            Some(number) if decimal::compare(&number, "0").is_some() => Some(number),
            _ => {
                let found = described(value.get_ref());
                faults.add(
                    value.span(),
                    format!("\"{key}\" must be a number, not {found}"),
                );
                None
            }
        }
    }

    fn pattern(&self, faults: &mut Faults<'_>) -> Option<Regex> {
        let text = self.section.text(faults, "pattern")?;
        match Regex::new(text.value) {
            Ok(pattern) => Some(pattern),
            Err(fault) => {
                // The crate's message draws the pattern over several lines; its last says what is wrong.
                let message = fault.to_string();
                let reason = message.lines().last().unwrap_or_default();
                let reason = reason.trim().trim_start_matches("error: ");
                faults.add(
                    text.span,
                    format!("\"pattern\" is not a regular expression: {reason}"),
                );
                None
            }
        }
    }

    fn choices(&self, faults: &mut Faults<'_>) -> Vec<Literal> {
        let Some(value) = self.section.value("enum") else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(array) if !array.is_empty() => {
                let items: Vec<Option<Literal>> =
                    array.iter().map(|item| scalar(faults, item)).collect();
                items.into_iter().flatten().collect()
            }
            _ => {
                faults.add(
                    value.span(),
                    "\"enum\" must be a list of the values allowed",
                );
                Vec::new()
            }
        }
    }

    /// The header field's name: `name`, or the parameter's own with `-` for `_`. Or that of the claim.
    fn external(&self, faults: &mut Faults<'_>, source: Option<In>) -> Option<String> {
        let text = self.section.text(faults, "name");
        if source == Some(In::Claim) {
            return text.map(|text| text.value.to_owned());
        }
        if source != Some(In::Header) {
            if let (Some(text), Some(_)) = (text, source) {
                let message = "\"name\" is only for in = \"header\" and \"claim\"";
                faults.add(text.span, message);
            }
            return None;
        }
        let Some(text) = text else {
            return Some(self.name.replace('_', "-"));
        };
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.value.is_empty() || !text.value.bytes().all(is_token) {
            faults.add(
                text.span,
                format!(
                    "\"{}\" can't name a header field (RFC 9110 §5.6.2)",
                    text.value
                ),
            );
        }
        Some(text.value.to_owned())
    }
}

/// Settings that can't stand together.
fn check_contradictions(faults: &mut Faults<'_>, param: &Param) {
    let Constraints {
        ge,
        le,
        min_length,
        max_length,
        ..
    } = &param.constraints;
    if let (Some(ge), Some(le)) = (ge, le)
        && decimal::compare(ge, le) == Some(Ordering::Greater)
    {
        faults.add(
            param.key_span("le"),
            format!("no number is at least {ge} and at most {le}"),
        );
    }
    if let (Some(least), Some(most)) = (min_length, max_length)
        && least > most
    {
        faults.add(
            param.key_span("max_length"),
            format!("no text has at least {least} and at most {most} characters"),
        );
    }
    if param.source == In::Path {
        for key in ["default", "nullable"] {
            if param.keys.iter().any(|(name, _)| *name == key) {
                faults.add(
                    param.key_span(key),
                    format!("a path parameter is always there, \"{key}\" says nothing"),
                );
            }
        }
    }
    if param.whole && param.source != In::Body {
        faults.add(
            param.key_span("whole"),
            "\"whole\" is only for in = \"body\"",
        );
    }
    if param.whole && !param.constraints.is_empty() {
        faults.add(
            param.span.clone(),
            "the whole body is a JSON document, which has no constraints",
        );
    }
    if let Some(violation) = param
        .default
        .as_ref()
        .and_then(|default| breaks(&param.constraints, default))
    {
        faults.add(
            param.key_span("default"),
            format!("the default breaks the constraints: {violation}"),
        );
    }
}

/// The constraint that a default breaks, as far as it shows without the Postgres type.
fn breaks(constraints: &Constraints, default: &Literal) -> Option<String> {
    let seen = match default {
        Literal::Number(number) => Seen::Number(number),
        // A text may stand for a number: only its type tells. Lengths and patterns are for texts alone.
        Literal::Text(text) if !constraints.bounds_number() => Seen::Text(text),
        _ => return None,
    };
    constraints
        .check(seen)
        .err()
        .map(|violation| violation.message)
}

#[cfg(test)]
mod tests;
