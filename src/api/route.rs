//! One `[[route]]`: its settings, its statement and its parameters.

use std::ops::Range;
use std::time::Duration;

use tokio_postgres::types::Type;
use toml::Spanned;
use toml::de::DeValue;

use super::batch::Batch;
use super::diagnostics::nearest;
use super::params::{self, Param};
use super::route_auth;
use super::router::{Method, Template};
use super::settings::{Declared, Settings};
use super::sql::Statement;
use super::sql_place::SqlPlace;
use super::transaction::{Told, Transaction};
use super::tree::{Faults, Place, Section, is_identifier, one_of};
use crate::guard::auth::{DatabaseRole, RouteAuth};
use crate::limits;

/// What a route answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// The row as an object; no row is `not_found`, a second one is a fault of the route (500).
    One,
    /// All rows as an array of objects.
    Many,
    /// Nothing (204), or the rows of a RETURNING.
    Exec,
    /// The value of the only column of the row; rows as for `One`.
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
    /// Whether requests are gathered and sent as one statement.
    pub batch: Batch,
    /// Index of its rate limit in `Api::guards`, where it has one.
    pub rate_limit: Option<usize>,
    /// Who may ask it.
    pub auth: RouteAuth,
    /// The role of Postgres that its statement runs as, where the file names one.
    pub database_role: Option<DatabaseRole>,
    /// What Postgres is told of the request, if anything is.
    pub transaction: Option<Transaction>,
    /// What the route says of that.
    pub(super) told: Told,
    /// Where `rate_limit` stands.
    pub(super) rate_limit_span: Range<usize>,
    /// Where `batch` stands.
    pub(super) batch_span: Range<usize>,
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
    "batch",
    "rate_limit",
    "auth",
    "require",
    "database_role",
    "settings",
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
    declared: &Declared,
) -> (Head, Option<Route>) {
    let Some(section) = Section::open(faults, "[[route]]", value, KEYS) else {
        return (Head::default(), None);
    };
    let head = Head {
        name: read_name(faults, &section),
        method: read_method(faults, &section),
        path: read_path(faults, &section),
    };
    let route = read_rest(faults, &section, &head, declared);
    (head, route)
}

/// Everything but the head. `None` when a fault leaves too little for a route.
fn read_rest(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    head: &Head,
    declared: &Declared,
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
    let params = section
        .value("params")
        .map(|value| params::read(faults, value, *method, path_params));
    let settings = Settings::read(
        faults,
        section,
        declared,
        result.as_ref().map(|(kind, _)| *kind),
    );
    let params = params.unwrap_or_default();
    route_auth::check_params(faults, section, &params);
    let bound = match (path, &sql) {
        (Some(path), Some((statement, place))) => {
            bind_names(faults, path, statement, place, params, section)
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
        batch: settings.batch.value,
        rate_limit: settings.rate_limit.as_ref().map(|place| place.value),
        rate_limit_span: settings.rate_limit.map_or(0..0, |place| place.span),
        auth: settings.auth,
        database_role: settings.database_role,
        transaction: None,
        told: Told::read(faults, section),
        batch_span: settings.batch.span,
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
