//! One connection's bytes, shared by two users: tokio-postgres, which opens the session and prepares
//! statements, and the routes' statements, which are written straight into the socket's output and
//! whose rows are read where they arrived.
//!
//! Postgres answers in the order in which it was asked, and every question ends with its own Sync, so
//! a queue of turns says whose answer the next messages are. Passing statements through tokio-postgres
//! would cost a channel, several wakes and three copies each.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::message::{self, HEADER_BYTES, Malformed, Refusal};
use super::session::Settings;
use super::tls;
use crate::limits;
use crate::tls::Channel;

/// Bytes of an incomplete message that are left in the socket's input; what is longer moves to a
/// buffer of its own, as the input is bounded.
const LEFT_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a message that is kept; no row that is longer would be answered.
const MESSAGE_BYTES_MAX: usize = limits::RESPONSE_BYTES_MAX;

/// Who takes the answer to one statement.
pub(super) trait Receiver {
    /// A DataRow's body.
    fn row(&self, body: &[u8]);
    /// A row was longer than [`MESSAGE_BYTES_MAX`].
    fn row_too_long(&self);
    /// The answer is complete. Called once, and nothing after it.
    fn end(&self, end: End);
}

/// How the answer to a statement ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// All rows have come.
    Complete,
    /// Postgres refused it, at this stage.
    Refused(Stage, Refusal),
    /// The connection was lost before the answer was complete, for this reason.
    Lost(Rc<str>),
}

/// How far a statement came (Postgres §55.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its settings were not made, so that it was not looked at.
    Settings,
    /// Nothing was run.
    Bind,
    /// BindComplete has come.
    Execute,
}

/// See the head of this file.
pub(super) struct Wire {
    /// None once the connection has ended.
    stream: RefCell<Option<Channel>>,
    /// Why the connection has ended; none where it was closed by us, or by the driver, who knows why.
    ended: RefCell<Option<Rc<str>>>,
    /// Postgres has ended it by an alert of TLS.
    refused: Cell<bool>,
    turns: RefCell<Turns>,
    /// A message that is too long for the socket's input.
    long: RefCell<Vec<u8>>,
    /// Bytes that still have to come of a message that nobody wants.
    skip: Cell<usize>,
    /// Bytes of an incomplete message in the socket's input.
    seen: Cell<usize>,
    /// Times that something has arrived.
    heard: Cell<u64>,
    driver: RefCell<Inbox>,
}

/// Whose answers come next.
#[derive(Default)]
struct Turns {
    queue: VecDeque<Turn>,
    /// The session is open: from now on answers belong to turns.
    open: bool,
    /// Of the turn at the front.
    refusal: Option<Refusal>,
}

enum Turn {
    Driver,
    /// With how far it has come.
    Statement(Rc<dyn Receiver>, Stage),
}

/// What tokio-postgres is to read.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    read: usize,
}

impl Wire {
    pub(super) fn new(channel: impl Into<Channel>) -> Rc<Wire> {
        Rc::new(Wire {
            stream: RefCell::new(Some(channel.into())),
            refused: Cell::new(false),
            ended: RefCell::default(),
            turns: RefCell::default(),
            long: RefCell::default(),
            skip: Cell::new(0),
            seen: Cell::new(0),
            heard: Cell::new(0),
            driver: RefCell::default(),
        })
    }

    /// What tokio-postgres takes for its socket. It has to be polled for answers to be read, and
    /// ends the connection when it is dropped.
    pub(super) fn tap(self: &Rc<Self>) -> Tap {
        Tap(self.clone())
    }

    /// Why the connection has ended, where this is what found it out.
    pub(super) fn ended(&self) -> Option<Rc<str>> {
        self.ended.borrow().clone()
    }

    /// Whether it is by an alert of TLS: Postgres takes no session of this kind.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.stream.borrow().is_none()
    }

    /// Changes whenever something has arrived.
    pub(super) fn heard(&self) -> u64 {
        self.heard.get()
    }

    /// Sends a prepared statement, in one transaction with the settings that it is to see. False when the
    /// connection has ended: nothing was sent then, and `receiver` hears nothing.
    ///
    /// What stands between two Syncs is one transaction that nobody has to begin or end (Postgres
    /// §55.2.4): where the settings are refused Postgres skips the statement, and whatever becomes of it,
    /// with the Sync they are gone.
    pub(super) fn send(
        &self,
        settings: Option<Settings<'_>>,
        head: &[u8],
        parameters: impl FnOnce(&mut Vec<u8>),
        receiver: Rc<dyn Receiver>,
    ) -> bool {
        let stream = self.stream.borrow();
        let Some(stream) = &*stream else {
            return false;
        };
        let stage = match settings {
            Some(_) => Stage::Settings,
            None => Stage::Bind,
        };
        stream.write(|out| {
            if let Some(settings) = settings {
                settings.append(out);
            }
            message::append_statement(head, parameters, out);
            message::append_sync(out);
        });
        let mut turns = self.turns.borrow_mut();
        turns.queue.push_back(Turn::Statement(receiver, stage));
        true
    }

    /// Reads what has arrived, until there is something for tokio-postgres or the connection ends.
    fn poll_driver(&self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.driver.borrow().bytes.is_empty() || self.is_ended() {
                return Poll::Ready(());
            }
            if let Err(reason) = ready!(self.poll_read(context)) {
                self.end(&reason);
            }
        }
    }

    fn poll_read(&self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        let stream = self.stream.borrow();
        let Some(stream) = &*stream else {
            return Poll::Ready(Ok(()));
        };
        Poll::Ready(match ready!(stream.poll_fill(context, self.seen.get())) {
            Ok(true) => self.read(stream),
            Ok(false) => Err("Postgres closed the connection".to_owned()),
            Err(error) => {
                self.refused.set(tls::is_refusal(&error));
                Err(tls::words(&error))
            }
        })
    }

    /// Hands out the whole messages of the input.
    fn read(&self, stream: &Channel) -> Result<(), String> {
        self.heard.set(self.heard.get() + 1);
        let mut long = self.long.borrow_mut();
        if long.is_empty() {
            let used = stream.with_input(|input| self.take_messages(input))?;
            stream.consume(used);
            if stream.unread() <= LEFT_BYTES_MAX {
                self.seen.set(stream.unread());
                return Ok(());
            }
        }
        self.seen.set(0);
        stream.with_input(|input| long.extend_from_slice(input));
        stream.consume(stream.unread());
        let used = self.take_messages(&long)?;
        long.drain(..used);
        if long.is_empty() {
            *long = Vec::new(); // few messages are so long: give the memory back
        }
        Ok(())
    }

    /// Takes whole messages from the front of `bytes`; the number of bytes that are done with.
    fn take_messages(&self, bytes: &[u8]) -> Result<usize, String> {
        let malformed =
            |_: Malformed| "Postgres sent something that is not its protocol".to_owned();
        let mut turns = self.turns.borrow_mut();
        let mut used = 0;
        loop {
            let skipped = self.skip.get().min(bytes.len() - used);
            self.skip.set(self.skip.get() - skipped);
            used += skipped;
            let rest = &bytes[used..];
            let Some((tag, length)) = message::header(rest).map_err(malformed)? else {
                return Ok(used);
            };
            if length > MESSAGE_BYTES_MAX {
                turns.refuse_long(tag)?;
                self.skip.set(length);
                continue;
            }
            let Some(whole) = rest.get(..length) else {
                return Ok(used);
            };
            if turns.is_for_driver(tag) {
                self.driver.borrow_mut().bytes.extend_from_slice(whole);
            } else {
                turns.take(tag, &whole[HEADER_BYTES..])?;
            }
            used += length;
        }
    }

    /// Ends the connection, which is of no more use: everybody who waits for an answer hears why.
    fn end(&self, reason: &str) {
        if !self.is_ended() {
            let reason: Rc<str> = reason.into();
            self.ended.replace(Some(reason.clone()));
            self.close(&reason);
        }
    }

    /// Closes the connection, if it has not ended.
    fn close(&self, reason: &Rc<str>) {
        let Some(stream) = self.stream.take() else {
            return;
        };
        drop(stream);
        let queue = std::mem::take(&mut self.turns.borrow_mut().queue);
        for turn in queue {
            if let Turn::Statement(receiver, _) = turn {
                receiver.end(End::Lost(reason.clone()));
            }
        }
    }

    /// Notes the turns of what tokio-postgres sends: always whole messages.
    fn note_sent(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut turns = self.turns.borrow_mut();
        while turns.open && !bytes.is_empty() {
            let header = message::header(bytes).ok().flatten();
            let Some((tag, rest)) =
                header.and_then(|(tag, length)| Some((tag, bytes.get(length..)?)))
            else {
                return Err(io::Error::other("the driver sent part of a message"));
            };
            // Query and Sync are what ReadyForQuery answers.
            if matches!(tag, b'Q' | b'S') {
                turns.queue.push_back(Turn::Driver);
            }
            bytes = rest;
        }
        Ok(())
    }
}

impl Turns {
    /// Whether tokio-postgres is to read a message. Notices, notifications and changes of settings
    /// may come at any time; what comes when nobody has asked are Postgres's last words.
    fn is_for_driver(&mut self, tag: u8) -> bool {
        if matches!(tag, b'N' | b'A' | b'S') {
            return true;
        }
        if let Some(Turn::Statement(..)) = self.queue.front() {
            return false;
        }
        if tag == b'Z' {
            self.open = true;
            self.queue.pop_front();
        }
        true
    }

    /// Takes a message of the answer to the statement at the front.
    fn take(&mut self, tag: u8, body: &[u8]) -> Result<(), String> {
        let Some(Turn::Statement(receiver, stage)) = self.queue.front_mut() else {
            return Ok(());
        };
        match (tag, *stage) {
            // What it says of the settings is of no interest, unless it refuses them.
            (b'2' | b'D', Stage::Settings) => {}
            (b'C', Stage::Settings) => *stage = Stage::Bind,
            (b'2', _) => *stage = Stage::Execute,
            (b'D', Stage::Execute) => receiver.row(body),
            // CommandComplete, and EmptyQueryResponse in its place.
            (b'C' | b'I', Stage::Execute) => {}
            (b'E', _) => {
                let refusal = Refusal::parse(body)
                    .map_err(|Malformed| "Postgres sent an error without a state".to_owned())?;
                if refusal.ends_connection() {
                    return Err(format!("{} ({})", refusal.message, refusal.state));
                }
                self.refusal = Some(refusal);
            }
            (b'Z', stage) => {
                // Whatever comes next on this connection would be part of it, and see its settings.
                if body != b"I" {
                    return Err("a statement left a transaction open".to_owned());
                }
                let end = match (self.refusal.take(), stage) {
                    (Some(refusal), stage) => End::Refused(stage, refusal),
                    (None, Stage::Execute) => End::Complete,
                    (None, _) => return Err("Postgres has left a statement out".to_owned()),
                };
                receiver.end(end);
                self.queue.pop_front();
            }
            // The two sides no longer agree on what comes next (COPY): not one more row of this
            // connection can be trusted.
            (tag, _) => {
                return Err(format!(
                    "unexpected message {:?} from Postgres",
                    tag as char
                ));
            }
        }
        Ok(())
    }

    /// A message that is too long to be kept: only a row of a statement may be.
    fn refuse_long(&mut self, tag: u8) -> Result<(), String> {
        match self.queue.front() {
            Some(Turn::Statement(receiver, Stage::Execute)) if tag == b'D' => {
                receiver.row_too_long();
                Ok(())
            }
            _ => Err("Postgres sent a message that is too long".to_owned()),
        }
    }
}

/// tokio-postgres's side of a [`Wire`].
pub struct Tap(Rc<Wire>);

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.close(&"the connection was closed".into());
    }
}

impl TlsStream for Tap {
    fn channel_binding(&self) -> ChannelBinding {
        let stream = self.0.stream.borrow();
        let certificate = stream.as_ref().and_then(Channel::server_certificate);
        match certificate.and_then(|certificate| tls::server_end_point(&certificate)) {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.0.poll_driver(context));
        let mut inbox = self.0.driver.borrow_mut();
        let Inbox { bytes, read } = &mut *inbox;
        let count = buffer.remaining().min(bytes.len() - *read);
        buffer.put_slice(&bytes[*read..*read + count]);
        *read += count;
        if *read == bytes.len() {
            *inbox = Inbox::default(); // it reads little once the session is open
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    /// Takes all of it, as a statement must not come between two parts of a message. What it sends
    /// is bounded: a password, and the routes' texts.
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.0.stream.borrow();
        let Some(stream) = &*stream else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        self.0.note_sent(bytes)?;
        stream.write(|out| out.extend_from_slice(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // what is written goes out with the next pass
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.0.stream.borrow();
        let Some(stream) = &*stream else {
            return Poll::Ready(Ok(()));
        };
        ready!(stream.poll_drain(context, 0))?;
        stream.shutdown_write();
        Poll::Ready(Ok(()))
    }
}

/// Where the end of something is told once and waited for by one: of a statement, or what became of a
/// request in its batch.
pub(super) struct Answer<T = End> {
    end: RefCell<Option<T>>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Default for Answer<T> {
    fn default() -> Answer<T> {
        Answer {
            end: RefCell::default(),
            waker: RefCell::default(),
        }
    }
}

impl<T> Answer<T> {
    pub(super) fn end(&self, end: T) {
        self.end.replace(Some(end));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) async fn wait(&self) -> T {
        poll_fn(|context| {
            if let Some(end) = self.end.take() {
                return Poll::Ready(end);
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests;
