//! Redis away, killed, frozen, flushed, demoted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pinion::limits;
use pinion::redis::Unavailable;

use super::fixture::{LONG, admitted, at_once, decided, on_core, per_hour, settings, until, up};
use crate::support::redis::{Redis, run};

#[test]
fn while_redis_is_away_nobody_waits_and_then_it_is_there() {
    let mut redis = Redis::stopped(&[]);
    on_core(
        settings(&redis.unix_url(), LONG),
        |ring, store| async move {
            let rate = per_hour(3);
            for _ in 0..3 {
                let outcome = at_once(store.decide(&rate, b"n"));
                assert_eq!(outcome, Some(Err(Unavailable::Down)));
                ring.sleep(Duration::from_millis(60)).await;
            }
            redis.launch();
            assert_eq!(decided(&ring, &store, &rate, "n").await.remaining, 2);
        },
    );
}

/// What Redis has on disk is what counts: nobody is admitted twice for a crash.
#[test]
fn killed_and_started_again_it_goes_on_where_it_was() {
    let mut redis = Redis::start(&["appendonly yes", "appendfsync always"]);
    on_core(
        settings(&redis.unix_url(), LONG),
        |ring, store| async move {
            up(&ring, &store).await;
            let rate = per_hour(10);
            for left in (5..10).rev() {
                assert_eq!(decided(&ring, &store, &rate, "n").await.remaining, left);
            }
            redis.kill();
            until(&ring, "the end to be noticed", || !store.is_up()).await;
            let outcome = at_once(store.decide(&rate, b"n"));
            assert_eq!(outcome, Some(Err(Unavailable::Down)));
            redis.launch();
            for left in (0..5).rev() {
                assert_eq!(decided(&ring, &store, &rate, "n").await.remaining, left);
            }
            assert!(!decided(&ring, &store, &rate, "n").await.admitted);
        },
    );
}

/// Those who wait for a Redis that is killed are told so, and do not wait for their time to be up.
#[test]
fn what_is_in_flight_when_it_is_killed_is_lost_at_once() {
    let mut redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let rate = per_hour(10);
        redis.freeze();
        let (one, other) = (store.decide(&rate, b"a"), store.decide(&rate, b"b"));
        ring.sleep(Duration::from_millis(20)).await;
        redis.kill();
        assert_eq!(one.await, Err(Unavailable::Lost));
        assert_eq!(other.await, Err(Unavailable::Lost));
    });
}

/// Those who find it frozen wait for the deadline and no longer; those who come after them not at all. The
/// answers that come late are nobody else's.
#[test]
fn frozen_it_costs_the_deadline_once_and_late_answers_are_not_mixed_up() {
    const TIMEOUT: Duration = Duration::from_millis(100);
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), TIMEOUT), |ring, store| async move {
        let rate = per_hour(1000);
        decided(&ring, &store, &rate, "late").await;
        redis.freeze();
        let start = Instant::now();
        let first: Vec<_> = (0..5).map(|_| store.decide(&rate, b"late")).collect();
        let mut outcomes = Vec::new();
        for deciding in first {
            outcomes.push(deciding.await);
        }
        let waited = start.elapsed();
        let next = at_once(store.decide(&rate, b"late"));
        redis.thaw();
        // A machine that stood still may have made the connection be given up.
        let kept = waited < limits::REDIS_SILENCE_MAX;
        if kept {
            assert_eq!(outcomes, [Err(Unavailable::Late); 5]);
            assert_eq!(next, Some(Err(Unavailable::Silent)));
        }
        assert!(waited >= TIMEOUT && outcomes.iter().all(Result::is_err));
        // The five were counted, late as they were; others get answers of their own.
        for number in 0..20 {
            let (name, rate) = (format!("n{number}"), per_hour(number + 7));
            let decision = decided(&ring, &store, &rate, &name).await;
            assert!(decision.remaining <= number + 6, "{decision:?}");
            assert!(decision.reset.as_nanos() >= u128::from(rate.interval()));
        }
        let decision = decided(&ring, &store, &rate, "late").await;
        assert!(!kept || decision.remaining <= 993, "{decision:?}");
    });
}

#[test]
fn frozen_for_long_it_is_connected_to_anew() {
    let redis = Redis::start(&[]);
    let timeout = Duration::from_millis(5);
    on_core(settings(&redis.url(), timeout), |ring, store| async move {
        let rate = per_hour(1000);
        for _ in 0..2 {
            decided(&ring, &store, &rate, "n").await;
            redis.freeze();
            let _ = store.decide(&rate, b"n").await;
            let down = || at_once(store.decide(&rate, b"n")) == Some(Err(Unavailable::Down));
            until(&ring, "the connection to be given up", down).await;
            redis.thaw();
        }
        decided(&ring, &store, &rate, "n").await;
    });
}

/// Scripts are flushed again and again under a load: no decision is made twice or lost.
#[test]
fn flushed_scripts_change_no_decision() {
    let redis = Redis::start(&[]);
    let (mut connection, url) = (redis.client(), redis.url());
    let stop = Arc::new(AtomicBool::new(false));
    let flusher = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut flushes = 0;
            while !stop.load(Ordering::Relaxed) {
                run(&mut connection, "SCRIPT FLUSH");
                flushes += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            flushes
        }
    });
    let core = std::thread::spawn(move || {
        on_core(settings(&url, LONG), |ring, store| async move {
            up(&ring, &store).await;
            admitted(&ring, &store, per_hour(500), 16, 200).await
        })
    });
    let outcome = core.join();
    stop.store(true, Ordering::Relaxed);
    let flushes = flusher.join().expect("flushes");
    let (count, faults) = outcome.expect("a core");
    // One that is flushed away three times in a row is given up, and has not been made.
    assert!(faults.iter().all(|fault| *fault == Unavailable::Refused));
    assert!(faults.len() < 100, "{} of 3200", faults.len());
    assert_eq!(count, 500);
    assert!(flushes > 3, "{flushes}");
}

#[test]
fn flushed_keys_begin_anew() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let rate = per_hour(2);
        for left in [1, 0] {
            assert_eq!(decided(&ring, &store, &rate, "n").await.remaining, left);
        }
        assert!(!decided(&ring, &store, &rate, "n").await.admitted);
        redis.command("FLUSHALL");
        redis.command("SCRIPT FLUSH");
        // The script that is gone is no fault that anybody sees.
        let decision = store.decide(&rate, b"n").await.expect("a decision");
        assert_eq!(decision.remaining, 1);
    });
}

/// A replica refuses to write: the session is given up, and nobody waits until the address belongs to a
/// primary again.
#[test]
fn a_replica_is_no_place_to_count() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let rate = per_hour(5);
        assert_eq!(decided(&ring, &store, &rate, "n").await.remaining, 4);
        redis.command("REPLICAOF 127.0.0.1 1");
        let outcome = store.decide(&rate, b"n").await;
        assert_eq!(outcome, Err(Unavailable::Refused));
        until(&ring, "the session's end", || !store.is_up()).await;
        // It answers, and is not taken for one that can decide.
        for _ in 0..20 {
            assert!(!store.is_up());
            ring.sleep(Duration::from_millis(20)).await;
        }
        redis.command("REPLICAOF NO ONE");
        assert_eq!(decided(&ring, &store, &rate, "n").await.remaining, 3);
    });
}

/// An error is of the decision that it answers: the session goes on.
#[test]
fn an_error_is_one_decisions() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let rate = per_hour(5);
        let (interval, burst) = (rate.interval(), rate.burst());
        redis.command(&format!("LPUSH n:{interval}:{burst} x"));
        let [first, second, third] = [b"a", b"n", b"b"].map(|name| store.decide(&rate, name));
        assert!(first.await.is_ok());
        assert_eq!(second.await, Err(Unavailable::Refused));
        assert!(third.await.is_ok());
        assert!(store.is_up());
    });
}

#[test]
fn what_is_in_flight_is_bounded() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let rate = per_hour(1_000_000);
        let all: Vec<_> = (0..limits::REDIS_IN_FLIGHT_MAX)
            .map(|_| store.decide(&rate, b"n"))
            .collect();
        let outcome = at_once(store.decide(&rate, b"n"));
        assert_eq!(outcome, Some(Err(Unavailable::Busy)));
        for deciding in all {
            assert!(deciding.await.is_ok_and(|it| it.admitted));
        }
        assert!(store.decide(&rate, b"n").await.is_ok());
    });
}

/// A core that stands still for longer than a decision may take has sent nothing meanwhile: that is no
/// reason to go without one.
#[test]
fn what_the_core_is_late_with_is_decided_all_the_same() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), TIMEOUT), |ring, store| async move {
        up(&ring, &store).await;
        let deciding = store.decide(&per_hour(10), b"n");
        std::thread::sleep(TIMEOUT * 3 / 2);
        assert!(deciding.await.is_ok_and(|it| it.remaining == 9));
        assert!(store.is_up());
    });
}
