//! Operations on their way into the kernel.
//!
//! Whatever an entry points to (a send's bytes, a connect's address) is owned by a socket in the
//! slab, is not touched while the operation is in the kernel, and outlives it: a socket leaves the
//! slab when its count of operations is zero. An operation counts from before its entry is queued, so
//! the same is true of entries that wait for room.

#![allow(unsafe_code)] // handing memory to the kernel: DESIGN §5

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{opcode, squeue};

use super::kernel::Kernel;
use super::socket::{Receive, Socket};
use super::token::{Operation, Token};
use super::{Held, Ring, buffers};

/// Spare buffers kept by a core for sockets that get bytes: at most 256 of at most 64 KiB.
const SPARE_BUFFERS_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one send at the most. The kernel goes on with a send each time that the socket has
/// room, up to 128 times, then hands it to a thread that blocks: a peer that reads slowly must not
/// cost one. Each time a third of the send buffer is free at least, 2 KiB of the smallest.
const SEND_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a send that is tried without waiting for room. More may well not fit, and a send that
/// is cut short costs another one.
const TRY_BYTES_MAX: usize = 16 * 1024;

/// What a sweep cancels again at the most; twenty of them a second. Few need it: cancellations
/// seldom miss.
pub(super) const CANCELLED_AGAIN_MAX: usize = 256;

/// Whether a send waits in the kernel for room in the socket's send buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Send {
    /// It completes while it is being submitted, sent or not.
    Try,
    /// It completes when all is sent.
    Wait,
}

/// What waits for the next entry into the kernel.
#[derive(Default)]
pub(super) struct Queue {
    /// Sockets that want a send or a receive armed.
    listed: RefCell<Vec<Rc<Socket>>>,
    /// Entries that found the submission queue full, in order.
    pub(super) waiting: RefCell<VecDeque<squeue::Entry>>,
    /// Cancelled to be closed: looked after by the sweep until their last completion.
    ending: RefCell<VecDeque<Held>>,
}

#[cfg(test)]
impl Queue {
    /// Whether nothing waits for anything.
    pub(super) fn is_idle(&self) -> bool {
        self.listed.borrow().is_empty()
            && self.waiting.borrow().is_empty()
            && self.ending.borrow().is_empty()
    }
}

impl Ring {
    /// Notes that a socket has something for the next pass.
    pub(super) fn list(&self, socket: &Rc<Socket>) {
        if !socket.listed.replace(true) {
            self.queue.listed.borrow_mut().push(socket.clone());
        }
    }

    /// Queues the sends and receives of the listed sockets; how many of their completions come with
    /// the submission itself and are news to nobody.
    pub(super) fn flush_listed(&self) -> usize {
        let mut listed = self.queue.listed.take();
        let mut no_news = 0;
        for socket in listed.drain(..) {
            socket.listed.set(false);
            if socket.wants_send() {
                let tried = self.send(&socket) == Send::Try;
                no_news += usize::from(tried && !socket.writer.is_waiting());
            }
            if socket.wants_receive(self.input_bytes_max) {
                self.receive(&socket);
            }
        }
        // Keep the vector's memory for the next pass, unless a wake listed a socket meanwhile.
        let mut slot = self.queue.listed.borrow_mut();
        listed.append(&mut slot);
        *slot = listed;
        no_news
    }

    /// Hands the output to the kernel as one send; of which kind.
    fn send(&self, socket: &Rc<Socket>) -> Send {
        debug_assert!(!socket.sending.get() && socket.flying.borrow().is_empty());
        std::mem::swap(
            &mut *socket.flying.borrow_mut(),
            &mut *socket.output.borrow_mut(),
        );
        socket.sent.set(0);
        let send = match socket.crowded.get() || socket.unsent() > TRY_BYTES_MAX {
            true => Send::Wait,
            false => Send::Try,
        };
        self.send_rest(socket, send);
        send
    }

    /// Sends what of the flying bytes has not gone out yet.
    pub(super) fn send_rest(&self, socket: &Rc<Socket>, send: Send) {
        let flying = socket.flying.borrow();
        let rest = &flying[socket.sent.get()..];
        debug_assert!(!socket.sending.get() && !rest.is_empty());
        let length = rest.len().min(SEND_BYTES_MAX) as u32;
        // With DONTWAIT the kernel neither polls nor hands the send to a thread.
        let flags = match send {
            Send::Try => libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
            Send::Wait => libc::MSG_NOSIGNAL | libc::MSG_WAITALL,
        };
        let entry = opcode::Send::new(Fd(socket.descriptor), rest.as_ptr(), length)
            .flags(flags)
            .build();
        socket.sending.set(true);
        self.start(socket, Operation::Send, entry);
    }

    fn receive(&self, socket: &Rc<Socket>) {
        let entry = opcode::RecvMulti::new(Fd(socket.descriptor), buffers::GROUP).build();
        socket.receive.set(Receive::Armed);
        self.start(socket, Operation::Receive, entry);
    }

    /// Stops receiving because the input is over its bound.
    pub(super) fn cancel_receive(&self, socket: &Rc<Socket>) {
        socket.receive.set(Receive::Cancelling);
        let target = token(socket, Operation::Receive);
        self.cancel(
            CancelBuilder::user_data(target.encode()),
            token(socket, Operation::Cancel),
        );
    }

    /// Connects the socket to the address that it holds.
    pub(super) fn connect(&self, socket: &Rc<Socket>) {
        let address = socket.address.borrow();
        let address = address.as_ref().expect("set by Stream::connect");
        let entry = opcode::Connect::new(
            Fd(socket.descriptor),
            address.as_ptr().cast(),
            address.len(),
        )
        .build();
        socket.connecting.set(true);
        self.start(socket, Operation::Connect, entry);
    }

    /// Ends a socket whose stream is gone: cancels what is in the kernel, closes after the last
    /// completion.
    pub(super) fn end(&self, socket: &Rc<Socket>) {
        if socket.closing.replace(true) {
            return;
        }
        self.deadlines.set(socket.slot, None);
        if socket.operations.get() == 0 {
            self.release(socket);
        } else {
            self.cancel_all(socket);
            self.look_after(Held::Socket(socket.clone()));
        }
    }

    /// Cancels each operation by its token, which the kernel looks up. What it cancels by descriptor
    /// it looks for among everything that waits on the ring: with thousands of sockets that end at
    /// the same time a pass would take seconds.
    fn cancel_all(&self, socket: &Socket) {
        let receiving = socket.receive.get() != Receive::Idle;
        for (operation, pending) in [
            (Operation::Receive, receiving),
            (Operation::Send, socket.sending.get()),
            (Operation::Connect, socket.connecting.get()),
        ] {
            if pending {
                self.cancel(
                    CancelBuilder::user_data(token(socket, operation).encode()),
                    token(socket, Operation::Cancel),
                );
            }
        }
    }

    /// Keeps cancelling what is to be closed. A cancellation does not find an operation that the
    /// kernel is about to try again (it is neither polled for nor with a worker then), and that
    /// operation may then wait for its peer for ever.
    pub(super) fn look_after(&self, held: Held) {
        self.queue.ending.borrow_mut().push_back(held);
    }

    /// Cancels again what is still not closed: the longest not cancelled first, so many at a time.
    pub(super) fn cancel_again(&self) {
        let mut ending = self.queue.ending.take();
        let mut again = 0;
        for _ in 0..ending.len() {
            if again == CANCELLED_AGAIN_MAX {
                break;
            }
            let Some(held) = ending.pop_front() else {
                break;
            };
            let left = match &held {
                Held::Socket(socket) => {
                    let left = socket.operations.get() > 0;
                    left.then(|| self.cancel_all(socket))
                }
                Held::Listener(state) => self.cancel_accept_again(state),
                Held::Event(_) => None, // always polled for, so always found
            };
            if left.is_some() {
                again += 1;
                ending.push_back(held);
            }
        }
        self.queue.ending.replace(ending);
    }

    /// Closes the descriptor and frees the slot of a socket with no operation left.
    pub(super) fn release(&self, socket: &Rc<Socket>) {
        debug_assert_eq!(socket.operations.get(), 0);
        debug_assert!(!socket.sending.get() && !socket.connecting.get());
        debug_assert_eq!(socket.receive.get(), Receive::Idle);
        self.spare_buffer(socket.input.take());
        self.spare_buffer(socket.output.take());
        self.spare_buffer(socket.flying.take());
        self.close_descriptor(socket.descriptor);
        self.held
            .borrow_mut()
            .remove(socket.slot, socket.generation);
    }

    /// Closes a descriptor that nothing in the kernel refers to any more.
    pub(super) fn close_descriptor(&self, descriptor: RawFd) {
        let token = Token {
            operation: Operation::Close,
            generation: 0,
            slot: 0,
        };
        self.push(
            opcode::Close::new(Fd(descriptor))
                .build()
                .user_data(token.encode()),
        );
    }

    /// Cancels; `token` says on whose behalf.
    pub(super) fn cancel(&self, target: CancelBuilder, token: Token) {
        debug_assert_eq!(token.operation, Operation::Cancel);
        self.push(
            opcode::AsyncCancel2::new(target)
                .build()
                .user_data(token.encode()),
        );
    }

    fn start(&self, socket: &Rc<Socket>, operation: Operation, entry: squeue::Entry) {
        socket.operations.set(socket.operations.get() + 1);
        self.push(entry.user_data(token(socket, operation).encode()));
    }

    /// Queues an entry. A full queue is submitted and tried again; what still finds no room waits
    /// for the next pass, in order.
    pub(super) fn push(&self, entry: squeue::Entry) {
        let mut waiting = self.queue.waiting.borrow_mut();
        if waiting.is_empty() {
            let mut kernel = self.kernel.borrow_mut();
            // SAFETY: see the head of this file: what the entry points to outlives the operation.
            if unsafe { kernel.push(&entry) } {
                return;
            }
            // An error (EBUSY: completions to be taken first) leaves the entry to the next pass.
            let _ = kernel.submit();
            // SAFETY: as above.
            if unsafe { kernel.push(&entry) } {
                return;
            }
        }
        waiting.push_back(entry);
    }

    /// Submits everything and runs what the kernel deferred. Blocks for at most `wait`, until there
    /// are more completions than `no_news`.
    pub(super) fn enter(&self, wait: Option<Duration>, no_news: usize) -> io::Result<()> {
        let mut kernel = self.kernel.borrow_mut();
        self.refill(&mut kernel);
        let outcome = match wait {
            Some(wait) if self.queue.waiting.borrow().is_empty() => kernel.wait(wait, no_news + 1),
            _ => kernel.enter(),
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Timed out; interrupted; completions to be taken first; no memory right now.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Moves entries that waited into the submission queue, as many as fit.
    fn refill(&self, kernel: &mut Kernel) {
        let mut waiting = self.queue.waiting.borrow_mut();
        while let Some(entry) = waiting.front() {
            // SAFETY: see the head of this file.
            if !unsafe { kernel.push(entry) } {
                break;
            }
            waiting.pop_front();
        }
    }

    /// A buffer for bytes to come: idle sockets own none.
    pub(super) fn take_spare(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn spare_buffer(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > SPARE_BYTES_MAX {
            return;
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }

    /// Cancels everything and waits until the kernel has let go of it all. False if it has not.
    pub(super) fn reclaim(&self, patience: Duration) -> bool {
        let start = std::time::Instant::now();
        let held: Vec<_> = self.held.borrow().iter().map(Held::clone).collect();
        for one in &held {
            match one {
                Held::Socket(socket) => self.end(socket),
                Held::Listener(state) => self.end_listener(state),
                Held::Event(state) => self.end_event(state),
            }
        }
        drop(held);
        while self.held() > 0 || !self.queue.waiting.borrow().is_empty() {
            if start.elapsed() > patience || self.enter(Some(Duration::from_millis(5)), 0).is_err()
            {
                return false;
            }
            self.handle_completions();
            self.cancel_again();
        }
        // The last closes are queued, not yet submitted.
        self.enter(None, 0).is_ok()
    }

    /// Gives up on memory that the kernel may still use.
    pub(super) fn leak(&self) {
        for one in self.held.borrow().iter() {
            std::mem::forget(one.clone());
        }
        self.buffers.borrow_mut().leak();
    }
}

fn token(socket: &Socket, operation: Operation) -> Token {
    Token {
        operation,
        generation: socket.generation,
        slot: socket.slot,
    }
}
