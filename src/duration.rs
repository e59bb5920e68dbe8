//! Durations as people write them: `250ms`, `2s`, `1m`, `1h`.

use std::time::Duration;

/// Parses a whole number followed by `us`, `ms`, `s`, `m` or `h`.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(pinion::duration::parse("250ms"), Ok(Duration::from_millis(250)));
/// assert!(pinion::duration::parse("250").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let microseconds: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err("a duration is a whole number and a unit: us, ms, s, m or h".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(microseconds))
        .map(Duration::from_micros)
        .ok_or_else(|| "a duration is a whole number and a unit, such as 250ms".to_owned())
}

/// As [`parse`], and whole days and years as well: `30d`, `1y` (of 365 days).
pub fn parse_long(text: &str) -> Result<Duration, String> {
    let days = match text.as_bytes().last() {
        Some(b'd') => 1,
        Some(b'y') => 365,
        _ => return parse(text),
    };
    let hours = parse(&format!("{}h", &text[..text.len() - 1]))?;
    hours
        .checked_mul(24 * days)
        .ok_or_else(|| "a duration of so many days can't be counted".to_owned())
}

/// Whether Postgres can count it: its timeouts are whole milliseconds, and 0 means none.
pub fn is_whole_milliseconds(duration: Duration) -> bool {
    !duration.is_zero() && duration.subsec_nanos().is_multiple_of(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse("7us"), Ok(Duration::from_micros(7)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn long_ones() {
        assert_eq!(parse_long("1y"), Ok(Duration::from_secs(31_536_000)));
        assert_eq!(parse_long("30d"), Ok(Duration::from_secs(2_592_000)));
        assert_eq!(parse_long("2h"), parse("2h"));
        for text in ["d", "1 d", "-1d", "1dd", "y", "18446744073709551615y"] {
            assert!(parse_long(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_milliseconds() {
        for (text, expected) in [
            ("0s", false),
            ("999us", false),
            ("1ms", true),
            ("1001us", false),
            ("2s", true),
        ] {
            assert_eq!(
                parse(text).map(is_whole_milliseconds),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
