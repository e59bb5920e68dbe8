//! interval: months, days and microseconds, as Postgres prints it under `IntervalStyle=postgres`.

use super::EncodeFault;
use super::reader::Reader;
use super::time::{MICROS_PER_SECOND, two_digits, write_fraction};

/// Appends `1 year 2 mons -3 days +04:05:06.789`.
pub(super) fn write_text(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
    reader.finish()?;
    // Postgres 17 and later.
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => {
            out.extend_from_slice(b"infinity");
            return Ok(());
        }
        (i64::MIN, i32::MIN, i32::MIN) => {
            out.extend_from_slice(b"-infinity");
            return Ok(());
        }
        _ => {}
    }
    let start = out.len();
    let mut after_negative = false;
    for (value, unit) in [
        (months / 12, " year"),
        (months % 12, " mon"),
        (days, " day"),
    ] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        // A positive field after a negative one gets its sign, as in Postgres.
        if after_negative && value > 0 {
            out.push(b'+');
        }
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
        after_negative = value < 0;
    }
    let empty = out.len() == start;
    if empty || micros != 0 {
        if !empty {
            out.push(b' ');
        }
        if micros < 0 {
            out.push(b'-');
        } else if after_negative {
            out.push(b'+');
        }
        write_clock(micros.unsigned_abs(), out);
    }
    Ok(())
}

fn write_clock(micros: u64, out: &mut Vec<u8>) {
    let seconds = micros / MICROS_PER_SECOND as u64;
    let hours = seconds / 3600;
    if hours < 100 {
        out.extend_from_slice(&two_digits(hours as u32));
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(hours).as_bytes());
    }
    let [m1, m2] = two_digits((seconds / 60 % 60) as u32);
    let [s1, s2] = two_digits((seconds % 60) as u32);
    out.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    write_fraction((micros % MICROS_PER_SECOND as u64) as u32, out);
}
