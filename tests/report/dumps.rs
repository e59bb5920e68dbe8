//! Dumps of known values.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pinion::metrics::dump::{Dumper, Settings, Undumped};
use pinion::metrics::{Ledger, Snapshot, Stage};

/// 2026-11-22 09:15:00 UTC.
pub const START: u64 = 1_795_338_900;

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(START + seconds)
}

/// A server whose dumps are written one after the other.
pub struct Recorded {
    ledger: Ledger,
    dumper: Dumper,
    names: Vec<&'static str>,
}

/// What one core has of one interval: requests by route.
pub struct Core {
    snapshot: Snapshot,
    names: Vec<&'static str>,
}

impl Recorded {
    /// Of a server on these cores that began at START.
    pub fn start(directory: &Path, cores: &[usize], names: &[&'static str]) -> Recorded {
        Recorded::starting(directory, cores, names, 0)
    }

    /// The same, so many seconds later.
    pub fn starting(
        directory: &Path,
        cores: &[usize],
        names: &[&'static str],
        second: u64,
    ) -> Recorded {
        let settings = Settings {
            directory: directory.to_owned(),
            keep: 10_000,
            age_max: Duration::ZERO,
        };
        Recorded {
            ledger: Ledger::new(cores),
            dumper: Dumper::new(settings, at(second)).expect("a directory"),
            names: names.to_vec(),
        }
    }

    /// Has a core record something.
    pub fn core(&mut self, cpu: usize, record: impl FnOnce(&mut Core)) {
        let names = Snapshot::names(self.names.iter().copied());
        let mut core = Core {
            snapshot: Snapshot::empty(cpu, names, 1),
            names: self.names.clone(),
        };
        record(&mut core);
        self.ledger.take(&core.snapshot, Instant::now());
    }

    /// Dumps what was recorded, so many seconds after START.
    pub fn dump(&mut self, second: u64) -> Option<PathBuf> {
        let fresh = Undumped::take(&mut self.ledger);
        self.dumper.dump(fresh, at(second)).expect("a dump")
    }
}

impl Core {
    /// A request that took so many microseconds in each of read, wait, postgres and write.
    pub fn request(&mut self, route: &str, parts: [u64; 4]) {
        let index = self.names.iter().position(|name| *name == route);
        let built_in = Snapshot::BUILT_IN.iter().position(|name| *name == route);
        let index = index.or(built_in.map(|index| self.names.len() + index));
        let interval = &mut self.snapshot.routes[index.expect("a route")];
        interval.statuses.add(200, 1);
        let [read, wait, postgres, write] = parts;
        let latencies = &mut interval.latencies;
        latencies.record(Stage::Total, parts.iter().sum());
        latencies.record(Stage::Read, read);
        latencies.record(Stage::Write, write);
        if postgres > 0 {
            latencies.record(Stage::Wait, wait);
            latencies.record(Stage::Postgres, postgres);
        }
    }

    /// Requests that took this long, all of it with Postgres but for three microseconds.
    pub fn totals(&mut self, route: &str, micros: impl IntoIterator<Item = u64>) {
        for micros in micros {
            self.request(route, [1, 1, micros - 3, 1]);
        }
    }
}

/// Numbers that look random and are the same each time.
pub struct Dice(pub u64);

impl Dice {
    /// From 0 to 1.
    pub fn roll(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time around a median with a long tail.
    pub fn micros(&mut self, median: f64) -> u64 {
        let tail = (1.0 / (1.0 - self.roll())).powf(0.35);
        (median * (0.6 + 0.4 * self.roll()) * tail) as u64 + 1
    }
}

/// The routes of [`shop`].
pub const SHOP: [&str; 5] = [
    "get_user",
    "list_products",
    "create_order",
    "search",
    "agents",
];

/// Half an hour of a shop on two cores, a dump each minute, with a slow quarter of an hour if it is
/// said so.
pub fn shop(directory: &Path, is_slow: bool) {
    let mut dice = Dice(7);
    let mut recorded = Recorded::start(directory, &[0, 1], &SHOP);
    for minute in 0..30_u64 {
        for cpu in [0, 1] {
            recorded.core(cpu, |core| {
                let slow = if is_slow && minute >= 15 { 1.8 } else { 1.0 };
                let medians = [350.0, 1400.0, 2600.0, 9000.0, 700.0];
                for (index, (route, median)) in SHOP.iter().zip(medians).enumerate() {
                    // Nobody searched for some minutes.
                    if *route == "search" && (10..14).contains(&minute) {
                        continue;
                    }
                    for _ in 0..(400 >> index) + 3 {
                        let postgres = dice.micros(median * slow);
                        let parts = [
                            dice.micros(12.0),
                            dice.micros(60.0),
                            postgres,
                            dice.micros(30.0),
                        ];
                        core.request(route, parts);
                    }
                }
                for _ in 0..40 {
                    core.request("/health", [dice.micros(8.0), 0, 0, dice.micros(9.0)]);
                }
            });
        }
        recorded.dump(60 * (minute + 1));
    }
}
