//! Where the rate limit of a request is decided: exactly, on one host, whatever core it came in on.
//!
//! Each client of a rule belongs to one core, which keeps its time and decides: the one that its address
//! would be steered to, or else the one that its key says. A request that came in on that core is decided
//! there and then; any other core asks it, by a message ([`Owners`]). No time is kept twice, so what is
//! admitted is what the rule says, to the request.
//!
//! The bound of that: a core that does not answer within [`limits::RATE_PATIENCE`], as it stands still, leaves it
//! to the rule's `on_store_failure`, as do the following requests for it until it answers. And of one rule a
//! core keeps [`limits::RATE_KEYS_MAX`] clients that have used some of their burst; see [`Table`] for what
//! becomes of more. When the server stops, no core goes home while another one has something to answer.
//!
//! A request counts once it is there whole and its route is known, whatever its answer will be. One that
//! waits to be asked for its body is refused without it where this core can say so ([`Limiter::foresee`]).
//!
//! A rule with `store = "redis"` is decided there instead, for all servers that share it: see [`redis`].
//!
//! `--steer ip` saves the message for clients that connect directly: their core is the one that the kernel
//! gives their connections to. It is no part of what makes it exact.

//!
//! When another API takes the place of the one that is served, what clients have used of a rule stays known
//! if the rule has still the same name and rate: see [`ledger`].

mod ledger;
mod owners;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::steering;
use crate::api::Api;
use crate::guard::rate_limit::{Client, Decision, Rule, Seed, Store, in_redis};
use crate::limits;
use crate::redis;
use crate::ring::Ring;

pub use ledger::Numbers;
use ledger::{Counted, Ledger};
use owners::{Answer, Owners, Post};

/// What is decided of a request; `None` if it could not be.
pub type Outcome = Option<Decision>;

/// A request's place on the way to its outcome.
pub enum Ruling {
    /// It is there.
    Known(Outcome),
    /// Another core has been asked.
    Asked(Answer),
    /// Redis has been asked.
    AskedRedis(redis::Deciding),
}

/// What a core is given at its start to decide with.
pub struct Seat {
    core: usize,
    cores: usize,
    seed: Seed,
    /// The beginning of time, for all cores.
    beginning: Instant,
    /// `None` where no other core is ever asked.
    post: Option<Post>,
}

/// What a core decides rate limits with, whatever API it serves.
pub struct Office {
    ring: Rc<Ring>,
    ledger: Rc<Ledger>,
    core: usize,
    cores: usize,
    seed: Seed,
    owners: Option<Rc<Owners>>,
    /// Where Redis is, and the way to it: none before a rule is counted there.
    redis_settings: Option<redis::Settings>,
    redis: RefCell<Option<Rc<redis::Store>>>,
    counts: Counts,
}

/// The rate limits of one API on one core.
pub struct Limiter {
    office: Rc<Office>,
    api: Arc<Api>,
    /// By rule.
    counted: Vec<Rc<Counted>>,
    redis: Option<Rc<redis::Store>>,
}

#[derive(Default)]
struct Counts {
    here: Cell<u64>,
    asked: Cell<u64>,
    undecided: Cell<u64>,
    /// Of those, what the log has not been told of, and when it was last told.
    untold: Cell<u64>,
    told_at: Cell<Option<Instant>>,
}

/// One seat for each core.
pub fn seats(cores: usize) -> io::Result<Vec<Seat>> {
    // Also where no rule is declared: the next API may have one.
    let posts = if cores > 1 {
        owners::posts(cores)?.into_iter().map(Some).collect()
    } else {
        (0..cores).map(|_| None).collect::<Vec<_>>()
    };
    let (seed, beginning) = (Seed::default(), Instant::now());
    let seats = posts.into_iter().enumerate().map(|(core, post)| Seat {
        core,
        cores,
        seed: seed.clone(),
        beginning,
        post,
    });
    Ok(seats.collect())
}

impl Office {
    /// Decides by the rules of an API, which have these numbers. From now on this core knows them, also
    /// where another core asks.
    pub fn limiter(self: &Rc<Self>, api: &Arc<Api>, numbers: &Numbers) -> Limiter {
        let counted = self.ledger.take_on(&api.guards.rate_limits, numbers);
        self.limiter_by(api, counted)
    }

    fn limiter_by(self: &Rc<Self>, api: &Arc<Api>, counted: Vec<Rc<Counted>>) -> Limiter {
        let is_in_redis = in_redis(&api.guards.rate_limits).is_some();
        Limiter {
            office: self.clone(),
            api: api.clone(),
            counted,
            redis: is_in_redis.then(|| self.redis()).flatten(),
        }
    }

    /// The way to Redis, which is kept from the first rule on that is counted there.
    fn redis(&self) -> Option<Rc<redis::Store>> {
        let settings = self.redis_settings.as_ref()?;
        let mut store = self.redis.borrow_mut();
        let start = || redis::Store::start(&self.ring, Arc::new(settings.clone()));
        Some(store.get_or_insert_with(start).clone())
    }

    /// This core has answered all that it had to; it goes on deciding for others that have not, until `end`.
    pub async fn finish(&self, end: Instant) {
        if let Some(owners) = &self.owners {
            owners.finish(end).await;
        }
    }

    fn owner(&self, client: &Client<'_>, key: u128) -> usize {
        match client {
            Client::Network(network) => steering::core_of(*network, self.cores),
            // High bits, as tables use the low ones.
            _ => ((key >> 96) as usize * self.cores) >> 32,
        }
    }

    /// Tells the log where requests were decided.
    pub fn log_summary(&self) {
        if let Some(redis) = &*self.redis.borrow() {
            redis.tell_repeated();
        }
        let counts = &self.counts;
        let (here, asked, undecided) = (&counts.here, &counts.asked, &counts.undecided);
        if here.get() + asked.get() + undecided.get() > 0 {
            tracing::debug!(
                core = self.core,
                here = here.get(),
                asked = asked.get(),
                undecided = undecided.get(),
                "rate limits decided"
            );
        }
    }
}

impl Limiter {
    /// Starts to decide by the rules of the first API, and to answer the other cores. Rules that are counted in
    /// Redis need its settings.
    pub fn start(
        ring: &Rc<Ring>,
        (api, numbers): (&Arc<Api>, &Numbers),
        seat: Seat,
        redis: Option<&redis::Settings>,
    ) -> Limiter {
        let ledger = Rc::new(Ledger::new(ring, seat.beginning));
        // Before anybody is answered.
        let counted = ledger.take_on(&api.guards.rate_limits, numbers);
        let owners = seat
            .post
            .map(|post| Owners::start(ring, seat.core, post, ledger.clone()));
        let office = Rc::new(Office {
            ring: ring.clone(),
            ledger,
            core: seat.core,
            cores: seat.cores,
            seed: seat.seed,
            owners,
            redis_settings: redis.cloned(),
            redis: RefCell::default(),
            counts: Counts::default(),
        });
        office.limiter_by(api, counted)
    }

    /// What it decides with.
    pub fn office(&self) -> &Rc<Office> {
        &self.office
    }

    /// A rule of the routes file.
    pub fn rule(&self, rule: usize) -> &Rule {
        &self.api.guards.rate_limits[rule]
    }

    /// Counts a request of a client of a rule.
    pub fn rule_on(&self, rule: usize, client: &Client<'_>) -> Ruling {
        match self.rule(rule).store {
            Store::Local => self.rule_locally(rule, client),
            Store::Redis => self.rule_in_redis(rule, client),
        }
    }

    /// Whether a request of a client of a rule would be admitted, without counting it; `None` where that is for
    /// another core to say, or for Redis.
    pub fn foresee(&self, rule: usize, client: &Client<'_>) -> Option<bool> {
        if self.rule(rule).store != Store::Local {
            return None;
        }
        let (office, counted) = (&self.office, &self.counted[rule]);
        let key = office.seed.key(counted.number, client);
        let is_here = office.owners.is_none() || office.owner(client, key) == office.core;
        is_here.then(|| office.ledger.foresee(counted, key))
    }

    fn rule_locally(&self, rule: usize, client: &Client<'_>) -> Ruling {
        let (office, counted) = (&self.office, &self.counted[rule]);
        let key = office.seed.key(counted.number, client);
        let owner = office.owner(client, key);
        match &office.owners {
            Some(owners) if owner != office.core => {
                add(&office.counts.asked);
                Ruling::Asked(owners.ask(owner, counted.number, key))
            }
            _ => {
                add(&office.counts.here);
                Ruling::Known(office.ledger.decide_by(counted, key))
            }
        }
    }

    fn rule_in_redis(&self, rule: usize, client: &Client<'_>) -> Ruling {
        let declared = self.rule(rule);
        let asked = self.redis.as_ref().map(|redis| {
            let name = client.name(&declared.name);
            redis.decide(&declared.rate, &name)
        });
        match asked {
            Some(deciding) if !deciding.has_failed() => Ruling::AskedRedis(deciding),
            _ => Ruling::Known(None),
        }
    }

    /// Takes note of a request that could not be decided on.
    pub fn count_undecided(&self, rule: usize) {
        let (counts, now) = (&self.office.counts, self.office.ring.now());
        add(&counts.undecided);
        add(&counts.untold);
        let told_at = counts.told_at.get();
        if told_at.is_some_and(|at| now - at < limits::RATE_FAILURES_TOLD_INTERVAL) {
            return;
        }
        counts.told_at.set(Some(now));
        let (requests, rule) = (counts.untold.take(), &self.rule(rule).name);
        tracing::warn!(rule, requests, "a rate limit could not be decided on");
    }
}

impl Ruling {
    /// Waits for it.
    pub async fn outcome(self) -> Outcome {
        match self {
            Ruling::Known(outcome) => outcome,
            Ruling::Asked(answer) => answer.await,
            // Why there is none the log has been told.
            Ruling::AskedRedis(deciding) => deciding.await.ok(),
        }
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}
