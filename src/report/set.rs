//! A set of dumps, merged.

mod merge;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::error::Error;
use super::files;
use super::log::Log;
use crate::limits;
use crate::metrics::Latencies;
use merge::Merge;

/// The lengths that a point in time may have, in seconds; past them whole days.
const LENGTHS: [u64; 17] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200,
];
const DAY: u64 = 86_400;

/// See the head of this file.
pub(super) struct Set {
    /// When the first interval began.
    pub from: SystemTime,
    /// When the last one ended.
    pub to: SystemTime,
    /// How much time there is in all intervals together, none counted twice: cores and hosts serve side by
    /// side. Time in which nothing happened counts, time without a server does not.
    pub covered: Duration,
    pub dumps: usize,
    pub cores: usize,
    pub hosts: usize,
    /// How long a point in time is.
    pub point: Duration,
    pub all: Route,
    /// By name.
    pub routes: Vec<Route>,
}

/// What all cores have measured of a route.
#[derive(Default)]
pub(super) struct Route {
    pub name: String,
    pub latencies: Latencies,
    /// In the order of time; there is none where nothing was asked.
    pub points: Vec<Point>,
}

/// A part of the time. Times are in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// Counted from the set's first, each [`Set::point`] long.
    pub index: u64,
    pub count: u64,
    /// p50, p99 and p99.9.
    pub percentiles: [u64; 3],
    /// As those of `Figures`.
    pub parts: [f64; 4],
}

impl Set {
    /// Reads all that is named and merges it. Of the routes only those, if there are any.
    pub(super) fn read(named: &[PathBuf], routes: &[String]) -> Result<Set, Error> {
        // What a directory listed may be gone when it is opened: the server removes old dumps.
        let unless_removed = |path: &PathBuf, error| match path.exists() || named.contains(path) {
            true => Err(error),
            false => Ok(()),
        };
        let mut logs = Vec::new();
        for path in files::find(named)? {
            match Log::open(&path) {
                Ok(log) => logs.push(log),
                Err(error) => unless_removed(&path, error)?,
            }
        }
        refuse_copies(&logs)?;
        logs.sort_by_key(middle);
        let from = logs.iter().map(|log| log.header.from).min();
        let to = logs.iter().map(|log| log.header.to).max();
        let (Some(from), Some(to)) = (from, to) else {
            return Err(Error::new("there is no dump to report on".to_owned()));
        };
        let point = point_length(&logs, since(to, from));
        let mut merge = Merge::default();
        let mut merged = Vec::with_capacity(logs.len());
        for log in logs {
            merge.turn_to(since(middle(&log), from).as_secs() / point.as_secs());
            let is_wanted = |name: &str| routes.is_empty() || routes.iter().any(|it| it == name);
            let read = log.read(is_wanted, |name, stage, histogram| {
                merge.add(name, stage, histogram)
            });
            match read {
                Ok(()) => merged.push(log),
                Err(error) => unless_removed(&log.path, error)?,
            }
        }
        let (all, routes) = merge.finish();
        Ok(Set {
            from,
            to,
            covered: covered(&merged),
            dumps: distinct(&merged, |log| {
                (&log.header.host, log.header.process, log.header.to)
            }),
            cores: distinct(&merged, |log| (&log.header.host, log.header.core)),
            hosts: distinct(&merged, |log| &log.header.host),
            point,
            all,
            routes,
        })
    }
}

impl Set {
    /// When a point begins.
    pub(super) fn point_start(&self, point: &Point) -> SystemTime {
        let seconds = self.point.as_secs().saturating_mul(point.index);
        self.from + Duration::from_secs(seconds)
    }
}

fn distinct<'a, K: Eq + Hash>(logs: &'a [Log], key: impl Fn(&'a Log) -> K) -> usize {
    logs.iter().map(key).collect::<HashSet<K>>().len()
}

/// A copy of a log would count everything twice.
fn refuse_copies(logs: &[Log]) -> Result<(), Error> {
    let mut seen = HashMap::new();
    for log in logs {
        let header = &log.header;
        let key = (&header.host, header.process, header.core, header.from);
        if let Some(first) = seen.insert(key, &log.path) {
            let (first, again) = (first.display(), log.path.display());
            return Err(Error::new(format!(
                "{again} is of the same core and time as {first}: give one of them"
            )));
        }
    }
    Ok(())
}

fn since(later: SystemTime, earlier: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

fn middle(log: &Log) -> SystemTime {
    log.header.from + since(log.header.to, log.header.from) / 2
}

/// Such that there are not too many points, and one for most dumps if there can be.
fn point_length(logs: &[Log], span: Duration) -> Duration {
    let mut lengths: Vec<Duration> = logs
        .iter()
        .map(|log| since(log.header.to, log.header.from))
        .collect();
    lengths.sort_unstable();
    let usual = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    // Timers are late by some milliseconds.
    let usual = usual.mul_f64(0.98).as_secs_f64().ceil() as u64;
    let least = usual.max(span.as_secs().div_ceil(limits::REPORT_POINTS_MAX));
    let seconds = LENGTHS.into_iter().find(|&length| length >= least);
    Duration::from_secs(seconds.unwrap_or(least.div_ceil(DAY) * DAY))
}

/// The length of the union of all intervals.
fn covered(logs: &[Log]) -> Duration {
    let interval = |log: &Log| {
        (
            log.header.idle_from.unwrap_or(log.header.from),
            log.header.to,
        )
    };
    let mut intervals: Vec<_> = logs.iter().map(interval).collect();
    intervals.sort_unstable();
    let mut sum = Duration::ZERO;
    let mut end = SystemTime::UNIX_EPOCH;
    for (from, to) in intervals {
        sum += since(to, from.max(end));
        end = end.max(to);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::metrics::dump::log::Header;

    fn log(idle_from: Option<u64>, from: u64, to: u64) -> Log {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        Log {
            path: PathBuf::from("core0.hlog"),
            header: Header {
                core: 0,
                process: 1,
                host: "h".to_owned(),
                from: at(from),
                to: at(to),
                idle_from: idle_from.map(at),
            },
        }
    }

    #[test]
    fn no_time_is_counted_twice_and_idle_time_is_counted() {
        let seconds = |logs: &[Log]| covered(logs).as_secs();
        assert_eq!(seconds(&[log(None, 0, 60), log(None, 0, 60)]), 60);
        assert_eq!(seconds(&[log(None, 30, 90), log(None, 0, 60)]), 90);
        assert_eq!(seconds(&[log(None, 0, 100), log(None, 10, 20)]), 100);
        assert_eq!(seconds(&[log(None, 0, 60), log(None, 600, 660)]), 120);
        assert_eq!(seconds(&[log(None, 0, 60), log(Some(60), 600, 660)]), 660);
    }

    #[test]
    fn a_point_is_as_long_as_a_dump_unless_they_would_be_too_many() {
        let minutes = |count: u64| {
            let logs: Vec<Log> = (0..count)
                .map(|minute| log(None, minute * 60, minute * 60 + 60))
                .collect();
            point_length(&logs, Duration::from_secs(count * 60)).as_secs()
        };
        assert_eq!(minutes(1), 60);
        assert_eq!(minutes(120), 60);
        assert_eq!(minutes(121), 120);
        assert_eq!(minutes(24 * 60), 900);
        let quick = [log(None, 0, 0)];
        assert_eq!(point_length(&quick, Duration::ZERO).as_secs(), 1);
        let years = Duration::from_secs(300 * 366 * DAY);
        assert!(since_points(years, point_length(&quick, years)) <= limits::REPORT_POINTS_MAX);
    }

    fn since_points(span: Duration, point: Duration) -> u64 {
        span.as_secs().div_ceil(point.as_secs())
    }

    #[test]
    fn copies_are_refused() {
        let other_core = |mut log: Log| {
            log.header.core = 1;
            log
        };
        assert!(refuse_copies(&[log(None, 0, 60), other_core(log(None, 0, 60))]).is_ok());
        assert!(refuse_copies(&[log(None, 0, 60), log(None, 0, 60)]).is_err());
    }
}
