//! `[cors]`: which pages of other origins may ask, and read the answer.

#[cfg(test)]
mod tests;

use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::super::diagnostics::{alternatives, nearest};
use super::super::tree::{Faults, Place, Section, described};
use crate::duration;
use crate::guard::cors::{Methods, Names, Origin, Origins, Settings};
use crate::http::Method;
use crate::limits;

const KEYS: &[&str] = &[
    "allow_origins",
    "allow_methods",
    "allow_headers",
    "expose_headers",
    "allow_credentials",
    "max_age",
    "allow_private_network",
];

/// Reads the table; `None` where there is none, or none that could be used.
pub(super) fn read(
    faults: &mut Faults<'_>,
    value: Option<&Spanned<DeValue<'_>>>,
) -> Option<Settings> {
    let section = Section::open(faults, "[cors]", value?, KEYS)?;
    let switch = |faults: &mut Faults<'_>, key| {
        let switch = section.boolean(faults, key);
        switch.is_some_and(|switch| switch.value)
    };
    let credentials = switch(faults, "allow_credentials");
    let private_network = switch(faults, "allow_private_network");
    let max_age = section
        .text(faults, "max_age")
        .and_then(|text| read_max_age(faults, &text));
    let methods = read_methods(faults, &section, credentials);
    let headers = read_names(faults, &section, "allow_headers", credentials);
    let exposed = read_names(faults, &section, "expose_headers", credentials);
    let origins = read_origins(faults, &section, credentials)?;
    Some(Settings {
        origins,
        methods,
        headers,
        exposed,
        max_age,
        private_network,
    })
}

fn read_origins(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    credentials: bool,
) -> Option<Origins> {
    let key = "allow_origins";
    if section.value(key).is_none() {
        faults.add_with_help(
            section.span.clone(),
            "[cors] has no \"allow_origins\"",
            "such as allow_origins = [\"https://shop.example\"]",
        );
    }
    let texts = texts(faults, section, key, limits::CORS_ORIGINS_MAX)?;
    if texts.is_empty() {
        let span = section.value(key)?.span();
        let help = "name one, or take [cors] out";
        faults.add_with_help(span, "\"allow_origins\" lets nobody in", help);
    }
    if let Some(any) = wildcard(faults, key, &texts, credentials) {
        for other in texts.iter().filter(|text| text.span != any.span) {
            covered(faults, other);
        }
        return Some(Origins::Any);
    }
    let mut origins = Vec::new();
    for text in &texts {
        match Origin::parse(text.value) {
            Ok(origin) => origins.push(origin),
            Err(fault) => faults.add_with_help(text.span.clone(), fault.message, fault.help),
        }
    }
    Some(Origins::Listed {
        origins,
        credentials,
    })
}

fn read_methods(faults: &mut Faults<'_>, section: &Section<'_>, credentials: bool) -> Methods {
    let key = "allow_methods";
    let Some(texts) = texts(faults, section, key, Method::ALL.len()) else {
        return Methods::Declared;
    };
    if let (true, Some(value)) = (texts.is_empty(), section.value(key)) {
        let message = "\"allow_methods\" allows nothing";
        let help = "name one, or take it out: the methods of each path are allowed then";
        faults.add_with_help(value.span(), message, help);
    }
    if let Some(any) = wildcard(faults, key, &texts, credentials) {
        for other in texts.iter().filter(|text| text.span != any.span) {
            covered(faults, other);
        }
        return Methods::Any;
    }
    let mut methods = Vec::new();
    for text in &texts {
        match Method::from_name(text.value.as_bytes()) {
            Some(method) => methods.push(method),
            None => {
                let names = Method::ALL.map(Method::name);
                let message = format!("a method is {}", alternatives(names.into_iter()));
                let span = text.span.clone();
                match nearest(&text.value.to_uppercase(), names) {
                    Some(name) => {
                        faults.add_with_help(span, message, format!("did you mean \"{name}\"?"));
                    }
                    None => faults.add(span, message),
                }
            }
        }
    }
    Methods::Listed(methods)
}

fn read_names(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    key: &'static str,
    credentials: bool,
) -> Names {
    let Some(texts) = texts(faults, section, key, limits::CORS_NAMES_MAX) else {
        return Names::default();
    };
    let any = wildcard(faults, key, &texts, credentials);
    let mut listed: Vec<String> = Vec::new();
    for text in texts.iter().filter(|text| text.value != "*") {
        let name = text.value.to_ascii_lowercase();
        // No "*" lets a page send this one (Fetch §2.2.2), so it may be named beside it.
        let is_apart = key == "allow_headers" && name == "authorization";
        if !is_token(&name) {
            let help = "letters, digits, and \"-\" or \"_\" between them";
            faults.add_with_help(text.span.clone(), "this can't name a header field", help);
        } else if any.is_some() && !is_apart {
            covered(faults, text);
        } else if listed.contains(&name) {
            faults.add(text.span.clone(), "this header field is listed already");
        } else {
            listed.push(name);
        }
    }
    Names {
        any: any.is_some(),
        listed,
    }
}

fn read_max_age(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<Duration> {
    let most = limits::CORS_MAX_AGE_MAX;
    let age = match duration::parse(text.value) {
        Ok(age) if age.subsec_nanos() == 0 && age <= most => return Some(age),
        Ok(age) => age,
        Err(message) => {
            faults.add(text.span.clone(), format!("\"max_age\": {message}"));
            return None;
        }
    };
    let hours = most.as_secs() / 3600;
    let message = format!("\"max_age\" must be 0s to {hours}h, in whole seconds");
    match age > most {
        true => faults.add_with_help(text.span.clone(), message, "no browser keeps it for longer"),
        false => faults.add(text.span.clone(), message),
    }
    None
}

/// The texts of a list, each once, `most` at the most.
fn texts<'t>(
    faults: &mut Faults<'_>,
    section: &Section<'t>,
    key: &str,
    most: usize,
) -> Option<Vec<Place<&'t str>>> {
    let value = section.value(key)?;
    let Some(array) = value.get_ref().as_array() else {
        let found = described(value.get_ref());
        let message = format!("\"{key}\" must be a list of strings, not {found}");
        match value.get_ref() {
            DeValue::String(text) => {
                faults.add_with_help(value.span(), message, format!("write [\"{text}\"]"));
            }
            _ => faults.add(value.span(), message),
        }
        return None;
    };
    let mut texts: Vec<Place<&str>> = Vec::new();
    for element in array.iter() {
        let (DeValue::String(text), span) = (element.get_ref(), element.span()) else {
            let found = described(element.get_ref());
            let message = format!("\"{key}\" must hold strings, not {found}");
            faults.add(element.span(), message);
            continue;
        };
        if texts.iter().any(|other| other.value == text.as_ref()) {
            faults.add(span, format!("this is in \"{key}\" already"));
            continue;
        }
        texts.push(Place {
            value: text.as_ref(),
            span,
        });
    }
    if texts.len() > most {
        let message = format!("\"{key}\" holds {most} at the most");
        faults.add(texts[most].span.clone(), message);
    }
    Some(texts)
}

/// The `*` of a list. With credentials it would mean a thing that is called `*` (Fetch §3.3.5).
fn wildcard<'t>(
    faults: &mut Faults<'_>,
    key: &str,
    texts: &[Place<&'t str>],
    credentials: bool,
) -> Option<Place<&'t str>> {
    let any = texts.iter().find(|text| text.value == "*")?;
    if credentials {
        faults.add_with_help(
            any.span.clone(),
            format!("\"*\" in \"{key}\" means nothing with allow_credentials"),
            "list what is allowed: browsers take \"*\" only for requests without credentials",
        );
    }
    Some(any.clone())
}

fn covered(faults: &mut Faults<'_>, text: &Place<&str>) {
    let message = "\"*\" allows this already";
    faults.add_with_help(text.span.clone(), message, "take one of the two out");
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_token_octet =
        |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !text.is_empty() && text.bytes().all(is_token_octet)
}
