//! Accepting: one multishot operation per listener; errors back off, a full house is left waiting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode};

use super::socket::remember;
use super::token::{Operation, Token};
use super::{Held, Ring, Stream};

/// Connections that were accepted and that nobody has taken yet, past which accepting is
/// cancelled: the rest waits in the kernel's backlog. 256 is a burst that one pass can serve.
const ACCEPTED_MAX: usize = 256;

/// Pauses after a failed accept (too many descriptors, no memory), doubled up to the longer one.
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// A listening socket of this core. Dropping it closes it.
pub struct Listener {
    ring: Rc<Ring>,
    state: Rc<State>,
}

pub(super) struct State {
    descriptor: RawFd,
    slot: u32,
    generation: u32,
    armed: Cell<bool>,
    cancelling: Cell<bool>,
    closing: Cell<bool>,
    accepted: RefCell<VecDeque<OwnedFd>>,
    waker: RefCell<Option<Waker>>,
    /// Not before this; set after an error.
    retry_at: Cell<Option<Instant>>,
    back_off: Cell<Duration>,
}

impl Listener {
    /// Starts to accept on a listening, blocking socket.
    pub fn adopt(ring: &Rc<Ring>, descriptor: impl Into<OwnedFd>) -> Listener {
        let descriptor = descriptor.into().into_raw_fd();
        let mut made = None;
        ring.held.borrow_mut().insert_with(|slot, generation| {
            let state = Rc::new(State {
                descriptor,
                slot,
                generation,
                armed: Cell::new(false),
                cancelling: Cell::new(false),
                closing: Cell::new(false),
                accepted: RefCell::default(),
                waker: RefCell::default(),
                retry_at: Cell::new(None),
                back_off: Cell::new(BACK_OFF_MIN),
            });
            made = Some(state.clone());
            Held::Listener(state)
        });
        let state = made.expect("insert_with calls its closure");
        ring.arm_accept(&state);
        Listener {
            ring: ring.clone(),
            state,
        }
    }

    /// The next connection, or `None` once the listener is closed. Nothing is served, and no memory
    /// held, for those that are not taken.
    pub async fn accept(&self) -> Option<Stream> {
        let descriptor = poll_fn(|context| {
            if self.state.closing.get() {
                return Poll::Ready(None);
            }
            if let Some(descriptor) = self.state.accepted.borrow_mut().pop_front() {
                return Poll::Ready(Some(descriptor));
            }
            remember(&self.state.waker, context.waker());
            Poll::Pending
        })
        .await?;
        if !self.state.armed.get()
            && self.state.retry_at.get().is_none()
            && self.state.accepted.borrow().len() < ACCEPTED_MAX / 2
        {
            self.ring.arm_accept(&self.state);
        }
        Some(Stream::adopt(&self.ring, descriptor))
    }

    /// Stops accepting. Connections that nobody has taken are closed.
    pub fn close(&self) {
        self.ring.end_listener(&self.state);
        self.state.wake();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ring.end_listener(&self.state);
    }
}

impl Ring {
    fn arm_accept(&self, state: &Rc<State>) {
        state.armed.set(true);
        state.cancelling.set(false);
        state.retry_at.set(None);
        let entry = opcode::AcceptMulti::new(Fd(state.descriptor))
            .flags(libc::SOCK_CLOEXEC)
            .build();
        self.push(entry.user_data(state.token(Operation::Accept).encode()));
    }

    #[allow(unsafe_code)] // a new descriptor from the kernel
    pub(super) fn accepted(&self, state: &Rc<State>, completion: &cqueue::Entry) {
        let result = completion.result();
        if result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
            let descriptor = unsafe { OwnedFd::from_raw_fd(result) };
            state.back_off.set(BACK_OFF_MIN);
            if !state.closing.get() {
                state.accepted.borrow_mut().push_back(descriptor);
            }
        }
        if !cqueue::more(completion.flags()) {
            state.armed.set(false);
            self.accept_ended(state, result);
        } else if state.accepted.borrow().len() >= ACCEPTED_MAX && !state.cancelling.replace(true) {
            self.cancel_accept(state);
        }
        state.wake();
    }

    /// The multishot accept is over: arm it again now, later, when there is room, or never.
    fn accept_ended(&self, state: &Rc<State>, result: i32) {
        if state.closing.get() {
            self.release_listener(state);
        } else if result < 0 && result != -libc::ECANCELED {
            let pause = state.back_off.get();
            state.retry_at.set(Some(self.now() + pause));
            state.back_off.set((pause * 2).min(BACK_OFF_MAX));
            tracing::warn!(
                error = %std::io::Error::from_raw_os_error(-result),
                pause_ms = pause.as_millis() as u64,
                "could not accept"
            );
        } else if state.accepted.borrow().len() < ACCEPTED_MAX / 2 {
            self.arm_accept(state);
        }
    }

    /// Arms the listeners whose pause is over.
    pub(super) fn rearm_listeners(&self) {
        let due: Vec<_> = self
            .held
            .borrow()
            .iter()
            .filter_map(|held| match held {
                Held::Listener(state) => Some(state.clone()),
                _ => None,
            })
            .filter(|state| state.retry_at.get().is_some_and(|at| at <= self.now()))
            .collect();
        for state in due {
            self.arm_accept(&state);
        }
    }

    pub(super) fn end_listener(&self, state: &Rc<State>) {
        if state.closing.replace(true) {
            return;
        }
        state.accepted.borrow_mut().clear();
        if state.armed.get() {
            self.cancel_accept(state);
            self.look_after(Held::Listener(state.clone()));
        } else {
            self.release_listener(state);
        }
    }

    /// Cancels the accept of a listener that is to be closed, if it is still in the kernel.
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
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// A cancellation is through; the accept itself may have escaped it.
    pub(super) fn cancelled(&self) {
        self.cancelling.set(false);
    }

    fn token(&self, operation: Operation) -> Token {
        Token {
            operation,
            generation: self.generation,
            slot: self.slot,
        }
    }
}
