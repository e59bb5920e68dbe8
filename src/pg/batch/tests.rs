use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_postgres::types::Type;

use super::*;
use crate::pg::judgement::Judgement;
use crate::pg::lane;
use crate::ring::Ring;
use crate::{api, config, ring};

/// A batcher of a route, and what its requests are bound to.
fn with_batcher<F: Future<Output = ()> + 'static>(
    batch: &str,
    test: impl FnOnce(Rc<Ring>, Rc<Batcher>, Rc<Description>) -> F,
) {
    let text = format!(
        "[[route]]\nname = \"one\"\nmethod = \"GET\"\npath = \"/\"\nresult = \"scalar\"\n\
         sql = \"select 1 as one\"\nbatch = {batch}\n"
    );
    let api = api::load("routes.toml", &text).expect("a routes file");
    let settings = config::Postgres {
        connections: 1,
        statement_timeout: Duration::from_millis(500),
        acquire_timeout: Duration::from_millis(50),
        queue_target: limits::QUEUE_TARGET,
        recycle: Duration::ZERO,
    };
    let groups = lane::groups(&api, &settings);
    let columns = vec![("one".to_owned(), Type::INT4)];
    let Ok(plan) = api.routes[0].plan(&api, &[], &columns) else {
        panic!("no plan");
    };
    let description = Rc::new(Description {
        plan,
        parameters: Vec::new(),
        columns,
        judgement: Judgement::default(),
    });
    ring::run(None, &ring::Options::default(), |ring| {
        let lane = Lane::new(&ring, &groups[0], &settings);
        let batcher = Batcher::new(0, &api.routes[0], lane, &settings, ring.now());
        test(ring, batcher, description)
    })
    .expect("a ring");
}

/// The first poll of a future.
async fn poll_once(future: std::pin::Pin<&mut impl Future>) -> bool {
    let mut future = Some(future);
    poll_fn(|context| {
        let future = future.take().expect("it is polled once");
        Poll::Ready(future.poll(context).is_ready())
    })
    .await
}

#[test]
fn a_lone_request_that_nobody_waits_for_does_not_keep_its_sender_or_its_place() {
    // Gone before its turn, and gone before it has heard of its turn.
    for heard in [false, true] {
        with_batcher("true", |ring, batcher, description| async move {
            let joined = batcher.join(Bound::default(), description, None, ring.now());
            let mut joined = Box::pin(joined);
            assert!(!poll_once(joined.as_mut()).await);
            let members = poll_fn(|context| batcher.poll_gather(context, false)).await;
            let Ok([member]) = <[Rc<Member>; 1]>::try_from(members) else {
                panic!("not alone");
            };
            let link = batcher.lane.links()[0].clone();
            let permit = batcher.lane.permit(link.clone());
            let mut joined = Some(joined);
            if !heard {
                joined.take();
            }
            let mut run = Box::pin(member.run_alone(permit));
            assert_eq!(poll_once(run.as_mut()).await, !heard);
            if let Some(joined) = joined {
                drop(joined);
                run.await;
            }
            assert_eq!(link.in_flight(), 0);
        });
    }
}

#[test]
fn a_lone_request_has_the_place_that_its_sender_has_waited_for() {
    with_batcher("true", |ring, batcher, description| async move {
        let joined = batcher.join(Bound::default(), description, None, ring.now());
        let mut joined = Box::pin(joined);
        assert!(!poll_once(joined.as_mut()).await);
        let members = poll_fn(|context| batcher.poll_gather(context, false)).await;
        let link = batcher.lane.links()[0].clone();
        let permit = batcher.lane.permit(link.clone());
        let mut run = Box::pin(members[0].clone().run_alone(permit));
        drop(members);
        assert!(!poll_once(run.as_mut()).await);
        let (_, Outcome::Alone(alone)) = joined.await else {
            panic!("not alone");
        };
        assert!(alone.permit.is_some() && !alone.lost);
        assert_eq!(link.in_flight(), 1);
        assert!(!poll_once(run.as_mut()).await, "its turn lasts");
        drop(alone);
        run.await;
        assert_eq!(link.in_flight(), 0);
    });
}

/// Senders whose batches end when the test says so.
#[derive(Default)]
struct Flights {
    /// Of senders for any batch, and of the one for full batches.
    flying: RefCell<[Vec<Flying>; 2]>,
    answered: Cell<usize>,
}

type Flying = (Vec<Rc<Member>>, Rc<Answer>);

async fn fly(batcher: Rc<Batcher>, flights: Rc<Flights>, full: bool) {
    loop {
        let members = poll_fn(|context| batcher.poll_gather(context, full)).await;
        let landed = Rc::<Answer>::default();
        flights.flying.borrow_mut()[usize::from(full)].push((members, landed.clone()));
        landed.wait().await;
    }
}

/// Requests that come together, or the end of a batch in flight.
#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Land(usize),
}

#[test]
fn nobody_waits_while_a_sender_is_idle_whatever_comes_and_ends_when() {
    let step = prop_oneof![
        (1..12_usize).prop_map(Step::Join),
        (0..9_usize).prop_map(Step::Land)
    ];
    let steps = proptest::collection::vec(step, 1..40);
    let mut runner = TestRunner::new(Config::with_cases(60));
    let outcome = runner.run(
        &(1..6_usize, 1..4_usize, steps),
        |(max, in_flight, steps)| {
            let batch = format!("{{ max = {max}, in_flight = {in_flight} }}");
            with_batcher(&batch, |ring, batcher, description| async move {
                let flights = Rc::<Flights>::default();
                for sender in 0..=in_flight {
                    let full = sender == in_flight;
                    ring.spawn(fly(batcher.clone(), flights.clone(), full));
                }
                let mut joined = 0;
                // In the end all of them land, until nothing waits.
                let rest = std::iter::repeat_n(Step::Land(0), 480);
                for step in steps.into_iter().chain(rest) {
                    match step {
                        Step::Join(count) => {
                            joined += count;
                            join(&ring, &batcher, &description, &flights, count);
                        }
                        Step::Land(which) => land(&flights, which),
                    }
                    // A pass, in which all that was woken runs.
                    ring.sleep(Duration::ZERO).await;
                    ring.sleep(Duration::from_micros(1)).await;
                    let [any, full] = &*flights.flying.borrow();
                    let waiting = batcher.waiting.borrow().len();
                    assert!(any.len() <= in_flight && full.len() <= 1);
                    assert!(waiting == 0 || any.len() == in_flight, "{waiting} wait");
                    assert!(waiting < max || full.len() == 1, "{waiting} wait");
                    assert!(full.iter().all(|(members, _)| members.len() == max));
                }
                assert_eq!(flights.answered.get(), joined);
                assert_eq!(batcher.sizes().requests(), joined as u64);
            });
            Ok(())
        },
    );
    outcome.unwrap();
}

fn join(
    ring: &Rc<Ring>,
    batcher: &Rc<Batcher>,
    description: &Rc<Description>,
    flights: &Rc<Flights>,
    count: usize,
) {
    for _ in 0..count {
        let (batcher, description, flights) =
            (batcher.clone(), description.clone(), flights.clone());
        let now = ring.now();
        ring.spawn(async move {
            let (_, outcome) = batcher.join(Bound::default(), description, None, now).await;
            assert!(matches!(outcome, Outcome::Failed(Failure::Internal)));
            flights.answered.set(flights.answered.get() + 1);
        });
    }
}

fn land(flights: &Flights, which: usize) {
    let mut flying = flights.flying.borrow_mut();
    let [any, full] = &mut *flying;
    let kind = if which.is_multiple_of(3) && !full.is_empty() || any.is_empty() {
        full
    } else {
        any
    };
    if !kind.is_empty() {
        let (members, landed) = kind.remove(which % kind.len());
        finish_all(members, || Outcome::Failed(Failure::Internal));
        landed.end(End::Complete);
    }
}

#[test]
fn a_batch_has_no_more_bytes_than_it_may_but_one_request_always_fits() {
    with_batcher("true", |ring, batcher, description| async move {
        let half = limits::BATCH_BYTES_MAX / 2;
        let sizes = [half, half, 1, 2 * half + 1, half + 1, half, half - 1];
        let mut requests = Vec::new();
        for size in sizes {
            let mut bound = Bound::default();
            bound.bytes.resize(size, 0);
            let mut joined = Box::pin(batcher.join(bound, description.clone(), None, ring.now()));
            assert!(!poll_once(joined.as_mut()).await);
            requests.push(joined);
        }
        let mut batches = Vec::new();
        while !batcher.waiting.borrow().is_empty() {
            let members = poll_fn(|context| batcher.poll_gather(context, false)).await;
            batches.push(
                members
                    .iter()
                    .map(|it| it.bound.bytes.len())
                    .collect::<Vec<_>>(),
            );
        }
        let expected = [
            vec![half, half],
            vec![1],
            vec![2 * half + 1],
            vec![half + 1],
            vec![half, half - 1],
        ];
        assert_eq!(batches, expected);
    });
}

#[test]
fn batches_that_take_too_long_are_halved_and_those_that_do_not_grow_again() {
    with_batcher("{ max = 40 }", |_, batcher, _| async move {
        let room = || batcher.room.get();
        batcher.learn(40, true);
        assert_eq!(room(), 40, "it has no more than the route says");
        for (count, expected) in [(40, 20), (40, 20), (15, 7), (3, 1), (2, 1)] {
            batcher.learn(count, false);
            assert_eq!(room(), expected, "{count}");
        }
        // One more for each time that as many have been full.
        for full in 1..40 {
            for _ in 0..full {
                assert_eq!(room(), full);
                batcher.learn(full - 1, true);
                batcher.learn(full, true);
            }
        }
        assert_eq!(room(), 40);
    });
}
