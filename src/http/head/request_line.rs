//! `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3).

use super::super::Fault;
use super::super::headers::Span;
use super::super::method::{Method, Version};
use super::super::syntax::{target_end, token_end};
use super::super::target::Target;
use super::{Head, HeadLimits, Parsed, State};
use crate::limits;

impl Head {
    /// `method SP request-target SP HTTP-version CRLF` (RFC 9112 §3), after a few empty lines.
    pub(super) fn request_line(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Parsed, Fault> {
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
            // Most requests: there is no end to be looked for.
            Some(b'G') if bytes[self.at..].starts_with(b"GET ") => {
                self.at += b"GET".len();
                self.method = Method::Get;
                self.step(State::Target);
            }
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
        self.target = Target::parse(
            bytes,
            Span::new(self.mark, self.at),
            self.method,
            limits.secured,
        )?;
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

/// `PRI` is kept for the HTTP/2 preface (RFC 9113 §3.4, §11.6) and never a method of HTTP/1.
#[cold]
fn method_fault(name: &[u8]) -> Fault {
    match name {
        [] => Fault::MalformedMethod,
        b"PRI" => Fault::UnsupportedVersion,
        _ => Fault::UnknownMethod,
    }
}
