//! One chunk-size line: `chunk-size [ chunk-ext ] CRLF` (RFC 9112 §7.1).

use super::Fault;
use super::syntax::{is_field_value, is_token, is_whitespace};
use crate::limits;

/// Bytes of a line that no honest sender needs to go past: 16 digits and CRLF. What is past them
/// counts against the bound of all lines of a body together.
const PLAIN_BYTES_MAX: usize = 18;

/// Reads one chunk-size line octet by octet.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkLine {
    state: State,
    size: u64,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SizeStart,
    Size,
    /// Whitespace after which only a `;` may come.
    BeforeSemicolon,
    NameStart,
    Name,
    /// Whitespace after a name: `=` or `;` comes.
    AfterName,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    AfterQuoted,
    LineFeed,
}

impl ChunkLine {
    pub fn new() -> ChunkLine {
        ChunkLine {
            state: State::SizeStart,
            size: 0,
            bytes: 0,
        }
    }

    /// Takes the next octet; the chunk's size once the line is complete. Extensions are checked
    /// and ignored; `extension_budget` is what all lines of the body may still have of them.
    pub fn take(&mut self, octet: u8, extension_budget: &mut usize) -> Result<Option<u64>, Fault> {
        self.bytes += 1;
        if self.bytes > limits::CHUNK_LINE_BYTES_MAX {
            return Err(Fault::ChunkLineTooLong);
        }
        if self.bytes > PLAIN_BYTES_MAX {
            *extension_budget = extension_budget
                .checked_sub(1)
                .ok_or(Fault::ChunkLineTooLong)?;
        }
        match (self.state, octet) {
            (State::LineFeed, b'\n') => return Ok(Some(self.size)),
            (State::LineFeed, _) => return Err(Fault::BareCarriageReturn),
            (_, b'\n') => return Err(Fault::BareLineFeed),
            (State::SizeStart | State::Size, _) if octet.is_ascii_hexdigit() => {
                self.digit(octet)?;
            }
            (State::SizeStart, _) => return Err(Fault::InvalidChunkSize),
            _ => self.state = self.state.after(octet)?,
        }
        Ok(None)
    }

    fn digit(&mut self, octet: u8) -> Result<(), Fault> {
        let digit = match octet {
            b'0'..=b'9' => octet - b'0',
            _ => (octet | 0x20) - b'a' + 10,
        };
        let shifted = self.size.checked_mul(16).ok_or(Fault::InvalidChunkSize)?;
        self.size = shifted | u64::from(digit);
        self.state = State::Size;
        Ok(())
    }
}

impl State {
    /// The state after `octet`, by the grammar of chunk-ext (RFC 9112 §7.1.1). The "bad whitespace"
    /// that it obliges recipients to take is taken, before a `;` or `=` and after them only.
    fn after(self, octet: u8) -> Result<State, Fault> {
        let space = is_whitespace(octet);
        match (self, octet) {
            (State::Size | State::Name | State::Value | State::AfterQuoted, b'\r') => {
                Ok(State::LineFeed)
            }
            (State::Quoted, b'"') => Ok(State::AfterQuoted),
            (State::Quoted, b'\\') => Ok(State::QuotedPair),
            (State::Quoted | State::QuotedPair, _) if is_field_value(octet) => Ok(State::Quoted),
            (State::NameStart | State::ValueStart, _) if space => Ok(self),
            (State::NameStart | State::Name, _) if is_token(octet) => Ok(State::Name),
            (State::ValueStart, b'"') => Ok(State::Quoted),
            (State::ValueStart | State::Value, _) if is_token(octet) => Ok(State::Value),
            (State::Name | State::AfterName, b'=') => Ok(State::ValueStart),
            (State::Name | State::AfterName, _) if space => Ok(State::AfterName),
            (State::NameStart | State::ValueStart | State::Quoted | State::QuotedPair, _) => {
                Err(Fault::InvalidChunkExtension)
            }
            (_, b';') => Ok(State::NameStart),
            (State::Size, _) if !space => Err(Fault::InvalidChunkSize),
            (_, _) if space => Ok(State::BeforeSemicolon),
            _ => Err(Fault::InvalidChunkExtension),
        }
    }
}
