//! What Postgres is told of a request: settings of the transaction that its statement runs in, which die
//! with it. Policies of row-level security read them.

use std::ops::Range;

use toml::Spanned;

use super::diagnostics::Diagnostic;
use super::file::Api;
use super::route::Route;
use super::tree::{Faults, Place, Section, described, one_of};
use crate::guard::auth::{self, DatabaseRole};

/// One of them. In the order in which they are made: the role last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// What is known of who asks, a JSON object.
    Claims,
    /// The request's header fields, a JSON object.
    Headers,
    /// The method of HTTP.
    Method,
    /// The path that was routed, without the query.
    Path,
    /// The id of the request.
    Id,
    /// The role that the statement runs as.
    Role,
}

impl Setting {
    /// All of them.
    pub const ALL: [Setting; 6] = [
        Setting::Claims,
        Setting::Headers,
        Setting::Method,
        Setting::Path,
        Setting::Id,
        Setting::Role,
    ];

    /// What the routes file calls those that it may choose from.
    const WORDS: [(&'static str, Setting); 5] = [
        ("claims", Setting::Claims),
        ("headers", Setting::Headers),
        ("method", Setting::Method),
        ("path", Setting::Path),
        ("id", Setting::Id),
    ];

    /// What Postgres calls it.
    pub fn name(self) -> &'static str {
        match self {
            Setting::Claims => "request.jwt.claims",
            Setting::Headers => "request.headers",
            Setting::Method => "request.method",
            Setting::Path => "request.path",
            Setting::Id => "request.id",
            Setting::Role => "role",
        }
    }

    /// Whether it is another one for each request, also of one who asks the same again.
    fn is_of_the_request(self) -> bool {
        matches!(self, Setting::Headers | Setting::Path | Setting::Id)
    }
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings(u8);

impl Settings {
    /// With one more.
    #[must_use]
    pub fn with(self, setting: Setting) -> Settings {
        Settings(self.0 | 1 << setting as u8)
    }

    /// Whether this one is among them.
    pub fn has(self, setting: Setting) -> bool {
        self.0 & 1 << setting as u8 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In the order in which they are made.
    pub fn iter(self) -> impl Iterator<Item = Setting> {
        Setting::ALL
            .into_iter()
            .filter(move |setting| self.has(*setting))
    }

    /// Whether two requests of one who asks can have the same, so that one statement may serve both.
    pub fn can_be_shared(self) -> bool {
        !self.iter().any(Setting::is_of_the_request)
    }
}

impl FromIterator<Setting> for Settings {
    fn from_iter<T: IntoIterator<Item = Setting>>(settings: T) -> Settings {
        settings
            .into_iter()
            .fold(Settings::default(), Settings::with)
    }
}

/// The transaction of a route's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What is set in it.
    pub settings: Settings,
    /// The roles that the statement may run as; empty where it runs as the login role.
    pub roles: Vec<String>,
    /// Where the file says so.
    span: Range<usize>,
}

impl Transaction {
    /// One with these settings, among them the role if it has any.
    pub fn new(settings: Settings, roles: Vec<String>) -> Transaction {
        let settings = match roles.is_empty() {
            true => settings,
            false => settings.with(Setting::Role),
        };
        Transaction {
            settings,
            roles,
            span: 0..0,
        }
    }
}

/// What a route says of its transaction, before all of the file is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// `settings`.
    settings: Option<Place<Settings>>,
    /// Whether there is a `database_role`.
    has_role: bool,
    /// Where it stands, or the route.
    span: Range<usize>,
}

impl Told {
    pub(super) fn read(faults: &mut Faults<'_>, section: &Section<'_>) -> Told {
        let role = section.value("database_role");
        Told {
            settings: read_settings(faults, section),
            has_role: role.is_some(),
            span: role.map_or_else(|| section.span.clone(), Spanned::span),
        }
    }
}

fn read_settings(faults: &mut Faults<'_>, section: &Section<'_>) -> Option<Place<Settings>> {
    let value = section.value("settings")?;
    let Some(list) = value.get_ref().as_array() else {
        let found = described(value.get_ref());
        let message = format!("\"settings\" must be a list of words, not {found}");
        faults.add_with_help(value.span(), message, "such as [\"claims\", \"method\"]");
        return None;
    };
    let mut settings = Settings::default();
    for value in list {
        let Some(text) = value.get_ref().as_str() else {
            let found = described(value.get_ref());
            faults.add(
                value.span(),
                format!("a setting must be a word, not {found}"),
            );
            continue;
        };
        let text = Place {
            value: text,
            span: value.span(),
        };
        if let Some(setting) = one_of(faults, "settings", &text, &Setting::WORDS) {
            settings = settings.with(setting);
        }
    }
    let span = value.span();
    Some(Place {
        value: settings,
        span,
    })
}

/// Gives each route the transaction that it and the rest of the file say.
pub(super) fn settle(faults: &mut Faults<'_>, routes: &mut [Route], auth: &auth::Settings) {
    for route in routes {
        route.transaction = transaction(faults, route, auth);
        if route.transaction.is_some() {
            check_statement(faults, route);
        }
    }
}

fn transaction(
    faults: &mut Faults<'_>,
    route: &Route,
    auth: &auth::Settings,
) -> Option<Transaction> {
    let Told {
        settings,
        has_role,
        span,
    } = &route.told;
    let is_asked_for = route.auth.is_asked_for();
    if !is_asked_for {
        check_public(faults, settings.as_ref(), *has_role);
    }
    if !is_asked_for && route.database_role.is_none() {
        return None;
    }
    // Of a public route the role alone: the more a statement is told, the less requests can share it.
    let all = || Setting::WORDS.into_iter().filter(|_| is_asked_for);
    let settings = settings.as_ref().map_or_else(
        || all().map(|(_, setting)| setting).collect(),
        |settings| settings.value,
    );
    let roles = match &route.database_role {
        None => Vec::new(),
        Some(DatabaseRole::Fixed(role)) => vec![role.clone()],
        Some(DatabaseRole::Claim(_)) => auth.database_roles.clone(),
    };
    let mut transaction = Transaction::new(settings, roles);
    transaction.span = span.clone();
    (!transaction.settings.is_empty()).then_some(transaction)
}

/// What the settings of a route without `auth` can't be.
fn check_public(faults: &mut Faults<'_>, settings: Option<&Place<Settings>>, has_role: bool) {
    let Some(settings) = settings else {
        return;
    };
    if !has_role {
        let message = "\"settings\" are only for routes with \"auth\" or \"database_role\"";
        faults.add(settings.span.clone(), message);
    } else if settings.value.has(Setting::Claims) {
        let message = "there are no \"claims\" where nobody is asked who they are";
        faults.add_with_help(
            settings.span.clone(),
            message,
            "add auth = \"jwt\" to the route",
        );
    }
}

/// A procedure, or a block of code, may commit, and what was set for its transaction ends there: it would go
/// on as the login role. No other statement that a route may have can do so.
fn check_statement(faults: &mut Faults<'_>, route: &Route) {
    let text = &route.statement.text;
    let first = text
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .next();
    let commits =
        |word: &&str| word.eq_ignore_ascii_case("call") || word.eq_ignore_ascii_case("do");
    if let Some(word) = first.filter(commits) {
        let word = word.to_ascii_lowercase();
        let message = format!(
            "\"{word}\" may end the transaction, and with it the role and the settings of the request"
        );
        let start = route.statement.declared_offset(1);
        let span = route.sql.locate(start..start + word.len());
        faults.add_with_help(span, message, "call a function instead: select …");
    }
}

impl Route {
    /// The roles that its statement may run as; none where it runs as the login role.
    pub fn roles(&self) -> &[String] {
        let transaction = self.transaction.as_ref();
        transaction.map_or(&[], |transaction| &transaction.roles)
    }

    /// The fault for a role that the route's statement can't run as.
    pub fn role_fault(&self, api: &Api, reason: &str) -> Diagnostic {
        let span = self.transaction.as_ref().map_or(0..0, |it| it.span.clone());
        Diagnostic::new(&api.source, span, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    const AUTH: &str = "[auth]\ndatabase_roles = [\"agent\", \"admin\"]\n\
        [auth.jwt]\nalgorithms = [\"HS256\"]\nsecret_file = \"key\"\n";

    fn load(sql: &str, more: &str) -> Result<Api, String> {
        let text = format!(
            "{AUTH}[[route]]\nname = \"one\"\nmethod = \"POST\"\npath = \"/\"\nresult = \"exec\"\n\
             sql = \"{sql}\"\n{more}\n"
        );
        api::load("routes.toml", &text).map_err(|faults| faults.to_string())
    }

    fn names(more: &str) -> Vec<&'static str> {
        let api = load("select 1", more).unwrap();
        let settings = api.routes[0].transaction.as_ref().map(|it| it.settings);
        settings
            .unwrap_or_default()
            .iter()
            .map(Setting::name)
            .collect()
    }

    #[test]
    fn a_route_is_told_of_what_it_says_or_of_everything() {
        let all = "request.jwt.claims request.headers request.method request.path request.id";
        let all: Vec<&str> = all.split(' ').collect();
        assert!(names("").is_empty());
        assert_eq!(names("auth = \"jwt\""), all);
        let role = "auth = \"jwt\"\ndatabase_role = \"claim:role\"";
        assert_eq!(names(role), [&all[..], &["role"]].concat());
        assert_eq!(names(&format!("{role}\nsettings = []")), ["role"]);
        assert!(names("auth = \"jwt\"\nsettings = []").is_empty());
        let chosen = "auth = \"jwt\"\nsettings = [\"method\", \"claims\"]";
        assert_eq!(names(chosen), ["request.jwt.claims", "request.method"]);
        for public in ["", "auth = \"none\"\n"] {
            let role = format!("{public}database_role = \"agent\"");
            assert_eq!(names(&role), ["role"]);
            let told = format!("{role}\nsettings = [\"path\", \"method\"]");
            assert_eq!(names(&told), ["request.method", "request.path", "role"]);
        }
        let roles = |more: &str| load("select 1", more).unwrap().routes[0].roles().to_vec();
        assert_eq!(roles(role), ["agent", "admin"]);
        assert_eq!(
            roles("auth = \"jwt\"\ndatabase_role = \"admin\""),
            ["admin"]
        );
    }

    #[test]
    fn contradictions_are_faults() {
        for (sql, more, words) in [
            (
                "select 1",
                "settings = [\"claims\"]",
                "only for routes with \"auth\" or",
            ),
            (
                "select 1",
                "database_role = \"agent\"\nsettings = [\"method\", \"claims\"]",
                "there are no \"claims\"",
            ),
            (
                "select 1",
                "auth = \"none\"\ndatabase_role = \"claim:role\"",
                "\"database_role\" by a claim needs to know who asks",
            ),
            (
                "call pay()",
                "database_role = \"agent\"",
                "\"call\" may end the transaction",
            ),
            (
                "select 1",
                "auth = \"jwt\"\nsettings = [\"claim\"]",
                "did you mean \"claims\"?",
            ),
            (
                "select 1",
                "auth = \"jwt\"\nsettings = [\"role\"]",
                "\"settings\" must be",
            ),
            (
                "select 1",
                "auth = \"jwt\"\nsettings = \"claims\"",
                "must be a list of words",
            ),
            (
                "select 1",
                "auth = \"jwt\"\nsettings = [1]",
                "not an integer",
            ),
            (
                "  call pay()",
                "auth = \"jwt\"",
                "\"call\" may end the transaction",
            ),
            (
                "DO $$ begin end $$",
                "auth = \"jwt\"\ndatabase_role = \"agent\"",
                "\"do\" may end the transaction",
            ),
        ] {
            let faults = load(sql, more).unwrap_err();
            assert!(faults.contains(words), "{words:?} is not in\n{faults}");
        }
        assert!(load("call pay()", "").is_ok());
    }

    #[test]
    fn a_set_has_what_was_put_into_it_in_order() {
        let set: Settings = [Setting::Role, Setting::Claims].into_iter().collect();
        let names: Vec<&str> = set.iter().map(Setting::name).collect();
        assert_eq!(names, ["request.jwt.claims", "role"]);
        assert!(Settings::default().is_empty() && !set.is_empty());
        let all: Settings = Setting::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), Setting::ALL.len());
    }

    #[test]
    fn only_what_a_request_has_for_itself_keeps_it_alone() {
        for setting in Setting::ALL {
            let set = Settings::default().with(setting);
            let alone = matches!(setting, Setting::Headers | Setting::Path | Setting::Id);
            assert_eq!(set.can_be_shared(), !alone, "{setting:?}");
        }
    }
}
