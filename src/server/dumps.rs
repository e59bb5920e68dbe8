//! When histograms are dumped: each interval, on SIGUSR1, when somebody asks at the admin port, and at the
//! stop.
//!
//! The control thread first has every core hand over what it has measured, for a second at the most: a core
//! that is stuck must not keep the others' figures from the disk. A thread of its own writes, as that waits
//! for the disk.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::Error;
use super::watch::Watch;
use crate::config::Histograms;
use crate::metrics::dump::{Dumper, Undumped};

/// How long is waited for what the cores hand over.
const PATIENCE: Duration = Duration::from_secs(1);

/// The path of a dump, none where nothing had happened since the last one; or why there is none.
pub type Outcome = Result<Option<PathBuf>, String>;

/// See the head of this file.
pub struct Dumps {
    interval: Option<Duration>,
    next: Option<Instant>,
    /// A dump is to be written once every core has been heard, or at this time.
    until: Option<Instant>,
    /// Who wants to know of it.
    asking: Vec<Sender<Outcome>>,
    writer: Option<Writer>,
}

/// The thread that writes.
struct Writer {
    orders: Sender<Order>,
    /// It is at an order: with a disk that hangs no further ones pile up.
    busy: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

struct Order {
    undumped: Undumped,
    to: SystemTime,
    asking: Vec<Sender<Outcome>>,
}

impl Dumps {
    /// As the flags say; without `--histogram-dir` there are none.
    pub fn new(settings: Option<&Histograms>) -> Result<Dumps, Error> {
        let interval = settings.and_then(|settings| settings.interval);
        let writer = settings.map(|settings| -> Result<Writer, Error> {
            let dumper = Dumper::new(settings.dumps.clone(), SystemTime::now())
                .map_err(|error| Error(format!("--histogram-dir: {error}")))?;
            let (orders, received) = channel();
            let busy: Arc<AtomicBool> = Arc::default();
            let at_work = busy.clone();
            let thread = thread::Builder::new()
                .name("dumps".to_owned())
                .spawn(move || write(dumper, &received, &at_work))
                .map_err(|error| Error(format!("no thread for dumps: {error}")))?;
            Ok(Writer {
                orders,
                busy,
                thread,
            })
        });
        Ok(Dumps {
            interval,
            next: interval.map(|interval| Instant::now() + interval),
            until: None,
            asking: Vec::new(),
            writer: writer.transpose()?,
        })
    }

    /// Until the next look.
    pub fn patience(&self) -> Duration {
        let soonest = self.next.into_iter().chain(self.until).min();
        soonest.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// Somebody wants one now, and perhaps to know what came of it.
    pub fn ask(&mut self, watch: &mut Watch, asking: Option<Sender<Outcome>>) {
        if self.writer.is_none() {
            match asking {
                // Who has gone does not want to know any more.
                Some(asking) => drop(asking.send(Err("there is no --histogram-dir".to_owned()))),
                None => tracing::warn!("SIGUSR1: there is no --histogram-dir to dump to"),
            }
            return;
        }
        self.asking.extend(asking);
        watch.ask();
        self.until.get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// Does what is due.
    pub fn look(&mut self, watch: &mut Watch) {
        let now = Instant::now();
        if let (Some(interval), Some(next)) = (self.interval, self.next)
            && next <= now
        {
            self.next = Some(now + interval);
            self.ask(watch, None);
        }
        if self
            .until
            .is_some_and(|until| watch.has_heard_all() || until <= now)
        {
            self.until = None;
            self.dump(watch);
        }
    }

    fn dump(&mut self, watch: &Watch) {
        let Some(writer) = &self.writer else {
            return;
        };
        if writer.busy.swap(true, Ordering::Acquire) {
            tracing::warn!(
                "the last dump of histograms is still being written: the next one has it all"
            );
            for asking in self.asking.drain(..) {
                // Who has gone does not want to know any more.
                let _ = asking.send(Err("the last dump is still being written".to_owned()));
            }
            return;
        }
        let order = Order {
            undumped: watch.with_ledger(Undumped::take),
            to: SystemTime::now(),
            asking: std::mem::take(&mut self.asking),
        };
        if writer.orders.send(order).is_err() {
            tracing::error!("histograms are not dumped any more: the thread that writes is gone");
        }
    }

    /// The last one, of cores that have ended; waits until it is on the disk.
    pub fn finish(&mut self, watch: &Watch) {
        if let Some(writer) = &self.writer {
            // Whatever it is at comes before the last one.
            writer.busy.store(false, Ordering::Release);
        }
        self.dump(watch);
        if let Some(Writer { orders, thread, .. }) = self.writer.take() {
            drop(orders);
            if thread.join().is_err() {
                tracing::error!("the thread that writes histograms panicked");
            }
        }
    }
}

fn write(mut dumper: Dumper, orders: &Receiver<Order>, busy: &AtomicBool) {
    for order in orders {
        let outcome = dumper.dump(order.undumped, order.to);
        match &outcome {
            Ok(Some(path)) => tracing::debug!(path = %path.display(), "histograms dumped"),
            Ok(None) => tracing::debug!("no histograms to dump: nothing has happened"),
            Err(error) => tracing::error!(%error, "histograms could not be dumped"),
        }
        for asking in order.asking {
            let outcome = outcome.as_ref().map(Clone::clone);
            // Who has gone does not want to know any more.
            let _ = asking.send(outcome.map_err(ToString::to_string));
        }
        busy.store(false, Ordering::Release);
    }
}
