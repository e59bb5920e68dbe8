//! `[security_headers]`: what browsers are told not to do with an answer.

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::super::tree::{Faults, Place, Section, described};
use crate::duration;
use crate::guard::security_headers::{FIELDS, Settings};

const OTHER_KEYS: [&str; 2] = ["enabled", "hsts"];

pub(super) fn read(faults: &mut Faults<'_>, value: Option<&Spanned<DeValue<'_>>>) -> Settings {
    let mut settings = Settings::default();
    let known: Vec<&str> = OTHER_KEYS
        .into_iter()
        .chain(FIELDS.map(|field| field.key))
        .collect();
    let Some(section) =
        value.and_then(|value| Section::open(faults, "[security_headers]", value, &known))
    else {
        return settings;
    };
    if let Some(enabled) = section.boolean(faults, "enabled") {
        settings.enabled = enabled.value;
        let other = known.iter().find_map(|key| match *key {
            "enabled" => None,
            key => section.key_span(key),
        });
        if let Some(span) = other.filter(|_| !enabled.value) {
            faults.add(span, "nothing is sent with enabled = false");
        }
    }
    if let Some(value) = section.value("hsts") {
        settings.hsts =
            text_or_false(faults, "hsts", value).and_then(|text| read_age(faults, &text));
    }
    for (field, setting) in FIELDS.iter().zip(&mut settings.values) {
        if let Some(value) = section.value(field.key) {
            *setting =
                text_or_false(faults, field.key, value).and_then(|text| read_value(faults, &text));
        }
    }
    settings
}

/// A text, or nothing for `false`.
fn text_or_false<'t>(
    faults: &mut Faults<'_>,
    key: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Option<Place<&'t str>> {
    match value.get_ref() {
        DeValue::String(text) => Some(Place {
            value: text.as_ref(),
            span: value.span(),
        }),
        DeValue::Boolean(false) => None,
        other => {
            let message = format!(
                "\"{key}\" must be a string, or false for no such field, not {}",
                described(other)
            );
            faults.add(value.span(), message);
            None
        }
    }
}

fn read_age(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<Duration> {
    match duration::parse_long(text.value) {
        Ok(age) if age.subsec_nanos() == 0 => Some(age),
        _ => {
            faults.add_with_help(
                text.span.clone(),
                "\"hsts\" must be a duration in whole seconds",
                "such as \"1y\", \"180d\" or \"0s\", which makes browsers forget it",
            );
            None
        }
    }
}

fn read_value(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<String> {
    let is_line = text
        .value
        .bytes()
        .all(|octet| (b' '..=b'~').contains(&octet));
    if text.value.is_empty() || !is_line || text.value.trim() != text.value {
        let message =
            "a field's value is one line of ASCII without spaces around it (RFC 9110 §5.5)";
        faults.add(text.span.clone(), message);
        return None;
    }
    Some(text.value.to_owned())
}
