//! A core with a way to Redis and nothing else, and what is asked on it.

use std::cell::RefCell;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pinion::guard::rate_limit::{Decision, Rate};
use pinion::redis::url::Target;
use pinion::redis::{Settings, Store, Unavailable};
use pinion::ring::{self, Options, Ring};
use pinion::tls::ClientTls;

use crate::support::PATIENCE;

/// How long a decision may take where none is to be late.
pub const LONG: Duration = Duration::from_secs(30);

const NO_FILES: ClientTls = ClientTls {
    ca: None,
    identity: None,
};

/// So many in an hour, all of them in one instant if they like.
pub fn per_hour(requests: u64) -> Rate {
    Rate::new(requests, Duration::from_secs(3600), requests).expect("a rate")
}

pub fn settings(url: &str, timeout: Duration) -> Settings {
    Settings {
        target: Target::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")),
        timeout,
        tls: NO_FILES,
    }
}

pub fn with_ca(mut settings: Settings, ca: &Path) -> Settings {
    settings.tls.ca = Some(("--redis-ca", ca.to_owned()));
    settings
}

/// Runs a core that does one test.
pub fn on_core<T: 'static, F: Future<Output = T> + 'static>(
    settings: Settings,
    test: impl FnOnce(Rc<Ring>, Rc<Store>) -> F,
) -> T {
    let test = |ring: Rc<Ring>| {
        let store = Store::start(&ring, Arc::new(settings));
        test(ring, store)
    };
    ring::run(None, &Options::default(), test).expect("a core")
}

pub async fn until(ring: &Rc<Ring>, what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        ring.sleep(Duration::from_millis(1)).await;
    }
}

pub async fn up(ring: &Rc<Ring>, store: &Store) {
    until(ring, "a connection", || store.is_up()).await;
}

/// What is known without waiting.
pub fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Asks until there is a decision: while a connection comes back there may be none.
pub async fn decided(ring: &Rc<Ring>, store: &Store, rate: &Rate, name: &str) -> Decision {
    let start = Instant::now();
    loop {
        match store.decide(rate, name.as_bytes()).await {
            Ok(decision) => return decision,
            Err(reason) => assert!(start.elapsed() < PATIENCE, "{reason}"),
        }
        ring.sleep(Duration::from_millis(1)).await;
    }
}

/// `each` decisions in a row by each of so many tasks: how many were admitted, and what went wrong.
pub async fn admitted(
    ring: &Rc<Ring>,
    store: &Rc<Store>,
    rate: Rate,
    tasks: usize,
    each: usize,
) -> (usize, Vec<Unavailable>) {
    let outcomes: Rc<RefCell<Vec<_>>> = Rc::default();
    for _ in 0..tasks {
        let (store, outcomes) = (store.clone(), outcomes.clone());
        ring.spawn(async move {
            for _ in 0..each {
                let outcome = store.decide(&rate, b"pinion:x").await;
                outcomes.borrow_mut().push(outcome);
            }
        });
    }
    let are_there = || outcomes.borrow().len() == tasks * each;
    until(ring, "all decisions", are_there).await;
    let outcomes = outcomes.take();
    let count = outcomes.iter().flatten().filter(|it| it.admitted).count();
    let faults = outcomes.iter().filter_map(|outcome| outcome.err());
    (count, faults.collect())
}
