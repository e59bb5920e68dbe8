//! The settings of a route that may be left out.

use std::time::Duration;

use toml::de::DeValue;

use super::batch::{Batch, BatchMode};
use super::diagnostics::nearest;
use super::guards::{self, rate_limit};
use super::route::ResultKind;
use super::route_auth;
use super::tree::{Faults, Place, Section, described};
use crate::duration;
use crate::guard::auth::{DatabaseRole, RouteAuth};
use crate::limits;

/// The names that routes may refer to.
pub(super) struct Declared {
    pub(super) lanes: Vec<String>,
    pub(super) rate_limits: Vec<String>,
    pub(super) auth: guards::auth::Declared,
}

/// The settings that have a default.
pub(super) struct Settings {
    pub(super) not_found: Option<String>,
    pub(super) empty_status: Option<u16>,
    pub(super) status: Option<u16>,
    pub(super) timeout: Option<Duration>,
    pub(super) lane: usize,
    pub(super) max_rows: Option<usize>,
    pub(super) read_only: Option<Place<bool>>,
    pub(super) cancel: bool,
    pub(super) batch: Place<Batch>,
    pub(super) rate_limit: Option<Place<usize>>,
    pub(super) auth: RouteAuth,
    pub(super) database_role: Option<DatabaseRole>,
}

impl Settings {
    /// Reads them; `result` is known unless it has a fault of its own.
    pub(super) fn read(
        faults: &mut Faults<'_>,
        section: &Section<'_>,
        declared: &Declared,
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
            lane: read_lane(faults, section, &declared.lanes),
            max_rows: section
                .integer(faults, "max_rows", 1..=i64::from(u32::MAX))
                .and_then(|rows| usize::try_from(rows.value).ok()),
            read_only: section.boolean(faults, "read_only"),
            cancel: section
                .boolean(faults, "cancel")
                .is_some_and(|cancel| cancel.value),
            batch: read_batch(faults, section),
            rate_limit: rate_limit::read_name(faults, section, &declared.rate_limits),
            auth: route_auth::read(faults, section, &declared.auth),
            database_role: route_auth::read_role(faults, section, &declared.auth),
        };
        if let Some(result) = result {
            settings.check_result(faults, section, result);
        }
        settings.check_statuses(faults, section);
        settings
    }

    /// Statuses that mean nothing without a field that no route sends.
    fn check_statuses(&self, faults: &mut Faults<'_>, section: &Section<'_>) {
        for (key, status) in [("status", self.status), ("empty_status", self.empty_status)] {
            let field = match status {
                Some(206) => "Content-Range (RFC 9110 §15.3.7)",
                Some(401) => "WWW-Authenticate (RFC 9110 §15.5.2)",
                Some(405) => "Allow (RFC 9110 §15.5.6)",
                Some(407) => "Proxy-Authenticate (RFC 9110 §15.5.8)",
                Some(426) => "Upgrade (RFC 9110 §15.5.22)",
                _ => continue,
            };
            if let Some(value) = section.value(key) {
                let message = "a route can't answer with this status";
                let help = format!("it has to come with {field}");
                faults.add_with_help(value.span(), message, help);
            }
        }
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
    let Ok(timeout) = duration::parse(text.value) else {
        let message = "\"timeout\" must be a whole number and a unit";
        faults.add_with_help(
            text.span.clone(),
            message,
            "such as \"250ms\", \"2s\" or \"1m\"",
        );
        return None;
    };
    if !duration::is_whole_milliseconds(timeout) || timeout > limits::ROUTE_TIMEOUT_MAX {
        let most = limits::ROUTE_TIMEOUT_MAX.as_secs() / 60;
        faults.add(
            text.span.clone(),
            format!("\"timeout\" must be 1ms to {most}m, in whole milliseconds"),
        );
        return None;
    }
    Some(timeout)
}

/// `true`, `false`, or a table of bounds that says `true` as well.
fn read_batch(faults: &mut Faults<'_>, section: &Section<'_>) -> Place<Batch> {
    let mut batch = Batch {
        mode: BatchMode::Automatic,
        keys_max: limits::BATCH_KEYS,
        in_flight_max: limits::BATCHES_IN_FLIGHT,
    };
    let Some(value) = section.value("batch") else {
        let span = section.span.clone();
        return Place { value: batch, span };
    };
    let span = value.span();
    match value.get_ref() {
        DeValue::Boolean(true) => batch.mode = BatchMode::On,
        DeValue::Boolean(false) => batch.mode = BatchMode::Off,
        DeValue::Table(_) => {
            batch.mode = BatchMode::On;
            let table = Section::open(faults, "batch", value, &["max", "in_flight"]);
            let mut number = |key, most: usize| {
                let number = table.as_ref()?.integer(faults, key, 1..=most as i64)?;
                usize::try_from(number.value).ok()
            };
            if let Some(keys) = number("max", limits::BATCH_KEYS_MAX) {
                batch.keys_max = keys;
            }
            if let Some(batches) = number("in_flight", limits::BATCHES_IN_FLIGHT_MAX) {
                batch.in_flight_max = batches;
            }
        }
        other => {
            let found = described(other);
            faults.add_with_help(
                span.clone(),
                format!("\"batch\" must be true, false or a table, not {found}"),
                "such as { max = 64, in_flight = 2 }",
            );
        }
    }
    Place { value: batch, span }
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
