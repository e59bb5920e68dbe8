//! numeric: exact decimal digits both ways (binary form: `numeric_send` of Postgres, groups of four
//! decimal digits in base 10000).

use super::reader::Reader;
use super::{DecodeFault, EncodeFault};

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Digits after the point (Postgres, NUMERIC_DSCALE_MAX).
const SCALE_MAX: i64 = 0x3FFF;
/// Power of 10000 of the first group (int16): 131,072 digits before the point.
const WEIGHT_MAX: i64 = i16::MAX as i64;

/// An exponent this large is refused even for zero, as in Postgres.
const EXPONENT_END: i64 = i32::MAX as i64 / 2;

const NOT_A_DECIMAL: DecodeFault =
    DecodeFault::new("decimal_parsing", "Input should be a valid decimal");
const OUT_OF_RANGE: DecodeFault = DecodeFault::new(
    "decimal_max_digits",
    "Input has more digits than numeric can hold",
);

/// Appends a numeric as JSON: a number with exactly the digits that Postgres prints, or the string
/// `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub(super) fn write_json(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let number = Number::read(raw)?;
    match number.special() {
        None => number.write_digits(out),
        Some(name) => {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
            Ok(())
        }
    }
}

/// Appends the text form that Postgres prints.
pub(super) fn write_text(raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let number = Number::read(raw)?;
    match number.special() {
        None => number.write_digits(out),
        Some(name) => {
            out.extend_from_slice(name.as_bytes());
            Ok(())
        }
    }
}

/// Text (`-1.50`, `1e10`, `NaN`, `-Infinity`) → binary numeric, appended.
pub(super) fn parse(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    match special_sign(text) {
        Some(sign) => {
            write_header(0, 0, sign, 0, out);
            Ok(())
        }
        None => Decimal::read(text)?.write(out),
    }
}

/// Whether numeric can hold this number (its grammar is already known to be right).
pub(super) fn holds(number: &str) -> bool {
    Decimal::read(number).is_ok_and(|decimal| decimal.bounds().is_ok())
}

/// A binary numeric.
struct Number<'a> {
    weight: i32,
    sign: u16,
    scale: usize,
    groups: &'a [u8],
}

impl<'a> Number<'a> {
    fn read(raw: &'a [u8]) -> Result<Number<'a>, EncodeFault> {
        let mut reader = Reader::new(raw);
        let groups = reader.u16()? as usize;
        let weight = i32::from(reader.i16()?);
        let sign = reader.u16()?;
        let scale = reader.u16()?;
        let groups = reader.take(groups * 2)?;
        reader.finish()?;
        let known = matches!(
            sign,
            POSITIVE | NEGATIVE | NAN | INFINITY | NEGATIVE_INFINITY
        );
        if !known || i64::from(scale) > SCALE_MAX {
            return Err(EncodeFault::Malformed);
        }
        Ok(Number {
            weight,
            sign,
            scale: scale as usize,
            groups,
        })
    }

    fn special(&self) -> Option<&'static str> {
        match self.sign {
            NAN => Some("NaN"),
            INFINITY => Some("Infinity"),
            NEGATIVE_INFINITY => Some("-Infinity"),
            _ => None,
        }
    }

    fn write_digits(&self, out: &mut Vec<u8>) -> Result<(), EncodeFault> {
        if self.sign == NEGATIVE {
            out.push(b'-');
        }
        let mut leading = true;
        for index in 0..=self.weight {
            let group = self.group(index)?;
            if !leading {
                out.extend_from_slice(&four_digits(group));
            } else if group != 0 {
                out.extend_from_slice(itoa::Buffer::new().format(group).as_bytes());
                leading = false;
            }
        }
        if leading {
            out.push(b'0');
        }
        if self.scale == 0 {
            return Ok(());
        }
        out.push(b'.');
        let end = out.len() + self.scale;
        // Below 0 for a number with groups of zeros right after the point.
        let mut index = self.weight + 1;
        while out.len() < end {
            out.extend_from_slice(&four_digits(self.group(index)?));
            index += 1;
        }
        out.truncate(end);
        Ok(())
    }

    /// The group at `index`; groups that were not sent are zero.
    fn group(&self, index: i32) -> Result<u16, EncodeFault> {
        let at = usize::try_from(index).ok().map(|index| index * 2);
        let Some(bytes) = at.and_then(|at| self.groups.get(at..at + 2)) else {
            return Ok(0);
        };
        let group = u16::from_be_bytes([bytes[0], bytes[1]]);
        if group < 10_000 {
            Ok(group)
        } else {
            Err(EncodeFault::Malformed)
        }
    }
}

/// A decimal in text: its digits (point included) and where they stand.
struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Result<Decimal<'a>, DecodeFault> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', unsigned) {
            Some(at) => (&unsigned[..at], read_exponent(&unsigned[at + 1..])?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &[][..]),
        };
        let digits_only = whole.iter().chain(fraction).all(u8::is_ascii_digit);
        if !digits_only || whole.len() + fraction.len() == 0 {
            return Err(NOT_A_DECIMAL);
        }
        Ok(Decimal {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// Digits after the point, and the powers of 10000 of the first and last group that are not
    /// zero (none for zero).
    fn bounds(&self) -> Result<(i64, Option<(i64, i64)>), DecodeFault> {
        let scale = (self.fraction.len() as i64 - self.exponent).max(0);
        if scale > SCALE_MAX || self.exponent.abs() >= EXPONENT_END {
            return Err(OUT_OF_RANGE);
        }
        let len = self.whole.len() + self.fraction.len();
        let Some(first) = (0..len).find(|&index| self.digit(index) != 0) else {
            return Ok((scale, None));
        };
        let last = (0..len)
            .rfind(|&index| self.digit(index) != 0)
            .unwrap_or(first);
        let groups = (
            self.power(first).div_euclid(4),
            self.power(last).div_euclid(4),
        );
        if groups.0 > WEIGHT_MAX {
            return Err(OUT_OF_RANGE);
        }
        Ok((scale, Some(groups)))
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
        let (scale, groups) = self.bounds()?;
        let Some((first, last)) = groups else {
            write_header(0, 0, POSITIVE, scale as u16, out);
            return Ok(());
        };
        let sign = if self.negative { NEGATIVE } else { POSITIVE };
        write_header(
            (first - last + 1) as u16,
            first as i16,
            sign,
            scale as u16,
            out,
        );
        for group in (last..=first).rev() {
            let value = (0..4).rev().fold(0u16, |sum, power| {
                sum * 10 + u16::from(self.digit_at_power(group * 4 + power))
            });
            out.extend_from_slice(&value.to_be_bytes());
        }
        Ok(())
    }

    fn digit(&self, index: usize) -> u8 {
        match index.checked_sub(self.whole.len()) {
            None => self.whole[index] - b'0',
            Some(after) => self.fraction[after] - b'0',
        }
    }

    /// The power of ten that the digit at `index` stands for.
    fn power(&self, index: usize) -> i64 {
        self.whole.len() as i64 - 1 - index as i64 + self.exponent
    }

    fn digit_at_power(&self, power: i64) -> u8 {
        let index = self.whole.len() as i64 - 1 + self.exponent - power;
        let len = (self.whole.len() + self.fraction.len()) as i64;
        if (0..len).contains(&index) {
            self.digit(index as usize)
        } else {
            0
        }
    }
}

/// An exponent far outside numeric's range is all the same to us, so it saturates.
fn read_exponent(text: &[u8]) -> Result<i64, DecodeFault> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NOT_A_DECIMAL);
    }
    const FAR: i64 = i32::MAX as i64;
    let exponent = digits.iter().fold(0i64, |sum, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(FAR)
    });
    Ok(if negative { -exponent } else { exponent })
}

fn special_sign(text: &str) -> Option<u16> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(NAN);
    }
    let (sign, name) = match text.as_bytes() {
        [b'-', rest @ ..] => (NEGATIVE_INFINITY, rest),
        [b'+', rest @ ..] => (INFINITY, rest),
        rest => (INFINITY, rest),
    };
    let infinite = name.eq_ignore_ascii_case(b"infinity") || name.eq_ignore_ascii_case(b"inf");
    infinite.then_some(sign)
}

fn write_header(groups: u16, weight: i16, sign: u16, scale: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&groups.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
}

fn four_digits(group: u16) -> [u8; 4] {
    [group / 1000, group / 100 % 10, group / 10 % 10, group % 10].map(|digit| b'0' + digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        let mut raw = Vec::new();
        parse(text, &mut raw).unwrap();
        let mut out = Vec::new();
        write_text(&raw, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn digits_and_scale_survive() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "10000",
            "9999",
            "0.0001",
            "0.00001",
            "-0.000000001",
            "1.50",
            "123456789012345678901234567890.123456789",
            "100000000",
            "0.10",
            "10000.0001",
            "NaN",
            "Infinity",
            "-Infinity",
        ] {
            assert_eq!(round_trip(text), text);
        }
        assert_eq!(round_trip("+1e3"), "1000");
        assert_eq!(round_trip("1.5e-3"), "0.0015");
        assert_eq!(round_trip(".5"), "0.5");
        assert_eq!(round_trip("-0"), "0");
        assert_eq!(round_trip("12.3400e2"), "1234.00");
    }

    #[test]
    fn limits_at_their_value_and_one_over() {
        let fits = |text: &str| parse(text, &mut Vec::new()).is_ok();
        assert!(fits("1e131071") && !fits("1e131072"));
        assert!(fits("1e-16383") && !fits("1e-16384"));
        assert!(holds("9e131071") && !holds("1e99999999999999999999"));
        assert!(fits("0e131072") && !fits("0e-16384"));
        assert!(fits("0e1073741822") && !fits("0e1073741823"));
    }

    #[test]
    fn rejects_what_is_no_decimal() {
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "1_000", " 1", "0x10", "1.2.3", "--1", "infin",
        ] {
            assert_eq!(
                parse(text, &mut Vec::new()).unwrap_err().kind,
                "decimal_parsing",
                "{text}"
            );
        }
    }

    #[test]
    fn group_over_base_is_a_fault() {
        let mut raw = Vec::new();
        write_header(1, 0, POSITIVE, 0, &mut raw);
        raw.extend_from_slice(&10_000u16.to_be_bytes());
        assert_eq!(
            write_text(&raw, &mut Vec::new()),
            Err(EncodeFault::Malformed)
        );
    }
}
