//! The thread that writes the log, and the bounded queue before it.
//!
//! Whoever logs puts a whole line into the queue and goes on. It is bounded by bytes; past the bound lines are
//! dropped and counted, and the log is told how many once it moves again. Lines of the access log leave a
//! quarter of it to the others, so that a flood of requests can't hide what is said of a fault.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::{Style, access, priority, text};
use crate::channel::{Receiver, Sender, channel};
use crate::limits;

/// Bytes that a line in the queue has beside its own: its place there and what its memory is rounded up to.
const LINE_OVERHEAD: usize = 64;

/// How often the log is told of dropped lines.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that are written at a time.
const BATCH_BYTES: usize = 64 * 1024;

/// The queue of this process, once the log has been started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

struct Queue {
    sender: Sender<Item>,
    /// Of the lines that are queued or being written: at most [`limits::LOG_BYTES_MAX`].
    bytes: AtomicUsize,
    dropped: AtomicU64,
    style: Style,
}

enum Item {
    Line(Vec<u8>),
    /// All that came before is to be written.
    Flush(SyncSender<()>),
}

/// Lines that were dropped since the start, because they came faster than they were read or because nobody
/// reads any more.
pub fn dropped() -> u64 {
    QUEUE
        .get()
        .map_or(0, |queue| queue.dropped.load(Ordering::Relaxed))
}

/// Starts the thread.
pub(super) fn start(style: Style) -> io::Result<()> {
    // A descriptor of its own: the lock of the standard one would be held for as long as nobody reads.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (sender, receiver) = channel();
    let queue = Queue {
        sender,
        bytes: AtomicUsize::new(0),
        dropped: AtomicU64::new(0),
        style,
    };
    if QUEUE.set(queue).is_err() {
        return Err(io::Error::other("it was started before"));
    }
    let run = move || {
        if let Some(queue) = QUEUE.get() {
            Writer::new(queue, receiver, stderr).run();
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(run)?;
    Ok(())
}

/// Waits until all that was logged before is written, but not for ever: nobody may be reading.
pub(super) fn flush() {
    if let Some(queue) = QUEUE.get() {
        let (done, waits) = sync_channel(1);
        if queue.sender.send(Item::Flush(done)).is_ok() {
            let _ = waits.recv_timeout(limits::LOG_FLUSH_MAX);
        }
    }
}

/// Lines that are no events: written by whoever says them as long as there is no log.
pub(super) fn say(level: Level, words: &str) {
    let Some(queue) = QUEUE.get() else {
        eprintln!("{words}");
        return;
    };
    let line = match queue.style {
        Style::Json => json(level, words),
        Style::Text { journal: false, .. } => format!("{words}\n"),
        Style::Text { journal: true, .. } => {
            let prefixed = |line| format!("<{}>{line}\n", priority(level));
            words.lines().map(prefixed).collect()
        }
    };
    queue.push(line.into_bytes(), usize::MAX); // few, and the last of them the reason for the end
}

/// As the events of that format are.
fn json(level: Level, words: &str) -> String {
    let timestamp = format!("{:.6}", jiff::Timestamp::now());
    let object = serde_json::json!({
        "timestamp": timestamp,
        "level": level.as_str(),
        "message": words,
        "target": "pinion",
    });
    format!("{object}\n")
}

impl Queue {
    /// Queues a line, unless there are `bytes_max` bytes with it.
    fn push(&self, line: Vec<u8>, bytes_max: usize) {
        let size = line.len() + LINE_OVERHEAD;
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > bytes_max || self.sender.send(Item::Line(line)).is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives each event a writer that queues it.
pub(super) struct Lines;

/// See [`Lines`].
pub(super) struct Line {
    bytes_max: usize,
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line {
            bytes_max: limits::LOG_BYTES_MAX,
        }
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        let share = match meta.target() {
            access::TARGET => limits::LOG_BYTES_MAX / 4 * 3,
            _ => limits::LOG_BYTES_MAX,
        };
        Line { bytes_max: share }
    }
}

impl Write for Line {
    /// Is given whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(queue) = QUEUE.get() {
            let owned = match queue.style {
                Style::Json => text::escape_json(line),
                Style::Text { .. } => line.to_vec(),
            };
            queue.push(owned, self.bytes_max);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread.
struct Writer {
    queue: &'static Queue,
    receiver: Receiver<Item>,
    stderr: File,
    batch: Vec<u8>,
    /// Lines in the batch, and their bytes in the queue's count.
    lines: u64,
    size: usize,
    /// Dropped lines that the log has been told of, and when.
    told: u64,
    told_at: Option<Instant>,
}

impl Writer {
    fn new(queue: &'static Queue, receiver: Receiver<Item>, stderr: File) -> Writer {
        Writer {
            queue,
            receiver,
            stderr,
            batch: Vec::with_capacity(BATCH_BYTES),
            lines: 0,
            size: 0,
            told: 0,
            told_at: None,
        }
    }

    fn run(mut self) {
        loop {
            let first = match self.untold() {
                0 => self.receiver.recv(),
                _ => self.receiver.recv_timeout(TELL_INTERVAL),
            };
            match first {
                Ok(item) => self.take(item),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while self.batch.len() < BATCH_BYTES
                && let Ok(item) = self.receiver.try_recv()
            {
                self.take(item);
            }
            self.write();
            if self.told_at.is_none_or(|at| at.elapsed() >= TELL_INTERVAL) {
                self.tell();
            }
        }
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Line(line) => {
                self.size += line.len() + LINE_OVERHEAD;
                self.lines += 1;
                self.batch.extend_from_slice(&line);
            }
            Item::Flush(done) => {
                self.write();
                self.tell();
                // That it was told.
                while self.batch.len() < BATCH_BYTES
                    && let Ok(item) = self.receiver.try_recv()
                {
                    self.take(item);
                }
                self.write();
                let _ = done.send(()); // unless nobody waits any more
            }
        }
    }

    fn untold(&self) -> u64 {
        self.queue.dropped.load(Ordering::Relaxed) - self.told
    }

    fn tell(&mut self) {
        let lines = self.untold();
        if lines > 0 {
            self.told += lines;
            self.told_at = Some(Instant::now());
            tracing::warn!(dropped = lines, "{lines} log lines were dropped");
        }
    }

    /// Writes the batch, for as long as that takes.
    fn write(&mut self) {
        if write_all(&self.stderr, &self.batch).is_err() {
            // Nobody reads any more. There is nowhere to say so.
            self.queue.dropped.fetch_add(self.lines, Ordering::Relaxed);
            self.told += self.lines;
        }
        self.queue.bytes.fetch_sub(self.size, Ordering::Relaxed);
        self.batch.clear();
        (self.lines, self.size) = (0, 0);
    }
}

fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever shares it may have made it so that writes don't wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut waiting = [PollFd::new(file, PollFlags::OUT)];
                match poll(&mut waiting, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
