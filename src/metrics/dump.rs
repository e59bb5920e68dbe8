//! Dumps: what the cores have measured since the last one, as files that HdrHistogram's tools read.
//!
//! ```text
//! DIRECTORY/20261122T091500.123Z-4711/   when it was written, and by which process
//!     core0.hlog                         of each core: an interval log, a line for each route and stage
//!     get_user.hgrm                      of each route: percentiles of all cores together, as text
//! ```
//!
//! A dump is written under a temporary name in the same directory and renamed once all of it is on the
//! disk: whoever lists the directory sees all of it or none. What could not be written is kept for the next
//! one, so a full disk loses nothing.

mod directory;
pub mod log;
mod percentiles;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::latencies::{Stage, empty_histogram};
use super::ledger::Ledger;
use super::snapshot::RouteInterval;
use directory::Draft;
pub use directory::is_dump_name;
use log::Header;

/// Where dumps go, and how long they stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Made if it is not there.
    pub directory: PathBuf,
    /// How many are kept, those of other processes in the same directory included.
    pub keep: usize,
    /// How long they are kept; zero for ever.
    pub age_max: Duration,
}

/// What the cores have measured and no dump has yet.
#[derive(Debug, Default)]
pub struct Undumped(Vec<Core>);

#[derive(Debug)]
struct Core {
    cpu: usize,
    routes: Vec<(String, RouteInterval)>,
}

/// Writes dumps, one after the other. It may live on a thread of its own: writing waits for the disk.
pub struct Dumper {
    settings: Settings,
    host: String,
    /// What the next dump is to have.
    pending: Undumped,
    /// From when on.
    from: SystemTime,
    /// Since when nothing had happened by then.
    idle_from: Option<SystemTime>,
}

/// A dump that could not be written.
#[derive(Debug)]
pub struct Error {
    doing: &'static str,
    path: PathBuf,
    reason: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(formatter, "can't {} {path}: {}", self.doing, self.reason)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn of<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |reason| Error {
            doing,
            path: path.to_owned(),
            reason,
        }
    }
}

impl Undumped {
    /// Takes it out of the ledger.
    pub fn take(ledger: &mut Ledger) -> Undumped {
        let cores = ledger.cores.iter_mut().map(|core| Core {
            cpu: core.cpu,
            routes: std::mem::take(&mut core.undumped),
        });
        Undumped(cores.collect())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|core| core.routes.is_empty())
    }

    fn add(&mut self, more: Undumped) {
        for new in more.0 {
            match self.0.iter_mut().find(|core| core.cpu == new.cpu) {
                Some(core) => core.add(new.routes),
                None => self.0.push(new),
            }
        }
    }
}

impl Core {
    fn add(&mut self, routes: Vec<(String, RouteInterval)>) {
        for (name, interval) in routes {
            match self.routes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => sum.add(&interval),
                None => self.routes.push((name, interval)),
            }
        }
    }
}

impl Dumper {
    /// Makes the directory and sees that it can be written to. The first dump begins at `from`.
    pub fn new(settings: Settings, from: SystemTime) -> Result<Dumper, Error> {
        let directory = &settings.directory;
        std::fs::create_dir_all(directory).map_err(Error::of("make", directory))?;
        Draft::begin(directory, from)?; // and not finished, so it is removed
        directory::tidy(&settings, from);
        Ok(Dumper {
            settings,
            host: host(),
            pending: Undumped::default(),
            from,
            idle_from: None,
        })
    }

    /// Writes a dump of what there was until `to`, and of what could not be written before; gives its path.
    /// Where nothing has happened there is no dump: the next one says since when nothing had.
    pub fn dump(&mut self, fresh: Undumped, to: SystemTime) -> Result<Option<PathBuf>, Error> {
        self.pending.add(fresh);
        // A clock that was set back must not make a negative time.
        let to = to.max(self.from);
        if self.pending.is_empty() {
            self.idle_from.get_or_insert(self.from);
            self.from = to;
            directory::tidy(&self.settings, to);
            return Ok(None);
        }
        let path = self.write(to)?;
        for core in &mut self.pending.0 {
            core.routes.clear();
        }
        self.from = to;
        self.idle_from = None;
        directory::tidy(&self.settings, to);
        Ok(Some(path))
    }

    fn write(&self, to: SystemTime) -> Result<PathBuf, Error> {
        let directory = &self.settings.directory;
        // Somebody may have removed it.
        std::fs::create_dir_all(directory).map_err(Error::of("make", directory))?;
        let mut draft = Draft::begin(directory, to)?;
        for core in &self.pending.0 {
            let header = Header {
                core: core.cpu,
                process: std::process::id(),
                host: self.host.clone(),
                from: self.from,
                to,
                idle_from: self.idle_from,
            };
            let text = log::text(&header, &core.routes);
            draft.write(&format!("core{}.hlog", core.cpu), text.as_bytes())?;
        }
        let mut written = HashSet::new();
        for name in self.route_names() {
            let file = percentiles::file_name(name);
            let mut sum = empty_histogram();
            let routes = self.pending.0.iter().flat_map(|core| &core.routes);
            for (_, interval) in routes.filter(|(route, _)| *route == name) {
                let total = interval.latencies.of(Stage::Total);
                sum.add(total).expect("all have the same bounds");
            }
            // Of names that begin with the same two hundred letters the first one has a file.
            if !sum.is_empty() && written.insert(file.clone()) {
                draft.write(&file, percentiles::text(&sum).as_bytes())?;
            }
        }
        draft.finish()
    }

    fn route_names(&self) -> Vec<&str> {
        let routes = self.pending.0.iter().flat_map(|core| &core.routes);
        let mut names: Vec<&str> = routes.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// This machine's name, as a comment may say it.
fn host() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    name.chars().filter(|&letter| plain(letter)).collect()
}
