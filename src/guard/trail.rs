//! What every response says beside its answer, errors included.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::RequestId;
use crate::log::Note;

/// Field lines that are ready to be sent: each `name: value` and CRLF.
pub type Lines = Rc<[u8]>;

/// What a request gathers on its way through the guards, for its response.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Its id.
    pub id: RequestId,
    /// The route that it is for, once that is known: its number.
    pub route: Option<usize>,
    /// What the log may have to say of it.
    pub note: Option<Box<Note>>,
    /// When the core had it whole.
    begun: Instant,
    /// From then to its answer.
    took: Duration,
    /// The security headers: the same for every response.
    security: Option<Arc<[u8]>>,
    /// Those of CORS.
    cors: Option<Lines>,
    /// Those of the route.
    route_lines: Option<Lines>,
    /// Those that are made for this response alone.
    own: Vec<u8>,
}

impl Trail {
    /// Of a request that is there whole at `begun`.
    pub fn new(id: RequestId, begun: Instant, security: Option<Arc<[u8]>>) -> Trail {
        Trail {
            id,
            route: None,
            note: None,
            begun,
            took: Duration::ZERO,
            security,
            cors: None,
            route_lines: None,
            own: Vec::new(),
        }
    }

    /// When the core had the request whole.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// The answer is there.
    pub fn end(&mut self, now: Instant) {
        self.took = now.saturating_duration_since(self.begun);
    }

    /// From the whole request to its answer.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Adds the lines of CORS.
    pub fn set_cors(&mut self, lines: Lines) {
        self.cors = Some(lines);
    }

    /// Adds the lines of the request's route.
    pub fn set_route_lines(&mut self, lines: Option<Lines>) {
        self.route_lines = lines;
    }

    /// Adds lines; each ends with CRLF.
    pub fn add(&mut self, lines: &[u8]) {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\r\n"));
        self.own.extend_from_slice(lines);
    }

    /// Adds the lines that `append` writes; each ends with CRLF.
    pub fn add_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.own);
        debug_assert!(self.own.is_empty() || self.own.ends_with(b"\r\n"));
    }

    /// Appends all of it: X-Request-ID, X-Process-Time (seconds, to the microsecond), and what the guards
    /// have added.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(b"\r\nx-process-time: ");
        append_seconds(self.took, out);
        out.extend_from_slice(b"\r\n");
        if let Some(lines) = &self.security {
            out.extend_from_slice(lines);
        }
        for lines in [&self.cors, &self.route_lines].into_iter().flatten() {
            out.extend_from_slice(lines);
        }
        out.extend_from_slice(&self.own);
    }
}

/// Appends seconds with six decimals.
fn append_seconds(duration: Duration, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(duration.as_secs()).as_bytes());
    // The leading 1 keeps the zeros.
    let mut fraction = itoa::Buffer::new();
    let fraction = fraction.format(1_000_000 + duration.subsec_micros());
    out.push(b'.');
    out.extend_from_slice(&fraction.as_bytes()[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_six_decimals() {
        for (duration, text) in [
            (Duration::ZERO, "0.000000"),
            (Duration::from_nanos(1_999), "0.000001"),
            (Duration::from_micros(42), "0.000042"),
            (Duration::from_millis(12_345), "12.345000"),
        ] {
            let mut out = Vec::new();
            append_seconds(duration, &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn everything_is_said_once() {
        let begun = Instant::now();
        let id = RequestId::made(Duration::ZERO);
        let mut trail = Trail::new(id, begun, Some(b"x-a: 1\r\n"[..].into()));
        trail.set_cors(b"x-b: 2\r\n"[..].into());
        trail.set_route_lines(Some(b"x-r: 4\r\n"[..].into()));
        trail.add(b"x-c: 3\r\n");
        trail.end(begun + Duration::from_micros(1500));
        let mut out = Vec::new();
        trail.append(&mut out);
        let expected = format!(
            "x-request-id: {id}\r\nx-process-time: 0.001500\r\nx-a: 1\r\nx-b: 2\r\nx-r: 4\r\nx-c: 3\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
