//! What Postgres is told of a request, for the length of the transaction that its statement runs in.
//!
//! One statement makes all settings of a request (`set_config(…, true)` for each) and goes before the
//! route's own, with one Sync behind both ([`Wire::send`](super::wire::Wire::send)). The values are
//! bound: whatever a client says, it is never part of a statement's text.
//!
//! Which settings a route has is fixed by the routes file, so each connection has one such statement for
//! each set of settings that its routes have: mostly one.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use tokio_postgres::{Client, Error, Statement};

use super::message::{self, append_parameter};
use super::statements::name_of;
use crate::api;
use crate::api::Setting;
use crate::guard::auth::Identity;

/// The settings of one request.
pub struct Session {
    settings: api::Settings,
    /// One for each of them, in their order.
    values: Vec<Value>,
}

/// What a setting is set to.
#[derive(Clone)]
pub enum Value {
    /// A word that is known beforehand.
    Word(&'static str),
    /// A text of this request.
    Text(Rc<str>),
    /// The claims of who asks.
    ClaimsOf(Rc<Identity>),
}

impl Value {
    fn as_str(&self) -> &str {
        match self {
            Value::Word(word) => word,
            Value::Text(text) => text,
            Value::ClaimsOf(identity) => identity.claims_text(),
        }
    }

    /// Whether nobody has to look at the texts to know that they are equal.
    fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::ClaimsOf(one), Value::ClaimsOf(other)) => Rc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.is_same(other) || self.as_str() == other.as_str()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Session {
    /// Each of `settings` with its value.
    pub fn new(settings: api::Settings, value: impl FnMut(Setting) -> Value) -> Rc<Session> {
        Rc::new(Session {
            settings,
            values: settings.iter().map(value).collect(),
        })
    }

    /// What is set.
    pub fn settings(&self) -> api::Settings {
        self.settings
    }

    fn append_values(&self, out: &mut Vec<u8>) {
        for value in &self.values {
            append_parameter(Some(value.as_str().as_bytes()), out);
        }
    }
}

/// Two are equal if no statement can tell them apart.
impl PartialEq for Session {
    fn eq(&self, other: &Session) -> bool {
        self.settings == other.settings && self.values == other.values
    }
}

impl Eq for Session {}

impl Hash for Session {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

/// Values are not for the log.
impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.settings.iter().map(Setting::name);
        formatter.debug_set().entries(names).finish()
    }
}

/// The statement that makes a set of settings, as one connection knows it.
pub(super) struct Prepared {
    settings: api::Settings,
    _statement: Statement,
    bind_head: Box<[u8]>,
}

/// A request's settings on their way.
pub(super) struct Settings<'a> {
    head: &'a [u8],
    session: &'a Session,
}

impl<'a> Settings<'a> {
    /// By the statement whose Bind begins with `head`.
    pub(super) fn new(head: &'a [u8], session: &'a Session) -> Settings<'a> {
        Settings { head, session }
    }

    /// Appends Bind and Execute.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        message::append_statement(self.head, |out| self.session.append_values(out), out);
    }
}

impl Prepared {
    /// The settings of a request, if they are those that this makes.
    fn of<'a>(&'a self, session: &'a Session) -> Option<Settings<'a>> {
        (self.settings == session.settings).then(|| Settings::new(&self.bind_head, session))
    }
}

/// The settings that a request is sent with: none where nothing is told of it. An error where no statement
/// makes them.
pub(super) fn settings<'a>(
    prepared: &'a [Prepared],
    session: Option<&'a Rc<Session>>,
) -> Result<Option<Settings<'a>>, Missing> {
    let Some(session) = session else {
        return Ok(None);
    };
    let made = prepared.iter().find_map(|prepared| prepared.of(session));
    made.map(Some).ok_or(Missing)
}

/// A connection has no statement for a set of settings.
#[derive(Debug)]
pub(super) struct Missing;

/// Prepares the statement of each of these sets on a new connection.
///
/// A setting that nobody has made yet is NULL to `current_setting(…, true)`, and the empty text ever after
/// it was made in some transaction. It is the empty text from the start here, so that no statement depends
/// on what its connection was used for before.
pub(super) async fn prepare_all(
    client: &Client,
    sets: &[api::Settings],
) -> Result<Rc<[Prepared]>, Error> {
    if sets.is_empty() {
        return Ok(Rc::default());
    }
    let texts: Vec<String> = sets.iter().map(|set| text(*set)).collect();
    let preparing = texts.iter().map(|text| client.prepare(text));
    let preparing = futures_util::future::try_join_all(preparing);
    let (statements, ()) =
        futures_util::future::try_join(preparing, client.batch_execute(&emptying(sets))).await?;
    let prepared = sets
        .iter()
        .zip(statements)
        .map(|(&settings, statement)| Prepared {
            settings,
            bind_head: message::bind_head(&name_of(&statement), statement.params().len()),
            _statement: statement,
        });
    Ok(prepared.collect())
}

/// `num_nulls`, as nobody wants the values back.
fn text(settings: api::Settings) -> String {
    let mut text = "select pg_catalog.num_nulls(".to_owned();
    for (index, setting) in settings.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let (name, number) = (setting.name(), index + 1);
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "{comma}pg_catalog.set_config('{name}', ${number}, true)"
        );
    }
    text + ")"
}

fn emptying(sets: &[api::Settings]) -> String {
    let in_any = |setting: &Setting| sets.iter().any(|set| set.has(*setting));
    let named = Setting::ALL
        .into_iter()
        .filter(|setting| *setting != Setting::Role && in_any(setting));
    let calls = named.map(|setting| {
        let name = setting.name();
        format!("pg_catalog.set_config('{name}', '', false)")
    });
    let calls: Vec<String> = calls.collect();
    format!("select {}", calls.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[Setting]) -> api::Settings {
        settings.iter().copied().collect()
    }

    #[test]
    fn the_statement_binds_every_value_and_sets_the_role_last() {
        assert_eq!(
            text(set(&[Setting::Role, Setting::Claims])),
            "select pg_catalog.num_nulls(\
             pg_catalog.set_config('request.jwt.claims', $1, true), \
             pg_catalog.set_config('role', $2, true))"
        );
    }

    #[test]
    fn what_is_emptied_at_the_start_is_never_the_role() {
        let sets = [set(&[Setting::Role]), set(&[Setting::Id, Setting::Claims])];
        assert_eq!(
            emptying(&sets),
            "select pg_catalog.set_config('request.jwt.claims', '', false), \
             pg_catalog.set_config('request.id', '', false)"
        );
    }

    #[test]
    fn sessions_are_equal_by_every_value() {
        let settings = set(&[Setting::Claims, Setting::Role]);
        let of = |claims: &str, role: &str| {
            Session::new(settings, |setting| match setting {
                Setting::Role => Value::Text(role.into()),
                _ => Value::Text(claims.into()),
            })
        };
        let one = of("{}", "agent");
        assert!(*one == *of("{}", "agent"));
        assert!(*one != *of("{}", "admin") && *one != *of("{ }", "agent"));
        // Not by how the values stand together.
        assert!(*of("{}a", "gent") != *one);
        let less = Session::new(set(&[Setting::Claims]), |_| Value::Word("{}"));
        assert!(*less != *one);
        assert!(!format!("{one:?}").contains("agent"), "values in {one:?}");
    }
}
