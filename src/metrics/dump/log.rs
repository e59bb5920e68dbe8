//! A core's interval log: the text form of HdrHistogram, version 1.3, with payloads "V2 deflate".
//!
//! Values are microseconds, as they were recorded: the payloads say nothing of a unit. The column of the
//! greatest value is for people only (HdrHistogram's own reader and that of Python skip it) and is in
//! milliseconds by custom, which is a divisor of 1000 here, said as the Rust writer says it. Java's
//! HistogramLogProcessor scales what it prints by a ratio that is for nanoseconds unless
//! `-outputValueUnitRatio 1000` is given.
//!
//! The last line counts the histograms, so that a file that was cut is known for one.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::metrics::latencies::{STAGES, empty_histogram};
use crate::metrics::snapshot::RouteInterval;

/// The first line.
pub const VERSION: &str = "#[Histogram log format version 1.3]";
/// The line before the first histogram.
pub const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// What a log says of itself before its histograms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kernel's number of the core.
    pub core: usize,
    /// The process.
    pub process: u32,
    /// The machine's name; may be empty.
    pub host: String,
    /// When its interval began.
    pub from: SystemTime,
    /// When its interval ended.
    pub to: SystemTime,
    /// The process served before, too, and nothing had happened since then.
    pub idle_from: Option<SystemTime>,
}

/// Whole milliseconds since 1970 in seconds, which is as precise as these logs are.
pub fn seconds(time: SystemTime) -> String {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = millis.as_millis();
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// The text of a log.
pub(super) fn text(header: &Header, routes: &[(String, RouteInterval)]) -> String {
    let mut out = head(header);
    let took = header.to.duration_since(header.from).unwrap_or_default();
    let mut serializer = V2DeflateSerializer::new();
    let mut count = 0;
    for (name, interval) in routes {
        for stage in STAGES {
            let histogram = interval.latencies.of(stage);
            if histogram.is_empty() {
                continue;
            }
            // Of the bounds that were recorded with, however far the sum has grown.
            let mut whole = empty_histogram();
            whole
                .add(histogram)
                .expect("no value was recorded past the bounds");
            let mut payload = Vec::new();
            serializer
                .serialize(&whole, &mut payload)
                .expect("a count has 63 bits, and a Vec takes all that is written");
            // Names are identifiers or built in: no comma, space or line break.
            let _ = writeln!(
                out,
                "Tag={name}:{},0.000,{},{},{}",
                stage.name(),
                thousandths(took.as_millis()),
                thousandths(u128::from(histogram.max())),
                STANDARD.encode(&payload),
            );
            count += 1;
        }
    }
    let _ = writeln!(out, "#[End: {count} histograms]");
    out
}

fn head(header: &Header) -> String {
    let mut out = format!("{VERSION}\n");
    let mut line = |words: String| {
        let _ = writeln!(out, "#{words}");
    };
    let version = env!("CARGO_PKG_VERSION");
    line(format!(
        "Pinion {version}: latencies by route and stage, Tag=ROUTE:STAGE, in microseconds; Interval_Max in milliseconds"
    ));
    let Header {
        core,
        process,
        host,
        from,
        to,
        idle_from,
    } = header;
    line(format!(
        "[Pinion: core {core} process {process} host {host}]"
    ));
    let when = time_text(*from);
    let start = seconds(*from);
    line(format!(
        "[StartTime: {start} (seconds since epoch), {when}]"
    ));
    // So that times of lines are told from it.
    line(format!("[BaseTime: {start} (seconds since epoch)]"));
    let end = seconds(*to);
    line(format!("[EndTime: {end} (seconds since epoch)]"));
    if let Some(idle) = idle_from {
        let idle = seconds(*idle);
        line(format!("[IdleFrom: {idle} (seconds since epoch)]"));
    }
    line("[MaxValueDivisor: 1000.000]".to_owned());
    out.push_str(LEGEND);
    out.push('\n');
    out
}

/// A time in UTC, for people.
fn time_text(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let time = i64::try_from(since.as_secs()).ok();
    let time = time.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(String::new, |time| time.to_string())
}

fn thousandths(count: u128) -> String {
    format!("{}.{:03}", count / 1000, count % 1000)
}
