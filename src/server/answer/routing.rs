//! Which route a request is for, and the answers that need none.

use super::super::reply::Reply;
use super::Core;
use super::refusals::allowing;
use crate::api::{self, Found, In, Route, Setting};
use crate::guard::{Lines, Trail, caching};
use crate::http::{Method, Request};

/// What the built-in paths answer to.
const BUILT_IN_ALLOW: &str = "GET, HEAD, OPTIONS";

/// What all responses of a route say.
pub(super) fn lines(route: &Route) -> Option<Lines> {
    let headers = route.params.iter().filter(|it| it.source == In::Header);
    let mut fields: Vec<&str> = headers.map(|it| it.external.as_str()).collect();
    if let Some(transaction) = &route.transaction
        && transaction.settings.has(Setting::Headers)
    {
        fields.push("*");
    }
    caching::lines(route.auth.is_asked_for(), &fields)
}

impl Core {
    /// The route of a request with its captures, or the answer to one that needs no route. The response of a
    /// route says what all of them do.
    pub(super) fn find<'a>(
        &self,
        request: &Request<'_>,
        path: &'a str,
        trail: &mut Trail,
    ) -> Result<(usize, api::Captures<'a>), Reply> {
        let method = match request.method() {
            Method::Get | Method::Head => Some(api::Method::Get),
            Method::Post => Some(api::Method::Post),
            Method::Put => Some(api::Method::Put),
            Method::Patch => Some(api::Method::Patch),
            Method::Delete => Some(api::Method::Delete),
            Method::Options => None,
        };
        let health = path == "/health" && self.health_built_in;
        let ready = path == "/ready" && self.ready_built_in;
        let (options, id) = (method.is_none(), &trail.id);
        Err(if health || ready {
            let built_in = self.api.routes.len() + usize::from(ready);
            trail.route = Some(self.places.of(built_in));
            match method {
                Some(api::Method::Get) if health => Reply::fixed(200, b"{\"status\":\"ok\"}"),
                Some(api::Method::Get) => self.ready(),
                _ => allowing(BUILT_IN_ALLOW, options, id),
            }
        } else {
            match self.api.router.find(method, path) {
                Found::Route { index, captures } => {
                    trail.route = Some(self.places.of(index));
                    trail.set_route_lines(self.route_lines[index].clone());
                    return Ok((index, captures));
                }
                Found::MethodNotAllowed { allow } => allowing(&allow, options, id),
                Found::NotFound if options && path == "*" => allowing(BUILT_IN_ALLOW, options, id),
                Found::NotFound => Reply::error(404, "Not found", id, None),
            }
        })
    }

    /// The `Allow` field of a path, if there is such a path.
    fn allow(&self, path: &str) -> Option<String> {
        let health = path == "/health" && self.health_built_in;
        let ready = path == "/ready" && self.ready_built_in;
        if health || ready || path == "*" {
            return Some(BUILT_IN_ALLOW.to_owned());
        }
        match self.api.router.find(None, path) {
            Found::MethodNotAllowed { allow } => Some(allow),
            _ => None,
        }
    }

    /// The guards that answer by themselves.
    pub(super) fn guard(
        &self,
        request: &Request<'_>,
        path: &str,
        trail: &mut Trail,
    ) -> Option<Reply> {
        let preflight = self
            .guards
            .cross_origin(request, trail, || self.allow(path))?;
        Some(match preflight {
            Ok(()) => Reply::empty(),
            Err(message) => Reply::error(403, message, &trail.id, None),
        })
    }

    /// Why it can't answer some request now; empty when it can answer all.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.database.faults();
        if self.draining.get() {
            faults.push("stopping".to_owned());
        }
        if self.guards.lacks_keys() {
            faults.push("no keys to verify tokens with".to_owned());
        }
        faults
    }

    fn ready(&self) -> Reply {
        let faults = self.faults();
        if faults.is_empty() {
            return Reply::fixed(200, b"{\"status\":\"ready\"}");
        }
        let mut body = b"{\"status\":\"unavailable\",\"reasons\":".to_vec();
        let encoded = sonic_rs::to_vec(&faults);
        body.extend(encoded.expect("a list of strings is JSON"));
        body.push(b'}');
        let mut reply = Reply::json(503, body);
        reply.field("retry-after", "1");
        reply
    }
}
