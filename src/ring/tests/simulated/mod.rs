//! A kernel that answers in any order and with any result, and that holds the ring to its promises.
//!
//! It is told what to do by `play.rs`, step by step, and panics as soon as the ring breaks a rule: bytes
//! that change while they are being sent, a provided buffer that is given back early, twice or
//! never, an entry that names a closed descriptor, a close with an operation in flight.
//! Descriptors are real ones, copies of one socket in a range of their own, so that the lowest
//! number is used again at once, as the kernel does.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use io_uring::types::BufRingEntry;
use io_uring::{cqueue, squeue};

use super::*;

mod cases;
mod line;
mod operations;
mod play;
mod provided;
mod steps;

use operations::{InFlight, Request};
use provided::Provided;

/// The lowest descriptor number of a simulation.
const DESCRIPTOR_MIN: RawFd = 600;

/// The ring's end of the simulated kernel.
pub(in crate::ring) struct Door(Rc<RefCell<World>>);

/// What the kernel does with cancellations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancels {
    Hit,
    /// They find the operation, which goes on for a while.
    Late,
    /// They find nothing: the operation is just being tried again.
    Miss,
}

/// What becomes of one entry into the kernel.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Fails(i32),
    /// Takes so many entries of the queue only.
    Takes(usize),
}

/// What a descriptor stands for: a connection or a listener. A number is used again, a file is not.
#[derive(Debug, Default)]
struct File {
    closed: bool,
    /// Bytes that have come from the peer and are not in a completion yet; those that are; those
    /// whose completion the ring has taken. Of a listener, those who wait in the backlog.
    pending: usize,
    delivered: usize,
    handled: usize,
    /// The peer has ended its side.
    ended: bool,
    /// Bytes that have gone out, and those that were written.
    sent: usize,
    written: usize,
    /// An operation has failed for good.
    failed: bool,
    /// How often the receive in flight has been asked to end.
    asked: usize,
}

struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
    file: Option<usize>,
    bytes: usize,
}

impl Completion {
    fn is_last(&self) -> bool {
        !cqueue::more(self.flags)
    }
}

struct World {
    now: Instant,
    template: UnixStream,
    depth: usize,
    capacity: usize,
    /// The submission queue.
    submitted: VecDeque<Request>,
    in_flight: Vec<InFlight>,
    /// The completion queue, and what found no room in it.
    completed: VecDeque<Completion>,
    overflow: VecDeque<Completion>,
    files: Vec<File>,
    open: BTreeMap<RawFd, usize>,
    provided: Option<Provided>,
    /// Completions of the event that the ring has taken.
    woken: usize,
    cancels: Cancels,
    entries: VecDeque<Entry>,
    /// Errors that the next accepts end with.
    refusals: VecDeque<i32>,
    /// Operations that were pushed and whose last completion has not been taken, by token.
    outstanding: BTreeMap<u64, usize>,
}

/// Byte `n` of what the peer sends to a file.
fn inward(file: usize, n: usize) -> u8 {
    ((n + file * 7919).wrapping_mul(0x9e37_79b9) >> 13) as u8
}

/// Byte `n` of what is written to a file.
fn outward(file: usize, n: usize) -> u8 {
    !inward(file, n.wrapping_mul(3))
}

impl World {
    fn new(options: &Options) -> Rc<RefCell<World>> {
        Rc::new(RefCell::new(World {
            now: Instant::now(),
            template: UnixStream::pair().unwrap().0,
            depth: options.depth as usize,
            capacity: options.completions as usize,
            submitted: VecDeque::new(),
            in_flight: Vec::new(),
            completed: VecDeque::new(),
            overflow: VecDeque::new(),
            files: Vec::new(),
            open: BTreeMap::new(),
            provided: None,
            woken: 0,
            cancels: Cancels::Hit,
            entries: VecDeque::new(),
            refusals: VecDeque::new(),
            outstanding: BTreeMap::new(),
        }))
    }

    /// A new descriptor, the lowest that is free, and the file that it stands for.
    fn open(&mut self) -> (OwnedFd, usize) {
        let new = rustix::io::fcntl_dupfd_cloexec(&self.template, DESCRIPTOR_MIN).unwrap();
        let file = self.files.len();
        self.files.push(File::default());
        if let Some(old) = self.open.insert(new.as_raw_fd(), file) {
            panic!("closed behind the kernel's back: {:?}", self.files[old]);
        }
        (new, file)
    }

    fn accept(&mut self, listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let listener = self.open[&listener.as_raw_fd()];
        if let Some(error) = self.refusals.pop_front() {
            return Err(io::Error::from_raw_os_error(error));
        }
        let backlog = &mut self.files[listener].pending;
        if *backlog == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *backlog -= 1;
        Ok(self.open().0)
    }

    #[allow(unsafe_code)]
    fn close(&mut self, descriptor: RawFd) {
        let file = self.open.remove(&descriptor);
        let file = file.expect("a close of a descriptor that is not open");
        let used = |one: &InFlight| one.file == Some(file);
        assert!(
            !self.in_flight.iter().any(used),
            "a close with operations in flight"
        );
        assert!(!self.files[file].closed, "closed twice");
        self.files[file].closed = true;
        // SAFETY: the ring has given it up with this very entry, and nobody else owns it.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }

    /// Posts a completion, before others if `place` says so, but after those of its own operation.
    fn post(&mut self, completion: Completion, place: usize) {
        if self.completed.len() >= self.capacity || !self.overflow.is_empty() {
            self.overflow.push_back(completion);
            return;
        }
        let same = |other: &Completion| other.user_data == completion.user_data;
        let first = self
            .completed
            .iter()
            .rposition(same)
            .map_or(0, |last| last + 1);
        let end = self.completed.len();
        self.completed
            .insert(end - place % (end - first + 1), completion);
    }

    fn enter(&mut self, wait: Option<usize>) -> io::Result<usize> {
        self.now += Duration::from_micros(1);
        if thread::panicking() {
            return Err(io::Error::from_raw_os_error(libc::EIO)); // the ring is leaked then
        }
        if let Some(provided) = &mut self.provided {
            provided.take_back();
            provided.scribble();
        }
        let most = match self.entries.pop_front() {
            Some(Entry::Fails(error)) => return Err(io::Error::from_raw_os_error(error)),
            Some(Entry::Takes(most)) => most,
            None => usize::MAX,
        };
        let count = self.submitted.len().min(most);
        for _ in 0..count {
            let request = self.submitted.pop_front().expect("counted");
            self.begin(&request);
        }
        if let Some(wanted) = wait {
            while self.completed.len() < self.capacity {
                let Some(completion) = self.overflow.pop_front() else {
                    break;
                };
                self.completed.push_back(completion);
            }
            if self.completed.len() < wanted {
                return Err(io::Error::from_raw_os_error(libc::ETIME));
            }
        }
        Ok(count)
    }

    fn taken(&mut self, completion: &Completion) {
        if let Some(id) = cqueue::buffer_select(completion.flags) {
            self.provided.as_mut().expect("registered").named(id);
        }
        if let Some(file) = completion.file {
            self.files[file].handled += completion.bytes;
        }
        let token = Token::decode(completion.user_data).expect("of our making");
        self.woken += usize::from(token.operation == Operation::Event);
        if completion.is_last() {
            let count = self.outstanding.get_mut(&completion.user_data);
            let count = count.expect("a completion of nothing");
            *count -= 1;
            if *count == 0 {
                self.outstanding.remove(&completion.user_data);
            }
        }
    }
}

impl Drop for World {
    /// What a failed run leaves open is closed, as the runs that make it smaller are many.
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        for descriptor in self.open.keys() {
            // SAFETY: the ring is gone, so nobody else closes it.
            drop(unsafe { OwnedFd::from_raw_fd(*descriptor) });
        }
    }
}

impl Door {
    pub(in crate::ring) fn push(&mut self, entry: &squeue::Entry) -> bool {
        let mut world = self.0.borrow_mut();
        if world.submitted.len() >= world.depth {
            return false;
        }
        let request = Request::read(entry);
        *world.outstanding.entry(request.user_data).or_default() += 1;
        world.submitted.push_back(request);
        true
    }

    pub(in crate::ring) fn enter(&mut self, wait: Option<usize>) -> io::Result<usize> {
        self.0.borrow_mut().enter(wait)
    }

    #[allow(unsafe_code)]
    pub(in crate::ring) fn take(&mut self, completed: &mut Vec<cqueue::Entry>) {
        let mut world = self.0.borrow_mut();
        while let Some(completion) = world.completed.pop_front() {
            world.taken(&completion);
            let result = u64::from(completion.result as u32);
            let words = [
                completion.user_data,
                result | u64::from(completion.flags) << 32,
            ];
            // SAFETY: an entry is the 16 bytes of `struct io_uring_cqe`: user_data, res, flags.
            completed.push(unsafe { std::mem::transmute::<[u64; 2], cqueue::Entry>(words) });
        }
    }

    pub(in crate::ring) fn register_buffers(
        &mut self,
        entries: *mut BufRingEntry,
        count: u16,
    ) -> io::Result<()> {
        self.0.borrow_mut().provided = Some(Provided::new(entries, count));
        Ok(())
    }

    pub(in crate::ring) fn accept(&mut self, listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        self.0.borrow_mut().accept(listener)
    }

    pub(in crate::ring) fn now(&self) -> Instant {
        self.0.borrow().now
    }
}

/// A ring over a simulated kernel.
fn simulated(options: &Options) -> (Rc<Ring>, Rc<RefCell<World>>) {
    let world = World::new(options);
    let mut kernel = Kernel::Simulated(Door(world.clone()));
    let buffers =
        ProvidedBuffers::register(&mut kernel, options.buffers, options.buffer_bytes).unwrap();
    let ring = Rc::new(Ring::over(kernel, buffers, options));
    // Every run goes past the last generation of each slot.
    ring.held.replace(Slab::aged(4));
    (ring, world)
}
