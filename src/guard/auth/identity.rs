//! Who asks: what was proved about the sender of a request.

use std::borrow::Cow;

use super::claims::Claims;

/// How an identity was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// A JSON Web Token (RFC 7519) as a bearer token (RFC 6750).
    Jwt,
    /// A key of the server's own list.
    ApiKey,
}

impl Scheme {
    /// The word for it in the routes file.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Jwt => "jwt",
            Scheme::ApiKey => "api_key",
        }
    }
}

/// Who asks. Requests with the same token, or with the same API key, share one while it is cached: the same
/// pointer is the same identity, different pointers may be.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// How it was proved.
    pub scheme: Scheme,
    /// The `sub` claim, or the name of the API key.
    pub subject: Option<Box<str>>,
    /// What is claimed of it. Of an API key: `{"sub":"NAME","auth":"api_key"}`.
    pub claims: Claims,
}

impl Identity {
    /// An identity with these claims.
    pub fn new(scheme: Scheme, claims: Claims) -> Identity {
        let subject = claims.text("sub").map(Cow::into_owned);
        Identity {
            scheme,
            subject: subject.map(String::into_boxed_str),
            claims,
        }
    }

    /// The claims as the text of one JSON object.
    pub fn claims_text(&self) -> &str {
        self.claims.as_str()
    }
}
