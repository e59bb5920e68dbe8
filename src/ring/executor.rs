//! The executor under the ring: glommio pins the thread and runs tasks and wakers, nothing else.

#![allow(unsafe_code)] // the thread's signal mask: DESIGN §5

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::{Options, Ring, setup};

/// glommio's own rings carry no I/O of ours: the smallest that it takes.
const RING_DEPTH: usize = 128;

/// Memory that glommio registers for its own file I/O, which is not used.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// glommio preempts tasks and looks at its own rings this often. An executor that is preempted
/// before it runs a task parks although tasks are runnable, and as nothing of ours is in its rings, for
/// ever. A century, so: never.
const PREEMPT_INTERVAL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Descriptors that an executor and a ring take: eleven, and some for what is opened at the same time.
const DESCRIPTORS: usize = 16;

/// What a thread does to itself: blocked, it would be killed without a word or go on as if nothing
/// had been.
const SYNCHRONOUS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// How long a core that ends waits for the kernel to let go of its sockets.
const RECLAIM_PATIENCE: Duration = Duration::from_secs(1);

/// Runs `main` on the calling thread, pinned to `cpu` if one is given, with a ring that is driven
/// until `main` is done. An error is one of the executor or of the ring itself, or a panic of `main`.
///
/// Signals are blocked meanwhile, on this thread and on those that it starts: they are for the
/// control thread. When `main` is done, what other tasks still hold of the ring is closed.
pub fn run<T, F>(
    cpu: Option<usize>,
    options: &Options,
    main: impl FnOnce(Rc<Ring>) -> F,
) -> io::Result<T>
where
    T: 'static,
    F: Future<Output = T> + 'static,
{
    // Before glommio starts threads of its own, which inherit the mask.
    let _blocked = BlockedSignals::new()?;
    find_descriptors()?;
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .ring_depth(RING_DEPTH)
        .io_memory(IO_MEMORY_BYTES)
        .preempt_timer(PREEMPT_INTERVAL)
        .record_io_latencies(false)
        .make()
        .map_err(|error| setup::explained(&error.into()))?;
    executor.run(async {
        let ring = Ring::new(options).map_err(|error| setup::explained(&error))?;
        let outcome: Rc<Cell<Option<T>>> = Rc::default();
        let finished = Rc::new(Cell::new(false));
        let main = main(ring.clone());
        ring.spawn({
            let (outcome, finished) = (outcome.clone(), Finish(finished.clone()));
            async move {
                let _finished = finished;
                outcome.set(Some(main.await));
            }
        });
        let driven = ring.drive(|| finished.get()).await;
        // Tasks that still wait hold the ring, and the ring their wakers: nobody is dropped, so
        // nobody else would close these sockets. What can't be had back stays allocated.
        if !ring.reclaim(RECLAIM_PATIENCE) {
            tracing::warn!("operations were still in the kernel when a core ended");
        }
        driven?;
        outcome
            .take()
            .ok_or_else(|| io::Error::other("its main task panicked"))
    })
}

/// Says that the main task is over, also when it panics: the other tasks are nothing without it.
struct Finish(Rc<Cell<bool>>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Looks whether there are descriptors enough: glommio panics when it is short of one.
fn find_descriptors() -> io::Result<()> {
    let found: Result<Vec<_>, _> = (0..DESCRIPTORS)
        .map(|_| rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC))
        .collect();
    match found {
        Ok(_) => Ok(()),
        Err(error) => Err(io::Error::new(
            io::Error::from(error).kind(),
            format!(
                "too few open files are allowed, a core needs {DESCRIPTORS}: raise RLIMIT_NOFILE \
                 (`ulimit -n`, or LimitNOFILE= in the systemd unit): {error}"
            ),
        )),
    }
}

/// All signals but the synchronous ones, blocked on this thread until this is dropped.
struct BlockedSignals {
    before: libc::sigset_t,
    /// The mask is that of the thread it was made on.
    not_send: std::marker::PhantomData<*const ()>,
}

impl BlockedSignals {
    fn new() -> io::Result<BlockedSignals> {
        let (mut blocked, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: `sigfillset` initialises the whole of `blocked` before anything reads it, and
        // can't fail; the signals taken out again are valid numbers.
        unsafe {
            libc::sigfillset(blocked.as_mut_ptr());
            for signal in SYNCHRONOUS {
                libc::sigdelset(blocked.as_mut_ptr(), signal);
            }
        }
        // SAFETY: both pointers are valid; `blocked` is initialised. Only this thread's mask changes.
        let error = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, blocked.as_ptr(), before.as_mut_ptr())
        };
        match error {
            0 => Ok(BlockedSignals {
                // SAFETY: the call succeeded, so it has stored the former mask.
                before: unsafe { before.assume_init() },
                not_send: std::marker::PhantomData,
            }),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` is a mask that the kernel gave; no former mask is asked for. It can't
        // fail, as SIG_SETMASK and the pointer are valid.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}
