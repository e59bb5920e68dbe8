//! What stands between a request and its route, whatever the route. One chain, in this order:
//!
//! 1. request id and clock: [`Guards::begin`];
//! 2. security headers, and whom the request comes from, through the proxies that are trusted: also there;
//! 3. CORS, where preflights end: [`Guards::cross_origin`];
//! 4. rate limit: [`rate_limit`], decided in `server/rate_limit.rs`, as it may be another core, or Redis, that
//!    counts; one that counts by a claim comes after authentication;
//! 5. authentication: [`Guards::authenticate`].
//!
//! What the route itself has all of its responses say comes in between ([`caching`]).
//!
//! `server/answer.rs` walks along it. A guard is pure: what a request says, where it comes from and the
//! time go in, a verdict comes out. What it adds to the response, whatever that will be, it adds to the request's [`Trail`].

pub mod auth;
pub mod caching;
pub mod cors;
pub mod proxy;
pub mod rate_limit;
mod request_id;
pub mod security_headers;
mod trail;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use auth::{Auth, Identity, Keys, Refused, RouteAuth};
use cors::{Cors, Verdict};
pub use request_id::RequestId;
use security_headers::SecurityHeaders;
pub use trail::{Lines, Trail};

use crate::http::Request;

/// What the routes file says of the guards.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `[auth]`.
    pub auth: auth::Settings,
    /// `[cors]`; without it pages of other origins can read nothing.
    pub cors: Option<cors::Settings>,
    /// `[proxy]`.
    pub proxy: proxy::Settings,
    /// `[rate_limit.NAME]`: the rules that routes may name.
    pub rate_limits: Vec<rate_limit::Rule>,
    /// `[security_headers]`.
    pub security_headers: security_headers::Settings,
}

/// The other end of a connection, or the client behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` on a unix socket.
    pub address: Option<IpAddr>,
    /// Whether it speaks HTTPS.
    pub encrypted: bool,
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// That of the core's pass.
    pub now: Instant,
    /// Since 1970, UTC, at `now`.
    pub wall: Duration,
}

/// A request that has come in.
#[derive(Debug)]
pub struct Visit {
    /// Whom it comes from, by way of trusted proxies.
    pub client: Peer,
    /// When it was there whole.
    pub clock: Clock,
    /// Who it is, once that is proved.
    pub identity: Option<Rc<Identity>>,
    /// What its response will say beside its answer.
    pub trail: Box<Trail>,
}

/// The guards of one core.
#[derive(Debug)]
pub struct Guards {
    auth: Auth,
    cors: Option<Cors>,
    proxy: proxy::Settings,
    security_headers: SecurityHeaders,
}

impl Guards {
    /// What the settings say.
    pub fn new(settings: &Settings) -> Guards {
        Guards {
            auth: Auth::new(&settings.auth),
            cors: settings.cors.as_ref().map(Cors::new),
            proxy: settings.proxy.clone(),
            security_headers: SecurityHeaders::new(&settings.security_headers),
        }
    }

    /// A request has come in from `peer`.
    pub fn begin(&self, request: &Request<'_>, peer: Peer, clock: Clock) -> Visit {
        let client = self.client(request, peer);
        let id = RequestId::of(request, clock.wall);
        Visit {
            client,
            clock,
            identity: None,
            trail: self.trail(id, client, clock),
        }
    }

    /// Whom a request comes from, by way of trusted proxies.
    pub fn client(&self, request: &Request<'_>, peer: Peer) -> Peer {
        self.proxy.client(request, peer)
    }

    /// What the answer to bytes that are no request says beside it, or, where its head was read, that to a
    /// request that comes to nothing.
    pub fn begin_fault(
        &self,
        request: Option<&Request<'_>>,
        peer: Peer,
        clock: Clock,
    ) -> Box<Trail> {
        if let Some(request) = request {
            let mut trail = self.begin(request, peer, clock).trail;
            self.cross_origin(request, &mut trail, || None);
            return trail;
        }
        let mut trail = self.trail(RequestId::made(clock.wall), peer, clock);
        if let Some(cors) = &self.cors {
            trail.set_cors(cors.without_request());
        }
        trail
    }

    /// A page of another origin may be asking. `allow` gives the `Allow` field of the path, `None` where
    /// there is no such path. What comes back is the end of a preflight: let in, or why not.
    pub fn cross_origin(
        &self,
        request: &Request<'_>,
        trail: &mut Trail,
        allow: impl FnOnce() -> Option<String>,
    ) -> Option<Result<(), &'static str>> {
        let (lines, end) = match self.cors.as_ref()?.verdict(request, allow) {
            Verdict::Pass(lines) => (lines, None),
            Verdict::Preflight(lines) => (lines, Some(Ok(()))),
            Verdict::Refused(lines, message) => (lines, Some(Err(message))),
        };
        trail.set_cors(lines);
        end
    }

    /// Finds out who sends the request, if the route asks for that; see [`Auth::authenticate`].
    pub fn authenticate(
        &self,
        route: &RouteAuth,
        request: &Request<'_>,
        visit: &mut Visit,
    ) -> Result<(), Refused> {
        let now = visit.clock.wall.as_secs();
        visit.identity = self.auth.authenticate(route, request, now)?;
        Ok(())
    }

    /// From now on identities are proved with these.
    pub fn replace_keys(&self, keys: &Keys) {
        self.auth.replace_keys(keys);
    }

    /// Whether tokens are refused because there are no keys yet.
    pub fn lacks_keys(&self) -> bool {
        self.auth.lacks_keys()
    }

    fn trail(&self, id: RequestId, client: Peer, clock: Clock) -> Box<Trail> {
        let security = self.security_headers.lines(client.encrypted);
        Box::new(Trail::new(id, clock.now, security))
    }
}
