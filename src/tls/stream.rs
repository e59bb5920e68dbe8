//! An encrypted connection, used like the socket under it.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::{Connection, ProtocolVersion};

use super::{IGNORED_BYTES_MAX, fault, truncated};
use crate::limits;
use crate::ring::Stream;

/// Ciphertext that is made ahead of the kernel. What goes beyond it waits as plaintext, so that a
/// large answer is neither held twice nor encrypted in one go.
const CIPHERTEXT_BYTES_MAX: usize = 256 * 1024;

/// Plaintext that is encrypted before the ciphertext is looked at again: four full records.
const ENCRYPT_BYTES: usize = 64 * 1024;

/// One connection and its TLS session. It has the methods of [`Stream`], and they mean the same;
/// dropping it closes at once. Idle, it holds no buffer of its own, only rustls's state.
pub struct TlsStream {
    socket: Stream,
    session: RefCell<Connection>,
    /// Decrypted bytes; those before `read` have been consumed.
    input: RefCell<Vec<u8>>,
    read: Cell<usize>,
    /// Plaintext that was written; what comes before `encrypted` has become ciphertext.
    output: RefCell<Vec<u8>>,
    encrypted: Cell<usize>,
    /// The peer has said that it ends.
    ended: Cell<bool>,
    /// To be shut down once everything has been sent.
    shutdown: Cell<bool>,
    failing: RefCell<Option<Failing>>,
}

/// A fault has been found: its alert is being sent.
struct Failing {
    error: rustls::Error,
    ignored: usize,
    shut: bool,
}

impl TlsStream {
    /// A session that is still to shake hands; see [`super::handshake`].
    pub(super) fn new(socket: Stream, mut session: Connection) -> TlsStream {
        // Bounded here and by whoever writes, see `unsent`.
        session.set_buffer_limit(None);
        let stream = TlsStream {
            socket,
            session: RefCell::new(session),
            input: RefCell::default(),
            read: Cell::new(0),
            output: RefCell::default(),
            encrypted: Cell::new(0),
            ended: Cell::new(false),
            shutdown: Cell::new(false),
            failing: RefCell::default(),
        };
        stream.emit(&mut stream.session.borrow_mut()); // a client speaks first
        stream
    }

    pub(super) fn socket(&self) -> &Stream {
        &self.socket
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.borrow().is_handshaking()
    }

    /// One step of a handshake, all of its arithmetic: takes what has arrived.
    pub(super) fn advance(&self) {
        if let Err(error) = self.decrypt() {
            self.fail(error);
        }
    }

    /// What came of the step: ready at once, unless it failed and the alert is to be sent.
    pub(super) fn poll_advanced(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = ready!(self.poll_failed(context)) {
            return Poll::Ready(Err(error));
        }
        if self.ended.get() && self.is_handshaking() {
            return Poll::Ready(Err(truncated("during the TLS handshake")));
        }
        Poll::Ready(Ok(()))
    }

    // ---- What was agreed on ----

    /// The version of the protocol.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.session.borrow().protocol_version()
    }

    /// The protocol that was agreed on by ALPN (RFC 7301).
    pub fn application_protocol(&self) -> Option<Vec<u8>> {
        let session = self.session.borrow();
        session.alpn_protocol().map(<[u8]>::to_vec)
    }

    /// The peer's certificates, its own first; empty if it has shown none.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        let session = self.session.borrow();
        session.peer_certificates().unwrap_or_default().to_vec()
    }

    // ---- Reading ----

    /// Decrypted bytes that have not been consumed.
    pub fn unread(&self) -> usize {
        self.input.borrow().len() - self.read.get()
    }

    /// Shows the unread bytes, contiguous. Only appended to until they are consumed.
    pub fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        see(&self.input.borrow()[self.read.get()..])
    }

    /// When the last byte of the connection came.
    pub fn received_last(&self) -> Instant {
        self.socket.received_last()
    }

    /// Drops the first `count` unread bytes.
    pub fn consume(&self, count: usize) {
        let read = self.read.get() + count;
        let mut input = self.input.borrow_mut();
        assert!(read <= input.len(), "consumed more than was received");
        self.read.set(read);
        if read == input.len() {
            self.read.set(0);
            *input = Vec::new();
        }
    }

    /// Ready with `true` when more than `beyond` bytes are unread, with `false` when the peer has
    /// said that no more will come (close_notify), with an error when the connection failed, its
    /// deadline passed, or the peer ended without a word
    /// ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof): bytes may be missing).
    ///
    /// After a fault of the protocol it is ready once the alert has been sent.
    pub fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>> {
        self.go_on_sending(context);
        loop {
            if let Some(error) = ready!(self.poll_failed(context)) {
                return Poll::Ready(Err(error));
            }
            if let Err(error) = self.decrypt() {
                self.fail(error);
                continue;
            }
            if self.unread() > beyond {
                return Poll::Ready(Ok(true));
            }
            if self.ended.get() {
                return Poll::Ready(Ok(false));
            }
            if self.is_full() {
                // Only the end of the socket is of interest until some of it has been consumed.
                return self.socket.poll_fill(context, usize::MAX);
            }
            if !ready!(self.socket.poll_fill(context, self.socket.unread()))? {
                return Poll::Ready(Err(truncated("without the end of its TLS session")));
            }
        }
    }

    // ---- Writing ----

    /// Lets `write` append to the output, which goes out with the next pass, as records of its own.
    pub fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let value = self.write_later(write);
        self.encrypt(usize::MAX);
        value
    }

    /// Lets `write` append to the output, which is encrypted when the stream is polled next: what is
    /// written until then shares records.
    pub fn write_later<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        write(&mut self.output.borrow_mut())
    }

    /// Bytes that were written and that the kernel has not taken.
    pub fn unsent(&self) -> usize {
        self.waiting() + self.socket.unsent()
    }

    /// Ready when at most `left` bytes are unsent, or with the error that keeps them from going.
    pub fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        if let Some(error) = ready!(self.poll_failed(context)) {
            return Poll::Ready(Err(error));
        }
        loop {
            self.encrypt(CIPHERTEXT_BYTES_MAX);
            let waiting = self.waiting();
            if waiting == 0 || self.unsent() <= left {
                ready!(self.socket.poll_drain(context, left))?;
                self.shut_down_if_due();
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_drain(context, CIPHERTEXT_BYTES_MAX / 2))?;
        }
    }

    /// Tells the peer that nothing more will be sent, once what was written before has been sent,
    /// and shuts down the socket after that.
    pub fn shutdown_write(&self) {
        self.close_notify();
        self.shutdown.set(true);
        self.shut_down_if_due();
    }

    /// Tells the peer that nothing more will be sent (RFC 8446 §6.1); once. A stream that is drained
    /// after this and dropped has ended politely.
    pub fn close_notify(&self) {
        self.encrypt(usize::MAX);
        let mut session = self.session.borrow_mut();
        session.send_close_notify();
        self.emit(&mut session);
    }

    /// See [`Stream::reset_at_close`].
    pub fn reset_at_close(&self) {
        self.socket.reset_at_close();
    }

    /// See [`Stream::set_deadline`].
    pub fn set_deadline(&self, after: Option<Duration>) {
        if self.failing.borrow().is_none() {
            self.socket.set_deadline(after);
        }
    }

    // ---- Between the two ----

    /// More plaintext is unread than the ring would take from a socket.
    fn is_full(&self) -> bool {
        self.unread() > self.socket.input_bytes_max()
    }

    /// Decrypts what has arrived until the input is full, and answers what the session answers by
    /// itself.
    fn decrypt(&self) -> Result<(), rustls::Error> {
        let mut session = self.session.borrow_mut();
        let mut outcome = Ok(());
        while outcome.is_ok() && self.socket.unread() > 0 && !self.is_full() {
            outcome = self.decrypt_some(&mut session);
        }
        self.emit(&mut session); // with the alert of a fault
        outcome
    }

    fn decrypt_some(&self, session: &mut Connection) -> Result<(), rustls::Error> {
        if self.ended.get() {
            // Whatever follows its end is ignored (RFC 8446 §6.1).
            self.socket.consume(self.socket.unread());
            return Ok(());
        }
        let taken = self
            .socket
            .with_input(|mut ciphertext| session.read_tls(&mut ciphertext))
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        self.socket.consume(taken);
        let state = session.process_new_packets()?;
        self.ended.set(state.peer_has_closed());
        if state.plaintext_bytes_to_read() > 0 {
            self.append(session, state.plaintext_bytes_to_read());
        }
        Ok(())
    }

    fn append(&self, session: &mut Connection, count: usize) {
        let mut input = self.input.borrow_mut();
        let read = self.read.get();
        if read > 0 && input.len() + count > input.capacity() {
            input.drain(..read);
            self.read.set(0);
        }
        let start = input.len();
        input.resize(start + count, 0);
        let copied = io::Read::read(&mut session.reader(), &mut input[start..]);
        // It gives what it has counted and can't fail then; if not, nothing is made up.
        input.truncate(start + copied.unwrap_or(0));
    }

    /// Plaintext that is not encrypted yet.
    fn waiting(&self) -> usize {
        self.output.borrow().len() - self.encrypted.get()
    }

    /// Encrypts what was written, as long as at most `ciphertext_bytes_max` are unsent.
    fn encrypt(&self, ciphertext_bytes_max: usize) {
        let mut output = self.output.borrow_mut();
        if output.is_empty() {
            return;
        }
        if self.failing.borrow().is_some() {
            output.clear(); // nothing comes after the alert
            return;
        }
        let mut session = self.session.borrow_mut();
        let mut start = self.encrypted.get();
        while start < output.len() && self.socket.unsent() < ciphertext_bytes_max {
            let end = output.len().min(start + ENCRYPT_BYTES);
            let taken = io::Write::write(&mut session.writer(), &output[start..end]);
            // Without a limit it takes everything; a session that has failed sends nothing more.
            start = taken.map_or(output.len(), |count| start + count.max(1));
            self.emit(&mut session);
        }
        if start == output.len() {
            start = 0;
            *output = Vec::new();
        }
        self.encrypted.set(start);
    }

    /// Hands what the session has made to the socket.
    fn emit(&self, session: &mut Connection) {
        while session.wants_write() {
            let written = self.socket.write(|output| session.write_tls(output));
            debug_assert!(written.is_ok(), "writing to memory");
        }
    }

    /// Encrypts what waits while the caller waits for something else.
    fn go_on_sending(&self, context: &mut Context<'_>) {
        self.encrypt(CIPHERTEXT_BYTES_MAX);
        if self.waiting() > 0 {
            // Wakes the caller when there is room; an error shows when it reads.
            let _ = self.poll_drain(context, 0);
        }
        self.shut_down_if_due();
    }

    fn shut_down_if_due(&self) {
        if self.shutdown.get() && self.unsent() == 0 {
            self.shutdown.set(false);
            self.socket.shutdown_write();
        }
    }

    // ---- Faults ----

    /// From now on there is only the alert to be sent, for which there is a little time.
    fn fail(&self, error: rustls::Error) {
        self.output.take();
        self.encrypted.set(0);
        self.socket.set_deadline(Some(limits::LINGER));
        self.failing.replace(Some(Failing {
            error,
            ignored: 0,
            shut: false,
        }));
    }

    /// Ready with `None` while nothing has failed, with the fault once its alert has been sent and
    /// the peer has had the time to read it.
    fn poll_failed(&self, context: &mut Context<'_>) -> Poll<Option<io::Error>> {
        let mut failing = self.failing.borrow_mut();
        let Some(Failing {
            error,
            ignored,
            shut,
        }) = &mut *failing
        else {
            return Poll::Ready(None);
        };
        let error = || Some(fault(error.clone()));
        if ready!(self.socket.poll_drain(context, 0)).is_err() {
            return Poll::Ready(error());
        }
        if !std::mem::replace(shut, true) {
            self.socket.shutdown_write();
        }
        loop {
            let unread = self.socket.unread();
            self.socket.consume(unread);
            *ignored += unread;
            if *ignored > IGNORED_BYTES_MAX {
                return Poll::Ready(error());
            }
            match ready!(self.socket.poll_fill(context, 0)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(error()),
            }
        }
    }
}
