//! Being woken by another thread: an eventfd polled by the ring.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{cqueue, opcode};

use super::socket::remember;
use super::token::{Operation, Token};
use super::{Held, Ring};

/// The other thread's end: wakes the core out of the kernel.
#[derive(Clone)]
pub struct Waker(Arc<File>);

/// The core's end.
pub struct Event {
    ring: Rc<Ring>,
    state: Rc<State>,
}

pub(super) struct State {
    counter: Arc<File>,
    slot: u32,
    generation: u32,
    armed: Cell<bool>,
    closing: Cell<bool>,
    woken: Cell<bool>,
    waker: RefCell<Option<std::task::Waker>>,
}

impl Waker {
    /// An eventfd that no core listens to yet.
    pub fn new() -> io::Result<Waker> {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        Ok(Waker(Arc::new(rustix::event::eventfd(0, flags)?.into())))
    }

    /// Wakes the core. Many calls before it looks are one wake.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then the core is being woken already.
        let _ = (&*self.0).write(&1u64.to_ne_bytes());
    }
}

impl Event {
    /// Listens to `waker` on this core.
    pub fn listen(ring: &Rc<Ring>, waker: &Waker) -> Event {
        let mut made = None;
        ring.held.borrow_mut().insert_with(|slot, generation| {
            let state = Rc::new(State {
                counter: waker.0.clone(),
                slot,
                generation,
                armed: Cell::new(false),
                closing: Cell::new(false),
                woken: Cell::new(false),
                waker: RefCell::default(),
            });
            made = Some(state.clone());
            Held::Event(state)
        });
        let state = made.expect("insert_with calls its closure");
        ring.arm_event(&state);
        Event {
            ring: ring.clone(),
            state,
        }
    }

    /// Waits until the core has been woken since the last time that this was ready.
    pub async fn woken(&self) {
        poll_fn(|context| {
            if self.state.woken.take() {
                return Poll::Ready(());
            }
            remember(&self.state.waker, context.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        self.ring.end_event(&self.state);
    }
}

impl Ring {
    fn arm_event(&self, state: &Rc<State>) {
        state.armed.set(true);
        let entry = opcode::PollAdd::new(Fd(state.counter.as_raw_fd()), libc::POLLIN as u32)
            .multi(true)
            .build();
        self.push(entry.user_data(state.token(Operation::Event).encode()));
    }

    pub(super) fn woken(&self, state: &Rc<State>, completion: &cqueue::Entry) {
        // Takes the counter back to zero; there may be nothing to read any more.
        let _ = (&*state.counter).read(&mut [0; 8]);
        state.woken.set(true);
        if !cqueue::more(completion.flags()) {
            state.armed.set(false);
            if state.closing.get() {
                self.held.borrow_mut().remove(state.slot, state.generation);
            } else {
                self.arm_event(state);
            }
        }
        let waker = state.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn end_event(&self, state: &Rc<State>) {
        if state.closing.replace(true) {
            return;
        }
        if state.armed.get() {
            self.cancel(
                CancelBuilder::user_data(state.token(Operation::Event).encode()),
                state.token(Operation::Cancel),
            );
        } else {
            self.held.borrow_mut().remove(state.slot, state.generation);
        }
    }
}

impl State {
    fn token(&self, operation: Operation) -> Token {
        Token {
            operation,
            generation: self.generation,
            slot: self.slot,
        }
    }
}
