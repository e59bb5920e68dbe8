//! The provided buffers as the kernel sees them.

#![allow(unsafe_code)] // the kernel's side of shared memory

use std::sync::atomic::AtomicU16;

use super::*;

/// Written over every buffer that is the kernel's: nobody may look at it.
const SCRIBBLE: u8 = 0xee;

struct Buffer {
    address: *mut u8,
    length: usize,
    id: u16,
}

pub(super) struct Provided {
    entries: *mut BufRingEntry,
    count: u16,
    head: u16,
    available: VecDeque<Buffer>,
    /// By id: the ring has it, from the completion that named it until it is offered.
    rings: Vec<bool>,
}

impl Provided {
    pub(super) fn new(entries: *mut BufRingEntry, count: u16) -> Provided {
        Provided {
            entries,
            count,
            head: 0,
            available: VecDeque::new(),
            rings: vec![true; usize::from(count)],
        }
    }

    /// Takes what has been offered.
    pub(super) fn take_back(&mut self) {
        // SAFETY: the entries are valid while the ring's kernel is; the tail is in the first.
        let tail = unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        while self.head != tail.load(Ordering::Acquire) {
            let place = usize::from(self.head % self.count);
            // SAFETY: `place < count`.
            let entry = unsafe { &*self.entries.add(place) };
            let has = &mut self.rings[usize::from(entry.bid())];
            assert!(*has, "buffer {} was given back twice", entry.bid());
            *has = false;
            self.available.push_back(Buffer {
                address: entry.addr() as *mut u8,
                length: entry.len() as usize,
                id: entry.bid(),
            });
            self.head = self.head.wrapping_add(1);
        }
    }

    /// Fills a buffer with what `byte` says, at most `most` bytes; its id and their number. Of a
    /// buffer that nobody fills the number is 0.
    pub(super) fn fill(&mut self, most: usize, byte: impl Fn(usize) -> u8) -> Option<(u16, usize)> {
        self.take_back();
        let buffer = self.available.pop_front()?;
        let count = most.min(buffer.length);
        for n in 0..count {
            // SAFETY: `n < length`, and the buffer is the kernel's.
            unsafe { buffer.address.add(n).write(byte(n)) };
        }
        Some((buffer.id, count))
    }

    /// The ring has taken the completion that names this buffer.
    pub(super) fn named(&mut self, id: u16) {
        self.rings[usize::from(id)] = true;
    }

    pub(super) fn scribble(&mut self) {
        for buffer in &self.available {
            // SAFETY: the buffer is the kernel's, from one end to the other.
            unsafe { buffer.address.write_bytes(SCRIBBLE, buffer.length) };
        }
    }

    /// Whether the ring has given back every buffer that was named to it.
    pub(super) fn is_given_back(&mut self) -> bool {
        self.take_back();
        !self.rings.contains(&true)
    }

    /// Whether all are here.
    pub(super) fn is_complete(&mut self) -> bool {
        self.take_back();
        self.available.len() == usize::from(self.count)
    }
}
