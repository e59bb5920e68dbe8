//! ISO 8601 / RFC 3339 text → binary date, time and timestamp.
//!
//! Postgres reads many more notations, some of which depend on settings (`01/02/03`) or on the
//! clock (`now`); only the unambiguous one is taken here.

use super::DecodeFault;
use super::time::{MICROS_PER_DAY, MICROS_PER_SECOND, days_from_civil};

const NOT_A_DATE: DecodeFault = DecodeFault::new(
    "date_parsing",
    "Input should be a valid date in the form YYYY-MM-DD",
);
const NOT_A_TIME: DecodeFault = DecodeFault::new(
    "time_parsing",
    "Input should be a valid time in the form HH:MM:SS",
);
const NOT_A_DATETIME: DecodeFault = DecodeFault::new(
    "datetime_parsing",
    "Input should be a valid datetime in ISO 8601",
);
const HAS_OFFSET: DecodeFault = DecodeFault::new(
    "timezone_naive",
    "Input should be a datetime without a UTC offset",
);

/// Days that a date may hold, relative to 2000-01-01: 4714-11-24 BC to 5874897-12-31.
const DAYS_MIN: i64 = -2_451_545;
const DAYS_END: i64 = 2_147_483_494 - 2_451_545;
/// Microseconds that a timestamp may hold: 4714-11-24 BC to the end of 294276.
const MICROS_MIN: i64 = -211_813_488_000_000_000;
const MICROS_END: i64 = 9_223_371_331_200_000_000;

/// `2026-11-21`, `0044-03-15 BC`, `infinity`.
pub(super) fn parse_date(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let days = match text {
        "infinity" => i32::MAX,
        "-infinity" => i32::MIN,
        _ => {
            let (text, before_christ) = strip_era(text);
            let (days, rest) = date(text.as_bytes(), before_christ).ok_or(NOT_A_DATE)?;
            if !rest.is_empty() || !(DAYS_MIN..DAYS_END).contains(&days) {
                return Err(NOT_A_DATE);
            }
            days as i32
        }
    };
    out.extend_from_slice(&days.to_be_bytes());
    Ok(())
}

/// `10:00`, `10:00:00.123`; no offset.
pub(super) fn parse_time(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    match clock(text.as_bytes()) {
        Some((micros, [])) => {
            out.extend_from_slice(&micros.to_be_bytes());
            Ok(())
        }
        _ => Err(NOT_A_TIME),
    }
}

/// `10:00:00+02:00`; without an offset it is UTC.
pub(super) fn parse_time_tz(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let (micros, rest) = clock(text.as_bytes()).ok_or(NOT_A_TIME)?;
    let east = if rest.is_empty() {
        0
    } else {
        offset(rest).ok_or(NOT_A_TIME)?
    };
    out.extend_from_slice(&micros.to_be_bytes());
    out.extend_from_slice(&(-east).to_be_bytes());
    Ok(())
}

/// `2026-11-21T10:00:00.123`, a space for the `T`, or a date alone (midnight).
///
/// Without a time zone (`zoned` false) an offset other than zero is a fault: Postgres would drop it
/// silently. With one, a missing offset is UTC.
pub(super) fn parse_timestamp(
    text: &str,
    zoned: bool,
    out: &mut Vec<u8>,
) -> Result<(), DecodeFault> {
    let micros = match text {
        "infinity" => i64::MAX,
        "-infinity" => i64::MIN,
        _ => {
            let (micros, east) = timestamp(text).ok_or(NOT_A_DATETIME)?;
            if !zoned && east != 0 {
                return Err(HAS_OFFSET);
            }
            let micros = micros - i64::from(east) * MICROS_PER_SECOND;
            if !(MICROS_MIN..MICROS_END).contains(&micros) {
                return Err(NOT_A_DATETIME);
            }
            micros
        }
    };
    out.extend_from_slice(&micros.to_be_bytes());
    Ok(())
}

/// The fraction of a second behind a point, in microseconds, rounded as Postgres rounds it.
pub(super) fn fraction_micros(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() <= 6 {
        let value = digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        return Some(value * 10i64.pow(6 - digits.len() as u32));
    }
    // More digits than a double tells apart don't change the result.
    let mut text = [b'0'; 24];
    text[1] = b'.';
    let len = digits.len().min(22);
    text[2..2 + len].copy_from_slice(&digits[..len]);
    let seconds: f64 = std::str::from_utf8(&text[..2 + len]).ok()?.parse().ok()?;
    Some((seconds * MICROS_PER_SECOND as f64).round_ties_even() as i64)
}

/// Microseconds since 2000 in the text's own offset, and that offset in seconds east.
fn timestamp(text: &str) -> Option<(i64, i32)> {
    let (text, before_christ) = strip_era(text);
    let (days, rest) = date(text.as_bytes(), before_christ)?;
    let (micros, east) = match rest {
        [] => (0, 0),
        [b'T' | b't' | b' ', rest @ ..] => {
            let (micros, rest) = clock(rest)?;
            (micros, if rest.is_empty() { 0 } else { offset(rest)? })
        }
        _ => return None,
    };
    Some((days.checked_mul(MICROS_PER_DAY)?.checked_add(micros)?, east))
}

fn strip_era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

/// `YYYY-MM-DD` in front of `text`, as days since 2000-01-01; years have 4 to 7 digits.
fn date(text: &[u8], before_christ: bool) -> Option<(i64, &[u8])> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(4..=7).contains(&len) {
        return None;
    }
    let (year, rest) = number(text, len)?;
    let (month, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    let (day, rest) = number(rest.strip_prefix(b"-")?, 2)?;
    if year == 0 || !(1..=12).contains(&month) {
        return None;
    }
    let year = if before_christ {
        1 - i64::from(year)
    } else {
        i64::from(year)
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (1..=length)
        .contains(&day)
        .then(|| (days_from_civil(year, month, day), rest))
}

/// `HH:MM[:SS[.fraction]]` in front of `text`. As in Postgres 24:00:00 and a leap second exist.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = number(text, 2)?;
    let (minute, mut rest) = number(rest.strip_prefix(b":")?, 2)?;
    let mut second = 0;
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix(b":") {
        (second, rest) = number(after, 2)?;
        if let Some(after) = rest.strip_prefix(b".") {
            let len = after
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            fraction = fraction_micros(&after[..len])?;
            rest = &after[len..];
        }
    }
    if hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let micros = seconds * MICROS_PER_SECOND + fraction;
    (micros <= MICROS_PER_DAY).then_some((micros, rest))
}

/// `Z`, `+02`, `+0200`, `+02:00`, `+02:00:00` → seconds east of UTC; nothing may follow.
fn offset(text: &[u8]) -> Option<i32> {
    let (sign, text) = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hour, rest) = number(text, 2)?;
    let (minute, second, rest) = match rest.strip_prefix(b":") {
        None if rest.is_empty() => (0, 0, rest),
        None => {
            let (minute, rest) = number(rest, 2)?;
            (minute, 0, rest)
        }
        Some(rest) => {
            let (minute, rest) = number(rest, 2)?;
            match rest.strip_prefix(b":") {
                None => (minute, 0, rest),
                Some(rest) => {
                    let (second, rest) = number(rest, 2)?;
                    (minute, second, rest)
                }
            }
        }
    };
    // 15 hours is Postgres' limit (MAX_TZDISP_HOUR).
    let valid = rest.is_empty() && hour <= 15 && minute <= 59 && second <= 59;
    valid.then(|| sign * (hour * 3600 + minute * 60 + second) as i32)
}

/// Exactly `len` digits in front of `text`.
fn number(text: &[u8], len: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(len)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')),
        rest,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::time::{Style, write_timestamp};
    use super::*;

    fn through(text: &str) -> Result<String, &'static str> {
        let mut raw = Vec::new();
        parse_timestamp(text, true, &mut raw).map_err(|fault| fault.kind)?;
        let mut out = Vec::new();
        write_timestamp(&raw, Style::Json, true, &mut out).unwrap();
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn offsets_and_fractions() {
        let cases = [
            ("2026-11-21", "2026-11-21T00:00:00+00:00"),
            ("2026-11-21T10:00", "2026-11-21T10:00:00+00:00"),
            ("2026-11-21 10:00:00.5Z", "2026-11-21T10:00:00.5+00:00"),
            ("2026-11-21t10:00:00z", "2026-11-21T10:00:00+00:00"),
            ("2026-01-01T00:30:00+02:00", "2025-12-31T22:30:00+00:00"),
            ("2026-01-01T00:30:00-0230", "2026-01-01T03:00:00+00:00"),
            ("2026-01-01T00:00:00.9999996", "2026-01-01T00:00:01+00:00"),
            ("2026-01-01T24:00:00", "2026-01-02T00:00:00+00:00"),
            ("2024-02-29T23:59:60", "2024-03-01T00:00:00+00:00"),
            ("0044-03-15 12:00:00+00 BC", "0044-03-15T12:00:00+00:00 BC"),
            ("infinity", "infinity"),
            (
                "294276-12-31T23:59:59.999999Z",
                "294276-12-31T23:59:59.999999+00:00",
            ),
            ("4714-11-24T00:00:00 BC", "4714-11-24T00:00:00+00:00 BC"),
        ];
        for (text, expected) in cases {
            assert_eq!(through(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn rejects_what_is_no_instant() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "0000-01-01",
            "2026-11-21T",
            "2026-11-21T25:00",
            "2026-11-21T10:60",
            "2026-11-21T10:00:61",
            "2026-11-21T24:00:01",
            "1700000000",
            "2026-11-21T10:00:00.",
            "2026-11-21T10:00:00+16",
            "2026-11-21T10:00:00+0:00",
            "294277-01-01",
            "4714-11-23 BC",
            "2026-11-21T10:00:00Zx",
            "now",
            "26-11-21",
            "2026-11-21T10:00:00+02:0",
            "2026-11-21T10:00:00+02:00:",
            "2026-11-21T10:00:00+0200:00",
            "2026-11-21T10:00:00+020000",
        ] {
            assert_eq!(through(text), Err("datetime_parsing"), "{text}");
        }
    }

    #[test]
    fn offset_on_a_naive_timestamp() {
        let parse =
            |text| parse_timestamp(text, false, &mut Vec::new()).map_err(|fault| fault.kind);
        assert_eq!(parse("2026-11-21T10:00:00Z"), Ok(()));
        assert_eq!(parse("2026-11-21T10:00:00+02:00"), Err("timezone_naive"));
    }
}
