//! When which fault was active, recovery included.

use std::sync::Mutex;
use std::time::Instant;

use crate::fault::Fault;

/// From before a fault is injected until its traces may no longer be seen.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub fault: Fault,
    pub from: Instant,
    /// None as long as it is not known. May be in the future.
    pub until: Option<Instant>,
}

impl Window {
    fn touches(&self, from: Instant, until: Instant) -> bool {
        self.from <= until && self.until.is_none_or(|end| end >= from)
    }
}

/// All windows of a run, in the order of their beginnings.
#[derive(Default)]
pub struct Windows(Mutex<Vec<Window>>);

impl Windows {
    /// To be called before anything is done.
    pub fn open(&self, fault: Fault) {
        let window = Window {
            fault,
            from: Instant::now(),
            until: None,
        };
        self.list().push(window);
    }

    /// Sets the end of all that are open.
    pub fn close(&self, until: Instant) {
        for window in self.list().iter_mut() {
            window.until.get_or_insert(until);
        }
    }

    /// The faults of which something may have been seen between two moments.
    pub fn between(&self, from: Instant, until: Instant) -> Vec<Fault> {
        let list = self.list();
        let touching = list.iter().filter(|window| window.touches(from, until));
        touching.map(|window| window.fault).collect()
    }

    pub fn all(&self) -> Vec<Window> {
        self.list().clone()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Window>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}
