//! Accepting: the ring polls a listener for who waits in its backlog, and one is accepted when there
//! is a place for it, so nobody is accepted and then left waiting. Errors back off.
//!
//! A multishot accept would save two system calls a connection, but takes whoever comes, however
//! many: at the limit of open connections that is a descriptor for each.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use io_uring::opcode;
use io_uring::types::{CancelBuilder, Fd};
use socket2::SockRef;

use super::socket::remember;
use super::token::{Operation, Token};
use super::{Held, Ring, Stream};

/// Connections accepted in one pass at the most: what is open already has its turn between.
const BURST_MAX: usize = 64;

/// Pauses after a failed accept (too many descriptors, no memory), doubled up to the longer one.
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// The log is told of errors as often as this at the most.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// A listening socket of this core. Dropping it closes it.
pub struct Listener {
    ring: Rc<Ring>,
    state: Rc<State>,
}

pub(super) struct State {
    descriptor: RawFd,
    slot: u32,
    generation: u32,
    /// The poll is in the kernel.
    armed: Cell<bool>,
    closing: Cell<bool>,
    /// Somebody may be waiting: the backlog has not been found empty since it was last polled for.
    ready: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The pass of the last accept, and how many there were in it.
    pass: Cell<Option<Instant>>,
    burst: Cell<usize>,
    /// Not before this; set after an error.
    retry_at: Cell<Option<Instant>>,
    back_off: Cell<Duration>,
    /// The log has been told of errors that have not ended, and when it last was: places that come and go
    /// by the dozen are no news each time.
    told: Cell<bool>,
    told_at: Cell<Option<Instant>>,
}

impl Listener {
    /// Takes over a listening socket, which is set non-blocking.
    pub fn adopt(ring: &Rc<Ring>, descriptor: impl Into<OwnedFd>) -> Listener {
        let descriptor = descriptor.into();
        SockRef::from(&descriptor)
            .set_nonblocking(true)
            .expect("setting flags of an open descriptor does not fail");
        let descriptor = descriptor.into_raw_fd();
        let mut made = None;
        ring.held.borrow_mut().insert_with(|slot, generation| {
            let state = Rc::new(State {
                descriptor,
                slot,
                generation,
                armed: Cell::new(false),
                closing: Cell::new(false),
                ready: Cell::new(true),
                waker: RefCell::default(),
                pass: Cell::new(None),
                burst: Cell::new(0),
                retry_at: Cell::new(None),
                back_off: Cell::new(BACK_OFF_MIN),
                told: Cell::new(false),
                told_at: Cell::new(None),
            });
            made = Some(state.clone());
            Held::Listener(state)
        });
        Listener {
            ring: ring.clone(),
            state: made.expect("insert_with calls its closure"),
        }
    }

    /// The next connection, with the place that it was given before it was accepted. Until there is
    /// one, who connects waits in the kernel's backlog and costs nothing. `None` once the listener is
    /// closed, or when there will be no more places.
    pub async fn accept<P, F>(&self, mut place: impl FnMut() -> F) -> Option<(Stream, P)>
    where
        F: Future<Output = Option<P>>,
    {
        // A place is not taken before somebody may be there: another listener could need it.
        while poll_fn(|context| self.poll_ready(context)).await {
            let place = place().await?;
            if let Some(stream) = self.take() {
                return Some((stream, place));
            }
        }
        None
    }

    /// Ready with `true` when somebody may be waiting, with `false` when the listener is closed.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<bool> {
        let state = &self.state;
        if state.closing.get() {
            return Poll::Ready(false);
        }
        if state.ready.get() && state.retry_at.get().is_none() {
            if state.pass.replace(Some(self.ring.now())) != Some(self.ring.now()) {
                state.burst.set(0);
            }
            if state.burst.get() < BURST_MAX {
                return Poll::Ready(true);
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        remember(&state.waker, context.waker());
        if !state.ready.get() && !state.armed.get() {
            self.ring.arm_accept(state);
        }
        Poll::Pending
    }

    /// Accepts, unless nobody is there, or nobody can be: then accepting pauses.
    fn take(&self) -> Option<Stream> {
        let state = &self.state;
        if state.closing.get() {
            return None;
        }
        match state.accept(&self.ring) {
            Ok((descriptor, from)) => {
                state.burst.set(state.burst.get() + 1);
                state.back_off.set(BACK_OFF_MIN);
                if state.told.take() {
                    tracing::info!("accepting connections again");
                }
                return Some(Stream::adopt(&self.ring, descriptor).accepted_from(from));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => state.ready.set(false),
            Err(error) if is_of_the_machine(&error) => self.pause(&error),
            // It is the connection that is at fault, and it is gone: the next one (accept(2)).
            Err(_) => state.burst.set(state.burst.get() + 1),
        }
        None
    }

    fn pause(&self, error: &io::Error) {
        let state = &self.state;
        let pause = state.back_off.get();
        state.retry_at.set(Some(self.ring.now() + pause));
        state.back_off.set((pause * 2).min(BACK_OFF_MAX));
        let now = self.ring.now();
        let is_news = |at| now.saturating_duration_since(at) >= TELL_AGAIN;
        if !state.told.get() && state.told_at.get().is_none_or(is_news) {
            state.told.set(true);
            state.told_at.set(Some(now));
            tracing::warn!(%error, "can't accept connections: trying again until it works");
        }
    }

    /// Stops accepting.
    pub fn close(&self) {
        self.ring.end_listener(&self.state);
        self.state.wake();
    }
}

/// Whether an accept failed for want of something, or for good: not for one connection's fault.
fn is_of_the_machine(error: &io::Error) -> bool {
    [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EINVAL,
        libc::EBADF,
        libc::ENOTSOCK,
    ]
    .iter()
    .any(|number| error.raw_os_error() == Some(*number))
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ring.end_listener(&self.state);
    }
}

impl Ring {
    /// Asks the kernel to tell when somebody is in the backlog, or is there already.
    fn arm_accept(&self, state: &Rc<State>) {
        state.armed.set(true);
        let entry = opcode::PollAdd::new(Fd(state.descriptor), libc::POLLIN as u32).build();
        self.push(entry.user_data(state.token(Operation::Accept).encode()));
    }

    /// The poll has ended: somebody is there, or it was cancelled or failed, which accepting shows.
    pub(super) fn acceptable(&self, state: &Rc<State>) {
        state.armed.set(false);
        state.ready.set(true);
        if state.closing.get() {
            self.release_listener(state);
        }
        state.wake();
    }

    /// Lets the listeners go on whose pause is over.
    pub(super) fn rearm_listeners(&self) {
        for held in self.held.borrow().iter() {
            if let Held::Listener(state) = held
                && state.retry_at.get().is_some_and(|at| at <= self.now())
            {
                state.retry_at.set(None);
                state.wake();
            }
        }
    }

    pub(super) fn end_listener(&self, state: &Rc<State>) {
        if state.closing.replace(true) {
            return;
        }
        if state.armed.get() {
            self.cancel_accept(state);
            self.look_after(Held::Listener(state.clone()));
        } else {
            self.release_listener(state);
        }
    }

    /// Cancels the poll of a listener that is to be closed, if it is still in the kernel.
    pub(super) fn cancel_accept_again(&self, state: &State) -> Option<()> {
        state.armed.get().then(|| self.cancel_accept(state))
    }

    fn cancel_accept(&self, state: &State) {
        self.cancel(
            CancelBuilder::user_data(state.token(Operation::Accept).encode()),
            state.token(Operation::Cancel),
        );
    }

    fn release_listener(&self, state: &Rc<State>) {
        self.close_descriptor(state.descriptor);
        self.held.borrow_mut().remove(state.slot, state.generation);
    }
}

impl State {
    #[allow(unsafe_code)] // lending our own descriptor
    fn accept(&self, ring: &Ring) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        // SAFETY: the descriptor is open until `release_listener`, which sets in with `closing`, and
        // a listener that is closing does not come here.
        let listener = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        ring.kernel.borrow_mut().accept(listener)
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn token(&self, operation: Operation) -> Token {
        Token {
            operation,
            generation: self.generation,
            slot: self.slot,
        }
    }
}
