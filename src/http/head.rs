//! The request head: request line and header fields (RFC 9112 §2–§5).
//!
//! A state machine over octets. Each verdict depends only on what came before its octet, so how
//! the network splits the bytes never changes the outcome, and a fault is found with the first octet
//! that shows it. What has been read is not read again when more arrives.

mod field_lines;
mod request_line;

use super::Fault;
use super::body::Framing;
use super::headers::{Facts, Field, Span};
use super::method::{Method, Version};
use super::request::Request;
use super::response::Persistence;
use super::target::Target;
use crate::limits;

/// Bounds of one request head, and what there is to know of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, empty lines before it and the empty line after it included.
    pub head_bytes_max: usize,
    /// Bytes of the request target.
    pub target_bytes_max: usize,
    /// Field lines.
    pub headers_max: usize,
    /// The connection is encrypted, so an https target has come to the right place (RFC 9110 §7.4).
    pub secured: bool,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits {
            head_bytes_max: limits::HEAD_BYTES_MAX,
            target_bytes_max: limits::TARGET_BYTES_MAX,
            headers_max: limits::HEADERS_MAX,
            secured: false,
        }
    }
}

/// Outcome of looking at the bytes that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Nothing is wrong so far; more bytes are needed.
    Partial,
    /// The head is complete.
    Complete,
}

/// A request head as places in the input; one value serves all requests of a connection in turn.
///
/// Holds no borrow and, once its list of fields has grown, allocates nothing.
#[derive(Debug)]
pub struct Head {
    state: State,
    /// Octets that are done with; the next to look at. Invariant: `mark <= at <= input.len()`.
    at: usize,
    /// Where the element begins that `state` is in.
    mark: usize,
    /// Name of the field whose value `state` is in.
    name: Span,
    empty_lines: usize,
    method: Method,
    version: Version,
    pub(super) target: Target,
    pub(super) fields: Vec<Field>,
    pub(super) facts: Facts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    EmptyLineFeed,
    Method,
    Target,
    Version,
    VersionLineFeed,
    FieldStart,
    FieldName,
    FieldValue,
    FieldLineFeed,
    EndLineFeed,
    Complete,
    Failed(Fault),
}

impl Default for Head {
    fn default() -> Head {
        Head::new()
    }
}

impl Head {
    /// A head of which nothing has been read.
    pub fn new() -> Head {
        Head {
            state: State::LineStart,
            at: 0,
            mark: 0,
            name: Span::default(),
            empty_lines: 0,
            method: Method::Get,
            version: Version::Http11,
            target: Target::default(),
            fields: Vec::new(),
            facts: Facts::default(),
        }
    }

    /// Makes ready for the next request; keeps the memory.
    #[inline]
    pub fn reset(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Head {
            fields,
            ..Head::new()
        };
    }

    /// Reads on in `input`, which begins with the first octet after the previous request.
    ///
    /// After [`Parsed::Partial`] call again with the same bytes and more after them; they may have
    /// moved in memory. `limits` stay the same until [`reset`](Head::reset). Once complete or
    /// failed, the outcome stays what it is.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] in the bytes.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Parsed, Fault> {
        assert!(self.at <= input.len(), "input is only ever appended to");
        let head_bytes_max = limits.head_bytes_max.min(u32::MAX as usize);
        let window = &input[..input.len().min(head_bytes_max)];
        let outcome = match self.advance(window, limits) {
            Ok(Parsed::Partial) if window.len() == head_bytes_max => Err(self.too_large()),
            outcome => outcome,
        };
        if let Err(fault) = outcome {
            self.state = State::Failed(fault);
        }
        outcome
    }

    /// Bytes of the complete head, which the body follows, or of what has been read of it so far.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a complete head is never empty"
    )]
    pub fn len(&self) -> usize {
        self.at
    }

    /// Whether nothing of a request has arrived yet: the connection is idle between requests.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.at == 0
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The protocol version.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the end of the body is found.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.facts.framing()
    }

    /// Whether the client lets the connection live after this request (RFC 9112 §9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keep_alive(self.version)
    }

    /// Whether a body is to come that the client only sends after a 100 (RFC 9110 §10.1.1).
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue()
    }

    /// What the answer says about the connection. `closing`: the server has reasons of its own.
    #[inline]
    pub fn persistence(&self, closing: bool) -> Persistence {
        match self.version {
            _ if closing || !self.keep_alive() => Persistence::Close,
            Version::Http10 => Persistence::KeepAlive,
            Version::Http11 => Persistence::Implied,
        }
    }

    /// The request with its texts. `input` is what [`parse`](Head::parse) found the head complete in.
    #[inline]
    pub fn request<'a>(&'a self, input: &'a [u8]) -> Request<'a> {
        debug_assert_eq!(self.state, State::Complete);
        Request::new(self, input)
    }

    #[inline]
    fn advance(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, Fault> {
        match self.state {
            State::Complete => return Ok(Parsed::Complete),
            State::Failed(fault) => return Err(fault),
            _ => {}
        }
        if self.request_line(bytes, limits)? == Parsed::Partial {
            return Ok(Parsed::Partial);
        }
        self.field_lines(bytes, limits)
    }

    /// Takes one octet; the element of `state` begins after it.
    #[inline]
    fn step(&mut self, state: State) {
        self.at += 1;
        self.mark = self.at;
        self.state = state;
    }

    /// The head fills its bound and is not complete.
    #[cold]
    fn too_large(&self) -> Fault {
        match self.state {
            State::Target => Fault::TargetTooLong,
            _ => Fault::HeadTooLarge,
        }
    }
}
