//! TLS on top of the core's sockets, to clients and to Postgres. rustls does the protocol; here is
//! how its sessions meet the ring: [`handshake`] makes a [`TlsStream`] of a socket, and that is used
//! like the socket.
//!
//! What a peer can make a core do is bounded. Unread plaintext by the ring's `input_bytes_max`: past
//! it nothing is decrypted, so that the ciphertext backs up into the socket. Handshake messages by
//! rustls (64 KiB), as are empty records (32 in a row), key updates (32 without data between them)
//! and requests to renegotiate (one, refused).

mod channel;
mod client;
mod files;
mod handshake;
mod server;
mod stream;
mod turns;

#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use client::{ClientTls, Identity};
pub use files::{READABLE_BY_OTHERS, read_regular};
pub use handshake::{handshake, handshake_in_turn};
pub use server::{Error, ServerTls};
pub use stream::TlsStream;
pub use turns::Turns;

use std::io;

/// Bytes that are still coming are ignored up to this many after a fault, so that the peer gets to
/// read the alert that says what it was: bytes that nobody reads would reset the connection under it.
const IGNORED_BYTES_MAX: usize = 256 * 1024;

/// A fault of the protocol, in rustls's words; [`io::Error::get_ref`] has the [`rustls::Error`].
fn fault(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A peer that ended without saying so: what it sent may have been cut short on the way.
fn truncated(what: &str) -> io::Error {
    let text = format!("the peer closed the connection {what}");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}
