//! The log: lines on stderr, for people or for machines, that no core ever waits for.
//!
//! Events are formatted where they happen and queued; a thread of its own writes them (`writer.rs`). What
//! the queue has no room for is dropped and counted. Beside what the server says of itself there are two
//! logs of requests, both of [`RequestLog`]: the access log (target `access`, off unless asked for) and the
//! log of slow requests (target `slow`).

mod access;
mod budget;
mod note;
pub(crate) mod panics;
mod requests;
mod text;
mod writer;

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

pub use access::Access;
pub use note::Note;
pub use requests::{Answer, RequestLog, Settings};
pub use writer::dropped;

use crate::cli::LogFormat;
use text::Text;
use writer::Lines;

/// Why there is no log.
#[derive(Debug)]
pub enum Error {
    /// `--log` says what can't be understood.
    Filter(String, ParseError),
    /// The machine does not let it be.
    System(String),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Filter(filter, error) => write!(formatter, "--log {filter}: {error}"),
            Error::System(reason) => write!(formatter, "no log: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// Starts the log of this process.
pub fn start(filter: &str, format: LogFormat) -> Result<(), Error> {
    // Whoever asks for an access log means to have it, also beside `--log error`. What the filter itself says
    // of it comes later and wins.
    let with_access = format!("{}=info,{filter}", access::TARGET);
    let parsed = EnvFilter::try_new(match filter.trim() {
        "" | "off" => filter,
        _ => &with_access,
    });
    let parsed = parsed.map_err(|error| Error::Filter(filter.to_owned(), error))?;
    let system = |reason: &dyn fmt::Display| Error::System(reason.to_string());
    let style = Style::find(format);
    writer::start(style).map_err(|error| system(&error))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .log_internal_errors(false) // it would write by itself
        .with_writer(Lines);
    match style {
        Style::Json => lines.json().flatten_event(true).try_init(),
        Style::Text { colours, journal } => lines
            .with_ansi(colours)
            .event_format(Text { journal })
            .try_init(),
    }
    .map_err(|error| system(&error))?;
    panics::report();
    Ok(())
}

/// Says something to whoever started this, whatever the filter is. Lines of people stay what they are.
pub fn say(level: Level, text: &str) {
    writer::say(level, text.trim_end());
}

/// Waits, for a bounded time, until all that was logged is written.
pub fn flush() {
    writer::flush();
}

/// Flushes the log when it goes, however that comes about.
pub struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Json,
    Text {
        colours: bool,
        /// The journal knows the time, and takes the level from a prefix (sd-daemon(3)).
        journal: bool,
    },
}

impl Style {
    fn find(format: LogFormat) -> Style {
        let stderr = io::stderr();
        let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref());
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match format {
            LogFormat::Json => Style::Json,
            LogFormat::Text => Style::Text {
                colours: stderr.is_terminal() && !refused && !journal,
                journal,
            },
        }
    }
}

/// Whether stderr is the stream that `JOURNAL_STREAM` names, by device and inode (systemd.exec(5)): a service
/// may have turned it elsewhere.
fn is_journal(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(io::stderr().as_fd()) else {
        return false;
    };
    device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino)
}

/// A level as the journal's prefix says it (sd-daemon(3), syslog(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
