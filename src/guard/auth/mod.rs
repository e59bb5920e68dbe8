//! Authentication: who asks, and whether the route is for them.
//!
//! A request proves who sends it with one credential, of a kind that its route allows: a JSON Web Token
//! ([`jwt`]) or an API key ([`api_key`]). Whatever is wrong with it, the answer is the same 401; the log alone
//! says what. What the claims then say is looked at where the route has a `require`: 403.

pub mod api_key;
mod cache;
mod claims;
mod credentials;
mod identity;
pub mod jwt;
mod jwt_keys;
mod provider;
mod public_key;
mod require;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

pub use api_key::ApiKeys;
pub use claims::Claims;
pub use identity::{Identity, Scheme};
pub use jwt_keys::JwtKeys;
pub use require::{Requirement, Wanted};

use crate::http::Request;
use cache::Cache;
use credentials::Credential;

/// `[auth]` of the routes file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `[auth.jwt]`.
    pub jwt: Option<jwt::Settings>,
    /// `[auth.api_key]`.
    pub api_key: Option<api_key::Settings>,
    /// `database_roles`: the roles of Postgres that `database_role` of a route may lead to.
    pub database_roles: Vec<String>,
}

/// What a route asks of whoever asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteAuth {
    /// `auth`: any of these will do; without any nobody is asked who they are.
    pub schemes: Vec<Scheme>,
    /// `require`: all of these have to hold of the claims.
    pub require: Vec<Requirement>,
}

impl RouteAuth {
    /// Whether a request has an identity here.
    pub fn is_asked_for(&self) -> bool {
        !self.schemes.is_empty()
    }
}

/// `database_role` of a route: the role of Postgres that its statement runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseRole {
    /// `"NAME"`, one of [`Settings::database_roles`] since the file was read.
    Fixed(String),
    /// `"claim:NAME"`: what that claim, a string, says. It has to be one of [`Settings::database_roles`],
    /// which is to be looked up for every request: the claim is the issuer's word, not ours.
    Claim(String),
}

/// What identities are proved with. None at all proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// For tokens.
    pub jwt: Arc<JwtKeys>,
    /// The API keys.
    pub api_keys: Arc<ApiKeys>,
}

/// Why a request gets no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 401, or 403 for an identity that the route is not for.
    pub status: u16,
    /// A `www-authenticate` field for each.
    pub challenges: Vec<&'static str>,
    /// What the log may be told, and nobody else.
    pub reason: Reason,
}

/// See [`Refused`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no credential.
    Missing,
    /// There are several, or it is of another kind.
    Wrong(&'static str),
    /// The token does not hold. With [`jwt::Fault::UnknownKey`] it may once the keys are fetched again.
    Token(jwt::Fault),
    /// Nobody has this API key.
    Key,
    /// This claim is not what the route requires.
    Claim(Box<str>),
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => formatter.write_str("there is no credential"),
            Reason::Wrong(what) => formatter.write_str(what),
            Reason::Token(fault) => fault.fmt(formatter),
            Reason::Key => formatter.write_str("the API key is not known"),
            Reason::Claim(name) => write!(formatter, "the claim {name} is not what is required"),
        }
    }
}

/// The guard of one core.
#[derive(Debug)]
pub struct Auth {
    settings: Settings,
    keys: RefCell<Proofs>,
    cache: RefCell<Cache>,
}

/// The keys as a core uses them.
#[derive(Debug, Default)]
struct Proofs {
    jwt: Arc<JwtKeys>,
    api_keys: api_key::Known,
}

impl Auth {
    /// A guard that lets nobody in until it is given keys.
    pub fn new(settings: &Settings) -> Auth {
        Auth {
            settings: settings.clone(),
            keys: RefCell::default(),
            cache: RefCell::default(),
        }
    }

    /// From now on identities are proved with these.
    pub fn replace_keys(&self, keys: &Keys) {
        self.keys.replace(Proofs {
            jwt: keys.jwt.clone(),
            api_keys: api_key::Known::new(&keys.api_keys),
        });
        self.cache.borrow_mut().clear();
    }

    /// Whether tokens are refused because the keys have not been fetched yet.
    pub fn lacks_keys(&self) -> bool {
        self.settings.jwt.is_some() && self.keys.borrow().jwt.is_empty()
    }

    /// Who sends the request, if the route asks for that, at `now` in seconds since 1970.
    pub fn authenticate(
        &self,
        route: &RouteAuth,
        request: &Request<'_>,
        now: u64,
    ) -> Result<Option<Rc<Identity>>, Refused> {
        if !route.is_asked_for() {
            return Ok(None);
        }
        let key_header = self.settings.api_key.as_ref();
        let key_header = key_header.map_or("", |settings| settings.header.as_str());
        let credential = Credential::of(request, route, key_header);
        let identity = match credential {
            Credential::Missing => Err(Reason::Missing),
            Credential::Wrong(_, what) => Err(Reason::Wrong(what)),
            Credential::Token(token) => self.token(token, now).map_err(Reason::Token),
            Credential::Key(key) => self.keys.borrow().api_keys.find(key).ok_or(Reason::Key),
        };
        let identity = identity.map_err(|reason| Refused {
            status: 401,
            challenges: credentials::challenges(route, credential.scheme()),
            reason,
        })?;
        let unmet = route
            .require
            .iter()
            .find(|requirement| !requirement.holds(&identity.claims));
        match unmet {
            None => Ok(Some(identity)),
            Some(requirement) => Err(Refused::of_claim(identity.scheme, &requirement.claim)),
        }
    }

    fn token(&self, token: &[u8], now: u64) -> Result<Rc<Identity>, jwt::Fault> {
        let Some(settings) = &self.settings.jwt else {
            return Err(jwt::Fault::UnknownKey);
        };
        if token.len() > crate::limits::TOKEN_BYTES_MAX {
            return Err(jwt::Fault::TooLong); // without a look at all of it
        }
        let mut cache = self.cache.borrow_mut();
        if let Some(identity) = cache.find(token, now) {
            return Ok(identity);
        }
        let verified = jwt::verify(settings, &self.keys.borrow().jwt, token, now)?;
        Ok(cache.keep(token, verified))
    }
}

impl Refused {
    /// An identity that the route is not for, as a claim shows.
    pub fn of_claim(scheme: Scheme, claim: &str) -> Refused {
        Refused {
            status: 403,
            challenges: match scheme {
                Scheme::Jwt => vec![credentials::INSUFFICIENT],
                Scheme::ApiKey => Vec::new(),
            },
            reason: Reason::Claim(claim.into()),
        }
    }
}

#[cfg(test)]
mod tests;
