//! What carries a session with a service: a socket, encrypted or not.

use std::io;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;

use super::TlsStream;
use crate::ring::Stream;

/// A connection's bytes. The methods are those of [`Stream`], and mean the same.
pub enum Channel {
    /// As they are.
    Plain(Stream),
    /// Through a TLS session; its state is large, and few connections have any.
    Tls(Box<TlsStream>),
}

impl Channel {
    /// Whether bytes go through a TLS session.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Channel::Tls(_))
    }

    /// The server's certificate, where it has shown one.
    pub fn server_certificate(&self) -> Option<CertificateDer<'static>> {
        match self {
            Channel::Plain(_) => None,
            Channel::Tls(stream) => stream.peer_certificates().into_iter().next(),
        }
    }

    /// See [`Stream::unread`].
    pub fn unread(&self) -> usize {
        match self {
            Channel::Plain(stream) => stream.unread(),
            Channel::Tls(stream) => stream.unread(),
        }
    }

    /// See [`Stream::with_input`].
    pub fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.with_input(see),
            Channel::Tls(stream) => stream.with_input(see),
        }
    }

    /// See [`Stream::consume`].
    pub fn consume(&self, count: usize) {
        match self {
            Channel::Plain(stream) => stream.consume(count),
            Channel::Tls(stream) => stream.consume(count),
        }
    }

    /// See [`Stream::poll_fill`].
    pub fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>> {
        match self {
            Channel::Plain(stream) => stream.poll_fill(context, beyond),
            Channel::Tls(stream) => stream.poll_fill(context, beyond),
        }
    }

    /// See [`Stream::write`].
    pub fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.write(write),
            Channel::Tls(stream) => stream.write(write),
        }
    }

    /// Lets `write` append to what goes out with the next pass. What is to be encrypted is so when the
    /// channel is polled next, all of it together.
    pub fn write_later<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.write(write),
            Channel::Tls(stream) => stream.write_later(write),
        }
    }

    /// See [`Stream::poll_drain`].
    pub fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        match self {
            Channel::Plain(stream) => stream.poll_drain(context, left),
            Channel::Tls(stream) => stream.poll_drain(context, left),
        }
    }

    /// See [`Stream::shutdown_write`].
    pub fn shutdown_write(&self) {
        match self {
            Channel::Plain(stream) => stream.shutdown_write(),
            Channel::Tls(stream) => stream.shutdown_write(),
        }
    }
}

impl From<Stream> for Channel {
    fn from(stream: Stream) -> Channel {
        Channel::Plain(stream)
    }
}
