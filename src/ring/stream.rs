//! A connected socket as the rest of the crate sees it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::socket::Socket;
use super::{Held, Ring};

/// One TCP or unix connection, carried by its core's ring. Dropping it closes it at once; what was
/// written and not yet sent is lost then, so a polite end waits for [`Stream::poll_drain`].
pub struct Stream {
    ring: Rc<Ring>,
    socket: Rc<Socket>,
    /// Whom it was accepted from, over TCP.
    peer: Option<SocketAddr>,
}

impl Stream {
    /// Takes over a connected, blocking socket. It starts to receive with the next pass.
    pub fn adopt(ring: &Rc<Ring>, descriptor: impl Into<OwnedFd>) -> Stream {
        let stream = Stream::register(ring, descriptor.into());
        ring.list(&stream.socket);
        stream
    }

    /// Connects a new, blocking socket to `address`.
    pub async fn connect(
        ring: &Rc<Ring>,
        socket: socket2::Socket,
        address: socket2::SockAddr,
    ) -> io::Result<Stream> {
        let stream = Stream::register(ring, socket.into());
        stream.socket.address.replace(Some(Box::new(address)));
        ring.connect(&stream.socket);
        poll_fn(|context| {
            let socket = &stream.socket;
            if let Some(error) = socket.failure() {
                return Poll::Ready(Err(error));
            }
            if !socket.connecting.get() {
                return Poll::Ready(Ok(()));
            }
            socket.writer.wait(context.waker());
            Poll::Pending
        })
        .await?;
        Ok(stream)
    }

    /// Notes whom it was accepted from.
    pub(super) fn accepted_from(mut self, peer: Option<SocketAddr>) -> Stream {
        self.peer = peer;
        self
    }

    /// Whom it was accepted from; `None` for a unix socket, and for one that was not accepted.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    fn register(ring: &Rc<Ring>, descriptor: OwnedFd) -> Stream {
        let descriptor = descriptor.into_raw_fd();
        let mut made = None;
        ring.held.borrow_mut().insert_with(|slot, generation| {
            let socket = Rc::new(Socket::new(descriptor, slot, generation, ring.now()));
            made = Some(socket.clone());
            Held::Socket(socket)
        });
        Stream {
            ring: ring.clone(),
            socket: made.expect("insert_with calls its closure"),
            peer: None,
        }
    }

    /// Bytes that have arrived and have not been consumed.
    pub fn unread(&self) -> usize {
        self.socket.unread()
    }

    /// Shows the unread bytes, contiguous. Only appended to until they are consumed.
    pub fn with_input<T>(&self, see: impl FnOnce(&[u8]) -> T) -> T {
        see(&self.socket.input.borrow()[self.socket.read.get()..])
    }

    /// When the first unread byte came. Of what was left when others were consumed this is when the last
    /// one had come, which is later at the most by how long they have waited together.
    pub fn received_first(&self) -> Instant {
        self.socket.received_first.get()
    }

    /// When the last byte came.
    pub fn received_last(&self) -> Instant {
        self.socket.received_last.get()
    }

    /// Past this many unread bytes nothing more is taken from the kernel.
    pub fn input_bytes_max(&self) -> usize {
        self.ring.input_bytes_max
    }

    /// Drops the first `count` unread bytes.
    pub fn consume(&self, count: usize) {
        let socket = &self.socket;
        let read = socket.read.get() + count;
        let mut input = socket.input.borrow_mut();
        assert!(read <= input.len(), "consumed more than was received");
        socket.read.set(read);
        socket.received_first.set(socket.received_last.get());
        if read == input.len() {
            socket.read.set(0);
            self.ring.spare_buffer(std::mem::take(&mut *input));
        }
        drop(input);
        if socket.wants_receive(self.ring.input_bytes_max / 2) {
            self.ring.list(socket);
        }
    }

    /// Ready with `true` when more than `beyond` bytes are unread, with `false` when the peer has
    /// ended and no more will come, with an error when the socket failed or its deadline passed.
    pub fn poll_fill(&self, context: &mut Context<'_>, beyond: usize) -> Poll<io::Result<bool>> {
        let socket = &self.socket;
        if socket.unread() > beyond {
            return Poll::Ready(Ok(true));
        }
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        if socket.ended.get() {
            return Poll::Ready(Ok(false));
        }
        if socket.wants_receive(self.ring.input_bytes_max) {
            self.ring.list(socket);
        }
        socket.reader.wait(context.waker());
        Poll::Pending
    }

    /// Lets `write` append to the output, which goes out with the next pass.
    pub fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut output = self.socket.output.borrow_mut();
        if output.capacity() == 0 {
            *output = self.ring.take_spare();
        }
        let value = write(&mut output);
        if !output.is_empty() {
            self.ring.list(&self.socket);
        }
        value
    }

    /// Bytes that were written and that the kernel has not taken.
    pub fn unsent(&self) -> usize {
        self.socket.unsent()
    }

    /// Ready when at most `left` bytes are unsent, or with the error that keeps them from going.
    pub fn poll_drain(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<()>> {
        if let Some(error) = self.socket.failure() {
            return Poll::Ready(Err(error));
        }
        if self.unsent() <= left {
            return Poll::Ready(Ok(())); // even if the deadline has passed meanwhile
        }
        if let Some(error) = self.failure() {
            return Poll::Ready(Err(error));
        }
        self.socket.writer.wait(context.waker());
        Poll::Pending
    }

    /// Whether the peer has ended its side, or the socket failed.
    pub fn ended(&self) -> bool {
        self.socket.ended.get()
    }

    /// From now on, waiting on this stream fails with `TimedOut` once `after` has passed (seen up
    /// to 50 ms later); `None` waits for ever.
    pub fn set_deadline(&self, after: Option<Duration>) {
        self.ring.deadlines.set(self.socket.slot, after);
        self.socket.timed_out.set(false);
    }

    /// Tells the peer that nothing more will be sent; what was written before must be drained.
    pub fn shutdown_write(&self) {
        // A peer that is gone already is no fault here.
        let _ = socket2::SockRef::from(self).shutdown(std::net::Shutdown::Write);
    }

    /// From now on closing resets the connection: what the kernel has still to send is thrown away.
    pub fn reset_at_close(&self) {
        // One that is closed already, or no TCP socket, has nothing to reset.
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    #[cfg(test)]
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    fn failure(&self) -> Option<io::Error> {
        if self.socket.timed_out.get() {
            return Some(io::ErrorKind::TimedOut.into());
        }
        self.socket.failure()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ring.end(&self.socket);
    }
}

impl AsFd for Stream {
    #[allow(unsafe_code)] // lending our own descriptor
    fn as_fd(&self) -> BorrowedFd<'_> {
        // A core that ends closes the sockets of streams that are still there.
        assert!(!self.socket.closing.get(), "the core has ended");
        // SAFETY: the descriptor is closed only after this stream is dropped, or when the core ends
        // and no task that could have borrowed it runs again; then it is not lent any more.
        unsafe { BorrowedFd::borrow_raw(self.socket.descriptor) }
    }
}
