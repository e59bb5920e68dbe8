//! `[proxy]`: whose word is believed about whom a request comes from.

use toml::Spanned;
use toml::de::DeValue;

use super::super::tree::{Faults, Section, described, one_of};
use crate::guard::proxy::{Field, Network, Settings};
use crate::limits;

const KEYS: &[&str] = &["trusted", "field"];

const FIELDS: [(&str, Field); 2] = [
    ("x-forwarded-for", Field::XForwardedFor),
    ("forwarded", Field::Forwarded),
];

pub(super) fn read(faults: &mut Faults<'_>, value: Option<&Spanned<DeValue<'_>>>) -> Settings {
    let mut settings = Settings::default();
    let Some(section) = value.and_then(|value| Section::open(faults, "[proxy]", value, KEYS))
    else {
        return settings;
    };
    if let Some(text) = section.text(faults, "field")
        && let Some(field) = one_of(faults, "field", &text, &FIELDS)
    {
        settings.field = field;
    }
    let Some(value) = section.value("trusted") else {
        faults.add_with_help(
            section.span.clone(),
            "[proxy] has no \"trusted\"",
            "name the proxies: trusted = [\"10.0.0.0/8\", \"unix\"]",
        );
        return settings;
    };
    let Some(list) = value.get_ref().as_array() else {
        let found = described(value.get_ref());
        faults.add(
            value.span(),
            format!("\"trusted\" must be a list of networks, not {found}"),
        );
        return settings;
    };
    if list.len() > limits::TRUSTED_PROXIES_MAX {
        let most = limits::TRUSTED_PROXIES_MAX;
        faults.add(
            value.span(),
            format!("\"trusted\" has at most {most} networks"),
        );
    }
    for value in list {
        let network = match value.get_ref().as_str() {
            Some("unix") => {
                settings.unix = true;
                continue;
            }
            Some(text) => Network::parse(text),
            None => Err("an IP address or network in quotes, or \"unix\""),
        };
        match network {
            Ok(network) => settings.trusted.push(network),
            Err(message) => faults.add(value.span(), message),
        }
    }
    settings
}
