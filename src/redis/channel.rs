//! What carries a session of Redis: a socket, encrypted or not.

use std::io;
use std::task::{Context, Poll};

use crate::ring::Stream;
use crate::tls::TlsStream;

/// A connection's bytes. The methods are those of [`Stream`], and mean the same.
pub(super) enum Channel {
    /// As they are.
    Plain(Stream),
    /// Through a TLS session.
    Tls(Box<TlsStream>),
}

impl Channel {
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Channel::Tls(_))
    }

    pub(super) fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.with_input(see),
            Channel::Tls(stream) => stream.with_input(see),
        }
    }

    pub(super) fn consume_all(&self) {
        match self {
            Channel::Plain(stream) => stream.consume(stream.unread()),
            Channel::Tls(stream) => stream.consume(stream.unread()),
        }
    }

    pub(super) fn poll_fill(&self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match self {
            Channel::Plain(stream) => stream.poll_fill(context, 0),
            Channel::Tls(stream) => stream.poll_fill(context, 0),
        }
    }

    /// Lets `write` append to what goes out with the next pass. What is to be encrypted is so when the
    /// channel is polled next, all of it together.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.write(write),
            Channel::Tls(stream) => stream.write_later(write),
        }
    }
}
