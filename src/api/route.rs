//! One `[[route]]`: its settings, its statement and its parameters.

use std::ops::Range;
use std::time::Duration;

use tokio_postgres::types::Type;
use toml::Spanned;
use toml::de::DeValue;

use super::diagnostics::{Source, nearest};
use super::params::{self, Param};
use super::router::{Method, Template};
use super::sql::Statement;
use super::tree::{Faults, Place, Section, is_identifier, one_of};
use crate::limits;

/// What a route answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// The first row as an object; no row is `not_found`.
    One,
    /// All rows as an array of objects.
    Many,
    /// Nothing (204), or the rows of a RETURNING.
    Exec,
    /// The value of the only column of the first row; no row is `not_found`.
    Scalar,
}

impl ResultKind {
    const WORDS: [(&'static str, ResultKind); 4] = [
        ("one", ResultKind::One),
        ("many", ResultKind::Many),
        ("exec", ResultKind::Exec),
        ("scalar", ResultKind::Scalar),
    ];

    /// The word for it in the routes file.
    pub fn as_str(self) -> &'static str {
        match self {
            ResultKind::One => "one",
            ResultKind::Many => "many",
            ResultKind::Exec => "exec",
            ResultKind::Scalar => "scalar",
        }
    }
}

/// A declared route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Operation id and metric label; unique.
    pub name: String,
    /// Method; a GET route answers HEAD too.
    pub method: Method,
    /// Path with its parameters.
    pub path: Template,
    /// Shape of the answer.
    pub result: ResultKind,
    /// Message of the answer when there is no row (`one` and `scalar`).
    pub not_found: String,
    /// Status of that answer: 404 unless `empty_status` says otherwise.
    pub empty_status: u16,
    /// Status of a success, where the file sets it.
    pub status: Option<u16>,
    /// What is prepared.
    pub statement: Statement,
    /// Parameters: the first is `$1`.
    pub params: Vec<Param>,
    /// How long the statement may run, where the file sets it.
    pub timeout: Option<Duration>,
    /// Index of its lane in `Api::lanes`.
    pub lane: usize,
    /// Rows of a `many` result; more is an error.
    pub max_rows: usize,
    /// Whether the statement may be run again after a failure: it changes nothing.
    pub read_only: bool,
    /// Whether a running statement is cancelled when its client has gone.
    pub cancel: bool,
    /// Where `result` stands.
    pub(super) result_span: Range<usize>,
    /// The SQL's place.
    pub(super) sql: SqlPlace,
}

impl Route {
    /// The types that the file pins, `$1` first, for Parse: `unknown` leaves a type to Postgres.
    pub fn pinned_types(&self) -> Vec<Type> {
        self.params
            .iter()
            .map(|param| param.pinned.clone().unwrap_or(Type::UNKNOWN))
            .collect()
    }
}

/// Where the text of the SQL stands in the file.
#[derive(Debug, Clone)]
pub(super) struct SqlPlace {
    /// The TOML string with its quotes.
    span: Range<usize>,
    /// Where its first character stands, if the string has no escapes: then bytes map one to one.
    content: Option<usize>,
}

impl SqlPlace {
    fn new(source: &Source, text: &Place<&str>) -> SqlPlace {
        let raw = &source.text()[text.span.clone()];
        let content = ["'''", "\"\"\"", "'", "\""].into_iter().find_map(|quote| {
            let inner = raw.strip_prefix(quote)?.strip_suffix(quote)?;
            // A line break right after three quotes is not part of the text (TOML 1.0, String).
            let skipped = match quote.len() {
                3 => {
                    inner.len()
                        - inner
                            .strip_prefix("\r\n")
                            .or(inner.strip_prefix('\n'))
                            .unwrap_or(inner)
                            .len()
                }
                _ => 0,
            };
            (&inner[skipped..] == text.value).then_some(text.span.start + quote.len() + skipped)
        });
        SqlPlace {
            span: text.span.clone(),
            content,
        }
    }

    /// The place in the file of a span of the SQL; the whole string where escapes hide it.
    pub(super) fn locate(&self, span: Range<usize>) -> Range<usize> {
        match self.content {
            Some(start) => start + span.start..start + span.end,
            None => self.span.clone(),
        }
    }

    /// The place of the word (or the one character) that begins at an offset of the SQL.
    pub(super) fn locate_word(&self, source: &Source, offset: usize) -> Range<usize> {
        let Some(start) = self.content.map(|start| start + offset) else {
            return self.span.clone();
        };
        let rest = source.text().get(start..).unwrap_or_default();
        let is_word =
            |character: char| character.is_alphanumeric() || character == '_' || character == '.';
        let length = match rest.chars().next() {
            Some(':') => {
                1 + rest[1..]
                    .find(|character| !is_word(character))
                    .unwrap_or(rest.len() - 1)
            }
            Some('"') => rest[1..].find('"').map_or(1, |end| end + 2),
            Some(character) if is_word(character) => rest
                .find(|character| !is_word(character))
                .unwrap_or(rest.len()),
            Some(character) => character.len_utf8(),
            None => 0,
        };
        start..start + length
    }
}

const KEYS: &[&str] = &[
    "name",
    "method",
    "path",
    "result",
    "sql",
    "params",
    "not_found",
    "empty_status",
    "status",
    "timeout",
    "lane",
    "max_rows",
    "read_only",
    "cancel",
];

/// What must be unique over all routes. It is kept of a route with faults too, so that a duplicate shows
/// at once.
#[derive(Default)]
pub(super) struct Head {
    pub(super) name: Option<Place<String>>,
    pub(super) method: Option<Method>,
    pub(super) path: Option<(Template, Range<usize>)>,
}

/// Reads one `[[route]]`. No route when a fault leaves too little of it; the faults are kept either way.
pub(super) fn read(
    faults: &mut Faults<'_>,
    value: &Spanned<DeValue<'_>>,
    lanes: &[String],
) -> (Head, Option<Route>) {
    let Some(section) = Section::open(faults, "[[route]]", value, KEYS) else {
        return (Head::default(), None);
    };
    let head = Head {
        name: read_name(faults, &section),
        method: read_method(faults, &section),
        path: read_path(faults, &section),
    };
    let route = read_rest(faults, &section, &head, lanes);
    (head, route)
}

/// Everything but the head. `None` when a fault leaves too little for a route.
fn read_rest(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    head: &Head,
    lanes: &[String],
) -> Option<Route> {
    let Head { name, method, path } = head;
    let result = section.required_text(faults, "result").and_then(|text| {
        Some((
            one_of(faults, "result", &text, &ResultKind::WORDS)?,
            text.span,
        ))
    });
    let sql = read_sql(faults, section);
    let path_params = path
        .as_ref()
        .map_or(&[][..], |(template, _)| template.params());
    let declared = section
        .value("params")
        .map(|value| params::read(faults, value, *method, path_params));
    let settings = Settings::read(
        faults,
        section,
        lanes,
        result.as_ref().map(|(kind, _)| *kind),
    );
    let declared = declared.unwrap_or_default();
    let bound = match (path, &sql) {
        (Some(path), Some((statement, place))) => {
            bind_names(faults, path, statement, place, declared, section)
        }
        _ => Vec::new(),
    };
    let (name, method, (path, _)) = (name.clone()?, (*method)?, path.clone()?);
    let ((result, result_span), (statement, sql)) = (result?, sql?);
    let read_only = read_only(faults, &settings, method, &statement);
    Some(Route {
        name: name.value,
        method,
        path,
        result,
        result_span,
        not_found: settings.not_found.unwrap_or_else(|| "Not found".to_owned()),
        empty_status: settings.empty_status.unwrap_or(404),
        status: settings.status,
        params: bound,
        statement,
        sql,
        timeout: settings.timeout,
        lane: settings.lane,
        max_rows: settings.max_rows.unwrap_or(limits::ROWS_MAX),
        read_only,
        cancel: settings.cancel,
    })
}

fn read_name(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<Place<String>> {
    let name = section.required_text(faults, "name")?;
    if !is_identifier(name.value) {
        let message = format!("\"{}\" can't name a route", name.value);
        faults.add_with_help(name.span, message, "names are ASCII letters, digits and _");
        return None;
    }
    Some(Place {
        value: name.value.to_owned(),
        span: name.span,
    })
}

fn read_method(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<Method> {
    let text = section.required_text(faults, "method")?;
    if text.value.eq_ignore_ascii_case("HEAD") {
        faults.add_with_help(
            text.span,
            "HEAD can't be declared",
            "a GET route answers HEAD too",
        );
        return None;
    }
    one_of(
        faults,
        "method",
        &text,
        &Method::ALL.map(|method| (method.as_str(), method)),
    )
}

fn read_path(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<(Template, Range<usize>)> {
    let text = section.required_text(faults, "path")?;
    match Template::parse(text.value) {
        Ok(template) => Some((template, text.span)),
        Err(message) => {
            faults.add(text.span, message);
            None
        }
    }
}

fn read_sql(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<(Statement, SqlPlace)> {
    let text = section.required_text(faults, "sql")?;
    let place = SqlPlace::new(faults.source, &text);
    match Statement::parse(text.value) {
        Ok(statement) => Some((statement, place)),
        Err(found) => {
            for fault in found {
                let span = place.locate(fault.span);
                match fault.help {
                    Some(help) => faults.add_with_help(span, fault.message, help),
                    None => faults.add(span, fault.message),
                }
            }
            None
        }
    }
}

/// Joins what the SQL names with what is declared, in the order of `$n`. A name on one side only is a fault.
fn bind_names(
    faults: &mut Faults<'_>,
    (path, path_span): &(Template, Range<usize>),
    statement: &Statement,
    place: &SqlPlace,
    mut declared: Vec<Param>,
    section: &Section<'_>,
) -> Vec<Param> {
    for name in path.params() {
        if !declared.iter().any(|param| param.name == *name) {
            declared.push(Param::from_path(name, path_span.clone()));
        }
    }
    // What an entry with a fault of its own declares is not here; its name is known all the same.
    let entries = section
        .value("params")
        .and_then(|params| params.get_ref().as_table());
    let is_entry = |name: &str| entries.is_some_and(|entries| entries.contains_key(name));
    let mut bound = Vec::with_capacity(statement.params.len());
    for (name, span) in statement.params.iter().zip(&statement.places) {
        match declared.iter().position(|param| param.name == *name) {
            Some(index) => bound.push(declared.swap_remove(index)),
            None if is_entry(name) => {}
            None => {
                let message = format!("\":{name}\" is not declared");
                let known = declared.iter().map(|param| param.name.as_str());
                let help = match nearest(name, known) {
                    Some(known) => format!("did you mean \":{known}\"?"),
                    None => {
                        format!("declare it: {name} = {{ in = \"query\" }} under [route.params]")
                    }
                };
                faults.add_with_help(place.locate(span.clone()), message, help);
            }
        }
    }
    for unused in declared {
        let name = &unused.name;
        let help = format!("use :{name} in the SQL, or take the parameter out");
        faults.add_with_help(
            unused.span.clone(),
            format!("unused parameter \"{name}\""),
            help,
        );
    }
    bound
}

/// A route reads only if the file says so, or if it is a GET whose SQL shows no write.
fn read_only(
    faults: &mut Faults<'_>,
    settings: &Settings,
    method: Method,
    statement: &Statement,
) -> bool {
    let Some(declared) = &settings.read_only else {
        return method == Method::Get && statement.reads_only;
    };
    let first: String = statement
        .text
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let writes = ["insert", "update", "delete", "merge"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word));
    if declared.value && writes {
        let message = format!(
            "read_only = true, but the SQL begins with \"{}\"",
            first.to_ascii_lowercase()
        );
        faults.add(declared.span.clone(), message);
    }
    declared.value
}

/// The settings that have a default.
struct Settings {
    not_found: Option<String>,
    empty_status: Option<u16>,
    status: Option<u16>,
    timeout: Option<Duration>,
    lane: usize,
    max_rows: Option<usize>,
    read_only: Option<Place<bool>>,
    cancel: bool,
}

impl Settings {
    fn read(
        faults: &mut Faults<'_>,
        section: &Section<'_>,
        lanes: &[String],
        result: Option<ResultKind>,
    ) -> Settings {
        let status = |faults: &mut Faults<'_>, key, range| {
            let status = section.integer(faults, key, range)?;
            u16::try_from(status.value).ok()
        };
        let settings = Settings {
            not_found: section
                .text(faults, "not_found")
                .map(|text| text.value.to_owned()),
            empty_status: status(faults, "empty_status", 400..=499),
            status: status(faults, "status", 200..=299),
            timeout: section
                .text(faults, "timeout")
                .and_then(|text| read_timeout(faults, &text)),
            lane: read_lane(faults, section, lanes),
            max_rows: section
                .integer(faults, "max_rows", 1..=i64::from(u32::MAX))
                .and_then(|rows| usize::try_from(rows.value).ok()),
            read_only: section.boolean(faults, "read_only"),
            cancel: section
                .boolean(faults, "cancel")
                .is_some_and(|cancel| cancel.value),
        };
        if let Some(result) = result {
            settings.check_result(faults, section, result);
        }
        settings
    }

    /// Settings that mean nothing for this result.
    fn check_result(&self, faults: &mut Faults<'_>, section: &Section<'_>, result: ResultKind) {
        use ResultKind::{Exec, Many, One, Scalar};
        let allowed: [(&str, &[ResultKind]); 3] = [
            ("max_rows", &[Many]),
            ("not_found", &[One, Scalar]),
            ("empty_status", &[One]),
        ];
        for (key, results) in allowed {
            if let Some(span) = section.key_span(key).filter(|_| !results.contains(&result)) {
                let wanted: Vec<String> = results
                    .iter()
                    .map(|result| format!("result = \"{}\"", result.as_str()))
                    .collect();
                faults.add(
                    span,
                    format!("\"{key}\" is only for {}", wanted.join(" and ")),
                );
            }
        }
        if let (Some(204 | 205), Some(value)) = (self.status, section.value("status"))
            && result != Exec
        {
            let message = "a 204 or 205 answer has no body, but this result is one";
            faults.add_with_help(
                value.span(),
                message,
                "result = \"exec\" answers 204 by itself",
            );
        }
    }
}

/// A duration: a whole number and its unit, `250ms`, `2s` or `1m`.
fn read_timeout(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<Duration> {
    let digits = text.value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.value.split_at(digits);
    let unit_ms = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60_000),
        _ => None,
    };
    let Some((number, unit_ms)) = number.parse::<u64>().ok().zip(unit_ms) else {
        let message = "\"timeout\" must be a whole number and a unit";
        faults.add_with_help(
            text.span.clone(),
            message,
            "such as \"250ms\", \"2s\" or \"1m\"",
        );
        return None;
    };
    let timeout = Duration::from_millis(number.saturating_mul(unit_ms));
    if timeout.is_zero() || timeout > limits::ROUTE_TIMEOUT_MAX {
        let most = limits::ROUTE_TIMEOUT_MAX.as_secs() / 60;
        faults.add(
            text.span.clone(),
            format!("\"timeout\" must be 1ms to {most}m"),
        );
        return None;
    }
    Some(timeout)
}

fn read_lane(faults: &mut Faults<'_>, section: &Section<'_>, lanes: &[String]) -> usize {
    let Some(text) = section.text(faults, "lane") else {
        return 0;
    };
    if let Some(index) = lanes.iter().position(|lane| lane == text.value) {
        return index;
    }
    let message = format!("there is no lane \"{}\"", text.value);
    let help = match nearest(text.value, lanes.iter().map(String::as_str)) {
        Some(lane) => format!("did you mean \"{lane}\"?"),
        None => format!("declare it: [lane.{}]", text.value),
    };
    faults.add_with_help(text.span, message, help);
    0
}
