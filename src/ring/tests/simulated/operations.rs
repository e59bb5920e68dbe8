//! What was asked of the simulated kernel, and what becomes of it.

#![allow(unsafe_code)] // the kernel's side of shared memory

use super::*;

/// `enum io_uring_op`, `IORING_CQE_F_BUFFER`, `IORING_CQE_F_MORE`.
const OP_NOP: u8 = 0;
const OP_POLL_ADD: u8 = 6;
const OP_ASYNC_CANCEL: u8 = 14;
const OP_CONNECT: u8 = 16;
const OP_CLOSE: u8 = 19;
const OP_SEND: u8 = 26;
const OP_RECV: u8 = 27;
const BUFFER: u32 = 1;
const MORE: u32 = 1 << 1;

/// Errors that an operation may end with. Whether all of them can is the kernel's secret.
pub(super) const ERRORS: [i32; 11] = [
    libc::EAGAIN,
    libc::EINTR,
    libc::ECANCELED,
    libc::ENOBUFS,
    libc::ECONNRESET,
    libc::EPIPE,
    libc::ENOMEM,
    libc::ETIMEDOUT,
    libc::ECONNREFUSED,
    libc::EMFILE,
    libc::ECONNABORTED,
];

/// An entry of the submission queue (`struct io_uring_sqe`).
pub(super) struct Request {
    opcode: u8,
    descriptor: RawFd,
    offset: u64,
    address: u64,
    length: u32,
    flags: u32,
    pub(super) user_data: u64,
}

impl Request {
    pub(super) fn read(entry: &squeue::Entry) -> Request {
        // SAFETY: an entry is the 64 bytes of `struct io_uring_sqe`, all of them set.
        let bytes: [u8; 64] = unsafe { std::mem::transmute_copy(entry) };
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        Request {
            opcode: bytes[0],
            descriptor: word(4) as i32,
            offset: long(8),
            address: long(16),
            length: word(24),
            flags: word(28),
            user_data: long(32),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Receive,
    Send,
    Connect,
    /// The poll of a listener, once.
    Accept,
    /// The poll of the event, over and over.
    Poll,
}

impl Kind {
    fn is_poll(self) -> bool {
        matches!(self, Kind::Accept | Kind::Poll)
    }
}

/// How an operation goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    Full,
    Short(usize),
    /// As `Full`, and a multishot operation is over with it.
    Last,
    Zero,
    Error(usize),
}

/// An operation that has not ended.
pub(super) struct InFlight {
    pub(super) kind: Kind,
    pub(super) file: Option<usize>,
    user_data: u64,
    cancelled: bool,
    /// Memory that the kernel reads, and what it held when it was handed over.
    memory: *const u8,
    was: Vec<u8>,
}

impl InFlight {
    /// Reads the memory once more: it must be there and as it was.
    fn check_memory(&self) {
        for (n, was) in self.was.iter().enumerate() {
            // SAFETY: this is what the test is about; a sanitizer sees memory that is gone.
            let is = unsafe { self.memory.add(n).read() };
            assert_eq!(is, *was, "byte {n} of an operation in flight has changed");
        }
    }
}

impl World {
    /// Begins what was asked for.
    pub(super) fn begin(&mut self, request: &Request) {
        let (kind, bytes) = match request.opcode {
            OP_CLOSE => {
                self.close(request.descriptor);
                return self.end_request(request.user_data, 0);
            }
            OP_ASYNC_CANCEL => return self.cancel(request),
            OP_NOP => return self.end_request(request.user_data, 0),
            OP_POLL_ADD if self.open.contains_key(&request.descriptor) => (Kind::Accept, 0),
            OP_POLL_ADD => (Kind::Poll, 0),
            OP_RECV => (Kind::Receive, 0),
            OP_SEND => (Kind::Send, request.length as usize),
            OP_CONNECT => (Kind::Connect, request.offset as usize),
            other => panic!("operation {other}"),
        };
        let file = (kind != Kind::Poll).then(|| {
            let file = self.open.get(&request.descriptor);
            *file.expect("an operation on a closed descriptor")
        });
        if let (Kind::Receive, Some(file)) = (kind, file) {
            self.files[file].asked = 0;
        }
        let memory = request.address as *const u8;
        self.in_flight.push(InFlight {
            kind,
            file,
            user_data: request.user_data,
            cancelled: false,
            memory,
            was: match bytes {
                0 => Vec::new(),
                // SAFETY: what an entry points to is valid from the push to the last completion.
                _ => unsafe { std::slice::from_raw_parts(memory, bytes) }.to_vec(),
            },
        });
    }

    fn end_request(&mut self, user_data: u64, result: i32) {
        let completion = Completion {
            user_data,
            result,
            flags: 0,
            file: None,
            bytes: 0,
        };
        self.post(completion, 0);
    }

    fn cancel(&mut self, request: &Request) {
        assert_eq!(
            request.flags, 0,
            "a cancellation that is not of one operation"
        );
        let mut found = 0;
        for at in (0..self.in_flight.len()).rev() {
            let one = &self.in_flight[at];
            if one.user_data != request.address {
                continue;
            }
            if let Some(file) = one.file {
                self.files[file].asked += 1;
            }
            // A poll is always found.
            match self.cancels {
                Cancels::Miss if !one.kind.is_poll() => continue,
                Cancels::Late => self.in_flight[at].cancelled = true,
                _ => self.end(at, -libc::ECANCELED, 0),
            }
            found += 1;
        }
        let result = match (self.cancels, found) {
            (_, 0) => -libc::ENOENT,
            (Cancels::Late, _) => -libc::EALREADY,
            _ => found,
        };
        self.end_request(request.user_data, result);
    }

    /// The last completion of an operation.
    fn end(&mut self, at: usize, result: i32, place: usize) {
        let one = self.in_flight.remove(at);
        one.check_memory();
        let completion = Completion {
            user_data: one.user_data,
            result,
            flags: 0,
            file: one.file,
            bytes: 0,
        };
        self.post(completion, place);
    }

    /// Lets an operation go on.
    pub(super) fn complete(&mut self, at: usize, how: How, place: usize) {
        let one = &self.in_flight[at];
        one.check_memory();
        match (one.kind, one.file) {
            (Kind::Send, Some(file)) => self.complete_send(at, file, how, place),
            (Kind::Receive, Some(file)) => self.complete_receive(at, file, how, place),
            (Kind::Connect, Some(file)) => match how {
                How::Error(error) => {
                    self.files[file].failed = true;
                    self.end(at, -ERRORS[error % ERRORS.len()], place);
                }
                _ => self.end(at, 0, place),
            },
            (Kind::Accept, Some(file)) => match how {
                How::Error(error) => self.end(at, -ERRORS[error % ERRORS.len()], place),
                How::Short(count) => self.arrive(at, file, 1 + count % 200, place),
                _ => self.arrive(at, file, 1, place),
            },
            (Kind::Poll, _) => match how {
                How::Error(error) => self.end(at, -ERRORS[error % ERRORS.len()], place),
                _ => self.go_on(at, 1, !matches!(how, How::Last), None, place),
            },
            (kind, None) => panic!("{kind:?} without a file"),
        }
    }

    /// So many come to a listener, whose poll is over with it.
    fn arrive(&mut self, at: usize, file: usize, count: usize, place: usize) {
        self.files[file].pending += count;
        self.end(at, 1, place);
    }

    /// Lets an operation that was cancelled end at last.
    pub(super) fn let_go(&mut self) {
        for at in (0..self.in_flight.len()).rev() {
            if self.in_flight[at].cancelled {
                self.end(at, -libc::ECANCELED, 0);
            }
        }
    }

    fn complete_send(&mut self, at: usize, id: usize, how: How, place: usize) {
        let was = &self.in_flight[at].was;
        let count = match how {
            How::Full => was.len(),
            How::Short(count) => 1 + count % was.len(),
            How::Last => was.len() - 1,
            How::Zero => 0,
            How::Error(error) => {
                let error = ERRORS[error % ERRORS.len()];
                self.files[id].failed |= error != libc::EAGAIN && error != libc::EINTR;
                return self.end(at, -error, place);
            }
        };
        let file = &mut self.files[id];
        for (n, byte) in was[..count].iter().enumerate() {
            assert!(file.sent + n < file.written, "more than was written");
            assert_eq!(*byte, outward(id, file.sent + n), "not what was written");
        }
        file.sent += count;
        self.end(at, count as i32, place);
    }

    fn complete_receive(&mut self, at: usize, id: usize, how: How, place: usize) {
        let file = &mut self.files[id];
        let end = file.ended && file.pending == 0;
        let most = match how {
            How::Error(error) => {
                let error = ERRORS[error % ERRORS.len()];
                let harmless = [libc::EAGAIN, libc::EINTR, libc::ENOBUFS, libc::ECANCELED];
                file.failed |= !harmless.contains(&error);
                return self.end(at, -error, place);
            }
            // A buffer may have been picked for it.
            How::Zero if end => 0,
            _ if end => return self.end(at, 0, place),
            _ if file.pending == 0 => return,
            How::Short(most) => 1 + most % file.pending,
            _ => file.pending,
        };
        let delivered = file.delivered;
        let provided = self.provided.as_mut().expect("registered");
        let Some((buffer, count)) = provided.fill(most, |n| inward(id, delivered + n)) else {
            return self.end(at, -libc::ENOBUFS, place);
        };
        file.pending -= count;
        file.delivered += count;
        let more = !end && !matches!(how, How::Last);
        self.go_on(at, count as i32, more, Some(buffer), place);
    }

    /// A completion of a multishot operation.
    fn go_on(&mut self, at: usize, result: i32, more: bool, buffer: Option<u16>, place: usize) {
        let one = &self.in_flight[at];
        let completion = Completion {
            user_data: one.user_data,
            result,
            flags: buffer.map_or(0, |id| BUFFER | (u32::from(id) << 16))
                | if more { MORE } else { 0 },
            file: one.file,
            bytes: buffer.map_or(0, |_| result as usize),
        };
        self.post(completion, place);
        if !more {
            self.in_flight.remove(at);
        }
    }
}
