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

mod owners;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::steering;
use crate::api::Api;
use crate::guard::rate_limit::{Client, Decision, Rule, Seed, Store, Table, in_redis};
use crate::limits;
use crate::redis;
use crate::ring::Ring;

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

/// The rate limits of one core.
pub struct Limiter {
    ledger: Rc<Ledger>,
    core: usize,
    cores: usize,
    seed: Seed,
    owners: Option<Rc<Owners>>,
    /// `None` where no rule is counted there.
    redis: Option<Rc<redis::Store>>,
    counts: Counts,
}

/// The times of the clients that belong to this core.
struct Ledger {
    ring: Rc<Ring>,
    api: Arc<Api>,
    /// By rule.
    tables: Vec<RefCell<Table>>,
    beginning: Instant,
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
pub fn seats(api: &Api, cores: usize) -> io::Result<Vec<Seat>> {
    let rules = &api.guards.rate_limits;
    let is_shared = cores > 1 && rules.iter().any(|rule| rule.store == Store::Local);
    let posts = if is_shared {
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

impl Limiter {
    /// Starts to decide, and to answer the other cores. Rules that are counted in Redis need its settings.
    pub fn start(
        ring: &Rc<Ring>,
        api: &Arc<Api>,
        seat: Seat,
        redis: Option<&redis::Settings>,
    ) -> Limiter {
        let rules = &api.guards.rate_limits;
        let redis = redis.filter(|_| in_redis(rules).is_some());
        let ledger = Rc::new(Ledger {
            ring: ring.clone(),
            api: api.clone(),
            tables: rules.iter().map(|_| RefCell::default()).collect(),
            beginning: seat.beginning,
        });
        let owners = seat
            .post
            .map(|post| Owners::start(ring, seat.core, post, ledger.clone()));
        Limiter {
            ledger,
            core: seat.core,
            cores: seat.cores,
            seed: seat.seed,
            owners,
            redis: redis.map(|redis| redis::Store::start(ring, Arc::new(redis.clone()))),
            counts: Counts::default(),
        }
    }

    /// A rule of the routes file.
    pub fn rule(&self, rule: usize) -> &Rule {
        self.ledger.rule(rule)
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
        let key = self.seed.key(rule, client);
        let is_here = self.owners.is_none() || self.owner(client, key) == self.core;
        is_here.then(|| self.ledger.foresee(rule, key))
    }

    fn rule_locally(&self, rule: usize, client: &Client<'_>) -> Ruling {
        let key = self.seed.key(rule, client);
        let owner = self.owner(client, key);
        match &self.owners {
            Some(owners) if owner != self.core => {
                add(&self.counts.asked);
                Ruling::Asked(owners.ask(owner, rule, key))
            }
            _ => {
                add(&self.counts.here);
                Ruling::Known(self.ledger.decide(rule, key))
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

    fn owner(&self, client: &Client<'_>, key: u128) -> usize {
        match client {
            Client::Network(network) => steering::core_of(*network, self.cores),
            // High bits, as tables use the low ones.
            _ => ((key >> 96) as usize * self.cores) >> 32,
        }
    }

    /// This core has answered all that it had to; it goes on deciding for others that have not, until `end`.
    pub async fn finish(&self, end: Instant) {
        if let Some(owners) = &self.owners {
            owners.finish(end).await;
        }
    }

    /// Takes note of a request that could not be decided on.
    pub fn count_undecided(&self, rule: usize) {
        let (counts, now) = (&self.counts, self.ledger.ring.now());
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

    /// Tells the log where requests were decided.
    pub fn log_summary(&self) {
        if let Some(redis) = &self.redis {
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

impl Ledger {
    fn rule(&self, rule: usize) -> &Rule {
        &self.api.guards.rate_limits[rule]
    }

    /// Decides one request of a client that belongs to this core, as of the present pass.
    fn decide(&self, rule: usize, key: u128) -> Outcome {
        let declared = self.rule(rule);
        let mut table = self.tables[rule].borrow_mut();
        table.decide(key, self.now(), &declared.rate, declared.when_full())
    }

    /// Whether it would admit one.
    fn foresee(&self, rule: usize, key: u128) -> bool {
        let table = self.tables[rule].borrow();
        table
            .foresee(key, self.now(), &self.rule(rule).rate)
            .admitted
    }

    /// The pass, in nanoseconds since the beginning.
    fn now(&self) -> u64 {
        let since = self.ring.now().saturating_duration_since(self.beginning);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get() + 1);
}
