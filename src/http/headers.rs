//! Header fields as places in the head, and what the known ones say about the request.
//!
//! Everything that the server itself needs (length of the body, persistence, host) is taken from a
//! field at the moment when its line is complete, so no field is searched for twice.

use super::Fault;
use super::body::Framing;
use super::method::Version;
use super::syntax::{is_whitespace, trim};
use super::target::check_host;

/// A range of the input, counted from the first octet of the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range `start..end`; a head is never longer than 32 bits can count.
    #[inline]
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The range `start..end` of this range.
    #[inline]
    pub fn part(self, start: usize, end: usize) -> Span {
        Span::new(self.start as usize + start, self.start as usize + end)
    }

    /// The octets at this range of `bytes`.
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

/// One field line: name as sent, value without the whitespace around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub name: Span,
    pub value: Span,
}

/// What the fields seen so far say about the message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    pub host: Option<Span>,
    pub content_type: Option<Span>,
    /// Empty if there are several: no list of origins is one.
    pub origin: Option<Span>,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    pub wants_entity_tag: bool,
}

impl Facts {
    /// Takes note of one complete field of `bytes`.
    #[inline]
    pub fn note(&mut self, field: Field, bytes: &[u8], version: Version) -> Result<(), Fault> {
        let name = field.name.of(bytes);
        let value = field.value.of(bytes);
        let (Some(first), length) = (name.first(), name.len()) else {
            return Ok(());
        };
        // Length and first letter rule out nearly every other field before names are compared.
        match (length, first | 0x20) {
            (4, b'h') if name.eq_ignore_ascii_case(b"host") => self.note_host(field.value, value),
            (6, b'e') if name.eq_ignore_ascii_case(b"expect") => self.note_expect(value, version),
            (6, b'o') if name.eq_ignore_ascii_case(b"origin") => {
                self.origin = Some(match self.origin {
                    None => field.value,
                    Some(_) => Span::default(),
                });
                Ok(())
            }
            (8, b'i') if name.eq_ignore_ascii_case(b"if-match") => {
                self.wants_entity_tag |= value != b"*";
                Ok(())
            }
            (10, b'c') if name.eq_ignore_ascii_case(b"connection") => {
                self.note_connection(value);
                Ok(())
            }
            (12, b'c') if name.eq_ignore_ascii_case(b"content-type") => {
                self.content_type.get_or_insert(field.value);
                Ok(())
            }
            (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => {
                self.note_content_length(value)
            }
            (17, b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.note_transfer_encoding(value, version)
            }
            _ => Ok(()),
        }
    }

    /// Checks what can only be known at the end of the head.
    pub fn finish(&self, version: Version) -> Result<(), Fault> {
        if version == Version::Http11 && self.host.is_none() {
            return Err(Fault::MissingHost);
        }
        debug_assert!(!(self.chunked && self.content_length.is_some()));
        Ok(())
    }

    /// How the end of the body is found (RFC 9112 §6.3).
    #[inline]
    pub fn framing(&self) -> Framing {
        match self.content_length {
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        }
    }

    /// Whether the client lets the connection live (RFC 9112 §9.3); `close` wins.
    #[inline]
    pub fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    /// Whether the client waits for a 100 before it sends its body (RFC 9110 §10.1.1).
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue && !matches!(self.framing(), Framing::None | Framing::Length(0))
    }

    fn note_host(&mut self, span: Span, value: &[u8]) -> Result<(), Fault> {
        if self.host.is_some() {
            return Err(Fault::RepeatedHost);
        }
        check_host(value)?;
        self.host = Some(span);
        Ok(())
    }

    /// In HTTP/1.0 the field means nothing (RFC 9110 §10.1.1).
    fn note_expect(&mut self, value: &[u8], version: Version) -> Result<(), Fault> {
        if version == Version::Http10 {
            return Ok(());
        }
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::UnknownExpectation);
        }
        self.expects_continue = true;
        Ok(())
    }

    /// Options other than the two are for protocols that are not spoken here (RFC 9110 §7.6.1).
    fn note_connection(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true; // what nearly every client sends that sends the field
            return;
        }
        for option in value.split(|&octet| octet == b',').map(trim) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn note_content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.content_length.is_some() {
            return Err(Fault::RepeatedContentLength);
        }
        if self.chunked {
            return Err(Fault::AmbiguousLength);
        }
        self.content_length = Some(decimal(value).ok_or(Fault::InvalidContentLength)?);
        Ok(())
    }

    /// Exactly one field with exactly `chunked` passes (RFC 9112 §6.1, §6.3).
    fn note_transfer_encoding(&mut self, value: &[u8], version: Version) -> Result<(), Fault> {
        if self.content_length.is_some() {
            return Err(Fault::AmbiguousLength);
        }
        if self.chunked || version == Version::Http10 {
            return Err(Fault::InvalidTransferEncoding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(transfer_encoding_fault(value));
        }
        self.chunked = true;
        Ok(())
    }
}

/// What is wrong with an octet that can't begin a field line.
#[cold]
pub(super) fn field_start_fault(octet: u8) -> Fault {
    match octet {
        b'\n' => Fault::BareLineFeed,
        _ if is_whitespace(octet) => Fault::FoldedLine,
        _ => Fault::MalformedFieldName,
    }
}

/// What is wrong with an octet that can't stand in a field name.
#[cold]
pub(super) fn field_name_fault(octet: u8) -> Fault {
    match octet {
        b'\n' => Fault::BareLineFeed,
        _ if is_whitespace(octet) => Fault::WhitespaceBeforeColon,
        _ => Fault::MalformedFieldName,
    }
}

/// What is wrong with an octet that can't stand in a field value.
#[cold]
pub(super) fn field_value_fault(octet: u8) -> Fault {
    match octet {
        b'\n' => Fault::BareLineFeed,
        _ => Fault::MalformedFieldValue,
    }
}

/// Where `chunked` is last and once, the codings before it are what is not implemented; otherwise
/// the end of the body can't be known (RFC 9112 §6.3).
#[cold]
fn transfer_encoding_fault(value: &[u8]) -> Fault {
    let mut codings = value.rsplit(|&octet| octet == b',').map(trim);
    let last_is_chunked = codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let others_pass =
        codings.all(|other| !other.is_empty() && !other.eq_ignore_ascii_case(b"chunked"));
    if last_is_chunked && others_pass {
        Fault::UnsupportedTransferCoding
    } else {
        Fault::InvalidTransferEncoding
    }
}

/// `1*DIGIT` as a number; `None` for anything else and past 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_takes_digits_only_up_to_64_bits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"0042"), Some(42));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        for invalid in ["", "+1", "-1", "1 ", " 1", "0x1", "1,1", "1_0", "\u{0661}"] {
            assert_eq!(decimal(invalid.as_bytes()), None, "{invalid}");
        }
    }
}
