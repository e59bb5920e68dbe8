//! The routes file as a whole: its tables, and what must hold between them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::batch;
use super::diagnostics::{Diagnostic, Diagnostics, Source};
use super::guards;
use super::route::{self, Head, Route};
use super::router::{Router, RouterFault};
use super::settings::Declared;
use super::transaction;
use super::tree::{Faults, Place, Section, described, is_identifier, unknown_key};
use crate::guard;
use crate::guard::rate_limit::Rule;
use crate::limits;

/// The declared API, checked as far as it can be without a database.
#[derive(Debug, Clone)]
pub struct Api {
    /// `title` of `[api]`.
    pub title: String,
    /// `version` of `[api]`.
    pub version: String,
    /// The file, for later diagnostics.
    pub source: Source,
    /// Lanes; the first is `default` and always exists.
    pub lanes: Vec<Lane>,
    /// Routes, in the order of the file.
    pub routes: Vec<Route>,
    /// Finds a route's index in `routes`.
    pub router: Router,
    /// What the file says of the guards.
    pub guards: guard::Settings,
}

/// A set of connections of its own, so that slow routes don't stand in front of fast ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Connections per core; `None` leaves it to the server's flags.
    pub connections: Option<usize>,
    /// Requests that may wait for it on one core; `None` leaves it to the server's flags.
    pub queue: Option<usize>,
}

const TABLES: &[&str] = &["api", "lane", "route"];

/// Reads a routes file. `path` is what the reader calls it; all faults are found in one go.
pub fn load(path: &str, text: &str) -> Result<Api, Diagnostics> {
    let source = Source::new(path, text);
    let (document, syntax) = DeTable::parse_recoverable(source.text());
    if !syntax.is_empty() {
        let faults = syntax.iter().map(|fault| {
            let span = fault.span().unwrap_or(0..0);
            Diagnostic::new(&source, span, fault.message().replace('\n', ", "))
        });
        return Err(Diagnostics::new(faults.collect()));
    }
    let mut faults = Faults {
        source: &source,
        list: Vec::new(),
    };
    let document = document.get_ref();
    let known = [TABLES, guards::TABLES].concat();
    for key in document.keys() {
        if !known.contains(&key.get_ref().as_ref()) {
            unknown_key(&mut faults, "the file", key, &known);
        }
    }
    let (title, version) = read_api(&mut faults, document);
    let lanes = read_lanes(&mut faults, document);
    let declared = Declared {
        lanes: lanes.iter().map(|lane| lane.name.clone()).collect(),
        rate_limits: guards::rate_limit::names(document.get("rate_limit")),
        auth: guards::auth::declared(document.get("auth")),
    };
    let (mut routes, router) = read_routes(&mut faults, document, &declared);
    let guards = guards::read(&mut faults, document);
    transaction::settle(&mut faults, &mut routes, &guards.auth);
    for route in &routes {
        batch::check_declared(&mut faults, route);
    }
    // Only of a file without faults do the routes' indexes lead to their rules.
    if faults.list.is_empty() {
        check_claims(&mut faults, &routes, &guards);
    }
    let found = faults.list;
    if found.is_empty() {
        Ok(Api {
            title,
            version,
            source,
            lanes,
            routes,
            router,
            guards,
        })
    } else {
        Err(Diagnostics::new(found))
    }
}

/// A limit that counts by a claim needs somebody whose claims are known.
fn check_claims(faults: &mut Faults<'_>, routes: &[Route], guards: &guard::Settings) {
    for route in routes {
        let rule = route.rate_limit.map(|index| &guards.rate_limits[index]);
        if rule.is_some_and(Rule::needs_identity) && !route.auth.is_asked_for() {
            faults.add_with_help(
                route.rate_limit_span.clone(),
                "this limit counts by a claim, and nobody is asked who they are here",
                "declare who may ask: auth = \"jwt\", or count by \"ip\"",
            );
        }
    }
}

fn read_api(faults: &mut Faults<'_>, document: &DeTable<'_>) -> (String, String) {
    let section = document
        .get("api")
        .and_then(|value| Section::open(faults, "[api]", value, &["title", "version"]));
    let mut text = |key, default: &str| {
        let text = section
            .as_ref()
            .and_then(|section| section.text(faults, key));
        text.map_or_else(|| default.to_owned(), |text| text.value.to_owned())
    };
    (text("title", "API"), text("version", "1.0.0"))
}

fn read_lanes(faults: &mut Faults<'_>, document: &DeTable<'_>) -> Vec<Lane> {
    let mut lanes = vec![Lane {
        name: "default".to_owned(),
        connections: None,
        queue: None,
    }];
    let Some(value) = document.get("lane") else {
        return lanes;
    };
    let Some(table) = value.get_ref().as_table() else {
        let found = described(value.get_ref());
        faults.add_with_help(
            value.span(),
            format!("\"lane\" must be a table, not {found}"),
            "write [lane.NAME]",
        );
        return lanes;
    };
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !is_identifier(name) {
            let message = format!("\"{name}\" can't name a lane");
            faults.add_with_help(key.span(), message, "names are ASCII letters, digits and _");
        }
        let known = &["connections", "queue"];
        let Some(section) = Section::open(faults, format!("[lane.{name}]"), value, known) else {
            continue;
        };
        let mut number = |key, least, most| {
            let number = section.integer(faults, key, least..=most as i64)?;
            usize::try_from(number.value).ok()
        };
        let lane = Lane {
            name: name.to_owned(),
            connections: number("connections", 1, limits::LANE_CONNECTIONS_MAX),
            queue: number("queue", 0, limits::LANE_QUEUE_MAX),
        };
        if name == "default" {
            lanes[0] = lane;
        } else {
            lanes.push(lane);
        }
    }
    lanes
}

fn read_routes(
    faults: &mut Faults<'_>,
    document: &DeTable<'_>,
    declared: &Declared,
) -> (Vec<Route>, Router) {
    let Some(value) = document.get("route") else {
        faults.add_with_help(
            0..0,
            "the file declares no route",
            "begin one with [[route]]",
        );
        return Default::default();
    };
    let Some(array) = value.get_ref().as_array() else {
        let found = described(value.get_ref());
        let message = format!("\"route\" must be a list of tables, not {found}");
        faults.add_with_help(value.span(), message, "write [[route]], with two brackets");
        return Default::default();
    };
    let read = |value: &Spanned<DeValue<'_>>| route::read(faults, value, declared);
    let (heads, routes): (Vec<Head>, Vec<Option<Route>>) = array.iter().map(read).unzip();
    check_names(faults, &heads);
    let router = build_router(faults, &heads);
    (routes.into_iter().flatten().collect(), router)
}

fn check_names(faults: &mut Faults<'_>, heads: &[Head]) {
    let names: Vec<&Place<String>> = heads.iter().filter_map(|head| head.name.as_ref()).collect();
    for (index, name) in names.iter().enumerate() {
        if let Some(other) = names[..index]
            .iter()
            .find(|other| other.value == name.value)
        {
            let line = faults.source.line_number(other.span.start);
            let message = format!(
                "a route named \"{}\" is declared on line {line} already",
                name.value
            );
            faults.add(name.span.clone(), message);
        }
    }
}

/// Every method of every path is answered by one route. The indexes are those of the heads, which are
/// those of the routes when there is no fault.
fn build_router(faults: &mut Faults<'_>, heads: &[Head]) -> Router {
    let mut router = Router::default();
    for (index, head) in heads.iter().enumerate() {
        let (Some(method), Some((path, span))) = (head.method, &head.path) else {
            continue;
        };
        let message = match router.add(method, path, index) {
            Ok(()) => continue,
            Err(RouterFault::Path(message)) => message,
            Err(RouterFault::Duplicate(other)) => {
                let Some((other, other_span)) = &heads[other].path else {
                    continue;
                };
                let line = faults.source.line_number(other_span.start);
                let (text, other_text) = (path.as_str(), other.as_str());
                if text == other_text {
                    format!("{method} {text} is declared on line {line} already")
                } else {
                    format!("{method} {text} can't be told apart from {other_text} on line {line}")
                }
            }
        };
        faults.add(span.clone(), message);
    }
    router
}
