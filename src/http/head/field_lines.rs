//! `*( field-line CRLF ) CRLF` (RFC 9112 §2.1, §5).

use super::super::Fault;
use super::super::headers::{Field, Span, field_name_fault, field_start_fault, field_value_fault};
use super::super::syntax::{field_value_end, is_token, is_whitespace, token_end};
use super::{Head, HeadLimits, Parsed, State};

impl Head {
    /// `*( field-line CRLF ) CRLF` (RFC 9112 §2.1, §5). Lines that are whole and well-formed go the
    /// short way; only one that is not goes octet by octet, so no octet is looked at a third time.
    pub(super) fn field_lines(
        &mut self,
        bytes: &[u8],
        limits: &HeadLimits,
    ) -> Result<Parsed, Fault> {
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
