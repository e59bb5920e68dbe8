//! `[auth]`: how requests prove who sends them, and which roles of Postgres they may lead to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use toml::Spanned;
use toml::de::DeValue;

use super::super::tree::{Faults, Place, Section, described, one_of};
use crate::duration;
use crate::guard::auth::api_key;
use crate::guard::auth::jwt::{self, Source};
use crate::guard::auth::{Scheme, Settings};
use crate::limits;

const JWT_KEYS: &[&str] = &[
    "algorithms",
    "secret_file",
    "public_key_file",
    "jwks_file",
    "jwks_url",
    "issuer",
    "audience",
    "leeway",
];

const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// Bytes of the name of a role (Postgres, NAMEDATALEN - 1).
const ROLE_BYTES_MAX: usize = 63;

/// What routes may refer to, also where it has a fault.
#[derive(Default)]
pub(in super::super) struct Declared {
    pub(in super::super) schemes: Vec<Scheme>,
    pub(in super::super) database_roles: Vec<String>,
}

pub(in super::super) fn declared(value: Option<&Spanned<DeValue<'_>>>) -> Declared {
    let Some(table) = value.and_then(|value| value.get_ref().as_table()) else {
        return Declared::default();
    };
    let roles = table.get("database_roles");
    let roles = roles.and_then(|roles| roles.get_ref().as_array());
    let names = roles.into_iter().flat_map(|roles| roles.iter());
    let names = names.filter_map(|name| name.get_ref().as_str());
    Declared {
        schemes: [Scheme::Jwt, Scheme::ApiKey]
            .into_iter()
            .filter(|scheme| table.contains_key(scheme.as_str()))
            .collect(),
        database_roles: names.map(str::to_owned).collect(),
    }
}

pub(super) fn read(faults: &mut Faults<'_>, value: Option<&Spanned<DeValue<'_>>>) -> Settings {
    let known = &["jwt", "api_key", "database_roles"];
    let Some(section) = value.and_then(|value| Section::open(faults, "[auth]", value, known))
    else {
        return Settings::default();
    };
    Settings {
        jwt: section
            .value("jwt")
            .and_then(|value| Section::open(faults, "[auth.jwt]", value, JWT_KEYS))
            .and_then(|section| read_jwt(faults, &section)),
        api_key: section
            .value("api_key")
            .and_then(|value| {
                Section::open(faults, "[auth.api_key]", value, &["header", "hashes_file"])
            })
            .and_then(|section| read_api_key(faults, &section)),
        database_roles: section
            .value("database_roles")
            .map(|value| read_roles(faults, value))
            .unwrap_or_default(),
    }
}

fn read_jwt(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<jwt::Settings> {
    let algorithms = read_algorithms(faults, section);
    let source = read_source(faults, section);
    if let (Some(algorithms), Some((key, _))) = (&algorithms, &source) {
        check_families(faults, algorithms, key);
    }
    let leeway = section
        .text(faults, "leeway")
        .and_then(|text| read_leeway(faults, &text));
    Some(jwt::Settings {
        issuer: filled(faults, section, "issuer"),
        audience: read_audience(faults, section),
        leeway: leeway.unwrap_or(limits::TOKEN_LEEWAY).as_secs(),
        algorithms: algorithms?.into_iter().map(|place| place.value).collect(),
        source: source?.1,
    })
}

fn read_algorithms(
    faults: &mut Faults<'_>,
    section: &Section<'_>,
) -> Option<Vec<Place<Algorithm>>> {
    let help = "such as algorithms = [\"ES256\"]: tokens don't choose what they are verified with";
    let Some(value) = section.value("algorithms") else {
        let message = format!("{} has no \"algorithms\"", section.name);
        faults.add_with_help(section.span.clone(), message, help);
        return None;
    };
    let list = value.get_ref().as_array().filter(|list| !list.is_empty());
    let Some(list) = list else {
        let message = "\"algorithms\" must be a list of those that are allowed";
        faults.add_with_help(value.span(), message, help);
        return None;
    };
    let mut algorithms: Vec<Place<Algorithm>> = Vec::new();
    for item in list {
        let Some(name) = item.get_ref().as_str() else {
            let found = described(item.get_ref());
            faults.add(
                item.span(),
                format!("an algorithm is a string, not {found}"),
            );
            continue;
        };
        if name.eq_ignore_ascii_case("none") {
            let message = "\"none\" would take every token that anybody makes";
            faults.add(item.span(), message);
            continue;
        }
        let text = Place {
            value: name,
            span: item.span(),
        };
        let Some(algorithm) = one_of(faults, "algorithms", &text, &ALGORITHMS) else {
            continue;
        };
        if algorithms.iter().any(|other| other.value == algorithm) {
            faults.add(item.span(), format!("\"{name}\" is there twice"));
        }
        algorithms.push(Place {
            value: algorithm,
            span: item.span(),
        });
    }
    (!algorithms.is_empty()).then_some(algorithms)
}

/// Exactly one of the places where keys can be, and what the key for it is called.
fn read_source(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<(&'static str, Source)> {
    type Make = fn(PathBuf) -> Source;
    let files: [(&'static str, Make); 3] = [
        ("secret_file", Source::SecretFile),
        ("public_key_file", Source::PublicKeyFile),
        ("jwks_file", Source::JwksFile),
    ];
    let mut found: Vec<(&'static str, Option<Source>)> = Vec::new();
    for (key, make) in files {
        if section.value(key).is_some() {
            found.push((key, read_path(faults, section, key).map(make)));
        }
    }
    if section.value("jwks_url").is_some() {
        found.push(("jwks_url", read_url(faults, section)));
    }
    if let [(first, _), (second, _), ..] = found[..] {
        let span = section.key_span(second).unwrap_or(section.span.clone());
        faults.add_with_help(
            span,
            format!("keys come from one place, and \"{first}\" names one already"),
            "several issuers publish their keys in one set: jwks_file",
        );
        return None;
    }
    let Some((key, source)) = found.pop() else {
        faults.add_with_help(
            section.span.clone(),
            format!("{} does not say where its keys are", section.name),
            "secret_file, public_key_file, jwks_file or jwks_url",
        );
        return None;
    };
    Some((key, source?))
}

/// A secret is for HMAC and a public key is not: the confusion of the two is the oldest hole of tokens.
fn check_families(faults: &mut Faults<'_>, algorithms: &[Place<Algorithm>], source: &str) {
    for algorithm in algorithms {
        let is_hmac = algorithm.value.family() == AlgorithmFamily::Hmac;
        let name = algorithm.value;
        let (message, help) = match (is_hmac, source) {
            (true, "secret_file") => continue,
            (false, "secret_file") => (
                format!("{name:?} takes a public key, not the secret of \"secret_file\""),
                "name its file: public_key_file",
            ),
            (true, _) => (
                format!("{name:?} takes a secret, not the public keys of \"{source}\""),
                "with these keys RS256, PS256, ES256 and EdDSA can be verified",
            ),
            (false, _) => continue,
        };
        faults.add_with_help(algorithm.span.clone(), message, help);
    }
}

fn read_api_key(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<api_key::Settings> {
    let header = match section.text(faults, "header") {
        None => "x-api-key".to_owned(),
        Some(text) => {
            check_header(faults, &text);
            text.value.to_ascii_lowercase()
        }
    };
    if section.value("hashes_file").is_none() {
        faults.add_with_help(
            section.span.clone(),
            format!("{} has no \"hashes_file\"", section.name),
            "a file with name:sha256 on each line",
        );
    }
    Some(api_key::Settings {
        header,
        hashes_file: read_path(faults, section, "hashes_file")?,
    })
}

fn check_header(faults: &mut Faults<'_>, text: &Place<&str>) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = text.value;
    if name.is_empty() || !name.bytes().all(is_token) {
        let message = format!("\"{name}\" can't name a header field (RFC 9110 §5.6.2)");
        faults.add(text.span.clone(), message);
    } else if name.eq_ignore_ascii_case("authorization") {
        faults.add_with_help(
            text.span.clone(),
            "Authorization holds a scheme and its parameters, and an API key is not one",
            "such as header = \"x-api-key\"",
        );
    } else if name.eq_ignore_ascii_case("x-request-id") {
        faults.add_with_help(
            text.span.clone(),
            "X-Request-ID is sent back and told to the log, and an API key must not be",
            "such as header = \"x-api-key\"",
        );
    }
}

fn read_audience(faults: &mut Faults<'_>, section: &Section<'_>) -> Vec<String> {
    let Some(value) = section.value("audience") else {
        return Vec::new();
    };
    let text = |item: &Spanned<DeValue<'_>>| {
        let text = item.get_ref().as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let read: Option<Vec<String>> = match value.get_ref() {
        DeValue::String(_) => text(value).map(|text| vec![text]),
        DeValue::Array(list) if !list.is_empty() => list.iter().map(text).collect(),
        _ => None,
    };
    read.unwrap_or_else(|| {
        let message = "\"audience\" must be a name, or a list of names";
        faults.add(value.span(), message);
        Vec::new()
    })
}

fn read_leeway(faults: &mut Faults<'_>, text: &Place<&str>) -> Option<Duration> {
    let most = limits::TOKEN_LEEWAY_MAX;
    match duration::parse(text.value) {
        Ok(leeway) if leeway <= most && leeway.subsec_nanos() == 0 => Some(leeway),
        _ => {
            let minutes = most.as_secs() / 60;
            let message = format!("\"leeway\" must be 0s to {minutes}m, in whole seconds");
            faults.add(text.span.clone(), message);
            None
        }
    }
}

fn read_roles(faults: &mut Faults<'_>, value: &Spanned<DeValue<'_>>) -> Vec<String> {
    let Some(list) = value.get_ref().as_array() else {
        let found = described(value.get_ref());
        let message = format!("\"database_roles\" must be a list of roles, not {found}");
        faults.add(value.span(), message);
        return Vec::new();
    };
    if list.len() > limits::DATABASE_ROLES_MAX {
        let most = limits::DATABASE_ROLES_MAX;
        faults.add_with_help(
            value.span(),
            format!(
                "\"database_roles\" lists {} roles: {most} at the most",
                list.len()
            ),
            "tell tenants apart by a claim in their policies, not by a role each",
        );
    }
    let mut roles = Vec::new();
    for item in list {
        let fault = match item.get_ref().as_str() {
            None => "a role is a string",
            // As a value of the setting it is the login's own role (Postgres, SET ROLE).
            Some("none") => "\"none\" is no role: it takes back the one that was set",
            Some(name) if name.is_empty() || name.len() > ROLE_BYTES_MAX || name.contains('\0') => {
                "the name of a role has 1 to 63 bytes"
            }
            Some(name) => {
                roles.push(name.to_owned());
                continue;
            }
        };
        faults.add(item.span(), fault);
    }
    roles
}

/// A text that says something.
fn filled(faults: &mut Faults<'_>, section: &Section<'_>, key: &str) -> Option<String> {
    let text = section.text(faults, key)?;
    if text.value.is_empty() {
        faults.add(text.span, format!("\"{key}\" is empty"));
        return None;
    }
    Some(text.value.to_owned())
}

/// A path, seen from the directory of the routes file.
fn read_path(faults: &mut Faults<'_>, section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let text = filled(faults, section, key)?;
    let directory = Path::new(faults.source.path()).parent();
    Some(directory.map_or_else(|| PathBuf::from(&text), |directory| directory.join(&text)))
}

/// `https`, and `http` only where nobody is between.
fn read_url(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<Source> {
    let text = section.text(faults, "jwks_url")?;
    let uri: Option<ureq::http::Uri> = text.value.parse().ok();
    let parts = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    let Some((scheme, authority)) = parts else {
        let message = "\"jwks_url\" must be a URL";
        let help = "such as \"https://id.example/.well-known/jwks.json\"";
        faults.add_with_help(text.span, message, help);
        return None;
    };
    let is_loopback = match authority.host().trim_matches(['[', ']']) {
        "localhost" => true,
        host => host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
    };
    let message = match scheme {
        _ if authority.as_str().contains('@') => "\"jwks_url\" must not hold a password",
        "https" => return Some(Source::JwksUrl(text.value.to_owned())),
        "http" if is_loopback => return Some(Source::JwksUrl(text.value.to_owned())),
        "http" => "keys that come over plain http can be anybody's: write https://",
        _ => "\"jwks_url\" must begin with https://",
    };
    faults.add(text.span, message);
    None
}
