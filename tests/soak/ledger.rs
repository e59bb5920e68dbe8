//! What was seen: answers by outcome, and in full what was wrong or lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::wire::Line;

/// Faults of the server that are shown in full, and after which the soak ends.
const SHOWN_MAX: usize = 12;

/// Bytes of each direction that are shown.
const BYTES_SHOWN_MAX: usize = 4000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// What it should be without any fault, a declared refusal among them.
    Right,
    /// Refused, and a fault of the moment allows it.
    Excused,
    /// The connection ended because of what the client did.
    Ended,
}

/// Counts of everything, and the faults of the server.
pub struct Ledger {
    start: Instant,
    seed: u64,
    counts: [AtomicUsize; 3],
    /// Excused refusals by their status and words.
    excused: Mutex<BTreeMap<String, usize>>,
    wrong: AtomicUsize,
    lost: AtomicUsize,
    shown: Mutex<Vec<String>>,
    /// The longest wait of `/health` on a connection that was open.
    health_slowest_us: AtomicUsize,
}

impl Ledger {
    pub fn new(seed: u64) -> Ledger {
        Ledger {
            start: Instant::now(),
            seed,
            counts: Default::default(),
            excused: Mutex::default(),
            wrong: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            shown: Mutex::default(),
            health_slowest_us: AtomicUsize::new(0),
        }
    }

    pub fn count(&self, outcome: Outcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn excuse(&self, what: String) {
        self.count(Outcome::Excused);
        let mut excused = self.excused.lock().expect("nobody panics in it");
        *excused.entry(what).or_default() += 1;
    }

    pub fn counted(&self, outcome: Outcome) -> usize {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// Everything that was checked, what was wrong among it.
    pub fn checked(&self) -> usize {
        let counted = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        counted.sum::<usize>() + self.wrong() + self.lost()
    }

    pub fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether there is no use in going on.
    pub fn is_full(&self) -> bool {
        self.wrong() + self.lost() >= SHOWN_MAX
    }

    pub fn excuses(&self) -> Vec<(String, usize)> {
        let excused = self.excused.lock().expect("nobody panics in it");
        excused
            .iter()
            .map(|(what, count)| (what.clone(), *count))
            .collect()
    }

    pub fn note_health(&self, took: Duration) {
        let took = took.as_micros() as usize;
        self.health_slowest_us.fetch_max(took, Ordering::Relaxed);
    }

    pub fn health_slowest(&self) -> Duration {
        Duration::from_micros(self.health_slowest_us.load(Ordering::Relaxed) as u64)
    }

    /// An answer, or an end, that is not allowed.
    pub fn wrong_exchange(&self, what: &str, line: &Line, faults: &[Fault]) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        self.show("wrong", what, Some(line), faults);
    }

    /// A request without an answer.
    pub fn lost_exchange(&self, what: &str, line: &Line, faults: &[Fault]) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.show("lost", what, Some(line), faults);
    }

    pub fn wrong_fact(&self, what: &str) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        self.show("wrong", what, None, &[]);
    }

    pub fn lost_fact(&self, what: &str) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.show("lost", what, None, &[]);
    }

    /// The first faults of the server in full.
    pub fn shown(&self) -> Vec<String> {
        self.shown.lock().expect("nobody panics in it").clone()
    }

    fn show(&self, kind: &str, what: &str, line: Option<&Line>, faults: &[Fault]) {
        let at = self.start.elapsed().as_secs_f64();
        let seed = self.seed;
        let mut text = format!("{kind} at {at:.3} s, seed {seed}: {what}\n");
        let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
        let _ = writeln!(text, "  faults then: {names:?}");
        if let Some(line) = line {
            let _ = writeln!(text, "  longest delay of the client: {:?}", line.own_delay);
            let _ = writeln!(text, "  sent: {}", shown_bytes(&line.sent));
            let _ = writeln!(text, "  received: {}", shown_bytes(&line.received));
        }
        let mut shown = self.shown.lock().expect("nobody panics in it");
        if shown.len() < SHOWN_MAX {
            println!("{text}");
            shown.push(text);
        }
    }
}

fn shown_bytes(bytes: &[u8]) -> String {
    let part = &bytes[..bytes.len().min(BYTES_SHOWN_MAX)];
    let rest = bytes.len() - part.len();
    let text = part
        .escape_ascii()
        .to_string()
        .replace("\\r\\n", "\\r\\n\n    ");
    match rest {
        0 => text,
        rest => format!("{text} … and {rest} bytes"),
    }
}
