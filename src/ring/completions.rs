//! Completions on their way out of the kernel: each finds its socket by slot and generation.

use std::rc::Rc;

use io_uring::cqueue;

use super::queue::Send;
use super::socket::{OUTPUT_BYTES_MAX, Receive, Socket};
use super::token::{Operation, Token};
use super::{Held, Ring};

impl Ring {
    /// Takes every completion that is there; how many.
    pub(super) fn handle_completions(&self) -> usize {
        let mut completed = self.completed.take();
        self.kernel.borrow_mut().take(&mut completed);
        let count = completed.len();
        for completion in completed.drain(..) {
            self.handle(&completion);
        }
        self.completed.replace(completed);
        self.buffers.borrow().publish();
        count
    }

    fn handle(&self, completion: &cqueue::Entry) {
        let Some(token) = Token::decode(completion.user_data()) else {
            tracing::error!("a completion of no operation of ours");
            return;
        };
        let held = match token.operation {
            Operation::Close => return,
            _ => self
                .held
                .borrow()
                .find(token.slot, token.generation)
                .cloned(),
        };
        match (token.operation, held) {
            (Operation::Receive, Some(Held::Socket(socket))) => self.received(&socket, completion),
            (Operation::Send, Some(Held::Socket(socket))) => {
                self.sent(&socket, completion.result());
            }
            (Operation::Connect, Some(Held::Socket(socket))) => {
                self.connected(&socket, completion.result());
            }
            (Operation::Accept, Some(Held::Listener(state))) => self.acceptable(&state),
            (Operation::Event, Some(Held::Event(state))) => self.woken(&state, completion),
            (Operation::Cancel, held) => cancelled(held.as_ref()),
            _ => self.late(token.operation, completion),
        }
    }

    /// A completion whose socket is gone: only its buffer matters.
    ///
    /// Sockets leave the slab after their last completion, so none should come this way; if one
    /// does, nothing is lost and nobody else is touched.
    fn late(&self, operation: Operation, completion: &cqueue::Entry) {
        tracing::error!(
            ?operation,
            user_data = completion.user_data(),
            "a late completion"
        );
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            self.buffers.borrow_mut().take(id, 0, |_| ());
        }
    }

    fn received(&self, socket: &Rc<Socket>, completion: &cqueue::Entry) {
        let result = completion.result();
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            let length = usize::try_from(result).unwrap_or(0);
            self.tally
                .bytes_received
                .update(|bytes| bytes + length as u64);
            let keep = !socket.closing.get();
            self.buffers.borrow_mut().take(id, length, |bytes| {
                if keep {
                    self.append(socket, bytes);
                }
            });
        }
        let more = cqueue::more(completion.flags());
        if !more {
            socket.receive.set(Receive::Idle);
        }
        match result {
            // The buffers were used up (they are back by the next pass), or we cancelled.
            _ if result == -libc::ENOBUFS || result == -libc::ECANCELED => {}
            // Interrupted before it began.
            _ if result == -libc::EINTR || result == -libc::EAGAIN => {}
            0 => socket.ended.set(true),
            _ if result < 0 => socket.fail(-result),
            _ => {}
        }
        if more {
            if socket.receive.get() == Receive::Armed && socket.unread() > self.input_bytes_max {
                self.cancel_receive(socket);
            }
        } else {
            self.completed_one(socket);
            if socket.wants_receive(self.input_bytes_max) {
                self.list(socket);
            }
        }
        socket.reader.wake();
    }

    fn append(&self, socket: &Socket, bytes: &[u8]) {
        let mut input = socket.input.borrow_mut();
        socket.received_last.set(self.now());
        if socket.read.get() == input.len() {
            socket.received_first.set(self.now());
        }
        if input.capacity() == 0 {
            *input = self.take_spare();
        }
        let read = socket.read.get();
        if read > 0 && input.len() + bytes.len() > input.capacity() {
            input.drain(..read);
            socket.read.set(0);
        }
        input.extend_from_slice(bytes);
    }

    fn sent(&self, socket: &Rc<Socket>, result: i32) {
        socket.sending.set(false);
        self.completed_one(socket);
        if socket.closing.get() {
            return; // nobody waits for it, and its buffers may have been taken back
        }
        match usize::try_from(result) {
            Err(_) if result == -libc::EINTR || result == -libc::EAGAIN => {
                socket.crowded.set(true);
                self.send_rest(socket, Send::Wait);
            }
            Err(_) => socket.fail(-result),
            Ok(count) => {
                self.tally.bytes_sent.update(|bytes| bytes + count as u64);
                socket.sent.set(socket.sent.get() + count);
                if socket.sent.get() < socket.flying.borrow().len() {
                    socket.crowded.set(true);
                    self.send_rest(socket, Send::Wait);
                } else {
                    self.landed(socket);
                }
            }
        }
        if socket.unsent() < OUTPUT_BYTES_MAX {
            socket.writer.wake();
        }
    }

    /// All flying bytes have gone out: their buffer is ours again.
    fn landed(&self, socket: &Rc<Socket>) {
        let mut buffer = socket.flying.take();
        socket.sent.set(0);
        let mut output = socket.output.borrow_mut();
        if output.is_empty() {
            // It has room when more was written during the send before: idle sockets own none.
            let room = std::mem::take(&mut *output);
            drop(output);
            self.spare_buffer(room);
            self.spare_buffer(buffer);
        } else {
            // More was written meanwhile: the emptied buffer takes what comes after that.
            buffer.clear();
            std::mem::swap(&mut *output, &mut buffer);
            drop(output);
            socket.flying.replace(buffer);
            self.send_rest(socket, Send::Wait);
        }
    }

    fn connected(&self, socket: &Rc<Socket>, result: i32) {
        socket.connecting.set(false);
        socket.address.take();
        self.completed_one(socket);
        if result < 0 {
            socket.fail(-result);
        } else if !socket.closing.get() {
            self.list(socket);
        }
        socket.writer.wake();
    }

    /// One operation has had its last completion; the last of all frees a socket that was ended.
    fn completed_one(&self, socket: &Rc<Socket>) {
        socket.operations.set(socket.operations.get() - 1);
        if socket.closing.get() && socket.operations.get() == 0 {
            self.release(socket);
        }
    }
}

/// A cancellation is through. It may have missed (see [`Ring::look_after`]): if more completions
/// come, it is tried again.
fn cancelled(held: Option<&Held>) {
    match held {
        Some(Held::Socket(socket)) if socket.receive.get() == Receive::Cancelling => {
            socket.receive.set(Receive::Armed);
        }
        _ => {}
    }
}
