//! Dates and times as Postgres prints them; own civil arithmetic, because Postgres counts from
//! 4713 BC to AD 294276 and no calendar crate goes that far.

use super::EncodeFault;
use super::reader::{Reader, exactly};

pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(super) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Days from 1970-01-01 to 2000-01-01, where Postgres starts to count.
const EPOCH_DAYS: i64 = 10_957;

/// How a timestamp is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// ISO 8601: `2026-11-21T10:00:00+00:00`, what row_to_json prints.
    Json,
    /// DateStyle ISO: `2026-11-21 10:00:00+00`, what the type's output function prints.
    Text,
}

/// Days since 2000-01-01 → `2026-11-21`, `0044-03-15 BC`, `infinity`.
pub(super) fn write_date(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    match i32::from_be_bytes(exactly(raw)?) {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let before_christ = write_civil_date(i64::from(days), out);
            write_era(before_christ, out);
        }
    }
    Ok(())
}

/// Microseconds since 2000-01-01 00:00 → `2026-11-21T10:00:00.123`, with the UTC offset if `utc`.
pub(super) fn write_timestamp(
    raw: &[u8],
    style: Style,
    utc: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeFault> {
    let micros = match i64::from_be_bytes(exactly(raw)?) {
        i64::MAX => {
            out.extend_from_slice(b"infinity");
            return Ok(());
        }
        i64::MIN => {
            out.extend_from_slice(b"-infinity");
            return Ok(());
        }
        micros => micros,
    };
    let before_christ = write_civil_date(micros.div_euclid(MICROS_PER_DAY), out);
    out.push(if style == Style::Json { b'T' } else { b' ' });
    write_clock(micros.rem_euclid(MICROS_PER_DAY), out);
    if utc {
        out.extend_from_slice(if style == Style::Json {
            b"+00:00"
        } else {
            b"+00"
        });
    }
    write_era(before_christ, out);
    Ok(())
}

/// Microseconds since midnight → `10:00:00.123`; 24:00:00 exists.
pub(super) fn write_time(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    write_clock(time_of_day(i64::from_be_bytes(exactly(raw)?))?, out);
    Ok(())
}

/// Time of day and seconds west of UTC → `10:00:00+02`, `10:00:00-03:30`.
pub(super) fn write_time_tz(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    let micros = time_of_day(reader.i64()?)?;
    let west = reader.i32()?;
    reader.finish()?;
    let seconds = west.unsigned_abs();
    // Postgres itself allows less than 16 hours.
    if seconds >= 100 * 3600 {
        return Err(EncodeFault::Malformed);
    }
    write_clock(micros, out);
    out.push(if west <= 0 { b'+' } else { b'-' });
    out.extend_from_slice(&two_digits(seconds / 3600));
    if seconds % 3600 != 0 {
        out.push(b':');
        out.extend_from_slice(&two_digits(seconds / 60 % 60));
    }
    if seconds % 60 != 0 {
        out.push(b':');
        out.extend_from_slice(&two_digits(seconds % 60));
    }
    Ok(())
}

/// Appends `.123` for a fraction of a second in microseconds, nothing for 0.
pub(super) fn write_fraction(micros: u32, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let start = out.len();
    out.push(b'.');
    for pair in [micros / 10_000, micros / 100 % 100, micros % 100] {
        out.extend_from_slice(&two_digits(pair));
    }
    while out.len() > start && out.last() == Some(&b'0') {
        out.pop();
    }
}

pub(super) fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// Days since 2000-01-01 of a day in the proleptic Gregorian calendar; year 0 is 1 BC.
pub(super) fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March, so that the leap day is the last one; eras of 400 years repeat.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 - EPOCH_DAYS
}

/// The reverse: year (0 is 1 BC), month, day.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + EPOCH_DAYS + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = ((month_from_march + 2) % 12 + 1) as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Writes year, month and day; true for a year before Christ, whose mark comes last.
fn write_civil_date(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil_from_days(days);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    if year < 10_000 {
        let year = year as u32;
        out.extend_from_slice(&two_digits(year / 100));
        out.extend_from_slice(&two_digits(year % 100));
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(year).as_bytes());
    }
    let [m1, m2] = two_digits(month);
    let [d1, d2] = two_digits(day);
    out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
    before_christ
}

fn write_era(before_christ: bool, out: &mut Vec<u8>) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// `10:00:00.123` of microseconds in 0..=MICROS_PER_DAY.
fn write_clock(micros: i64, out: &mut Vec<u8>) {
    let seconds = (micros / MICROS_PER_SECOND) as u32;
    let [h1, h2] = two_digits(seconds / 3600);
    let [m1, m2] = two_digits(seconds / 60 % 60);
    let [s1, s2] = two_digits(seconds % 60);
    out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
    write_fraction((micros % MICROS_PER_SECOND) as u32, out);
}

fn time_of_day(micros: i64) -> Result<i64, EncodeFault> {
    if (0..=MICROS_PER_DAY).contains(&micros) {
        Ok(micros)
    } else {
        Err(EncodeFault::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_civil_dates_are_inverse() {
        assert_eq!(days_from_civil(2000, 1, 1), 0);
        assert_eq!(days_from_civil(1970, 1, 1), -EPOCH_DAYS);
        for days in (-2_451_545..2_000_000)
            .step_by(37)
            .chain([2_147_483_493 - 2_451_545])
        {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn extreme_values_print() {
        let print = |micros: i64| {
            let mut out = Vec::new();
            write_timestamp(&micros.to_be_bytes(), Style::Json, true, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(i64::MAX), "infinity");
        assert_eq!(
            print(-211_813_488_000_000_000),
            "4714-11-24T00:00:00+00:00 BC"
        );
        assert_eq!(print(-1), "1999-12-31T23:59:59.999999+00:00");
        assert_eq!(print(1_500_000), "2000-01-01T00:00:01.5+00:00");
        print(i64::MIN + 1);
        print(i64::MAX - 1);
    }
}
