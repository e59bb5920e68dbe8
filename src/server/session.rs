//! What Postgres is told of a request: the settings that its route's transaction has, each with its value.

use std::collections::HashSet;
use std::rc::Rc;

use crate::api::{Route, Setting};
use crate::guard::RequestId;
use crate::guard::auth::{self, DatabaseRole, Identity};
use crate::http::Request;
use crate::json::write_string;
use crate::pg::{Session, Value};

/// Fields that hold secrets. Whoever may read Postgres' log or `pg_stat_activity` must not learn from it
/// how to ask in another's name; who asks is in the claims.
const SECRET_FIELDS: &[&str] = &["authorization", "cookie", "proxy-authorization"];

/// The role that a request is to have is none that the file allows, or there is none in its claims.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forbidden;

/// Makes the sessions of one core's requests.
pub(super) struct Sessions {
    /// `database_roles`, so that none is copied for a request.
    roles: HashSet<Rc<str>>,
    /// The field of API keys, in lower case.
    key_field: Option<String>,
}

/// What a session is made of.
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request<'a>,
    /// As it was routed.
    pub(super) path: &'a str,
    pub(super) id: &'a RequestId,
    /// Who asks, where the route wants to know it and the request says it.
    pub(super) identity: Option<&'a Rc<Identity>>,
}

impl Sessions {
    pub(super) fn new(auth: &auth::Settings) -> Sessions {
        let roles = auth.database_roles.iter();
        let key = auth.api_key.as_ref();
        Sessions {
            roles: roles.map(|role| role.as_str().into()).collect(),
            key_field: key.map(|key| key.header.to_ascii_lowercase()),
        }
    }

    /// What Postgres is told of a request of this route; `None` where that is nothing.
    pub(super) fn of(
        &self,
        route: &Route,
        facts: &Facts<'_>,
    ) -> Result<Option<Rc<Session>>, Forbidden> {
        let Some(transaction) = &route.transaction else {
            return Ok(None);
        };
        let role = self.role(route, facts.identity)?;
        let value = |setting| match setting {
            Setting::Claims => match facts.identity {
                Some(identity) => Value::ClaimsOf(identity.clone()),
                None => Value::Word(""),
            },
            Setting::Headers => Value::Text(self.headers(facts.request).into()),
            Setting::Method => Value::Word(facts.request.method().name()),
            Setting::Path => Value::Text(facts.path.into()),
            Setting::Id => Value::Text(facts.id.as_str().into()),
            // A route without a role doesn't have this setting.
            Setting::Role => Value::Text(role.clone().unwrap_or_default()),
        };
        Ok(Some(Session::new(transaction.settings, value)))
    }

    /// The role that the statement is to run as: always one that the file allows, whatever a claim says.
    fn role(
        &self,
        route: &Route,
        identity: Option<&Rc<Identity>>,
    ) -> Result<Option<Rc<str>>, Forbidden> {
        let claimed;
        let wanted = match &route.database_role {
            None => return Ok(None),
            Some(DatabaseRole::Fixed(role)) => role.as_str(),
            Some(DatabaseRole::Claim(claim)) => {
                let text = identity.and_then(|identity| identity.claims.text(claim));
                claimed = text.ok_or(Forbidden)?;
                &*claimed
            }
        };
        let allowed = self.roles.get(wanted);
        allowed.cloned().map(Some).ok_or(Forbidden)
    }

    /// The header fields as a JSON object: names in lower case, the values of one name joined by commas
    /// (RFC 9110 §5.2), what is not UTF-8 replaced by U+FFFD. Without secrets.
    fn headers(&self, request: &Request<'_>) -> String {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in request.headers() {
            let name = name.to_ascii_lowercase();
            let is_secret = SECRET_FIELDS.contains(&name.as_str());
            if is_secret || self.key_field.as_ref() == Some(&name) {
                continue;
            }
            let value = String::from_utf8_lossy(value);
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(&value);
                }
                None => fields.push((name, value.into_owned())),
            }
        }
        let mut object = Vec::with_capacity(request.headers().len() * 32);
        for (name, value) in fields {
            object.push(if object.is_empty() { b'{' } else { b',' });
            write_string(&name, &mut object);
            object.push(b':');
            write_string(&value, &mut object);
        }
        if object.is_empty() {
            object.push(b'{');
        }
        object.push(b'}');
        String::from_utf8(object).expect("it is made of texts")
    }
}
