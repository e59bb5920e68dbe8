//! What the ring keeps of one socket: both directions, and what the kernel still has in hand.
//!
//! Pure state: nothing here talks to the kernel. `queue.rs` turns it into operations and
//! `completions.rs` the outcomes back into it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::task::Waker;
use std::time::Instant;

/// Unsent bytes of one socket past which a writer has to wait. 256 KiB let a socket's own send
/// buffer be filled while the next part is made.
pub(super) const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// The receive operation of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// Not in the kernel: to be armed when there is room and the peer has not ended.
    Idle,
    /// A multishot receive is in the kernel.
    Armed,
    /// Being cancelled, because the input is over its bound; completions may still come.
    Cancelling,
}

/// One socket; lives in the ring's slab until its last operation has completed.
pub(super) struct Socket {
    pub(super) descriptor: RawFd,
    pub(super) slot: u32,
    pub(super) generation: u32,

    /// Received bytes; those before `read` have been consumed.
    pub(super) input: RefCell<Vec<u8>>,
    pub(super) read: Cell<usize>,
    /// When the first of the unread bytes came, and the last.
    pub(super) received_first: Cell<Instant>,
    pub(super) received_last: Cell<Instant>,
    pub(super) receive: Cell<Receive>,
    /// The peer has sent all that it will send.
    pub(super) ended: Cell<bool>,
    /// The error that ended the socket, as the kernel numbers it; 0 for none.
    pub(super) error: Cell<i32>,
    pub(super) reader: Waiter,

    /// Bytes that were written since the last pass.
    pub(super) output: RefCell<Vec<u8>>,
    /// Bytes that the kernel reads from now: not touched until the completion of the send.
    /// Those before `sent` have gone out.
    pub(super) flying: RefCell<Vec<u8>>,
    pub(super) sent: Cell<usize>,
    pub(super) sending: Cell<bool>,
    /// Its send buffer has been full once: whoever reads slowly gets sends that wait for room.
    pub(super) crowded: Cell<bool>,
    /// The socket is in the ring's list of those that want a send or a receive at the next pass.
    pub(super) listed: Cell<bool>,
    pub(super) writer: Waiter,

    /// The peer's address of a socket that is being connected: read by the kernel until then.
    pub(super) address: RefCell<Option<Box<socket2::SockAddr>>>,
    pub(super) connecting: Cell<bool>,

    /// Operations whose last completion has not come. The socket is freed at 0 only.
    pub(super) operations: Cell<u32>,
    /// The stream is gone: nothing is delivered any more.
    pub(super) closing: Cell<bool>,
    /// The deadline that was set for the socket has passed.
    pub(super) timed_out: Cell<bool>,
}

impl Socket {
    pub(super) fn new(descriptor: RawFd, slot: u32, generation: u32, now: Instant) -> Socket {
        Socket {
            descriptor,
            slot,
            generation,
            input: RefCell::default(),
            read: Cell::new(0),
            received_first: Cell::new(now),
            received_last: Cell::new(now),
            receive: Cell::new(Receive::Idle),
            ended: Cell::new(false),
            error: Cell::new(0),
            reader: Waiter::default(),
            output: RefCell::default(),
            flying: RefCell::default(),
            sent: Cell::new(0),
            sending: Cell::new(false),
            crowded: Cell::new(false),
            listed: Cell::new(false),
            writer: Waiter::default(),
            address: RefCell::default(),
            connecting: Cell::new(false),
            operations: Cell::new(0),
            closing: Cell::new(false),
            timed_out: Cell::new(false),
        }
    }

    /// Bytes that were received and not consumed.
    pub(super) fn unread(&self) -> usize {
        self.input.borrow().len() - self.read.get()
    }

    /// Bytes that were written and have not been taken by the kernel.
    pub(super) fn unsent(&self) -> usize {
        self.output.borrow().len() + self.flying.borrow().len() - self.sent.get()
    }

    /// The socket can't be used any more: the error of its first failed operation, if any.
    pub(super) fn failure(&self) -> Option<io::Error> {
        match self.error.get() {
            0 => None,
            number => Some(io::Error::from_raw_os_error(number)),
        }
    }

    /// Notes the first error and wakes whoever waits for the socket.
    pub(super) fn fail(&self, number: i32) {
        if self.error.get() == 0 {
            self.error.set(number);
        }
        self.ended.set(true);
        self.reader.wake();
        self.writer.wake();
    }

    /// Whether a receive should be in the kernel and is not.
    pub(super) fn wants_receive(&self, unread_max: usize) -> bool {
        self.receive.get() == Receive::Idle
            && !self.ended.get()
            && !self.closing.get()
            && !self.connecting.get()
            && self.unread() <= unread_max
    }

    /// Whether there is output and no send in the kernel. Nothing goes out once the stream is gone:
    /// the cancellation is under way already and would miss the send.
    pub(super) fn wants_send(&self) -> bool {
        !self.sending.get()
            && !self.closing.get()
            && !self.connecting.get()
            && self.error.get() == 0
            && !self.output.borrow().is_empty()
    }
}

/// The task that waits for one direction of a socket. Its waker stays here when it has been used:
/// the same task waits next time, and copying a waker costs more than comparing it.
#[derive(Default)]
pub(super) struct Waiter {
    waker: RefCell<Option<Waker>>,
    waiting: Cell<bool>,
}

impl Waiter {
    /// Notes that the task of `waker` waits.
    pub(super) fn wait(&self, waker: &Waker) {
        remember(&self.waker, waker);
        self.waiting.set(true);
    }

    /// Whether a task waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// Wakes the task that waits, if any.
    pub(super) fn wake(&self) {
        if self.waiting.take()
            && let Some(waker) = &*self.waker.borrow()
        {
            waker.wake_by_ref();
        }
    }
}

/// Stores `waker` unless the one that is there wakes the same task.
pub(super) fn remember(place: &RefCell<Option<Waker>>, waker: &Waker) {
    let mut place = place.borrow_mut();
    match &*place {
        Some(known) if known.will_wake(waker) => {}
        _ => *place = Some(waker.clone()),
    }
}
