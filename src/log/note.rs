//! What the log may come to say of a request, noted while the request is there.

use std::net::IpAddr;

use crate::http::{Request, Version};

/// Bytes of a path, a query or a body that are noted.
const TEXT_BYTES_MAX: usize = 1024;

/// Bytes of a user agent that are noted: browsers send some 120.
const AGENT_BYTES_MAX: usize = 256;

/// See the head of this file. What was cut ends with `…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// By way of trusted proxies; none on a unix socket.
    pub(super) client: Option<IpAddr>,
    /// None of bytes that are no request.
    pub(super) head: Option<Head>,
    /// The body, for `--slow-log-params`.
    pub(super) body: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: &'static str,
    /// As sent, percent-encoded.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) version: &'static str,
    pub(super) user_agent: Option<String>,
    /// Of the `traceparent`.
    pub(super) trace_id: Option<String>,
}

/// Parts of a request that are noted if somebody has asked for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) query: bool,
    pub(super) body: bool,
}

impl Note {
    pub(super) fn of(
        request: Option<&Request<'_>>,
        body: &[u8],
        client: Option<IpAddr>,
        parts: Parts,
    ) -> Note {
        Note {
            client,
            head: request.map(|request| Head::of(request, parts)),
            body: (parts.body && !body.is_empty()).then(|| bounded(body, TEXT_BYTES_MAX)),
        }
    }
}

impl Head {
    fn of(request: &Request<'_>, parts: Parts) -> Head {
        let query = request.query().filter(|_| parts.query);
        let agent = request.header("user-agent");
        Head {
            method: request.method().name(),
            path: bounded(request.path().as_bytes(), TEXT_BYTES_MAX),
            query: query.map(|query| bounded(query.as_bytes(), TEXT_BYTES_MAX)),
            version: match request.version() {
                Version::Http10 => "1.0",
                Version::Http11 => "1.1",
            },
            user_agent: agent.map(|agent| bounded(agent, AGENT_BYTES_MAX)),
            trace_id: request.header("traceparent").and_then(trace_id),
        }
    }
}

/// The text, with U+FFFD for what is not UTF-8, and `…` for what is too much.
fn bounded(bytes: &[u8], bytes_max: usize) -> String {
    if bytes.len() <= bytes_max {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let end = (bytes_max - 3..=bytes_max)
        .rev()
        .find(|&end| bytes[end] & 0xc0 != 0x80)
        .unwrap_or(bytes_max);
    format!("{}…", String::from_utf8_lossy(&bytes[..end]))
}

/// The id of the trace in a `traceparent` (W3C Trace Context §3.2): 32 digits that are not all 0.
fn trace_id(value: &[u8]) -> Option<String> {
    let is_hexadecimal = |digits: &[u8]| {
        let mut digits = digits.iter();
        digits.all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: Vec<&[u8]> = value.split(|octet| *octet == b'-').collect();
    let [version, trace, parent, flags, more @ ..] = &parts[..] else {
        return None;
    };
    let lengths = [version.len(), trace.len(), parent.len(), flags.len()];
    let well_formed = lengths == [2, 32, 16, 2]
        && [version, trace, parent, flags].iter().all(|part| is_hexadecimal(part))
        && *version != b"ff"
        // What a later version adds comes behind.
        && (more.is_empty() || *version != b"00")
        && trace.iter().any(|digit| *digit != b'0')
        && parent.iter().any(|digit| *digit != b'0');
    well_formed.then(|| String::from_utf8_lossy(trace).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(bounded(b"abcdef", 6), "abcdef");
        assert_eq!(bounded(b"abcdefg", 6), "abcdef…");
        assert_eq!(bounded("abcé€".as_bytes(), 6), "abcé…");
        assert_eq!(bounded("aaaa€".as_bytes(), 6), "aaaa…");
        assert_eq!(bounded(b"a\xffb", 6), "a\u{fffd}b");
        assert_eq!(bounded(&[0x80; 9], 6), format!("{}…", "\u{fffd}".repeat(6)));
    }

    #[test]
    fn trace_ids() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00f067aa0ba902b7";
        let of = |text: &str| trace_id(text.as_bytes());
        assert_eq!(
            of(&format!("00-{trace}-{parent}-01")).as_deref(),
            Some(trace)
        );
        assert_eq!(
            of(&format!("cc-{trace}-{parent}-01-more")).as_deref(),
            Some(trace)
        );
        for wrong in [
            String::new(),
            trace.to_owned(),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{parent}-01", &trace[1..]),
        ] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }
}
