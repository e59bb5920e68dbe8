//! Who may ask a route: `auth`, `require` and `database_role`.

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostics::nearest;
use super::guards::auth::Declared;
use super::params::{In, Param};
use super::tree::{Faults, Place, Section, described, one_of};
use crate::guard::auth::{DatabaseRole, Requirement, RouteAuth, Scheme, Wanted};

const SCHEMES: [(&str, Option<Scheme>); 3] = [
    ("none", None),
    ("jwt", Some(Scheme::Jwt)),
    ("api_key", Some(Scheme::ApiKey)),
];

/// Reads `auth` and `require`.
pub(super) fn read(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    declared: &Declared,
) -> RouteAuth {
    let auth = RouteAuth {
        schemes: read_schemes(faults, section, declared),
        require: read_requirements(faults, section),
    };
    if let Some(span) = section.key_span("require") {
        needs_auth(faults, section, "\"require\"", span);
    }
    auth
}

/// Reads `database_role`.
pub(super) fn read_role(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    declared: &Declared,
) -> Option<DatabaseRole> {
    let text = section.text(faults, "database_role")?;
    let roles = &declared.database_roles;
    if roles.is_empty() {
        faults.add_with_help(
            text.span,
            "there are no roles that a route may take",
            "list them: [auth] database_roles = [\"…\"]",
        );
        return None;
    }
    match text.value.strip_prefix("claim:") {
        Some("") => {
            faults.add_with_help(text.span, "which claim?", "such as \"claim:role\"");
            None
        }
        Some(claim) => {
            needs_auth(faults, section, "\"database_role\" by a claim", text.span);
            Some(DatabaseRole::Claim(claim.to_owned()))
        }
        None if roles.iter().any(|role| role == text.value) => {
            Some(DatabaseRole::Fixed(text.value.to_owned()))
        }
        None => {
            let message = format!(
                "\"{}\" is none of the roles of \"database_roles\"",
                text.value
            );
            match nearest(text.value, roles.iter().map(String::as_str)) {
                Some(role) => {
                    faults.add_with_help(text.span, message, format!("did you mean \"{role}\"?"));
                }
                None => faults.add_with_help(
                    text.span,
                    message,
                    "add it there, or write \"claim:NAME\" to take it from a claim",
                ),
            }
            None
        }
    }
}

/// A claim is somebody's: without `auth` there is nobody.
pub(super) fn check_params(faults: &mut Faults<'_>, section: &Section<'_>, params: &[Param]) {
    for param in params.iter().filter(|param| param.source == In::Claim) {
        needs_auth(faults, section, "in = \"claim\"", param.key_span("in"));
    }
}

/// A fault unless the route asks who sends the request. What `auth` says wrongly is a fault of its own.
fn needs_auth(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    what: &str,
    span: std::ops::Range<usize>,
) {
    let is_nobody = section
        .value("auth")
        .is_none_or(|value| value.get_ref().as_str() == Some("none"));
    if is_nobody {
        faults.add_with_help(
            span,
            format!("{what} needs to know who asks"),
            "add auth = \"jwt\" to the route",
        );
    }
}

fn read_schemes(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
    declared: &Declared,
) -> Vec<Scheme> {
    let Some(value) = section.value("auth") else {
        return Vec::new();
    };
    let items = match value.get_ref() {
        DeValue::String(_) => std::slice::from_ref(value),
        DeValue::Array(list) if !list.is_empty() => list,
        _ => {
            let message = "\"auth\" must be \"none\", \"jwt\", \"api_key\" or a list of them";
            faults.add(value.span(), message);
            return Vec::new();
        }
    };
    let mut schemes = Vec::new();
    for item in items {
        let Some(word) = item.get_ref().as_str() else {
            let found = described(item.get_ref());
            faults.add(item.span(), format!("\"auth\" names strings, not {found}"));
            continue;
        };
        let text = Place {
            value: word,
            span: item.span(),
        };
        match one_of(faults, "auth", &text, &SCHEMES) {
            None => {}
            Some(None) if items.len() == 1 => {}
            Some(None) => faults.add_with_help(
                text.span,
                "\"none\" beside another lets everybody in",
                "write auth = \"none\" alone, or take it out",
            ),
            Some(Some(scheme)) if schemes.contains(&scheme) => {
                faults.add(text.span, format!("\"{word}\" is there twice"));
            }
            Some(Some(scheme)) => {
                if !declared.schemes.contains(&scheme) {
                    let message = format!("there is no [auth.{word}]");
                    let help = "it says where the keys are that prove who asks";
                    faults.add_with_help(text.span, message, help);
                }
                schemes.push(scheme);
            }
        }
    }
    schemes
}

fn read_requirements(faults: &mut Faults<'_>, section: &Section<'_>) -> Vec<Requirement> {
    let Some(value) = section.value("require") else {
        return Vec::new();
    };
    let help = "such as { role = [\"admin\", \"agent\"] }";
    let Some(table) = value.get_ref().as_table() else {
        let found = described(value.get_ref());
        let message = format!("\"require\" must be a table of claims, not {found}");
        faults.add_with_help(value.span(), message, help);
        return Vec::new();
    };
    if table.is_empty() {
        faults.add_with_help(value.span(), "\"require\" requires nothing", help);
    }
    let mut requirements = Vec::new();
    for (claim, value) in table {
        let items = match value.get_ref() {
            DeValue::Array(list) => list,
            _ => std::slice::from_ref(value),
        };
        if items.is_empty() {
            let message = format!("no value of \"{}\" would do", claim.get_ref());
            faults.add(value.span(), message);
        }
        let values = items.iter().filter_map(|item| read_wanted(faults, item));
        requirements.push(Requirement {
            claim: claim.get_ref().as_ref().into(),
            values: values.collect(),
        });
    }
    requirements
}

fn read_wanted(faults: &mut Faults<'_>, value: &Spanned<DeValue<'_>>) -> Option<Wanted> {
    let found = match value.get_ref() {
        DeValue::String(text) => return Some(Wanted::Text(text.as_ref().into())),
        DeValue::Boolean(boolean) => return Some(Wanted::Boolean(*boolean)),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => return Some(Wanted::Integer(number)),
            Err(_) => "one past 64 bits",
        },
        other => described(other),
    };
    faults.add(
        value.span(),
        format!("a claim is required to be a string, an integer or a boolean, not {found}"),
    );
    None
}

#[cfg(test)]
mod tests;
