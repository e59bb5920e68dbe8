//! ISO 8601 durations and Postgres' own verbose form → binary interval.

use super::DecodeFault;
use super::time::{MICROS_PER_DAY, MICROS_PER_SECOND};
use super::time_text::fraction_micros;

const NOT_AN_INTERVAL: DecodeFault = DecodeFault::new(
    "time_delta_parsing",
    "Input should be a valid duration, like P1DT2H or 1 day 02:00:00",
);

/// `P1Y2M3DT4H5M6.7S`, `1 day 02:00:00`, `90 minutes`, `2 weeks ago` → binary interval, appended.
pub(super) fn parse(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let interval = if text.starts_with('P') {
        iso_8601(text)
    } else {
        verbose(text)
    };
    let Interval {
        months,
        days,
        micros,
    } = interval.ok_or(NOT_AN_INTERVAL)?;
    out.extend_from_slice(&micros.to_be_bytes());
    out.extend_from_slice(&days.to_be_bytes());
    out.extend_from_slice(&months.to_be_bytes());
    Ok(())
}

#[derive(Default)]
struct Interval {
    months: i32,
    days: i32,
    micros: i64,
}

#[derive(Clone, Copy)]
enum Unit {
    Months(i64),
    /// Months as well, but a fraction becomes whole months, never days.
    Years(i64),
    Days(i64),
    Micros(i64),
}

/// A number: `-1.5` is negative, 1, 0.5.
#[derive(Clone, Copy)]
struct Amount {
    negative: bool,
    whole: i64,
    fraction: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Notation {
    Iso8601,
    Verbose,
}

impl Interval {
    /// Adds so many units; a fraction spills into the smaller fields, a month being 30 days.
    fn add(&mut self, amount: Amount, unit: Unit) -> Option<()> {
        let sign = if amount.negative { -1 } else { 1 };
        let whole = sign * amount.whole;
        let fraction = amount.fraction * sign as f64;
        match unit {
            Unit::Years(years) => {
                let months = whole.checked_mul(years * 12)?;
                let part = (fraction * (years * 12) as f64).round_ties_even() as i64;
                self.add_months(months.checked_add(part)?)
            }
            Unit::Months(months) => {
                self.add_months(whole.checked_mul(months)?)?;
                self.add_fraction_of_days(fraction * 30.0)
            }
            Unit::Days(days) => {
                self.add_days(whole.checked_mul(days)?)?;
                self.add_fraction_of_days(fraction * days as f64)
            }
            Unit::Micros(micros) => {
                let part = (fraction * micros as f64).round_ties_even() as i64;
                self.add_micros(whole.checked_mul(micros)?.checked_add(part)?)
            }
        }
    }

    fn add_fraction_of_days(&mut self, days: f64) -> Option<()> {
        self.add_days(days.trunc() as i64)?;
        self.add_micros((days.fract() * MICROS_PER_DAY as f64).round_ties_even() as i64)
    }

    fn add_months(&mut self, months: i64) -> Option<()> {
        self.months = self.months.checked_add(i32::try_from(months).ok()?)?;
        Some(())
    }

    fn add_days(&mut self, days: i64) -> Option<()> {
        self.days = self.days.checked_add(i32::try_from(days).ok()?)?;
        Some(())
    }

    fn add_micros(&mut self, micros: i64) -> Option<()> {
        self.micros = self.micros.checked_add(micros)?;
        Some(())
    }

    fn negated(self) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_neg()?,
            days: self.days.checked_neg()?,
            micros: self.micros.checked_neg()?,
        })
    }
}

impl Amount {
    /// The number in front of `text`, and what follows it.
    fn read(text: &str, notation: Notation) -> Option<(Amount, &str)> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (digits, after) = split_digits(text);
        let whole: i64 = digits.parse().ok()?;
        let (fraction, rest) = match after.strip_prefix('.') {
            None => (0.0, after),
            Some(after_point) => {
                let (digits, rest) = split_digits(after_point);
                if digits.is_empty() {
                    return None;
                }
                let number = &text[..text.len() - rest.len()];
                // Postgres takes the fraction off the whole number in ISO 8601, which is less
                // exact (10.6 months are 10 months, 17 days and 24 hours), and alone otherwise.
                let fraction = match notation {
                    Notation::Iso8601 => number.parse::<f64>().ok()? - whole as f64,
                    Notation::Verbose => after[..=digits.len()].parse().ok()?,
                };
                (fraction, rest)
            }
        };
        Some((
            Amount {
                negative,
                whole,
                fraction,
            },
            rest,
        ))
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// ISO 8601 §5.5.2: `P` years months weeks days `T` hours minutes seconds, any of them left out.
fn iso_8601(text: &str) -> Option<Interval> {
    let mut interval = Interval::default();
    let mut rest = text.strip_prefix('P')?;
    let mut in_time = false;
    // Designators come in this order, each once.
    let mut order = "YMWD";
    let mut fields = 0;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if in_time || after.is_empty() {
                return None;
            }
            (in_time, order, rest) = (true, "HMS", after);
        }
        // Postgres takes no plus sign here.
        if rest.starts_with('+') {
            return None;
        }
        let (amount, after) = Amount::read(rest, Notation::Iso8601)?;
        let designator = after.chars().next()?;
        order = &order[order.find(designator)? + 1..];
        rest = &after[designator.len_utf8()..];
        fields += 1;
        let unit = match (in_time, designator) {
            (false, 'Y') => Unit::Years(1),
            (false, 'M') => Unit::Months(1),
            (false, 'W') => Unit::Days(7),
            (false, _) => Unit::Days(1),
            (true, 'H') => Unit::Micros(3600 * MICROS_PER_SECOND),
            (true, 'M') => Unit::Micros(60 * MICROS_PER_SECOND),
            (true, _) => Unit::Micros(MICROS_PER_SECOND),
        };
        interval.add(amount, unit)?;
    }
    (fields > 0).then_some(interval)
}

/// `[@] 1 year 2 mons -3 days 04:05:06 [ago]`.
fn verbose(text: &str) -> Option<Interval> {
    let mut interval = Interval::default();
    let mut words = text.split_ascii_whitespace().peekable();
    words.next_if_eq(&"@");
    let mut fields = 0;
    let mut ago = false;
    while let Some(word) = words.next() {
        if ago {
            return None;
        }
        if word.eq_ignore_ascii_case("ago") && fields > 0 {
            ago = true;
            continue;
        }
        fields += 1;
        if word.contains(':') {
            interval.add_micros(clock(word)?)?;
            continue;
        }
        let (amount, attached) = Amount::read(word, Notation::Verbose)?;
        let name = if attached.is_empty() {
            words.next()?
        } else {
            attached
        };
        interval.add(amount, unit(name)?)?;
    }
    if fields == 0 {
        return None;
    }
    if ago {
        interval.negated()
    } else {
        Some(interval)
    }
}

/// `[-]HH:MM[:SS[.fraction]]` in microseconds; hours may have any number of digits.
fn clock(text: &str) -> Option<i64> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = text.splitn(3, ':');
    let hours = digits(parts.next()?)?;
    let minutes = digits(parts.next()?)?;
    let (seconds, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (digits(seconds)?, 0),
            Some((seconds, fraction)) => (digits(seconds)?, fraction_micros(fraction.as_bytes())?),
        },
    };
    if minutes > 59 || seconds > 60 {
        return None;
    }
    let seconds = hours
        .checked_mul(3600)?
        .checked_add(minutes * 60 + seconds)?;
    let micros = seconds
        .checked_mul(MICROS_PER_SECOND)?
        .checked_add(fraction)?;
    Some(if negative { -micros } else { micros })
}

fn digits(text: &str) -> Option<i64> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

fn unit(name: &str) -> Option<Unit> {
    const UNITS: &[(&[&str], Unit)] = &[
        (
            &["microsecond", "microseconds", "us", "usec", "usecs"],
            Unit::Micros(1),
        ),
        (
            &["millisecond", "milliseconds", "ms", "msec", "msecs"],
            Unit::Micros(1000),
        ),
        (
            &["second", "seconds", "s", "sec", "secs"],
            Unit::Micros(MICROS_PER_SECOND),
        ),
        (
            &["minute", "minutes", "m", "min", "mins"],
            Unit::Micros(60 * MICROS_PER_SECOND),
        ),
        (
            &["hour", "hours", "h", "hr", "hrs"],
            Unit::Micros(3600 * MICROS_PER_SECOND),
        ),
        (&["day", "days", "d"], Unit::Days(1)),
        (&["week", "weeks", "w"], Unit::Days(7)),
        (&["month", "months", "mon", "mons"], Unit::Months(1)),
        (&["year", "years", "y", "yr", "yrs"], Unit::Years(1)),
        (&["decade", "decades", "dec", "decs"], Unit::Years(10)),
        (&["century", "centuries", "cent", "c"], Unit::Years(100)),
        (
            &["millennium", "millennia", "mil", "mils"],
            Unit::Years(1000),
        ),
    ];
    let matches = |names: &&[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    UNITS
        .iter()
        .find(|(names, _)| matches(names))
        .map(|(_, unit)| *unit)
}

#[cfg(test)]
mod tests {
    use super::super::interval::write_text;
    use super::*;

    fn through(text: &str) -> Option<String> {
        let mut raw = Vec::new();
        parse(text, &mut raw).ok()?;
        let mut out = Vec::new();
        write_text(&raw, &mut out).unwrap();
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn both_notations() {
        let cases = [
            ("P1DT2H", "1 day 02:00:00"),
            ("P1Y2M3DT4H5M6.789S", "1 year 2 mons 3 days 04:05:06.789"),
            ("P-1Y", "-1 years"),
            ("P2W", "14 days"),
            ("PT0S", "00:00:00"),
            ("1 day 02:00:00", "1 day 02:00:00"),
            ("90 minutes", "01:30:00"),
            ("1.5 days", "1 day 12:00:00"),
            ("-1 days +02:03:04", "-1 days +02:03:04"),
            ("1 year 2 mons ago", "-1 years -2 mons"),
            ("@ 3h", "03:00:00"),
            ("1000000:00:00.5", "1000000:00:00.5"),
        ];
        for (text, expected) in cases {
            assert_eq!(through(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn rejects_what_is_no_duration() {
        for text in [
            "",
            "P",
            "PT",
            "P1",
            "P1DT",
            "P1S",
            "PT1D",
            "P1D1Y",
            "P+1D",
            "1",
            "day",
            "1 dayz",
            "10:00:61",
            "1 day ago ago",
            "ago",
            "1. day",
            "9999999999 years",
            "1:2:3:4",
            "P1DT2H ",
            "99999999999999999999 s",
            "2562047789:00:00",
        ] {
            assert_eq!(through(text), None, "{text}");
        }
    }
}
