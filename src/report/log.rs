//! Reads the logs that `metrics/dump/log.rs` writes, line by line; whatever is in them, no more than a line is
//! held at a time.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

use super::error::Error;
use super::payload;
use crate::limits;
use crate::metrics::dump::log::{Header, LEGEND, VERSION};
use crate::metrics::{STAGES, Snapshot, Stage};

/// Lines before the first histogram. There are nine.
const HEADER_LINES_MAX: usize = 64;

/// The last second of the year 9999, which is as far as a time can be told.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A log whose header has been read.
pub(super) struct Log {
    pub path: PathBuf,
    pub header: Header,
}

/// One line.
pub(super) struct Line<'a> {
    pub route: &'a str,
    pub stage: Stage,
    payload: &'a str,
}

impl Log {
    /// Reads the header.
    pub(super) fn open(path: &Path) -> Result<Log, Error> {
        let header = read_header(&mut Lines::open(path)?)?;
        Ok(Log {
            path: path.to_owned(),
            header,
        })
    }

    /// Gives each line that is wanted, decoded.
    pub(super) fn read(
        &self,
        is_wanted: impl Fn(&str) -> bool,
        mut give: impl FnMut(&str, Stage, &Histogram<u64>) -> Result<(), String>,
    ) -> Result<(), Error> {
        let mut lines = Lines::open(&self.path)?;
        read_header(&mut lines)?;
        let mut seen = HashSet::new();
        loop {
            let Some(text) = lines.next()? else {
                return Err(lines.fault("the file is cut: its last line is missing"));
            };
            if let Some(count) = end(text) {
                let is_whole = count == Some(seen.len() as u64);
                if !is_whole {
                    return Err(
                        lines.fault("there are not as many histograms before this line as it says")
                    );
                }
                break;
            }
            let line = match parse(text) {
                Ok(line) => line,
                Err(words) => return Err(lines.fault(words)),
            };
            if seen.len() == limits::REPORT_ROUTES_MAX * STAGES.len() {
                return Err(lines.fault("there are more routes than a report can have"));
            }
            if !seen.insert((line.route.to_owned(), line.stage)) {
                return Err(lines.fault("this route and stage have come before"));
            }
            if is_wanted(line.route) {
                let taken = payload::decode(line.payload)
                    .and_then(|histogram| give(line.route, line.stage, &histogram));
                if let Err(words) = taken {
                    return Err(lines.fault(&words));
                }
            }
        }
        match lines.next()? {
            None => Ok(()),
            Some(_) => Err(lines.fault("more follows after the end of the log")),
        }
    }
}

/// What the last line says; `None` for other lines.
fn end(text: &str) -> Option<Option<u64>> {
    let rest = text.strip_prefix("#[End: ")?;
    Some(
        rest.strip_suffix(" histograms]")
            .and_then(|count| count.parse().ok()),
    )
}

/// `Tag=ROUTE:STAGE,START,LENGTH,MAX,PAYLOAD`.
fn parse(text: &str) -> Result<Line<'_>, &'static str> {
    let tagged = text.strip_prefix("Tag=");
    let mut parts = tagged
        .ok_or("this is no line of a dump of pinion")?
        .splitn(5, ',');
    let mut part = || parts.next().ok_or("the line is cut");
    let tag = part()?;
    for _ in 0..3 {
        let is_number = |text: &str| {
            let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
            text.bytes().all(is_plain) && text.parse::<f64>().is_ok()
        };
        if !is_number(part()?) {
            return Err("its times and its maximum are no numbers");
        }
    }
    let payload = part()?;
    let (route, stage) = tag.rsplit_once(':').ok_or("its tag is not ROUTE:STAGE")?;
    let stage = Stage::named(stage).ok_or("its tag ends with no stage that is known")?;
    if !is_route_name(route) {
        return Err("its tag begins with no name of a route");
    }
    Ok(Line {
        route,
        stage,
        payload,
    })
}

/// An identifier, as the routes file has them, or one of those that are built in.
fn is_route_name(name: &str) -> bool {
    let is_identifier = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_short = (1..=limits::REPORT_NAME_BYTES_MAX).contains(&name.len());
    (is_identifier && is_short) || Snapshot::BUILT_IN.contains(&name)
}

fn read_header(lines: &mut Lines<'_>) -> Result<Header, Error> {
    if lines.next()? != Some(VERSION) {
        lines.number = 1; // also of an empty file
        return Err(lines.fault("this is no HdrHistogram log, version 1.3"));
    }
    let (mut origin, mut from, mut to, mut idle_from) = (None, None, None, None);
    for _ in 0..HEADER_LINES_MAX {
        let Some(line) = lines.next()? else {
            return Err(lines.fault("the file is cut: there is no legend"));
        };
        if line == LEGEND {
            let missing =
                "this log was not written by pinion, or not whole: its origin or times are missing";
            let (Some((core, process, host)), Some(from), Some(to)) = (origin, from, to) else {
                return Err(lines.fault(missing));
            };
            if from > to || idle_from.is_some_and(|idle| idle > from) {
                return Err(lines.fault("its times are not in order"));
            }
            return Ok(Header {
                core,
                process,
                host,
                from,
                to,
                idle_from,
            });
        }
        for (key, time) in [
            ("#[StartTime: ", &mut from),
            ("#[EndTime: ", &mut to),
            ("#[IdleFrom: ", &mut idle_from),
        ] {
            if let Some(rest) = line.strip_prefix(key) {
                *time = time_of(rest);
                if time.is_none() {
                    return Err(lines.fault("this is no time"));
                }
            }
        }
        if let Some(rest) = line.strip_prefix("#[Pinion: ") {
            origin = origin_of(rest);
        }
    }
    Err(lines.fault("there is no legend before this line"))
}

/// `1795338900.123 (…`.
fn time_of(text: &str) -> Option<SystemTime> {
    let (seconds, millis) = text.split(' ').next()?.split_once('.')?;
    let seconds: u64 = seconds
        .parse()
        .ok()
        .filter(|&seconds| seconds <= SECONDS_MAX)?;
    let millis: u64 = millis.parse().ok().filter(|_| millis.len() == 3)?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
}

/// `core 3 process 4711 host web1]`.
fn origin_of(text: &str) -> Option<(usize, u32, String)> {
    let words: Vec<&str> = text.strip_suffix(']')?.split(' ').collect();
    let ["core", core, "process", process, "host", host] = words.as_slice() else {
        return None;
    };
    Some((
        core.parse().ok()?,
        process.parse().ok()?,
        (*host).to_owned(),
    ))
}

/// The lines of a file, each no longer than is allowed.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Of the line that was read last.
    number: usize,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Lines<'a>, Error> {
        let file = File::open(path).map_err(|error| Error::read(path, &error))?;
        Ok(Lines {
            path,
            reader: BufReader::new(file),
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next line without its end; `None` after the last one.
    fn next(&mut self) -> Result<Option<&str>, Error> {
        self.line.clear();
        self.number += 1;
        let most = limits::REPORT_LINE_BYTES_MAX as u64;
        let mut part = (&mut self.reader).take(most);
        part.read_until(b'\n', &mut self.line)
            .map_err(|error| Error::read(self.path, &error))?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.pop() != Some(b'\n') {
            let is_long = self.line.len() as u64 + 1 == most;
            return Err(self.fault(if is_long {
                "the line is longer than those of a dump"
            } else {
                "the file is cut within this line"
            }));
        }
        match std::str::from_utf8(&self.line) {
            Ok(_) => {}
            Err(_) => return Err(self.fault("this is no text")),
        }
        Ok(std::str::from_utf8(&self.line).ok())
    }

    fn fault(&self, words: &str) -> Error {
        Error::at(self.path, self.number, words)
    }
}
