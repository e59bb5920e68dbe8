//! What a request says to prove who sends it, and what it is told when that does not do.

use super::{RouteAuth, Scheme};
use crate::http::Request;

/// The one credential of a request. Several are none: which of them counts would be a guess, and a wrong one
/// beside a right one is no mistake that should pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    /// There is none.
    Missing,
    /// A bearer token (RFC 6750 §2.1).
    Token(&'a [u8]),
    /// An API key.
    Key(&'a [u8]),
    /// More than one, or `Authorization` with another scheme; the reason for the log.
    Wrong(Scheme, &'static str),
}

impl<'a> Credential<'a> {
    /// Looks at the fields of the schemes that the route allows, and at no others.
    pub(super) fn of(request: &Request<'a>, route: &RouteAuth, key_header: &str) -> Credential<'a> {
        let allows = |scheme| route.schemes.contains(&scheme);
        let (jwt, api_key) = (allows(Scheme::Jwt), allows(Scheme::ApiKey));
        let mut found = Credential::Missing;
        for (name, value) in request.headers() {
            let credential = if jwt && name.eq_ignore_ascii_case("authorization") {
                match bearer(value) {
                    Some(token) => Credential::Token(token),
                    None => Credential::Wrong(Scheme::Jwt, "Authorization holds no bearer token"),
                }
            } else if api_key && name.eq_ignore_ascii_case(key_header) {
                Credential::Key(value)
            } else {
                continue;
            };
            found = match found.scheme() {
                None => credential,
                Some(scheme) => Credential::Wrong(scheme, "there is more than one credential"),
            };
        }
        found
    }

    /// What it is meant for.
    pub(super) fn scheme(self) -> Option<Scheme> {
        match self {
            Credential::Missing => None,
            Credential::Token(_) => Some(Scheme::Jwt),
            Credential::Key(_) => Some(Scheme::ApiKey),
            Credential::Wrong(scheme, _) => Some(scheme),
        }
    }
}

/// The token of `Bearer TOKEN`; the scheme's name in whichever case (RFC 9110 §11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(b"bearer ".len())?;
    let token = rest.trim_ascii_start();
    let is_one = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(b"bearer ") && is_one).then_some(token)
}

/// The `WWW-Authenticate` fields of a 401 (RFC 9110 §11.6.1): how one could ask, and that what was given did
/// not do, but not why.
pub(super) fn challenges(route: &RouteAuth, given: Option<Scheme>) -> Vec<&'static str> {
    let challenge = |scheme: &Scheme| match scheme {
        // At least one parameter has to follow (RFC 6750 §3).
        Scheme::Jwt if given == Some(Scheme::Jwt) => {
            "Bearer realm=\"api\", error=\"invalid_token\""
        }
        Scheme::Jwt => "Bearer realm=\"api\"",
        Scheme::ApiKey => "ApiKey realm=\"api\"",
    };
    route.schemes.iter().map(challenge).collect()
}

/// That of a 403: the token is good, and not for this.
pub(super) const INSUFFICIENT: &str = "Bearer realm=\"api\", error=\"insufficient_scope\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens() {
        for (value, token) in [
            ("Bearer abc", "abc"),
            ("bearer  a.b-c_d~+/=", "a.b-c_d~+/="),
            ("BEARER x", "x"),
        ] {
            assert_eq!(bearer(value.as_bytes()), Some(token.as_bytes()), "{value}");
        }
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "Bearera",
            "Basic abc",
            "abc",
            "Bearer a b",
            "Bearer a\tb",
            "Bearer, Bearer a",
            "Bearer\ta",
            "Token abc",
            "Bearer é",
        ] {
            assert_eq!(bearer(value.as_bytes()), None, "{value}");
        }
    }
}
