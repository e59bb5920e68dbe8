//! Whether the machine gives the server time to run: beside what the soak does to it itself, others may have
//! its cores, and a time that is over then says nothing of the server.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::process::{threads, waited_for_cpu_if_any};

/// Between two looks.
const TICK: Duration = Duration::from_millis(50);

/// What a look looks back on.
const BACK: Duration = Duration::from_secs(1);

/// The part of that time for which one thread of the server waited for its core. The hogs of the soak take
/// three quarters.
const WAITED_PART: f64 = 0.85;

/// How late a look itself is where nobody gets to run: a machine that stood still.
const LATE: Duration = Duration::from_millis(250);

/// How long what has piled up is felt.
const AFTERMATH: Duration = Duration::from_secs(1);

/// When it did not. All in the order of time, apart from each other.
#[derive(Default)]
pub struct Starvation(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    until: Option<Instant>,
    spans: Vec<(Instant, Instant)>,
}

/// How long each thread has waited for a core since it began.
type Waits = BTreeMap<PathBuf, Duration>;

impl Starvation {
    /// Looks at a process as long as it `goes_on`.
    pub fn watch(&self, pid: u32, goes_on: impl Fn() -> bool) {
        let mut looks = VecDeque::from([(Instant::now(), waits(pid))]);
        while goes_on() {
            let before = Instant::now();
            std::thread::sleep(TICK);
            let (now, waits) = (Instant::now(), waits(pid));
            while looks.len() > 1 && now - looks[1].0 >= BACK {
                looks.pop_front();
            }
            let (since, earlier) = &looks[0];
            let waited = longest(earlier, &waits);
            let from = if waited >= BACK.mul_f64(WAITED_PART) {
                Some(now - waited.max(now - *since))
            } else {
                (now - before >= LATE).then_some(before)
            };
            looks.push_back((now, waits));
            self.note(now, from);
        }
    }

    fn note(&self, now: Instant, from: Option<Instant>) {
        let mut seen = self.0.lock().expect("nobody panics while holding it");
        seen.until = Some(now);
        let Some(from) = from else {
            return;
        };
        match seen.spans.last_mut() {
            Some((_, until)) if *until >= from => *until = now + AFTERMATH,
            _ => seen.spans.push((from, now + AFTERMATH)),
        }
    }

    /// Whether it was so at some moment between the two. Waits for the look that tells.
    pub fn touches(&self, from: Instant, until: Instant) -> bool {
        let start = Instant::now();
        loop {
            let seen = self.0.lock().expect("nobody panics while holding it");
            let mut spans = seen.spans.iter();
            if spans.any(|(began, ended)| *began <= until && *ended >= from) {
                return true;
            }
            let is_known = seen.until.is_some_and(|known| known >= until + TICK);
            drop(seen);
            if is_known || start.elapsed() > LATE + BACK {
                return false;
            }
            std::thread::sleep(TICK);
        }
    }

    /// How long it was so.
    pub fn total(&self) -> Duration {
        let seen = self.0.lock().expect("nobody panics while holding it");
        seen.spans.iter().map(|(from, until)| *until - *from).sum()
    }
}

/// The longest wait of a thread since an earlier look.
fn longest(earlier: &Waits, now: &Waits) -> Duration {
    let since = |(thread, waited): (&PathBuf, &Duration)| {
        waited.saturating_sub(earlier.get(thread).copied().unwrap_or_default())
    };
    now.iter().map(since).max().unwrap_or_default()
}

/// Of all threads of a process; those of one that is gone have none.
fn waits(pid: u32) -> Waits {
    let wait = |thread: PathBuf| waited_for_cpu_if_any(&thread).map(|waited| (thread, waited));
    threads(pid).filter_map(wait).collect()
}
