//! What is decided is exactly what the algorithm says, whoever asks and however many.

use std::time::Duration;

use pinion::guard::rate_limit::{Decision, Rate};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::{Connection, Value};

use super::fixture::{LONG, admitted, on_core, per_hour, settings, up};
use crate::support::redis::{Redis, run};
use crate::support::wait_until;

/// Two cores of two servers, as far as Redis can tell, eight at a time on each, and one limit.
#[test]
fn two_servers_share_one_limit_exactly() {
    let redis = Redis::start(&[]);
    for round in 0..3 {
        let cores = [redis.url(), redis.url()].map(|url| {
            std::thread::spawn(move || {
                on_core(settings(&url, LONG), |ring, store| async move {
                    up(&ring, &store).await;
                    admitted(&ring, &store, per_hour(100), 8, 250).await
                })
            })
        });
        let outcomes = cores.map(|core| core.join().expect("a core"));
        assert!(outcomes.iter().all(|(_, faults)| faults.is_empty()));
        let sum: usize = outcomes.iter().map(|(count, _)| count).sum();
        assert_eq!(sum, 100, "{round}: {outcomes:?}");
        redis.command("FLUSHALL");
    }
}

/// The script as it is, told what time it is.
fn decide(connection: &mut Connection, key: &str, rate: &Rate, now_us: u64) -> Decision {
    let mut command = redis::cmd("EVAL");
    command.arg(pinion::redis::SCRIPT).arg(1).arg(key);
    for number in [rate.interval(), rate.tolerance()] {
        command.arg(number / 1000).arg(number % 1000);
    }
    command.arg(now_us);
    let reply: Vec<u64> = command.query(connection).expect("a decision");
    let [admitted, us, ns] = reply[..] else {
        panic!("{reply:?}");
    };
    rate.decision(admitted == 1, us * 1000 + ns)
}

/// Microseconds since 1970: the year 2027.
const NOW: u64 = 1_800_000_000_000_000;

/// Rules of all kinds, from the year 2027 to 2198, and requests that come in bursts, one by one, and after
/// pauses in which all or some of a burst comes back.
#[test]
fn the_script_decides_as_the_algorithm() {
    let redis = Redis::start(&[]);
    let rule = (1u64..1_000_000, 1u64..=31 * 24 * 3600, 1u64..50);
    let steps = proptest::collection::vec((0u64..8, 0u64..1_000_000), 1..60);
    let cases = ProptestConfig::with_cases(150);
    let outcome = TestRunner::new(cases).run(&(rule, NOW..4 * NOW, steps), |case| {
        let ((requests, per, burst), start, steps) = case;
        let Ok(rate) = Rate::new(requests, Duration::from_secs(per), burst) else {
            return Ok(());
        };
        let mut connection = redis.client();
        run(&mut connection, "DEL k");
        let interval = rate.interval() / 1000;
        let (mut now, mut time) = (start, 0);
        for (pause, part) in steps {
            now += match pause {
                0..4 => 0,
                4..7 => interval * part / 1_000_000,
                _ => interval * burst * part / 500_000,
            };
            // The algorithm counts nanoseconds since some beginning.
            let expected = rate.decide(&mut time, (now - start + 1) * 1000);
            let found = decide(&mut connection, "k", &rate, now);
            prop_assert_eq!(found, expected);
            if found.admitted {
                let left = run(&mut connection, "PTTL k");
                // Here time is what the script is told. If the machine's clock, by which the key is kept,
                // has overtaken it, the case ends here.
                if run(&mut connection, "PERSIST k") != Value::Int(1) {
                    break;
                }
                let Value::Int(left) = left else {
                    panic!("{left:?}");
                };
                let whole = i64::try_from(found.reset.as_millis()).expect("a time");
                prop_assert!((whole - 10_000..=whole + 2).contains(&left));
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
}

/// A clock that is set back (another host has taken over) never costs more than the whole burst's time.
#[test]
fn a_clock_that_is_set_back() {
    let redis = Redis::start(&[]);
    let mut connection = redis.client();
    let (rate, hour) = (per_hour(4), 3_600_000_000);
    for left in [3, 2, 1, 0] {
        let decision = decide(&mut connection, "k", &rate, NOW + 100 * hour);
        assert!(decision.admitted && decision.remaining == left);
    }
    let decision = decide(&mut connection, "k", &rate, NOW);
    assert!(!decision.admitted);
    assert_eq!(decision.reset, Duration::from_secs(3600));
    assert_eq!(decision.retry_after, Duration::from_secs(900));
}

#[test]
fn what_is_in_the_key_and_no_time_is_as_nothing() {
    let redis = Redis::start(&[]);
    let mut connection = redis.client();
    for (text, admitted) in [
        ("garbage", true),
        ("12", true),
        ("", true),
        ("-5 7", true),
        ("nan 0", true),
        ("1 2 3", true),
        // A time so far ahead that the clock must have been set back.
        ("99999999999999999999999 1", false),
    ] {
        let mut set = redis::cmd("SET");
        let done: Value = set.arg("k").arg(text).query(&mut connection).expect("OK");
        assert_eq!(done, Value::Okay);
        let decision = decide(&mut connection, "k", &per_hour(4), NOW);
        assert_eq!(decision.admitted, admitted, "{text}");
        assert_eq!(decision.remaining, if admitted { 3 } else { 0 }, "{text}");
    }
}

#[test]
fn a_rule_with_other_numbers_begins_anew_and_the_old_one_is_as_it_was() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let decide = async |requests, burst, name: &str| {
            let rate = Rate::new(requests, Duration::from_secs(3600), burst).expect("a rate");
            store.decide(&rate, name.as_bytes()).await.expect("decided")
        };
        assert_eq!(decide(2, 2, "n").await.remaining, 1);
        assert_eq!(decide(2, 2, "n").await.remaining, 0);
        assert!(!decide(2, 2, "n").await.admitted);
        assert_eq!(decide(3, 2, "n").await.remaining, 1);
        assert_eq!(decide(2, 3, "n").await.remaining, 2);
        assert!(!decide(2, 2, "n").await.admitted);
        assert_eq!(decide(2, 2, "other").await.remaining, 1);
    });
}

/// Names are bytes, and keys go when they say nothing more.
#[test]
fn keys_are_what_was_asked_for_and_expire() {
    let redis = Redis::start(&[]);
    on_core(settings(&redis.url(), LONG), |ring, store| async move {
        up(&ring, &store).await;
        let rate = Rate::new(10, Duration::from_secs(1), 10).expect("a rate");
        for name in [&b"a\r\nb"[..], b"", b"\xff\x00 x"] {
            let decision = store.decide(&rate, name).await.expect("a decision");
            assert!(decision.admitted && decision.remaining == 9);
            assert_eq!(decision.reset, Duration::from_millis(100));
        }
    });
    wait_until("no key is left", || {
        redis.command("DBSIZE") == Value::Int(0)
    });
}
