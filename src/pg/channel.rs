//! What carries a session of Postgres: a socket, encrypted or not.

use std::io;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;

use crate::ring::Stream;
use crate::tls::TlsStream;

/// A connection's bytes. The methods are those of [`Stream`], and mean the same.
pub(super) enum Channel {
    /// As they are.
    Plain(Stream),
    /// Through a TLS session; its state is large, and few connections have any.
    Tls(Box<TlsStream>),
}

impl Channel {
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Channel::Tls(_))
    }

    /// The server's certificate, where it has shown one.
    pub(super) fn server_certificate(&self) -> Option<CertificateDer<'static>> {
        match self {
            Channel::Plain(_) => None,
            Channel::Tls(stream) => stream.peer_certificates().into_iter().next(),
        }
    }

    pub(super) fn unread(&self) -> usize {
        match self {
            Channel::Plain(stream) => stream.unread(),
            Channel::Tls(stream) => stream.unread(),
        }
    }

    pub(super) fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.with_input(see),
            Channel::Tls(stream) => stream.with_input(see),
        }
    }

    pub(super) fn consume(&self, count: usize) {
        match self {
            Channel::Plain(stream) => stream.consume(count),
            Channel::Tls(stream) => stream.consume(count),
        }
    }

    pub(super) fn poll_fill(
        &self,
        context: &mut Context<'_>,
        beyond: usize,
    ) -> Poll<io::Result<bool>> {
        match self {
            Channel::Plain(stream) => stream.poll_fill(context, beyond),
            Channel::Tls(stream) => stream.poll_fill(context, beyond),
        }
    }

    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        match self {
            Channel::Plain(stream) => stream.write(write),
            Channel::Tls(stream) => stream.write(write),
        }
    }

    pub(super) fn poll_drain(
        &self,
        context: &mut Context<'_>,
        left: usize,
    ) -> Poll<io::Result<()>> {
        match self {
            Channel::Plain(stream) => stream.poll_drain(context, left),
            Channel::Tls(stream) => stream.poll_drain(context, left),
        }
    }

    pub(super) fn shutdown_write(&self) {
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
