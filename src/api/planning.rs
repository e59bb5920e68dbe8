//! A declared route against what Postgres says about its statement.

use std::ops::Range;

use tokio_postgres::types::{Kind, Type};

use super::diagnostics::Diagnostic;
use super::file::Api;
use super::literal::Literal;
use super::params::{In, Param};
use super::plan::PlanParam;
use super::route::{ResultKind, Route};
use crate::json::{Columns, Decoder, ValueKind};

/// One route's check against its description.
pub(super) struct Planning<'a> {
    pub(super) route: &'a Route,
    pub(super) api: &'a Api,
    pub(super) faults: Vec<Diagnostic>,
}

impl Planning<'_> {
    /// Keeps a fault.
    pub(super) fn fault(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let fault = Diagnostic::new(&self.api.source, span, message);
        self.faults.push(match help {
            Some(help) => fault.help(help),
            None => fault,
        });
    }

    /// The shape of the answer against the columns.
    pub(super) fn check_result(&mut self, columns: &[(String, Type)]) {
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

    /// The columns, each of a known type and of a name of its own.
    pub(super) fn columns(&mut self, columns: &[(String, Type)]) -> Option<Columns> {
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

    /// A parameter with the type that Postgres gives it.
    pub(super) fn param(&mut self, index: usize, param: &Param, ty: &Type) -> Option<PlanParam> {
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
