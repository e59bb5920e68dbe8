//! The door to the kernel: entries go in, completions come out.
//!
//! Everything that the ring asks of the kernel while it runs goes through here, so that a test can
//! put a kernel of its own in its place, one that answers in any order and with any result.

#![allow(unsafe_code)] // handing memory to the kernel: DESIGN §5

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use io_uring::types::{BufRingEntry, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};

#[cfg(test)]
use super::tests::simulated;

/// One core's io_uring. The variants are one where the server is built, so choosing costs nothing.
#[cfg_attr(test, allow(clippy::large_enum_variant))] // one of a kind, never moved
pub(super) enum Kernel {
    Real(IoUring),
    #[cfg(test)]
    Simulated(simulated::Door),
}

impl Kernel {
    /// Puts an entry into the submission queue; false when it is full.
    ///
    /// # Safety
    ///
    /// What the entry points to must stay valid, and must not be written to (a send's bytes, an
    /// address), until the last completion of the operation has been taken.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        match self {
            // SAFETY: the caller's promise is the one that is asked for.
            Kernel::Real(io) => unsafe { io.submission().push(entry) }.is_ok(),
            #[cfg(test)]
            Kernel::Simulated(door) => door.push(entry),
        }
    }

    /// Hands over what is queued, to make room; takes nothing back.
    pub(super) fn submit(&mut self) -> io::Result<usize> {
        match self {
            Kernel::Real(io) => io.submit(),
            #[cfg(test)]
            Kernel::Simulated(door) => door.enter(None),
        }
    }

    /// Hands over what is queued and runs what the kernel deferred.
    pub(super) fn enter(&mut self) -> io::Result<usize> {
        match self {
            Kernel::Real(io) => {
                let length = io.submission().len() as u32;
                let flags = EnterFlags::GETEVENTS.bits();
                // SAFETY: no argument is passed, so there is no memory to be valid. What the queued
                // entries point to was promised when they were pushed. GETEVENTS is what makes
                // the kernel run the deferred completions.
                unsafe {
                    io.submitter()
                        .enter::<libc::sigset_t>(length, 0, flags, None)
                }
            }
            #[cfg(test)]
            Kernel::Simulated(door) => door.enter(Some(0)),
        }
    }

    /// As [`Kernel::enter`], but blocks for at most `patience` until there are `count` completions.
    pub(super) fn wait(&mut self, patience: Duration, count: usize) -> io::Result<usize> {
        match self {
            Kernel::Real(io) => {
                let timespec = Timespec::from(patience);
                let arguments = SubmitArgs::new().timespec(&timespec);
                io.submitter().submit_with_args(count, &arguments)
            }
            #[cfg(test)]
            Kernel::Simulated(door) => door.enter(Some(count)),
        }
    }

    /// Appends every completion that is there to `completed`.
    pub(super) fn take(&mut self, completed: &mut Vec<cqueue::Entry>) {
        match self {
            Kernel::Real(io) => completed.extend(io.completion()),
            #[cfg(test)]
            Kernel::Simulated(door) => door.take(completed),
        }
    }

    /// Accepts one connection of a non-blocking listener, with the peer's address: the one thing that is
    /// asked for beside the ring.
    pub(super) fn accept(
        &mut self,
        listener: BorrowedFd<'_>,
    ) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        match self {
            Kernel::Real(_) => {
                let (socket, from) = socket2::SockRef::from(&listener).accept()?;
                Ok((socket.into(), from.as_socket()))
            }
            #[cfg(test)]
            Kernel::Simulated(door) => door.accept(listener).map(|socket| (socket, None)),
        }
    }

    /// Tells the kernel where the ring of provided buffers is.
    ///
    /// # Safety
    ///
    /// `entries` must be page-aligned, have room for `count` entries, and stay valid until this
    /// kernel is dropped. Whatever is offered there must stay valid and untouched until a
    /// completion has named it, or until no operation is left that could pick it.
    pub(super) unsafe fn register_buffers(
        &mut self,
        entries: *mut BufRingEntry,
        count: u16,
        group: u16,
    ) -> io::Result<()> {
        match self {
            // SAFETY: the caller's promise is the one that is asked for.
            Kernel::Real(io) => unsafe {
                io.submitter()
                    .register_buf_ring_with_flags(entries as u64, count, group, 0)
            },
            #[cfg(test)]
            Kernel::Simulated(door) => door.register_buffers(entries, count),
        }
    }

    /// The time of the core.
    pub(super) fn now(&self) -> Instant {
        match self {
            Kernel::Real(_) => Instant::now(),
            #[cfg(test)]
            Kernel::Simulated(door) => door.now(),
        }
    }
}
