//! What a response says of its rate limit: the fields of draft-ietf-httpapi-ratelimit-headers-11, and
//! Retry-After (RFC 9110 §10.2.3).
//!
//! ```text
//! ratelimit-policy: "default";q=100;w=60;pinion-burst=20
//! ratelimit: "default";r=19;t=1
//! ```
//!
//! `q` requests in each `w` seconds, of which `pinion-burst` in one instant, where that is another number;
//! `r` of them would be admitted now, and `t` seconds from now the whole burst. Of a request that was
//! refused, `t` is until the next one would be admitted, as Retry-After is.

use std::time::Duration;

use super::gcra::{Decision, Rate};

/// The RateLimit-Policy field line. The name is an identifier, so it needs no escapes.
pub(super) fn policy(name: &str, requests: u64, per: Duration, rate: &Rate) -> Vec<u8> {
    let mut line = format!(
        "ratelimit-policy: \"{name}\";q={requests};w={}",
        per.as_secs()
    );
    if rate.burst() != requests {
        line += &format!(";pinion-burst={}", rate.burst());
    }
    line += "\r\n";
    line.into_bytes()
}

/// The RateLimit field line, and that of Retry-After for a request that was refused.
pub(super) fn append_state(name: &str, decision: &Decision, out: &mut Vec<u8>) {
    let mut number = itoa::Buffer::new();
    let wait = match decision.admitted {
        true => decision.reset,
        false => decision.retry_after,
    };
    let seconds = whole_seconds(wait);
    out.extend_from_slice(b"ratelimit: \"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\";r=");
    out.extend_from_slice(number.format(decision.remaining).as_bytes());
    out.extend_from_slice(b";t=");
    out.extend_from_slice(number.format(seconds).as_bytes());
    if !decision.admitted {
        out.extend_from_slice(b"\r\nretry-after: ");
        out.extend_from_slice(number.format(seconds).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Rounded up, so that nobody comes too early; at least 1, as both a request that was admitted and one
/// that was refused have some time to wait.
fn whole_seconds(duration: Duration) -> u64 {
    let more = u64::from(duration.subsec_nanos() > 0);
    (duration.as_secs() + more).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(decision: Decision) -> String {
        let mut out = Vec::new();
        append_state("default", &decision, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_policy() {
        let minute = Duration::from_secs(60);
        let line = |burst| {
            let rate = Rate::new(100, minute, burst).unwrap();
            String::from_utf8(policy("default", 100, minute, &rate)).unwrap()
        };
        assert_eq!(line(100), "ratelimit-policy: \"default\";q=100;w=60\r\n");
        assert_eq!(
            line(20),
            "ratelimit-policy: \"default\";q=100;w=60;pinion-burst=20\r\n"
        );
    }

    #[test]
    fn times_are_rounded_up() {
        let millis = Duration::from_millis;
        let admitted = |reset| {
            lines(Decision {
                admitted: true,
                remaining: 50,
                reset,
                retry_after: Duration::ZERO,
            })
        };
        assert_eq!(
            admitted(millis(30_000)),
            "ratelimit: \"default\";r=50;t=30\r\n"
        );
        assert_eq!(
            admitted(millis(30_001)),
            "ratelimit: \"default\";r=50;t=31\r\n"
        );
        let refused = |retry_after| {
            lines(Decision {
                admitted: false,
                remaining: 0,
                reset: millis(60_000),
                retry_after,
            })
        };
        for (wait, seconds) in [(1, 1), (1000, 1), (1001, 2), (3_600_000, 3600)] {
            assert_eq!(
                refused(millis(wait)),
                format!("ratelimit: \"default\";r=0;t={seconds}\r\nretry-after: {seconds}\r\n")
            );
        }
        assert!(refused(Duration::ZERO).ends_with("retry-after: 1\r\n"));
    }
}
