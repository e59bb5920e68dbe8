//! Requests of routes that have a rate limit.

use std::rc::Rc;

use super::super::handler::{Handled, Later};
use super::super::rate_limit::{Outcome, Ruling};
use super::super::reply::Reply;
use super::Core;
use crate::guard::rate_limit::{Client, OnStoreFailure};
use crate::guard::{Trail, Visit};
use crate::http::Request;

/// A rate limit that another core decides on.
pub(super) struct Limit {
    pub(super) rule: usize,
    pub(super) ruling: Ruling,
    /// Requests of its connection that came before it.
    pub(super) company: usize,
}

impl Core {
    /// Whether it can be counted only once it is known who asks.
    pub(super) fn counts_claims(&self, route: usize) -> bool {
        let rule = self.api.routes[route].rate_limit;
        rule.is_some_and(|rule| self.limiter.rule(rule).needs_identity())
    }

    /// Counts a request of a route that has a rate limit: a refusal, or what is to be waited for before
    /// anything else is done for it.
    pub(super) fn limit(
        &self,
        route: usize,
        request: &Request<'_>,
        company: usize,
        visit: &mut Visit,
    ) -> Result<Option<Limit>, Reply> {
        let Some(rule) = self.api.routes[route].rate_limit else {
            return Ok(None);
        };
        let client = self.client(rule, route, request, visit);
        match self.limiter.rule_on(rule, &client) {
            Ruling::Known(outcome) => match self.settle(rule, outcome, &mut visit.trail) {
                Some(refused) => Err(refused),
                None => Ok(None),
            },
            ruling => Ok(Some(Limit {
                rule,
                ruling,
                company,
            })),
        }
    }

    /// The refusal of a request that waits to be asked for its body. One that may yet be let in is not counted
    /// here, as it will be when it is there whole; nor is one that another core has to count, or Redis.
    pub(super) fn refuse_unread(
        &self,
        route: usize,
        request: &Request<'_>,
        visit: &mut Visit,
    ) -> Option<Reply> {
        let Some(rule) = self.api.routes[route].rate_limit else {
            return self.authenticate(route, request, visit).err();
        };
        let known = self
            .counts_claims(route)
            .then(|| self.authenticate(route, request, visit));
        let client = self.client(rule, route, request, visit);
        let unknown = match self.limiter.foresee(rule, &client)? {
            true => {
                let known = known.unwrap_or_else(|| self.authenticate(route, request, visit));
                Some(known.err()?)
            }
            false => None,
        };
        // Refusals count, too.
        self.limit(route, request, 0, visit).err().or(unknown)
    }

    /// Whom a request is counted for.
    fn client<'a>(
        &'a self,
        rule: usize,
        route: usize,
        request: &'a Request<'_>,
        visit: &'a Visit,
    ) -> Client<'a> {
        let header = |name: &str| request.header(name);
        let claim = |name: &str| Some(visit.identity.as_ref()?.claims.json(name)?.as_bytes());
        let (rule, route) = (self.limiter.rule(rule), &self.api.routes[route].name);
        rule.client(route, visit.client.address, header, claim)
    }

    /// What has been decided of a request: the refusal of one that is not let in. The response says what
    /// its client may still do.
    pub(super) fn settle(&self, rule: usize, outcome: Outcome, trail: &mut Trail) -> Option<Reply> {
        let declared = self.limiter.rule(rule);
        let Some(decision) = outcome else {
            self.limiter.count_undecided(rule);
            self.recorder()
                .count(|counters| counters.store_failures += 1);
            return (declared.on_store_failure == OnStoreFailure::Deny).then(|| {
                let message = "The rate limit can't be checked";
                let mut reply = Reply::error(503, message, &trail.id, None);
                reply.field("retry-after", "1");
                reply
            });
        };
        trail.add_with(|lines| declared.append_fields(&decision, lines));
        (!decision.admitted).then(|| Reply::error(429, "Too many requests", &trail.id, None))
    }

    /// A refusal that had to wait for what decides on limits.
    pub(super) fn after_waiting(&self, refused: Reply) -> Reply {
        let now = self.now();
        Reply {
            asked: Some((now, now)),
            ..refused
        }
    }

    /// Refuses a request, unless its rate limit does.
    pub(super) fn refuse_later(
        self: &Rc<Self>,
        reply: Reply,
        limit: Limit,
        trail: Box<Trail>,
    ) -> Handled {
        let (bytes, core) = (reply.body.len(), self.clone());
        let answering = async move |trail: &mut Trail| {
            let outcome = limit.ruling.outcome().await;
            let refused = core.settle(limit.rule, outcome, trail);
            core.after_waiting(refused.unwrap_or(reply))
        };
        Handled::Later(Later::new(trail, bytes, None, answering))
    }
}
