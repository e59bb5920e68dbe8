//! Rate limits: how many requests a client may make of the routes that name a rule.
//!
//! A rule admits `requests` in each `per`, of which `burst` (all of them, unless it says otherwise) in one
//! instant; [`Rate`] defines exactly what that admits. Each client of a rule, which is what its `key` makes
//! of a request, is counted by itself, over all routes that name the rule.
//!
//! Time comes in as nanoseconds since a beginning that all cores share.

mod client;
mod fields;
mod gcra;
mod table;

use std::net::IpAddr;
use std::time::Duration;

pub use client::{Client, Network, Seed};
pub use gcra::{Decision, Rate, RateFault};
pub use table::{Table, WhenFull};

/// A declared rule: `[rate_limit.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What routes call it; an identifier.
    pub name: String,
    /// How fast a client may go.
    pub rate: Rate,
    /// What makes the clients.
    pub key: Key,
    /// Where their times are kept.
    pub store: Store,
    /// What becomes of a request that the store can't decide on.
    pub on_store_failure: OnStoreFailure,
    /// The RateLimit-Policy field line.
    policy: Vec<u8>,
}

/// What of a request says whom it is counted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The address of the client: see [`Network`].
    Ip,
    /// The value of a header field, whose name is in lower case; the first one, if there are several. A
    /// request without it is counted for its address.
    Header(String),
    /// The value of a claim of the authenticated identity. A request without it is counted for its address.
    Claim(String),
    /// The route: all its clients are counted together.
    Route,
}

/// Where the times of keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In this process: on the core that owns the key.
    Local,
    /// In Redis, where servers share them.
    Redis,
}

/// What becomes of a request that the store can't decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// It is served, without RateLimit fields. In a local store that is full a new client takes the place
    /// of another one.
    Allow,
    /// It is refused (503), as is a new client where a local store is full.
    Deny,
}

impl Rule {
    /// A rule; its texts have been checked.
    pub fn new(
        name: &str,
        (requests, per): (u64, Duration),
        rate: Rate,
        key: Key,
        store: Store,
        on_store_failure: OnStoreFailure,
    ) -> Rule {
        Rule {
            policy: fields::policy(name, requests, per, &rate),
            name: name.to_owned(),
            rate,
            key,
            store,
            on_store_failure,
        }
    }

    /// Whether who is counted is known only after authentication.
    pub fn needs_identity(&self) -> bool {
        matches!(self.key, Key::Claim(_))
    }

    /// Whom a request is counted for. `header` gives the value of a header field of the request, `claim`
    /// that of a claim of its identity, once that is known.
    pub fn client<'a>(
        &self,
        route: &'a str,
        address: Option<IpAddr>,
        header: impl FnOnce(&str) -> Option<&'a [u8]>,
        claim: impl FnOnce(&str) -> Option<&'a [u8]>,
    ) -> Client<'a> {
        let found = match &self.key {
            Key::Route => Some(Client::Route(route)),
            Key::Header(name) => header(name).map(Client::Header),
            Key::Claim(name) => claim(name).map(Client::Claim),
            Key::Ip => None,
        };
        let by_address =
            || address.map_or(Client::Local, |address| Client::Network(address.into()));
        found.unwrap_or_else(by_address)
    }

    /// What is done about a new client when there is no room for more.
    pub fn when_full(&self) -> WhenFull {
        match self.on_store_failure {
            OnStoreFailure::Allow => WhenFull::Evict,
            OnStoreFailure::Deny => WhenFull::Refuse,
        }
    }

    /// Appends the field lines of a response: RateLimit-Policy, RateLimit, and Retry-After where the
    /// request was refused.
    pub fn append_fields(&self, decision: &Decision, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.policy);
        fields::append_state(&self.name, decision, out);
    }
}

/// The first rule whose times are kept in Redis.
pub fn in_redis(rules: &[Rule]) -> Option<&Rule> {
    rules.iter().find(|rule| rule.store == Store::Redis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(key: Key) -> Rule {
        let per = Duration::from_secs(60);
        let rate = Rate::new(100, per, 100).unwrap();
        Rule::new(
            "default",
            (100, per),
            rate,
            key,
            Store::Local,
            OnStoreFailure::Allow,
        )
    }

    #[test]
    fn whom_a_request_is_counted_for() {
        let address = Some("192.0.2.1".parse().unwrap());
        let network = Client::Network(Network::V4(0xc000_0201));
        // A request whose fields and claims have one name each, and values of their own.
        let client = |key, address| {
            let header = |name: &str| (name == "sub").then_some(&b"field"[..]);
            let claim = |name: &str| (name == "sub").then_some(&b"claim"[..]);
            rule(key).client("r", address, header, claim)
        };
        assert_eq!(client(Key::Ip, address), network);
        assert_eq!(client(Key::Ip, None), Client::Local);
        assert_eq!(client(Key::Route, address), Client::Route("r"));
        let header = |name: &str| Key::Header(name.to_owned());
        assert_eq!(client(header("sub"), address), Client::Header(b"field"));
        assert_eq!(client(header("x"), address), network);
        let claim = |name: &str| Key::Claim(name.to_owned());
        assert_eq!(client(claim("sub"), address), Client::Claim(b"claim"));
        assert_eq!(client(claim("x"), None), Client::Local);
        assert!(rule(claim("x")).needs_identity());
        assert!(!rule(header("x")).needs_identity());
    }
}
