//! The socket as a connection sees it, so that a test can put another in its place.

use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::ring::Stream;
use crate::tls::TlsStream;

/// What a connection needs of its socket; `ring::Stream` has the real one, `TlsStream` the encrypted one.
pub trait Transport {
    /// Bytes that have arrived and have not been consumed.
    fn unread(&self) -> usize;
    /// Shows them, contiguous.
    fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T;
    /// When the first of them came.
    fn received_first(&self) -> Instant;
    /// Drops the first `count` of them.
    fn consume(&self, count: usize);
    /// Ready with `true` when more than `beyond` bytes are unread, with `false` at the end.
    fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>>;
    /// Appends to the output.
    fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T;
    /// Bytes that have been written and not sent.
    fn unsent(&self) -> usize;
    /// Ready when at most `left` bytes are unsent.
    fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>>;
    /// Lets waiting fail with `TimedOut` after this time.
    fn set_deadline(&self, after: Option<Duration>);
    /// Writes what the transport itself has to say after the last answer, once.
    fn finish(&self) {}
    /// Says that nothing more will be written.
    fn shutdown_write(&self);
    /// Lets closing throw away what was written and has not reached the client, instead of having the
    /// kernel send it on.
    fn reset_at_close(&self);
}

impl Transport for Stream {
    fn unread(&self) -> usize {
        Stream::unread(self)
    }

    fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        Stream::with_input(self, see)
    }

    fn received_first(&self) -> Instant {
        Stream::received_first(self)
    }

    fn consume(&self, count: usize) {
        Stream::consume(self, count);
    }

    fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>> {
        Stream::poll_fill(self, context, beyond)
    }

    fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        Stream::write(self, write)
    }

    fn unsent(&self) -> usize {
        Stream::unsent(self)
    }

    fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        Stream::poll_drain(self, context, left)
    }

    fn set_deadline(&self, after: Option<Duration>) {
        Stream::set_deadline(self, after);
    }

    fn shutdown_write(&self) {
        Stream::shutdown_write(self);
    }

    fn reset_at_close(&self) {
        Stream::reset_at_close(self);
    }
}

/// Whoever writes polls before it waits, so what is written in between shares records.
impl Transport for TlsStream {
    fn unread(&self) -> usize {
        TlsStream::unread(self)
    }

    fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        TlsStream::with_input(self, see)
    }

    /// It came in a record that was complete when its last byte had come.
    fn received_first(&self) -> Instant {
        TlsStream::received_last(self)
    }

    fn consume(&self, count: usize) {
        TlsStream::consume(self, count);
    }

    /// A client that ends without close_notify is taken to have ended: a request says itself where
    /// it ends, so one that was cut short on the way is seen to be (RFC 9112 §9.8).
    fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>> {
        match TlsStream::poll_fill(self, context, beyond) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(false))
            }
            other => other,
        }
    }

    fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        TlsStream::write_later(self, write)
    }

    fn unsent(&self) -> usize {
        TlsStream::unsent(self)
    }

    fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        TlsStream::poll_drain(self, context, left)
    }

    fn set_deadline(&self, after: Option<Duration>) {
        TlsStream::set_deadline(self, after);
    }

    fn finish(&self) {
        TlsStream::close_notify(self);
    }

    fn shutdown_write(&self) {
        TlsStream::shutdown_write(self);
    }

    fn reset_at_close(&self) {
        TlsStream::reset_at_close(self);
    }
}
