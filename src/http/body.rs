//! The request body (RFC 9112 §6, §7): a decoder that goes on at any octet.

use super::Fault;
use super::chunk_line::ChunkLine;
use super::headers::{field_name_fault, field_start_fault, field_value_fault};
use super::syntax::{is_field_value, is_token};
use crate::limits;

/// How the end of a request body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body.
    None,
    /// Content-Length: so many bytes.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// How far [`BodyDecoder::decode`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes at the start of the input that are done with. All of them unless `done`.
    pub consumed: usize,
    /// Whether the body is complete: the next request begins after `consumed` bytes.
    pub done: bool,
}

/// Takes the framing off one request body.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Decoded bytes that the body may still have. Invariant: never below what is announced in
    /// `state`, so that a body over the limit is refused with its announcement.
    budget: u64,
    /// Bytes of chunk extensions that all chunks together may still have.
    extension_budget: usize,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes of a body with Content-Length are to come.
    Length(u64),
    ChunkLine(ChunkLine),
    /// So many bytes of the chunk are to come.
    ChunkData(u64),
    ChunkCarriageReturn,
    ChunkLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    EndLineFeed,
    Done,
    Failed(Fault),
}

impl BodyDecoder {
    /// A decoder for a body of that framing, of `body_bytes_max` decoded bytes at the most.
    ///
    /// # Errors
    ///
    /// [`Fault::BodyTooLarge`] where the declared length is over the limit, before any of it is read.
    pub fn new(framing: Framing, body_bytes_max: usize) -> Result<BodyDecoder, Fault> {
        let budget = body_bytes_max as u64;
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) if length > budget => return Err(Fault::BodyTooLarge),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine(ChunkLine::new()),
        };
        Ok(BodyDecoder {
            state,
            budget,
            extension_budget: limits::CHUNK_EXTENSION_BYTES_MAX,
            trailer_bytes: 0,
        })
    }

    /// Whether the body is complete; at once for a request without one.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Reads on in `input`, which begins after the bytes consumed so far, and appends to `body`.
    ///
    /// Trailer fields are checked and dropped (RFC 9110 §6.5.1).
    ///
    /// # Errors
    ///
    /// The first [`Fault`] in the framing, and the same again ever after.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<Progress, Fault> {
        let mut at = 0;
        while !self.is_done() && at < input.len() {
            match self.advance(&input[at..], body) {
                Ok(consumed) => at += consumed,
                Err(fault) => {
                    self.state = State::Failed(fault);
                    return Err(fault);
                }
            }
        }
        if let State::Failed(fault) = self.state {
            return Err(fault);
        }
        Ok(Progress {
            consumed: at,
            done: self.is_done(),
        })
    }

    /// Takes one run of data or one octet of framing from the front of `input`, which is not empty.
    fn advance(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Fault> {
        let octet = input[0];
        match &mut self.state {
            State::Length(left) => {
                let taken = take(left, input, body);
                if *left == 0 {
                    self.state = State::Done;
                }
                return Ok(taken);
            }
            State::ChunkData(left) => {
                let taken = take(left, input, body);
                if *left == 0 {
                    self.state = State::ChunkCarriageReturn;
                }
                return Ok(taken);
            }
            State::ChunkLine(line) => {
                if let Some(size) = line.take(octet, &mut self.extension_budget)? {
                    self.state = self.chunk(size)?;
                }
            }
            State::ChunkCarriageReturn if octet == b'\r' => self.state = State::ChunkLineFeed,
            State::ChunkLineFeed if octet == b'\n' => {
                self.state = State::ChunkLine(ChunkLine::new());
            }
            State::ChunkCarriageReturn | State::ChunkLineFeed => {
                return Err(Fault::InvalidChunkEnd);
            }
            State::Done => return Ok(0),
            State::Failed(fault) => return Err(*fault),
            _ => self.state = self.trailer(octet)?,
        }
        Ok(1)
    }

    /// What comes after a chunk-size line; the last chunk has the size 0.
    fn chunk(&mut self, size: u64) -> Result<State, Fault> {
        if size == 0 {
            return Ok(State::TrailerStart);
        }
        self.budget = self.budget.checked_sub(size).ok_or(Fault::BodyTooLarge)?;
        Ok(State::ChunkData(size))
    }

    /// Takes one octet of `*( field-line CRLF ) CRLF`, as strictly as in a head.
    fn trailer(&mut self, octet: u8) -> Result<State, Fault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > limits::TRAILER_BYTES_MAX {
            return Err(Fault::TrailersTooLarge);
        }
        match (self.state, octet) {
            (State::TrailerStart, b'\r') => Ok(State::EndLineFeed),
            (State::TrailerStart, _) if is_token(octet) => Ok(State::TrailerName),
            (State::TrailerStart, _) => Err(field_start_fault(octet)),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if is_token(octet) => Ok(State::TrailerName),
            (State::TrailerName, _) => Err(field_name_fault(octet)),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerValue, _) if is_field_value(octet) => Ok(State::TrailerValue),
            (State::TrailerValue, _) => Err(field_value_fault(octet)),
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            (State::EndLineFeed, b'\n') => Ok(State::Done),
            _ => Err(Fault::BareCarriageReturn),
        }
    }
}

/// Moves what there is of the `left` bytes from `input` to `body`; returns how many.
fn take(left: &mut u64, input: &[u8], body: &mut Vec<u8>) -> usize {
    let taken = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    body.extend_from_slice(&input[..taken]);
    *left -= taken as u64;
    taken
}
