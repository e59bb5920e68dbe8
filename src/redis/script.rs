//! The script that decides, its arguments and what its reply means.
//!
//! One script is one step for Redis: nobody sees a key between its look and its change, as they would
//! with an INCR that an EXPIRE is to follow. It takes the time from Redis, so that all servers that ask
//! go by one clock.

use redis::{Cmd, Value, cmd};

use crate::guard::rate_limit::{Decision, Rate};

/// What Redis runs. It wants Redis 5 or later, whose replicas are sent what a script did and not the
/// script, or any Valkey.
pub const SOURCE: &str = include_str!("gcra.lua");

/// The key that a new connection tries the script on.
const PROBE: &[u8] = b"pinion:probe";

/// Microseconds, and the nanoseconds beyond them.
fn split(nanoseconds: u64) -> [u64; 2] {
    [nanoseconds / 1000, nanoseconds % 1000]
}

/// The name of a client's key under a rule's numbers. Under other numbers the client has another key: what
/// is left of a rule that has been changed says nothing and expires.
pub(super) fn key(rate: &Rate, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 24);
    key.extend_from_slice(name);
    for number in [rate.interval(), rate.burst()] {
        key.push(b':');
        key.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    key
}

/// The script under its hash, for a key of [`key`].
pub(super) fn by_hash(hash: &str, rate: &Rate, key: &[u8]) -> Cmd {
    arguments(cmd("EVALSHA").arg(hash), rate, key)
}

/// The script itself, which Redis keeps under its hash from then on.
pub(super) fn whole(rate: &Rate, key: &[u8]) -> Cmd {
    arguments(cmd("EVAL").arg(SOURCE), rate, key)
}

/// A decision that nothing depends on: whether this session may decide at all.
pub(super) fn probe() -> Cmd {
    let mut probe = cmd("EVAL");
    probe.arg(SOURCE).arg(1).arg(PROBE);
    probe.arg(1).arg(0).arg(0).arg(0); // a microsecond for a request, one at a time
    probe
}

fn arguments(start: &mut Cmd, rate: &Rate, key: &[u8]) -> Cmd {
    let mut command = start.take();
    command.arg(1).arg(key);
    for number in [rate.interval(), rate.tolerance()].map(split).concat() {
        command.arg(number);
    }
    command
}

/// What the script's reply says; `None` for a reply that it never gives.
pub(super) fn decision(rate: &Rate, reply: &Value) -> Option<Decision> {
    let Value::Array(numbers) = reply else {
        return None;
    };
    let [Value::Int(admitted), Value::Int(us), Value::Int(ns)] = &numbers[..] else {
        return None;
    };
    let owed = u64::try_from(*us).ok()?.checked_mul(1000)?;
    let owed = owed.checked_add(u64::try_from(*ns).ok()?)?;
    Some(rate.decision(*admitted == 1, owed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate() -> Rate {
        // 1/3 s: 333,333,334 ns.
        Rate::new(3, Duration::from_secs(1), 4).expect("a rate")
    }

    #[test]
    fn the_arguments_are_exact_to_a_nanosecond() {
        let key = key(&rate(), b"pinion:x");
        assert_eq!(key, b"pinion:x:333333334:4");
        let packed = by_hash("abc", &rate(), &key).get_packed_command();
        let expected = "*8\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n1\r\n$20\r\npinion:x:333333334:4\r\n\
                        $6\r\n333333\r\n$3\r\n334\r\n$7\r\n1000000\r\n$1\r\n2\r\n";
        assert_eq!(String::from_utf8_lossy(&packed), expected);
    }

    #[test]
    fn replies_that_are_none_decide_nothing() {
        let int = Value::Int;
        let rate = rate();
        let good = Value::Array(vec![int(1), int(333_333), int(334)]);
        let decided = decision(&rate, &good).expect("a decision");
        assert!(decided.admitted && decided.remaining == 3);
        assert_eq!(decided.reset, Duration::from_nanos(333_333_334));
        for wrong in [
            Value::Nil,
            Value::Okay,
            int(1),
            Value::Array(vec![int(1), int(2)]),
            Value::Array(vec![int(1), int(2), int(3), int(4)]),
            Value::Array(vec![int(1), int(-2), int(3)]),
            Value::Array(vec![int(1), int(i64::MAX), int(0)]),
            Value::Array(vec![int(1), int(2), Value::Nil]),
        ] {
            assert_eq!(decision(&rate, &wrong), None, "{wrong:?}");
        }
    }
}
