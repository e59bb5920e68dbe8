//! What a route needs at run time, once Postgres has described its statement.

use std::ops::Range;

use tokio_postgres::types::Type;

use super::constraint::{Constraints, Seen, Violation};
use super::diagnostics::Diagnostic;
use super::file::Api;
use super::literal::Literal;
use super::params::In;
use super::planning::Planning;
use super::route::Route;
use crate::json::{Columns, Decoder, ValueKind};

/// How the values of a route are bound and its rows are written.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Parameters: the first is `$1`.
    pub params: Vec<PlanParam>,
    /// Columns of the result; none for a statement that returns no rows.
    pub columns: Columns,
    /// The parameter for each capture of the path, from the left.
    pub(super) captures: Vec<usize>,
    /// Parameters that come from the query.
    pub(super) query: Vec<usize>,
    /// Parameters that come from header fields.
    pub(super) headers: Vec<usize>,
    /// Parameters that come from claims.
    pub(super) claims: Vec<usize>,
    /// Parameters that come from the body.
    pub(super) body: BodyPlan,
}

/// What a route takes from the body.
#[derive(Debug, Clone)]
pub(super) enum BodyPlan {
    /// Nothing: a body is not looked at.
    Ignored,
    /// Members of an object, by name.
    Members(Vec<usize>),
    /// The whole document.
    Whole(usize),
}

/// One parameter with its type.
#[derive(Debug, Clone)]
pub struct PlanParam {
    /// The name behind the colon in the SQL.
    pub name: String,
    /// Where its value stands.
    pub source: In,
    /// Its name in the request.
    pub external: String,
    /// What its values must keep to.
    pub constraints: Constraints,
    /// Whether NULL is a value.
    pub nullable: bool,
    /// Whether it is the whole body.
    pub whole: bool,
    /// The value when the request has none, as the file writes it.
    pub default: Option<Literal>,
    /// The same in Postgres' binary form.
    pub(super) default_bytes: Option<Vec<u8>>,
    /// The choices in binary form, where only that tells values apart (dates, uuids, …).
    pub(super) choices: Vec<Vec<u8>>,
    pub(super) decoder: Decoder,
    pub(super) kind: ValueKind,
    /// Whether a repeated query parameter collects into it.
    pub(super) is_array: bool,
}

impl PlanParam {
    /// The Postgres type: `int8`, `text[]`.
    pub fn type_name(&self) -> String {
        self.decoder.name()
    }

    /// The first constraint that a decoded value breaks. `written` is its text in the request.
    pub(super) fn check(&self, written: &str, encoded: &[u8]) -> Result<(), Violation> {
        if self.constraints.is_empty() {
            return Ok(());
        }
        match self.kind {
            ValueKind::Integer | ValueKind::Number => {
                // A number may stand in a JSON string.
                let digits = written
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'));
                self.constraints
                    .check(Seen::Number(digits.unwrap_or(written)))
            }
            ValueKind::Text => {
                // The binary form of a text is the text (only "char" may hold another byte).
                let text = std::str::from_utf8(encoded).map_err(|_| Violation {
                    kind: "string_unicode",
                    message: "Input should be valid text".to_owned(),
                })?;
                self.constraints.check(Seen::Text(text))
            }
            ValueKind::Boolean | ValueKind::Json | ValueKind::Other => {
                if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == encoded)
                {
                    return Err(self.constraints.not_a_choice());
                }
                self.constraints.check(Seen::Other)
            }
        }
    }
}

impl Route {
    /// Checks the route against what Postgres says about its statement: the types of `$1`, `$2`, … and the
    /// names and types of the columns. All faults are found in one go.
    pub fn plan(
        &self,
        api: &Api,
        params: &[Type],
        columns: &[(String, Type)],
    ) -> Result<Plan, Vec<Diagnostic>> {
        let mut planning = Planning {
            route: self,
            api,
            faults: Vec::new(),
        };
        planning.check_result(columns);
        if params.len() != self.params.len() {
            let message = format!(
                "Postgres sees {} parameters in this statement, not {}",
                params.len(),
                self.params.len()
            );
            planning.fault(self.statement_word(api), message, None);
        }
        let planned: Vec<Option<PlanParam>> = self
            .params
            .iter()
            .zip(params)
            .enumerate()
            .map(|(index, (param, ty))| planning.param(index, param, ty))
            .collect();
        let columns = planning.columns(columns);
        let planned: Option<Vec<PlanParam>> = planned.into_iter().collect();
        match (planned, columns) {
            (Some(params), Some(columns)) if planning.faults.is_empty() => {
                Ok(Plan::new(self, params, columns))
            }
            _ => Err(planning.faults),
        }
    }

    /// The fault for a statement that Postgres refuses to prepare: its message, the position that it reports
    /// (characters of the sent text, from 1) and its hint.
    pub fn prepare_fault(
        &self,
        api: &Api,
        message: &str,
        position: Option<u32>,
        hint: Option<&str>,
    ) -> Diagnostic {
        let (named, first) = self.name_numbers(message);
        let span = match (position, first) {
            (Some(position), _) => self
                .sql
                .locate_word(&api.source, self.statement.declared_offset(position)),
            (None, Some(index)) => self.placeholder(index),
            (None, None) => self.statement_word(api),
        };
        let fault = Diagnostic::new(&api.source, span, one_line(&format!("Postgres: {named}")));
        match (hint, first) {
            (Some(hint), _) => fault.help(one_line(&self.name_numbers(hint).0)),
            (None, Some(index)) if message.contains("could not determine data type") => {
                let name = &self.statement.params[index];
                fault.help(format!(
                    "cast it, :{name}::text, or pin it: {name} = {{ type = \"text\" }}"
                ))
            }
            (None, _) => fault,
        }
    }

    /// A message of Postgres with `:name` for every `$n`, and the index of the first.
    fn name_numbers(&self, message: &str) -> (String, Option<usize>) {
        let mut named = String::with_capacity(message.len());
        let mut first = None;
        let mut pieces = message.split('$');
        named.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
            let index = piece[..digits]
                .parse::<usize>()
                .ok()
                .and_then(|number| number.checked_sub(1));
            match index.and_then(|index| Some((index, self.statement.params.get(index)?))) {
                Some((index, name)) => {
                    first = first.or(Some(index));
                    named.push(':');
                    named.push_str(name);
                    named.push_str(&piece[digits..]);
                }
                None => {
                    named.push('$');
                    named.push_str(piece);
                }
            }
        }
        (named, first)
    }

    /// Where a placeholder first stands in the file.
    pub(super) fn placeholder(&self, index: usize) -> Range<usize> {
        self.sql.locate(self.statement.places[index].clone())
    }

    /// The first word of the statement.
    pub(super) fn statement_word(&self, api: &Api) -> Range<usize> {
        self.sql
            .locate_word(&api.source, self.statement.declared_offset(1))
    }
}

impl Plan {
    fn new(route: &Route, params: Vec<PlanParam>, columns: Columns) -> Plan {
        let from = |source: In| -> Vec<usize> {
            (0..params.len())
                .filter(|&index| params[index].source == source)
                .collect()
        };
        let members = from(In::Body);
        let body = match members.iter().find(|&&index| params[index].whole) {
            Some(&whole) => BodyPlan::Whole(whole),
            None if members.is_empty() => BodyPlan::Ignored,
            None => BodyPlan::Members(members),
        };
        let names = route.path.params().iter();
        Plan {
            captures: names
                .filter_map(|name| params.iter().position(|param| param.name == *name))
                .collect(),
            query: from(In::Query),
            headers: from(In::Header),
            claims: from(In::Claim),
            body,
            params,
            columns,
        }
    }
}

/// Messages of Postgres may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[cfg(test)]
mod tests;
