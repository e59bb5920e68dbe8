//! `[rate_limit.NAME]`: the rules that routes may name.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::super::diagnostics::nearest;
use super::super::tree::{Faults, Place, Section, described, is_identifier, one_of};
use crate::duration;
use crate::guard::rate_limit::{Key, OnStoreFailure, Rate, RateFault, Rule, Store};
use crate::limits;

const KEYS: &[&str] = &[
    "requests",
    "per",
    "burst",
    "key",
    "store",
    "on_store_failure",
];

const STORES: [(&str, Store); 2] = [("local", Store::Local), ("redis", Store::Redis)];

const ON_STORE_FAILURE: [(&str, OnStoreFailure); 2] = [
    ("allow", OnStoreFailure::Allow),
    ("deny", OnStoreFailure::Deny),
];

/// The names of the rules, also of those that have a fault.
pub(in super::super) fn names(value: Option<&Spanned<DeValue<'_>>>) -> Vec<String> {
    let table = value.and_then(|value| value.get_ref().as_table());
    let keys = table.into_iter().flat_map(|table| table.keys());
    keys.map(|key| key.get_ref().as_ref().to_owned()).collect()
}

/// Reads the rules, in the order of [`names`]. One that has a fault is not among them.
pub(super) fn read(faults: &mut Faults<'_>, value: Option<&Spanned<DeValue<'_>>>) -> Vec<Rule> {
    let Some(value) = value else {
        return Vec::new();
    };
    let Some(table) = value.get_ref().as_table() else {
        let found = described(value.get_ref());
        let message = format!("\"rate_limit\" must be a table, not {found}");
        faults.add_with_help(value.span(), message, "write [rate_limit.NAME]");
        return Vec::new();
    };
    table
        .iter()
        .filter_map(|(key, value)| {
            let name = key.get_ref().as_ref();
            if is_identifier(name) {
                return read_rule(faults, name, value);
            }
            let message = format!("\"{name}\" can't name a rate limit");
            faults.add_with_help(key.span(), message, "names are ASCII letters, digits and _");
            None
        })
        .collect()
}

/// The index of the rule that a route names, if it names one.
pub(in super::super) fn read_name(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    names: &[String],
) -> Option<Place<usize>> {
    let text = section.text(faults, "rate_limit")?;
    if let Some(value) = names.iter().position(|name| name == text.value) {
        let span = text.span;
        return Some(Place { value, span });
    }
    let message = format!("there is no rate limit \"{}\"", text.value);
    let help = match nearest(text.value, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("declare it: [rate_limit.{}]", text.value),
    };
    faults.add_with_help(text.span, message, help);
    None
}

fn read_rule(faults: &mut Faults<'_>, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Rule> {
    let section = Section::open(faults, format!("[rate_limit.{name}]"), value, KEYS)?;
    for key in ["requests", "per"] {
        if section.value(key).is_none() {
            let message = format!("{} has no \"{key}\"", section.name);
            faults.add(section.span.clone(), message);
        }
    }
    let requests = section.integer(faults, "requests", 1..=limits::RATE_REQUESTS_MAX);
    let per = section
        .text(faults, "per")
        .and_then(|text| read_per(faults, &text));
    let burst = section.integer(faults, "burst", 1..=limits::RATE_REQUESTS_MAX);
    let key = section
        .text(faults, "key")
        .map_or(Some(Key::Ip), |text| read_key(faults, &text));
    let store = section
        .text(faults, "store")
        .map_or(Some(Store::Local), |text| {
            one_of(faults, "store", &text, &STORES)
        });
    let on_store_failure = section
        .text(faults, "on_store_failure")
        .map_or(Some(OnStoreFailure::Allow), |text| {
            one_of(faults, "on_store_failure", &text, &ON_STORE_FAILURE)
        });
    let (requests, per) = (requests?, per?);
    if burst.is_none() && section.value("burst").is_some() {
        return None;
    }
    let rate = read_rate(faults, &requests, per, burst.as_ref())?;
    let amount = (requests.value.unsigned_abs(), per);
    Some(Rule::new(
        name,
        amount,
        rate,
        key?,
        store?,
        on_store_failure?,
    ))
}

/// Whole seconds, as the RateLimit-Policy field tells them.
fn read_per(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<Duration> {
    let most = limits::RATE_PER_MAX;
    match duration::parse_long(text.value) {
        Ok(per) if per.subsec_nanos() == 0 && !per.is_zero() && per <= most => Some(per),
        _ => {
            let days = most.as_secs() / (24 * 3600);
            let message = format!("\"per\" must be 1s to {days}d, in whole seconds");
            faults.add_with_help(
                text.span.clone(),
                message,
                "such as \"1s\", \"1m\" or \"1d\"",
            );
            None
        }
    }
}

fn read_rate(
    faults: &mut Faults<'_>,
    requests: &Place<i64>,
    per: Duration,
    burst: Option<&Place<i64>>,
) -> Option<Rate> {
    let last = burst.unwrap_or(requests);
    let (count, burst) = (requests.value.unsigned_abs(), last.value.unsigned_abs());
    let (place, message) = match Rate::new(count, per, burst) {
        Ok(rate) => return Some(rate),
        Err(RateFault::TooFast) => (
            requests,
            "more than a million requests a second can't be counted".to_owned(),
        ),
        Err(RateFault::TooSlow) => {
            let days = limits::RATE_RESET_MAX.as_secs() / (24 * 3600);
            let message = format!("at this rate a burst takes more than {days} days to come back");
            (last, message)
        }
    };
    faults.add(place.span.clone(), message);
    None
}

fn read_key(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<Key> {
    match text.value.split_once(':') {
        None if text.value == "ip" => return Some(Key::Ip),
        None if text.value == "route" => return Some(Key::Route),
        Some(("header", name)) if is_field_name(name) => {
            return Some(Key::Header(name.to_ascii_lowercase()));
        }
        Some(("header", name)) => {
            let message = format!("\"{name}\" is no name of a header field");
            faults.add(text.span.clone(), message);
            return None;
        }
        Some(("claim", name)) if !name.is_empty() => return Some(Key::Claim(name.to_owned())),
        _ => {}
    }
    let message = "\"key\" must be \"ip\", \"header:NAME\", \"claim:NAME\" or \"route\"";
    let known = ["ip", "header", "claim", "route"];
    let kind = text.value.split(':').next().unwrap_or_default();
    match nearest(kind, known).filter(|near| *near != kind) {
        Some(near) => {
            let help = format!("did you mean \"{near}\"?");
            faults.add_with_help(text.span.clone(), message, help);
        }
        None => faults.add(text.span.clone(), message),
    }
    None
}

/// A token (RFC 9110 §5.6.2).
fn is_field_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet))
}
