//! What a route needs at run time, once Postgres has described its statement.

use std::ops::Range;

use tokio_postgres::types::{Kind, Type};

use super::constraint::{Constraints, Literal, Seen, Violation};
use super::diagnostics::Diagnostic;
use super::file::Api;
use super::params::{In, Param};
use super::route::{ResultKind, Route};
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
    choices: Vec<Vec<u8>>,
    pub(super) decoder: Decoder,
    kind: ValueKind,
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
    fn placeholder(&self, index: usize) -> Range<usize> {
        self.sql.locate(self.statement.places[index].clone())
    }

    /// The first word of the statement.
    fn statement_word(&self, api: &Api) -> Range<usize> {
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
            body,
            params,
            columns,
        }
    }
}

/// One route's check against its description.
struct Planning<'a> {
    route: &'a Route,
    api: &'a Api,
    faults: Vec<Diagnostic>,
}

impl Planning<'_> {
    fn fault(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let fault = Diagnostic::new(&self.api.source, span, message);
        self.faults.push(match help {
            Some(help) => fault.help(help),
            None => fault,
        });
    }

    /// The shape of the answer against the columns.
    fn check_result(&mut self, columns: &[(String, Type)]) {
        let route = self.route;
        let word = route.result.as_str();
        let span = route.result_span.clone();
        match (route.result, columns.len()) {
            (ResultKind::Exec, 0) => {}
            (ResultKind::Exec, _) => {
                if let Some(status @ (204 | 205)) = route.status {
                    let message =
                        format!("a {status} answer has no body, but the statement returns rows");
                    self.fault(
                        span,
                        message,
                        Some("take RETURNING out, or set another status".to_owned()),
                    );
                }
            }
            (_, 0) => {
                let message = format!("result = \"{word}\", but the statement returns no columns");
                let help = "add RETURNING to the SQL, or use result = \"exec\"";
                self.fault(span, message, Some(help.to_owned()));
            }
            (ResultKind::Scalar, 1) => {}
            (ResultKind::Scalar, count) => {
                let message =
                    format!("result = \"scalar\" takes one column, the statement returns {count}");
                self.fault(
                    span,
                    message,
                    Some("use result = \"one\" for an object".to_owned()),
                );
            }
            (ResultKind::One | ResultKind::Many, _) => {}
        }
    }

    fn columns(&mut self, columns: &[(String, Type)]) -> Option<Columns> {
        let span = self.route.statement_word(self.api);
        for (index, (name, _)) in columns.iter().enumerate() {
            if columns[..index].iter().any(|(other, _)| other == name) {
                let message = format!("two columns are named \"{name}\"");
                self.fault(
                    span.clone(),
                    message,
                    Some("name one of them: … as other_name".to_owned()),
                );
            }
        }
        match Columns::resolve(columns) {
            Ok(columns) => Some(columns),
            Err(unsupported) => {
                for (index, fault) in unsupported {
                    let (name, ty) = (&columns[index].0, &fault.name);
                    let message =
                        format!("column \"{name}\" is of type {ty}, which is not supported");
                    let help = format!("cast it, such as {name}::text as {name}");
                    self.fault(span.clone(), message, Some(help));
                }
                None
            }
        }
    }

    fn param(&mut self, index: usize, param: &Param, ty: &Type) -> Option<PlanParam> {
        let decoder = match Decoder::resolve(ty) {
            Ok(decoder) => decoder,
            Err(fault) => {
                let (name, ty) = (&param.name, &fault.name);
                let message = format!(":{name} is of type {ty}, which is not supported");
                // The inner cast makes the parameter a text, the outer one reads it.
                let help = format!("take it as text: :{name}::text::{ty}");
                self.fault(self.route.placeholder(index), message, Some(help));
                return None;
            }
        };
        let mut planned = PlanParam {
            name: param.name.clone(),
            source: param.source,
            external: param.external.clone(),
            constraints: param.constraints.clone(),
            nullable: param.nullable,
            whole: param.whole,
            default: param.default.clone(),
            default_bytes: None,
            choices: Vec::new(),
            kind: decoder.kind(),
            is_array: is_array(ty),
            decoder,
        };
        self.check_kind(param, &planned);
        planned.choices = self.choices(param, &planned);
        planned.default_bytes = self.default(param, &planned);
        Some(planned)
    }

    /// Settings that the parameter's type can't have.
    fn check_kind(&mut self, param: &Param, planned: &PlanParam) {
        let type_name = planned.type_name();
        let constraints = &param.constraints;
        let is_number = matches!(planned.kind, ValueKind::Integer | ValueKind::Number);
        for (key, is_set, fits, wanted) in [
            ("ge", constraints.ge.is_some(), is_number, "a number"),
            ("le", constraints.le.is_some(), is_number, "a number"),
            (
                "min_length",
                constraints.min_length.is_some(),
                planned.kind == ValueKind::Text,
                "a text",
            ),
            (
                "max_length",
                constraints.max_length.is_some(),
                planned.kind == ValueKind::Text,
                "a text",
            ),
            (
                "pattern",
                constraints.pattern.is_some(),
                planned.kind == ValueKind::Text,
                "a text",
            ),
        ] {
            if is_set && !fits {
                let message = format!(
                    "\"{key}\" is only for {wanted}, :{} is {type_name}",
                    param.name
                );
                self.fault(param.key_span(key), message, None);
            }
        }
        if !constraints.choices.is_empty() && (planned.kind == ValueKind::Json || planned.is_array)
        {
            let message = format!(
                "\"enum\" is only for a single value, :{} is {type_name}",
                param.name
            );
            self.fault(param.key_span("enum"), message, None);
        }
        if param.whole && planned.kind != ValueKind::Json {
            let message = format!(
                "the whole body is json or jsonb, :{} is {type_name}",
                param.name
            );
            let help = format!("cast it: :{}::jsonb", param.name);
            self.fault(param.key_span("whole"), message, Some(help));
        }
        if planned.is_array && matches!(param.source, In::Path | In::Header) {
            let message = format!(
                "a {} holds one value, :{} is {type_name}",
                param.source.as_str(),
                param.name
            );
            let help = "take an array from the query (repeated) or the body";
            self.fault(param.span.clone(), message, Some(help.to_owned()));
        }
    }

    fn choices(&mut self, param: &Param, planned: &PlanParam) -> Vec<Vec<u8>> {
        let mut choices = Vec::with_capacity(param.constraints.choices.len());
        if planned.is_array || planned.kind == ValueKind::Json {
            return choices;
        }
        for choice in &param.constraints.choices {
            match encode(planned, choice) {
                Ok(encoded) => choices.push(encoded),
                Err(reason) => {
                    let message = format!("{choice} can't be {}: {reason}", planned.type_name());
                    self.fault(param.key_span("enum"), message, None);
                }
            }
        }
        choices
    }

    fn default(&mut self, param: &Param, planned: &PlanParam) -> Option<Vec<u8>> {
        let default = param.default.as_ref()?;
        let checked = encode(planned, default).and_then(|encoded| {
            let written = default.text().unwrap_or_default();
            planned
                .check(written, &encoded)
                .map_err(|violation| violation.message)?;
            Ok(encoded)
        });
        match checked {
            Ok(encoded) => Some(encoded),
            Err(reason) => {
                let message = format!("the default can't be {}: {reason}", planned.type_name());
                self.fault(param.key_span("default"), message, None);
                None
            }
        }
    }
}

/// A value of the file in Postgres' binary form, or why it is none of the type.
fn encode(planned: &PlanParam, literal: &Literal) -> Result<Vec<u8>, String> {
    let mut encoded = Vec::new();
    let decoded = match (literal, planned.is_array) {
        (Literal::List(items), true) => {
            let texts: Option<Vec<&str>> = items.iter().map(Literal::text).collect();
            let texts = texts.ok_or("a list holds single values")?;
            planned.decoder.text_list(&texts, &mut encoded)
        }
        (Literal::List(_), false) => return Err("it is a list".to_owned()),
        (_, true) => return Err("it is no list, write [ … ]".to_owned()),
        (single, false) => planned
            .decoder
            .text(single.text().unwrap_or_default(), &mut encoded),
    };
    decoded.map_err(|fault| fault.message.into_owned())?;
    Ok(encoded)
}

fn is_array(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Array(_) => true,
        Kind::Domain(inner) => is_array(inner),
        _ => false,
    }
}

/// Messages of Postgres may have several lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::{load, table};
    use super::*;

    fn api(result: &str, sql: &str, rest: &str) -> Api {
        let text = format!(
            "[[route]]\nname = \"r\"\nmethod = \"POST\"\npath = \"/r/{{id}}\"\nresult = \"{result}\"\nsql = '''\n{sql}\n'''\n{rest}\n"
        );
        load("api.toml", &text).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn column(name: &str, ty: Type) -> (String, Type) {
        (name.to_owned(), ty)
    }

    /// Line, column and message of each fault.
    fn faults(api: &Api, params: &[Type], columns: &[(String, Type)]) -> Vec<String> {
        let faults = api.routes[0]
            .plan(api, params, columns)
            .expect_err("a fault");
        faults
            .iter()
            .map(|fault| format!("{}:{} {}", fault.line(), fault.column(), fault.message()))
            .collect()
    }

    #[test]
    fn results_need_their_columns() {
        let id = [Type::INT8];
        for result in ["one", "many", "scalar"] {
            let api = api(result, "delete from t where id = :id", "");
            let message =
                format!("5:10 result = \"{result}\", but the statement returns no columns");
            assert_eq!(faults(&api, &id, &[]), [message]);
        }
        let scalar = api("scalar", "select 1, 2 where 3 = :id", "");
        let two = [column("a", Type::INT4), column("b", Type::INT4)];
        assert_eq!(
            faults(&scalar, &id, &two),
            ["5:10 result = \"scalar\" takes one column, the statement returns 2"]
        );
        assert!(scalar.routes[0].plan(&scalar, &id, &two[..1]).is_ok());
        let exec = api("exec", "delete from t where id = :id", "status = 204");
        assert!(exec.routes[0].plan(&exec, &id, &[]).is_ok());
        assert_eq!(
            faults(&exec, &id, &two),
            ["5:10 a 204 answer has no body, but the statement returns rows"]
        );
        let exec = api("exec", "delete from t where id = :id returning a, b", "");
        assert!(exec.routes[0].plan(&exec, &id, &two).is_ok());
    }

    #[test]
    fn columns_and_parameters_need_a_known_type() {
        let api = api("many", "  select * from t where p = :id", "");
        let columns = [
            column("a", Type::POINT),
            column("b", Type::INT4),
            column("b", Type::INT8),
        ];
        assert_eq!(
            faults(&api, &[Type::POINT], &columns),
            [
                "7:29 :id is of type point, which is not supported",
                "7:3 two columns are named \"b\"",
                "7:3 column \"a\" is of type point, which is not supported",
            ]
        );
    }

    #[test]
    fn constraints_need_their_type() {
        let with = |entry: &str, ty: Type| {
            let api = api(
                "exec",
                "select f(:id, :q)",
                &format!("[route.params]\nq = {{ in = \"query\", {entry} }}"),
            );
            match api.routes[0].plan(&api, &[Type::INT8, ty], &[]) {
                Ok(_) => "ok".to_owned(),
                Err(faults) => faults
                    .iter()
                    .map(|fault| format!("{} {}", fault.column(), fault.message()))
                    .collect(),
            }
        };
        assert_eq!(with("ge = 1", Type::INT4), "ok");
        assert_eq!(with("ge = 1", Type::NUMERIC), "ok");
        assert_eq!(
            with("ge = 1", Type::TEXT),
            "26 \"ge\" is only for a number, :q is text"
        );
        assert_eq!(
            with("le = 1", Type::DATE),
            "26 \"le\" is only for a number, :q is date"
        );
        assert_eq!(with("min_length = 1", Type::TEXT), "ok");
        assert_eq!(
            with("min_length = 1", Type::INT4),
            "34 \"min_length\" is only for a text, :q is int4"
        );
        assert_eq!(
            with("max_length = 1", Type::TEXT_ARRAY),
            "34 \"max_length\" is only for a text, :q is text[]"
        );
        assert_eq!(
            with("pattern = 'a'", Type::UUID),
            "31 \"pattern\" is only for a text, :q is uuid"
        );
        assert_eq!(with("enum = ['2024-01-01']", Type::DATE), "ok");
        assert_eq!(
            with("enum = [1, 'x']", Type::INT4),
            "28 'x' can't be int4: Input should be a valid integer"
        );
        assert_eq!(
            with("enum = [1]", Type::INT4_ARRAY),
            "28 \"enum\" is only for a single value, :q is int4[]"
        );
        assert_eq!(
            with("enum = ['{}']", Type::JSONB),
            "28 \"enum\" is only for a single value, :q is jsonb"
        );
        assert_eq!(
            with("default = 'x'", Type::INT4),
            "31 the default can't be int4: Input should be a valid integer"
        );
        assert_eq!(with("default = [1, 2]", Type::INT4_ARRAY), "ok");
        assert_eq!(
            with("default = 1", Type::INT4_ARRAY),
            "31 the default can't be int4[]: it is no list, write [ … ]"
        );
        assert_eq!(
            with("default = [1]", Type::INT4),
            "31 the default can't be int4: it is a list"
        );
        assert_eq!(
            with("default = '5', ge = 6", Type::INT4),
            "31 the default can't be int4: Input should be greater than or equal to 6"
        );
        assert_eq!(with("default = 2024-01-01", Type::DATE), "ok");
        assert_eq!(with("default = true", Type::BOOL), "ok");
        assert_eq!(with("nullable = true", Type::BOOL), "ok");
    }

    #[test]
    fn whole_bodies_are_json_and_paths_hold_one_value() {
        let whole = api(
            "exec",
            "select f(:id, :doc)",
            "params.doc = { in = \"body\", whole = true }",
        );
        assert_eq!(
            faults(&whole, &[Type::INT8, Type::TEXT], &[]),
            ["9:37 the whole body is json or jsonb, :doc is text"]
        );
        assert!(
            whole.routes[0]
                .plan(&whole, &[Type::INT8, Type::JSONB], &[])
                .is_ok()
        );
        assert_eq!(
            faults(&whole, &[Type::INT8_ARRAY, Type::JSON], &[]),
            ["4:8 a path holds one value, :id is int8[]"]
        );
        assert_eq!(
            faults(&whole, &[Type::INT8], &[]),
            ["7:1 Postgres sees 1 parameters in this statement, not 2"]
        );
    }

    #[test]
    fn what_postgres_refuses_is_shown_where_it_stands() {
        let api = api(
            "many",
            "select é, nope\n  from t where id = :id and x = :id",
            "",
        );
        let route = &api.routes[0];
        let sent = &route.statement.text;
        let position =
            |word: &str| Some(sent[..sent.find(word).unwrap()].chars().count() as u32 + 1);
        let fault = route.prepare_fault(
            &api,
            "column \"nope\" does not exist",
            position("nope"),
            None,
        );
        assert_eq!(
            fault.to_string(),
            "error: Postgres: column \"nope\" does not exist\n --> api.toml:7:11\n  |\n7 | select é, nope\n  |           ^^^^\n"
        );
        let fault = route.prepare_fault(
            &api,
            "operator does not exist: t = $1",
            position("$1 and"),
            Some("Add a\ncast to $1."),
        );
        assert_eq!(
            fault.to_string(),
            "error: Postgres: operator does not exist: t = :id\n --> api.toml:8:21\n  |\n8 |   from t where id = :id and x = :id\n  |                     ^^^\n  = help: Add a cast to :id.\n"
        );
        let fault = route.prepare_fault(
            &api,
            "could not determine data type of parameter $1",
            None,
            None,
        );
        assert_eq!((fault.line(), fault.column()), (8, 21));
        assert!(
            fault
                .to_string()
                .contains("= help: cast it, :id::text, or pin it: id = { type = \"text\" }"),
            "{fault}"
        );
        let fault = route.prepare_fault(&api, "permission denied for $9 or $", None, None);
        assert_eq!(
            (fault.line(), fault.column(), fault.message()),
            (7, 1, "Postgres: permission denied for $9 or $")
        );
    }

    #[test]
    fn the_table_shows_what_was_resolved() {
        let text = r#"
[[route]]
name = "get_user"
method = "GET"
path = "/users/{user_id}"
result = "one"
sql = "select user_id, username, tags from users where user_id = :user_id"

[[route]]
name = "search"
method = "POST"
path = "/search"
result = "exec"
sql = "select f(:tenant, :kind, :limit, :note)"
[route.params]
tenant = { in = "header", name = "X-Tenant" }
kind = { in = "query", enum = ["a", "b"], nullable = true }
limit = { in = "query", default = 50, ge = 1, le = 500 }
note = { in = "body", nullable = true, max_length = 9, pattern = "^x" }
"#;
        let api = load("api.toml", text).unwrap();
        let columns = [
            column("user_id", Type::INT8),
            column("username", Type::TEXT),
            column("tags", Type::TEXT_ARRAY),
        ];
        let user = api.routes[0].plan(&api, &[Type::INT8], &columns).unwrap();
        let search = api.routes[1]
            .plan(&api, &[Type::UUID, Type::TEXT, Type::INT4, Type::TEXT], &[])
            .unwrap();
        let shown = table(&api, &[user, search]);
        let expected = "\
GET     /users/{user_id}  get_user  one
        user_id  path  int8  required
        → user_id   int8    integer
        → username  text    string
        → tags      text[]  array of string

POST    /search           search    exec
        tenant  header X-Tenant  uuid  required
        kind    query            text  optional, nullable, enum 'a' 'b'
        limit   query            int4  default 50, ge 1, le 500
        note    body             text  optional, nullable, max_length 9, pattern ^x
";
        assert_eq!(shown, expected, "\n{shown}");
    }
}
