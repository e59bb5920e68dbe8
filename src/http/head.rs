//! The request head: request line and header fields (RFC 9112 §2–§5).
//!
//! A state machine over octets. Each verdict depends only on what came before its octet, so how
//! the network splits the bytes never changes the outcome, every octet is looked at once, and a
//! fault is found with the first octet that shows it.

use super::Fault;
use super::body::Framing;
use super::headers::{Facts, Field, Span};
use super::headers::{field_name_fault, field_start_fault, field_value_fault};
use super::method::{Method, Version};
use super::request::Request;
use super::response::Persistence;
use super::syntax::{field_value_end, is_token, is_whitespace, target_end, token_end};
use super::target::Target;
use crate::limits;

/// Bounds of one request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, empty lines before it and the empty line after it included.
    pub head_bytes_max: usize,
    /// Bytes of the request target.
    pub target_bytes_max: usize,
    /// Field lines.
    pub headers_max: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits {
            head_bytes_max: limits::HEAD_BYTES_MAX,
            target_bytes_max: limits::TARGET_BYTES_MAX,
            headers_max: limits::HEADERS_MAX,
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

    /// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), after a few empty lines.
    fn request_line(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, Fault> {
        loop {
            let moved_on = match self.state {
                State::LineStart => self.line_start(bytes)?,
                State::EmptyLineFeed => self.empty_line(bytes)?,
                State::Method => self.method_name(bytes)?,
                State::Target => self.target(bytes, limits)?,
                State::Version => self.version_name(bytes)?,
                State::VersionLineFeed => self.line_feed(bytes, State::FieldStart)?,
                _ => return Ok(Parsed::Complete),
            };
            if !moved_on {
                return Ok(Parsed::Partial);
            }
        }
    }

    // Each of these reads one element; false while its end is not there.

    #[inline]
    fn line_start(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        match bytes.get(self.at) {
            None => return Ok(false),
            Some(b'\r') => self.step(State::EmptyLineFeed),
            Some(b'\n') => return Err(Fault::BareLineFeed),
            Some(_) => {
                self.mark = self.at;
                self.state = State::Method;
            }
        }
        Ok(true)
    }

    fn empty_line(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let complete = self.line_feed(bytes, State::LineStart)?;
        self.empty_lines += usize::from(complete);
        if self.empty_lines > limits::EMPTY_LINES_MAX {
            return Err(Fault::EmptyLines);
        }
        Ok(complete)
    }

    #[inline]
    fn method_name(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        self.at = token_end(bytes, self.at);
        let name = &bytes[self.mark..self.at];
        if name.len() > limits::METHOD_BYTES_MAX {
            return Err(Fault::UnknownMethod);
        }
        match bytes.get(self.at) {
            None => return Ok(false),
            Some(b' ') => {}
            Some(b'\n') => return Err(Fault::BareLineFeed),
            Some(_) => return Err(Fault::MalformedMethod),
        }
        self.method = Method::from_name(name).ok_or_else(|| method_fault(name))?;
        self.step(State::Target);
        Ok(true)
    }

    #[inline]
    fn target(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<bool, Fault> {
        self.at = target_end(bytes, self.at);
        if self.at - self.mark > limits.target_bytes_max {
            return Err(Fault::TargetTooLong);
        }
        match bytes.get(self.at) {
            None => return Ok(false),
            Some(b' ') => {}
            Some(b'\r') => return Err(Fault::MissingVersion),
            Some(b'\n') => return Err(Fault::BareLineFeed),
            Some(b'#') => return Err(Fault::FragmentInTarget),
            Some(_) => return Err(Fault::MalformedTarget),
        }
        self.target = Target::parse(bytes, Span::new(self.mark, self.at), self.method)?;
        self.step(State::Version);
        Ok(true)
    }

    /// `HTTP/d.d` (RFC 9112 §2.3) and its CR.
    #[inline]
    fn version_name(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        const NAME: &[u8] = b"HTTP/1.1";
        if self.at == self.mark && bytes[self.at..].starts_with(NAME) {
            self.at += NAME.len();
        }
        while let Some(&octet) = bytes.get(self.at) {
            let fits = match self.at - self.mark {
                index @ (0..=4 | 6) => octet == NAME[index],
                5 | 7 => octet.is_ascii_digit(),
                _ => octet == b'\r',
            };
            if !fits {
                let bare = octet == b'\n';
                return Err(if bare {
                    Fault::BareLineFeed
                } else {
                    Fault::MalformedVersion
                });
            }
            if octet == b'\r' {
                self.version = version(bytes[self.at - 3], bytes[self.at - 1])?;
                self.step(State::VersionLineFeed);
                return Ok(true);
            }
            self.at += 1;
        }
        Ok(false)
    }

    #[inline]
    fn line_feed(&mut self, bytes: &[u8], next: State) -> Result<bool, Fault> {
        match bytes.get(self.at) {
            None => Ok(false),
            Some(b'\n') => {
                self.step(next);
                Ok(true)
            }
            Some(_) => Err(Fault::BareCarriageReturn),
        }
    }

    /// Takes one octet; the element of `state` begins after it.
    #[inline]
    fn step(&mut self, state: State) {
        self.at += 1;
        self.mark = self.at;
        self.state = state;
    }

    /// `*( field-line CRLF ) CRLF` (RFC 9112 §2.1, §5). Lines that are whole and well-formed go the
    /// short way; only one that is not goes octet by octet, so no octet is looked at a third time.
    fn field_lines(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Parsed, Fault> {
        loop {
            if self.state == State::FieldStart {
                while self.whole_field_line(bytes, limits)? {}
            }
            if self.state == State::FieldName {
                self.at = token_end(bytes, self.at);
            } else if self.state == State::FieldValue {
                self.at = field_value_end(bytes, self.at);
            }
            let Some(&octet) = bytes.get(self.at) else {
                return Ok(Parsed::Partial);
            };
            match (self.state, octet) {
                (State::FieldStart, b'\r') => self.step(State::EndLineFeed),
                (State::FieldStart, _) => {
                    check_field_start(octet, self.fields.len(), limits)?;
                    self.mark = self.at;
                    self.state = State::FieldName;
                }
                (State::FieldName, b':') => {
                    self.name = Span::new(self.mark, self.at);
                    self.step(State::FieldValue);
                }
                (State::FieldName, _) => return Err(field_name_fault(octet)),
                (State::FieldValue, b'\r') => {
                    self.at += 1;
                    self.state = State::FieldLineFeed;
                }
                (State::FieldValue, _) => return Err(field_value_fault(octet)),
                (State::FieldLineFeed, b'\n') => {
                    self.add_field(bytes, self.name, self.mark, self.at - 1)?;
                    self.step(State::FieldStart);
                }
                (State::EndLineFeed, b'\n') => {
                    self.facts.finish(self.version)?;
                    self.step(State::Complete);
                    return Ok(Parsed::Complete);
                }
                _ => return Err(Fault::BareCarriageReturn),
            }
        }
    }

    /// Takes one field line that is all there; false, and nothing taken, where it is not or where
    /// anything in it is wrong.
    #[inline]
    fn whole_field_line(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<bool, Fault> {
        let colon = token_end(bytes, self.at);
        let named = colon > self.at && bytes.get(colon) == Some(&b':');
        if !named || self.fields.len() >= limits.headers_max {
            return Ok(false);
        }
        let end = field_value_end(bytes, colon + 1);
        if !bytes[end..].starts_with(b"\r\n") {
            return Ok(false);
        }
        self.add_field(bytes, Span::new(self.at, colon), colon + 1, end)?;
        self.at = end + 2;
        Ok(true)
    }

    /// Adds the field with its value somewhere in `start..end` of `bytes`.
    #[inline]
    fn add_field(
        &mut self,
        bytes: &[u8],
        name: Span,
        start: usize,
        end: usize,
    ) -> Result<(), Fault> {
        let field = Field {
            name,
            value: trimmed(bytes, start, end),
        };
        self.facts.note(field, bytes, self.version)?;
        self.fields.push(field);
        Ok(())
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

/// Version of the two digits; a higher minor version is taken as 1.1 (RFC 9110 §2.5).
#[inline]
fn version(major: u8, minor: u8) -> Result<Version, Fault> {
    match (major, minor) {
        (b'1', b'0') => Ok(Version::Http10),
        (b'1', _) => Ok(Version::Http11),
        _ => Err(Fault::UnsupportedVersion),
    }
}

/// `start..end` of `bytes` without SP and HTAB at both ends (RFC 9112 §5.1).
#[inline]
fn trimmed(bytes: &[u8], mut start: usize, mut end: usize) -> Span {
    while start < end && is_whitespace(bytes[start]) {
        start += 1;
    }
    while start < end && is_whitespace(bytes[end - 1]) {
        end -= 1;
    }
    Span::new(start, end)
}

#[inline]
fn check_field_start(octet: u8, fields: usize, limits: &HeadLimits) -> Result<(), Fault> {
    if !is_token(octet) {
        return Err(field_start_fault(octet));
    }
    if fields >= limits.headers_max {
        return Err(Fault::TooManyFields);
    }
    Ok(())
}

/// `PRI` is kept for the HTTP/2 preface (RFC 9113 §3.4, §11.6) and never a method of HTTP/1.
#[cold]
fn method_fault(name: &[u8]) -> Fault {
    match name {
        [] => Fault::MalformedMethod,
        b"PRI" => Fault::UnsupportedVersion,
        _ => Fault::UnknownMethod,
    }
}
