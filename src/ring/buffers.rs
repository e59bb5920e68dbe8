//! The provided-buffer ring: memory that the kernel picks from when bytes arrive.
//!
//! A buffer is the kernel's from `offer` until a completion names it, ours from then until it is
//! offered again. `take` is the only way to see the bytes and gives the buffer back itself, so a
//! buffer goes back exactly once.

#![allow(unsafe_code)] // memory shared with the kernel: DESIGN §5

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::kernel::Kernel;

/// The one group of provided buffers of a ring.
pub(super) const GROUP: u16 = 0;

/// Bytes of one buffer at the most: 32768 of them are 32 GiB, so that no sum here overflows.
const SIZE_MAX: usize = 1 << 20;

/// The largest page that Linux has (arm64 may be set up for it).
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// `count` buffers of `size` bytes, and the ring through which the kernel is told of them.
pub(super) struct ProvidedBuffers {
    entries: *mut BufRingEntry,
    /// The buffers, one after the other. A raw pointer, since the kernel writes behind it.
    memory: *mut u8,
    count: u16,
    size: usize,
    /// Entries offered so far, modulo 2^16: the position of the next one.
    tail: u16,
    leaked: bool,
}

impl ProvidedBuffers {
    /// Allocates and registers the buffers. `count` is a power of two, at most 32768; `size` is from
    /// 1 to [`SIZE_MAX`]. Anything else is `InvalidInput`.
    pub(super) fn register(
        kernel: &mut Kernel,
        count: u16,
        size: usize,
    ) -> io::Result<ProvidedBuffers> {
        if !count.is_power_of_two() || count > 1 << 15 || !(1..=SIZE_MAX).contains(&size) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there can't be {count} receive buffers of {size} bytes"),
            ));
        }
        let (entries_layout, memory_layout) = layouts(count, size);
        // SAFETY: neither layout has size zero, as neither `count` nor `size` is 0: checked above.
        let (entries, memory) =
            unsafe { (alloc_zeroed(entries_layout), alloc_zeroed(memory_layout)) };
        let mut buffers = ProvidedBuffers {
            entries: entries.cast(),
            memory,
            count,
            size,
            tail: 0,
            leaked: false,
        };
        if entries.is_null() || memory.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: `entries` is page-aligned, has room for `count` entries and lives until this
        // struct is dropped, which the owner does only after the kernel's end is gone. A buffer is
        // touched only between the completion that names it and `offer`.
        unsafe { kernel.register_buffers(buffers.entries, count, GROUP) }?;
        for id in 0..count {
            buffers.offer(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Shows the first `length` bytes of a buffer that a completion has named, then gives the
    /// buffer back to the kernel (which learns of it at the next `publish`).
    ///
    /// A buffer that the kernel can't have named is a fault of ours or of the kernel's: panics.
    pub(super) fn take(&mut self, id: u16, length: usize, see: impl FnOnce(&[u8])) {
        assert!(id < self.count && length <= self.size);
        // SAFETY: `id` and `length` were checked to lie in the allocation; between the completion
        // that named the buffer and `offer` the kernel doesn't touch it.
        see(unsafe { std::slice::from_raw_parts(self.address(id), length) });
        self.offer(id);
    }

    /// Makes the buffers that were given back visible to the kernel.
    pub(super) fn publish(&self) {
        // SAFETY: `entries` is valid for the life of `self`; the tail lies inside the first entry
        // and is written by this thread alone; the kernel reads it with acquire ordering, so it
        // sees the entries that were written before.
        let tail = unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Keeps the memory for ever: the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.leaked = true;
    }

    fn offer(&mut self, id: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let address = self.address(id);
        // SAFETY: `place < count`, so the entry lies in the allocation. The kernel doesn't read
        // it before `publish` has moved the tail past it; only one reference to it exists. The
        // fields are set one by one, because the tail shares the first entry's reserved field.
        let entry = unsafe { &mut *self.entries.add(place) };
        entry.set_addr(address as u64);
        entry.set_len(self.size as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn address(&self, id: u16) -> *mut u8 {
        self.memory.wrapping_add(usize::from(id) * self.size)
    }
}

/// Of the entries, which the kernel wants page-aligned, and of the buffers.
fn layouts(count: u16, size: usize) -> (Layout, Layout) {
    let bytes = |each: usize| usize::from(count) * each;
    let make = Layout::from_size_align;
    (
        make(bytes(size_of::<BufRingEntry>()), PAGE_BYTES_MAX)
            .expect("at most 32768 entries of 16 bytes"),
        make(bytes(size), 4096).expect("at most 32768 buffers of 1 MiB"),
    )
}

impl Drop for ProvidedBuffers {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        let (entries_layout, memory_layout) = layouts(self.count, self.size);
        // SAFETY: allocated in `register` with these very layouts, unless there was no memory for one
        // of them, and freed once, here. The owner has seen the last completion of every operation
        // that could pick a buffer (else they are leaked, see `Ring`'s drop: closing the ring alone
        // only begins to end its operations), and then closed the ring.
        unsafe {
            if !self.entries.is_null() {
                dealloc(self.entries.cast(), entries_layout);
            }
            if !self.memory.is_null() {
                dealloc(self.memory, memory_layout);
            }
        }
    }
}
