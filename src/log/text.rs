//! Lines for people. What others have chosen (a path, the words of a database) can't end a line, begin one,
//! or speak to a terminal.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use super::priority;

/// `2026-01-02T03:04:05.678901Z  WARN words of the message name="value"`; for the journal, which has the time
/// and shows the level by its colour, `<4>WARN words …`.
pub(super) struct Text {
    pub(super) journal: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let colours = writer.has_ansi_escapes();
        if self.journal {
            write!(writer, "<{}>{level}", priority(level))?;
        } else {
            let (dim, plain) = if colours {
                ("\x1b[2m", "\x1b[0m")
            } else {
                ("", "")
            };
            writer.write_str(dim)?;
            SystemTime.format_time(&mut writer)?;
            let colour = if colours { colour(level) } else { "" };
            write!(writer, "{plain} {colour}{level:>5}{plain}")?;
        }
        let mut words = Words {
            writer,
            colours,
            continuation: continuation(self.journal, level),
            outcome: Ok(()),
        };
        event.record(&mut words);
        words.outcome?;
        words.writer.write_char('\n')
    }
}

/// What stands for the end of a line within a message: by their margin several lines of ours are told from
/// several events.
fn continuation(journal: bool, level: Level) -> &'static str {
    match (journal, priority(level)) {
        (false, _) => "\n    ",
        (true, 3) => "\n<3>    ",
        (true, 4) => "\n<4>    ",
        (true, 6) => "\n<6>    ",
        (true, _) => "\n<7>    ",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Appends the message and the fields of an event.
struct Words<'w> {
    writer: Writer<'w>,
    colours: bool,
    continuation: &'static str,
    outcome: fmt::Result,
}

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.outcome.is_ok() {
            self.outcome = self.append(field.name(), value);
        }
    }
}

impl Words<'_> {
    fn append(&mut self, name: &str, value: &dyn Debug) -> fmt::Result {
        self.writer.write_char(' ')?;
        let continuation = match name {
            "message" => Some(self.continuation),
            name => {
                let (dim, plain) = match self.colours {
                    true => ("\x1b[2m", "\x1b[0m"),
                    false => ("", ""),
                };
                write!(self.writer, "{dim}{name}={plain}")?;
                None
            }
        };
        let mut escaping = Escaping {
            writer: &mut self.writer,
            continuation,
        };
        write!(escaping, "{value:?}")
    }
}

/// Escapes control characters.
struct Escaping<'a, W> {
    writer: &'a mut W,
    continuation: Option<&'a str>,
}

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(char::is_control) {
            let (before, from) = rest.split_at(at);
            self.writer.write_str(before)?;
            let mut characters = from.chars();
            match (characters.next(), self.continuation) {
                (Some('\n'), Some(continuation)) => self.writer.write_str(continuation)?,
                (Some(control), _) => write!(self.writer, "{}", control.escape_default())?,
                (None, _) => {}
            }
            rest = characters.as_str();
        }
        self.writer.write_str(rest)
    }
}

/// JSON escapes the control characters of ASCII but for DEL, and none of the others (RFC 8259 §7), which some
/// terminals obey as well. Only strings hold them.
pub(super) fn escape_json(line: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = memchr::memchr2(0x7f, 0xc2, rest) {
        escaped.extend_from_slice(&rest[..at]);
        let (control, length) = match (rest[at], rest.get(at + 1)) {
            (0x7f, _) => (Some(0x7f), 1),
            // UTF-8 of U+0080 to U+009F.
            (_, Some(&second @ 0x80..=0x9f)) => (Some(second), 2),
            _ => (None, 1),
        };
        match control {
            Some(control) => escaped.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            None => escaped.push(rest[at]),
        }
        rest = &rest[at + length..];
    }
    escaped.extend_from_slice(rest);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str, continuation: Option<&str>) -> String {
        let mut out = String::new();
        let mut escaping = Escaping {
            writer: &mut out,
            continuation,
        };
        escaping.write_str(text).unwrap();
        out
    }

    #[test]
    fn control_characters_are_spelt_out() {
        assert_eq!(escaped("plain é", None), "plain é");
        assert_eq!(
            escaped("a\r\nb\x1b[2J\x7f\u{9b}\u{85}\0", None),
            "a\\r\\nb\\u{1b}[2J\\u{7f}\\u{9b}\\u{85}\\u{0}"
        );
    }

    #[test]
    fn lines_of_a_message_have_a_margin() {
        assert_eq!(escaped("a\nb\r\n", Some("\n  ")), "a\n  b\\r\n  ");
    }

    #[test]
    fn json_has_no_control_characters() {
        let text = "é \u{80}\u{9b}\u{9f}\u{a0}\x7f\u{2028}\x1b\r\n";
        let json = serde_json::to_string(text).unwrap();
        let line = String::from_utf8(escape_json(json.as_bytes())).unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        // Cut in the middle of a character, which can't be.
        assert_eq!(escape_json(b"\xc2"), b"\xc2");
    }
}
