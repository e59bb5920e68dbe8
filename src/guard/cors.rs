//! Which pages of other origins may ask, and read the answer: the server's side of the CORS protocol
//! (Fetch §3.3, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! An origin that is not let in gets no field that would let it in, and `null`, which every sandboxed frame
//! has, is never let in. As what is sent depends on the origin, every response says so in `vary`, also one to
//! a request without any (Fetch, "CORS protocol and HTTP caches").
//!
//! The protocol keeps pages from reading, not clients from asking: whoever is no browser may send any
//! Origin. Who may do what is for authentication to say.

mod origin;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

pub use self::origin::{Origin, OriginFault};
use super::Lines;
use crate::http::{Method, Request};
use crate::limits;

/// What the routes file declares under `[cors]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whose pages are let in.
    pub origins: Origins,
    /// What they may ask for.
    pub methods: Methods,
    /// Fields that their requests may have beside those that every form can send.
    pub headers: Names,
    /// Fields of the responses that they may read beside those that every page may.
    pub exposed: Names,
    /// How long a browser may keep the answer to a preflight, in whole seconds.
    pub max_age: Option<Duration>,
    /// Whether pages of a public network may reach this server on a private one
    /// (<https://wicg.github.io/private-network-access/>).
    pub private_network: bool,
}

/// Whose pages are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's, without credentials.
    Any,
    /// Those of certain origins.
    Listed {
        /// Which.
        origins: Vec<Origin>,
        /// Whether their requests may carry cookies, certificates and HTTP authentication.
        credentials: bool,
    },
}

/// What a page may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// What the path is declared with.
    Declared,
    /// Whatever this server knows, on every path.
    Any,
    /// These, on every path. GET includes HEAD, as a route does.
    Listed(Vec<Method>),
}

/// Names of fields, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// `*`. As in the standard, it does not include `authorization`.
    pub any: bool,
    /// Each by its name.
    pub listed: Vec<String>,
}

/// What is to become of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is no preflight, or one of a path that is not known: it goes on, and its response has these lines,
    /// whatever it is.
    Pass(Lines),
    /// A preflight that is let in: 204 with these lines and nothing else.
    Preflight(Lines),
    /// A preflight that is not: 403, which Fetch §3.3.3 names for it, with these lines and this message.
    Refused(Lines, &'static str),
}

/// The guard of one core.
#[derive(Debug)]
pub struct Cors {
    admitted: Admitted,
    /// Of a response to a request without an origin.
    without_origin: Lines,
    /// Of a response to an origin that is not let in.
    foreign: Lines,
    /// The same of a preflight.
    foreign_preflight: Lines,
    /// Of a response, after the line with the origin.
    actual: Vec<u8>,
    /// Of a preflight, after the lines with the origin and the methods.
    preflight: Vec<u8>,
    methods: Methods,
    headers: Names,
    private_network: bool,
}

#[derive(Debug)]
enum Admitted {
    /// All origins, with the lines of each response.
    Any(Lines),
    Listed {
        /// Those that stand for themselves alone, with the lines of each response.
        exact: HashMap<Box<[u8]>, Lines>,
        patterns: Vec<Origin>,
    },
}

impl Cors {
    /// The guard that does what is declared.
    pub fn new(settings: &Settings) -> Cors {
        let foreign = field("vary", "origin");
        let mut vary =
            "origin, access-control-request-method, access-control-request-headers".to_owned();
        if settings.private_network {
            vary += ", access-control-request-private-network";
        }
        let foreign_preflight = field("vary", &vary);
        let credentials = match &settings.origins {
            Origins::Listed { credentials, .. } if *credentials => {
                field("access-control-allow-credentials", "true")
            }
            _ => Vec::new(),
        };
        let exposed = names_field("access-control-expose-headers", &settings.exposed);
        let headers = names_field("access-control-allow-headers", &settings.headers);
        let max_age = settings.max_age.map_or_else(Vec::new, |age| {
            field("access-control-max-age", &age.as_secs().to_string())
        });
        let actual = [&credentials[..], &exposed, &foreign].concat();
        let preflight = [&credentials[..], &headers, &max_age, &foreign_preflight].concat();
        let admitted = Admitted::new(&settings.origins, &actual);
        let foreign: Lines = foreign.into();
        Cors {
            without_origin: match &admitted {
                Admitted::Any(lines) => lines.clone(),
                Admitted::Listed { .. } => foreign.clone(),
            },
            foreign,
            foreign_preflight: foreign_preflight.into(),
            actual,
            preflight,
            methods: settings.methods.clone(),
            headers: settings.headers.clone(),
            private_network: settings.private_network,
            admitted,
        }
    }

    /// Lines of a response to what could not be read as a request: it may be of any origin.
    pub fn without_request(&self) -> Lines {
        self.foreign.clone()
    }

    /// Judges a request. `allow` gives the `Allow` field of its path (RFC 9110 §10.2.1), or `None` where
    /// there is no such path; only preflights need it.
    pub fn verdict(
        &self,
        request: &Request<'_>,
        allow: impl FnOnce() -> Option<String>,
    ) -> Verdict {
        let Some(origin) = request.origin() else {
            return Verdict::Pass(self.without_origin.clone());
        };
        if request.method() == Method::Options
            && let Some(method) = request.header(REQUEST_METHOD)
        {
            return self.preflight(request, origin, method, allow);
        }
        Verdict::Pass(self.lines(origin))
    }

    /// Lines of a response to a request from an origin; a known one costs no allocation.
    fn lines(&self, origin: &[u8]) -> Lines {
        let known = match &self.admitted {
            Admitted::Any(lines) => origin::is_serialised(origin).then(|| lines.clone()),
            Admitted::Listed { exact, patterns } => exact.get(origin).cloned().or_else(|| {
                let admits = |pattern: &Origin| pattern.admits(origin);
                let build = || [&allow_origin(origin)[..], &self.actual].concat().into();
                patterns.iter().any(admits).then(build)
            }),
        };
        known.unwrap_or_else(|| self.foreign.clone())
    }

    /// What a preflight is told of the origin, if it is let in.
    fn allow_origin(&self, origin: &[u8]) -> Option<Vec<u8>> {
        let (admitted, value) = match &self.admitted {
            Admitted::Any(_) => (origin::is_serialised(origin), &b"*"[..]),
            Admitted::Listed { exact, patterns } => {
                let admits = |pattern: &Origin| pattern.admits(origin);
                let admitted = exact.contains_key(origin) || patterns.iter().any(admits);
                (admitted, origin)
            }
        };
        admitted.then(|| allow_origin(value))
    }

    /// A page that gets nothing but the origin it asked for would be let in with GET, HEAD and POST, which
    /// browsers take for granted: so one that may not ask what it wants to is told nothing.
    fn preflight(
        &self,
        request: &Request<'_>,
        origin: &[u8],
        method: &[u8],
        allow: impl FnOnce() -> Option<String>,
    ) -> Verdict {
        let refused = |message| Verdict::Refused(self.foreign_preflight.clone(), message);
        let Some(mut lines) = self.allow_origin(origin) else {
            return refused("CORS: origin not allowed");
        };
        let Some(allow) = allow() else {
            return Verdict::Pass(self.foreign_preflight.clone());
        };
        let mut repeated = request
            .headers()
            .filter(|(name, _)| is(name, REQUEST_METHOD));
        let Some(methods) = self
            .allow_methods(method, &allow)
            .filter(|_| repeated.nth(1).is_none())
        else {
            return refused("CORS: method not allowed");
        };
        if !self.allows_headers(request) {
            return refused("CORS: header not allowed");
        }
        lines.extend_from_slice(&field("access-control-allow-methods", &methods));
        if self.private_network && request.header(REQUEST_PRIVATE_NETWORK) == Some(b"true") {
            lines.extend_from_slice(&field("access-control-allow-private-network", "true"));
        }
        lines.extend_from_slice(&self.preflight);
        Verdict::Preflight(lines.into())
    }

    /// The methods that a page may use on a path with this `Allow` field, if the one that it wants to use is
    /// one of them.
    fn allow_methods(&self, wanted: &[u8], allow: &str) -> Option<String> {
        let wanted = Method::from_name(wanted)?;
        let (methods, allowed): (Vec<&str>, bool) = match &self.methods {
            Methods::Any => (vec!["*"], true),
            Methods::Declared => {
                let declared = allow
                    .split(", ")
                    .filter(|name| *name != Method::Options.name());
                let declared: Vec<&str> = declared.collect();
                let allowed = declared.contains(&wanted.name());
                (declared, allowed)
            }
            Methods::Listed(listed) => {
                let includes = match wanted {
                    Method::Head => Method::Get,
                    other => other,
                };
                let allowed = listed.contains(&wanted) || listed.contains(&includes);
                (listed.iter().map(|method| method.name()).collect(), allowed)
            }
        };
        allowed.then(|| methods.join(", "))
    }

    /// Whether the request that the preflight is for may have all the fields that it will have.
    fn allows_headers(&self, request: &Request<'_>) -> bool {
        let names = request
            .headers()
            .filter(|(name, _)| is(name, REQUEST_HEADERS))
            .flat_map(|(_, value)| value.split(|&octet| octet == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty()); // RFC 9110 §5.6.1
        let mut count = 0;
        for name in names {
            count += 1;
            if count > limits::HEADERS_MAX || !self.headers.include(name) {
                return false;
            }
        }
        true
    }
}

impl Admitted {
    fn new(origins: &Origins, actual: &[u8]) -> Admitted {
        let Origins::Listed { origins, .. } = origins else {
            return Admitted::Any([&allow_origin(b"*")[..], actual].concat().into());
        };
        let (exact, patterns): (Vec<Origin>, Vec<Origin>) =
            origins.iter().cloned().partition(Origin::is_exact);
        let with_lines = |origin: Origin| {
            let name = origin.as_str().as_bytes();
            (
                name.into(),
                [&allow_origin(name)[..], actual].concat().into(),
            )
        };
        Admitted::Listed {
            exact: exact.into_iter().map(with_lines).collect(),
            patterns,
        }
    }
}

impl Names {
    /// Whether a request may have a field of that name.
    fn include(&self, name: &[u8]) -> bool {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        self.listed.iter().any(|listed| is(listed))
            // Fetch §2.2.2, "CORS non-wildcard request-header name".
            || self.any && !is("authorization")
    }
}

const REQUEST_METHOD: &str = "access-control-request-method";
const REQUEST_HEADERS: &str = "access-control-request-headers";
const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";

fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

fn allow_origin(origin: &[u8]) -> Vec<u8> {
    [b"access-control-allow-origin: ", origin, b"\r\n"].concat()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    format!("{name}: {value}\r\n").into_bytes()
}

/// A field that lists names, or nothing where there are none.
fn names_field(name: &str, names: &Names) -> Vec<u8> {
    let any = names.any.then_some("*");
    let listed = names.listed.iter().map(String::as_str);
    let all: Vec<&str> = any.into_iter().chain(listed).collect();
    match all.as_slice() {
        [] => Vec::new(),
        all => field(name, &all.join(", ")),
    }
}
