//! What must be true of one connection, and of the tasks that wait for it.

use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake, Waker};

use super::*;

/// Passes in which bytes may come past the bound: in the first it is passed, in the second the kernel
/// is asked to stop, in the third the ring learns that this had no effect.
const FLOOD_PASSES_MAX: usize = 4;

/// A deadline is told by the sweep after it, with what is cut to whole milliseconds.
const DEADLINE_LATE_MAX: Duration = Duration::from_millis(53);

/// Whether a task has been woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Flag>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A task that waits for something: it must have been woken once that is there.
#[derive(Default)]
pub(super) struct Task {
    woken: Arc<Flag>,
    waits: bool,
}

impl Task {
    pub(super) fn look<T>(&mut self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let waker = Waker::from(self.woken.clone());
        let woken = self.woken.0.swap(false, Ordering::Relaxed);
        let outcome = poll(&mut Context::from_waker(&waker));
        assert!(
            outcome.is_pending() || woken || !self.waits,
            "a task that waits was not woken"
        );
        self.waits = outcome.is_pending();
        outcome
    }
}

/// One connection.
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) file: usize,
    pub(super) consumed: usize,
    pub(super) deadline: Option<Instant>,
    reader: Task,
    writer: Task,
    pub(super) attended: bool,
    flood: Flood,
}

/// How long bytes have come in past the bound without a word of the ring.
#[derive(Default)]
struct Flood {
    delivered: usize,
    asked: usize,
    passes: usize,
}

impl Line {
    pub(super) fn new(stream: Stream, file: usize) -> Line {
        Line {
            stream,
            file,
            consumed: 0,
            deadline: None,
            reader: Task::default(),
            writer: Task::default(),
            attended: true,
            flood: Flood::default(),
        }
    }

    pub(super) fn check(&mut self, file: &File, now: Instant, options: &Options, attentive: bool) {
        let (stream, id) = (&self.stream, self.file);
        assert_eq!(stream.unread(), file.handled - self.consumed, "bytes");
        stream.with_input(|input| {
            for (n, byte) in input.iter().enumerate() {
                assert_eq!(*byte, inward(id, self.consumed + n), "byte {n}");
            }
        });
        // What the kernel has sent it may not have said yet.
        assert!(stream.unsent() >= file.written - file.sent || file.failed);
        let socket = stream.socket();
        let over = stream.unread() > options.input_bytes_max;
        let flood = &mut self.flood;
        if !over || !attentive || file.asked > flood.asked {
            flood.passes = 0;
        } else if file.delivered > flood.delivered {
            flood.passes += 1;
        }
        assert!(flood.passes < FLOOD_PASSES_MAX, "a flood is not stopped");
        (flood.delivered, flood.asked) = (file.delivered, file.asked);
        if let Some(at) = self.deadline {
            let told = socket.timed_out.get();
            assert!(!told || now >= at, "a deadline came early");
            assert!(
                told || now < at + DEADLINE_LATE_MAX,
                "a deadline was missed"
            );
        }
        if !self.attended {
            return;
        }
        let _ = self.reader.look(|context| stream.poll_fill(context, 0));
        let _ = self.writer.look(|context| stream.poll_drain(context, 0));
    }
}
