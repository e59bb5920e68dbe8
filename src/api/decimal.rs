//! Exact comparison of decimal numbers in their text form.
//!
//! A bound such as `le = 0.1` on a numeric, or one beyond 2^53 on an int8, must not be decided by rounding.

use std::cmp::Ordering;

/// A decimal number taken apart: ± 0.DIGITS × 10^exponent, with no leading zero digit.
struct Decimal<'t> {
    negative: bool,
    whole: &'t [u8],
    fraction: &'t [u8],
    exponent: i64,
}

/// Compares two numbers written as JSON, SQL or TOML write them; `None` when either is no number (`NaN` is
/// none). `Infinity` and `-Infinity` stand beyond every number.
pub(super) fn compare(left: &str, right: &str) -> Option<Ordering> {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return Some(left.cmp(&right));
    }
    match (infinity(left), infinity(right)) {
        (None, None) => {}
        (left_sign, right_sign) => {
            // Only what is a number may stand on the other side.
            if left_sign.is_none() {
                Decimal::parse(left)?;
            }
            if right_sign.is_none() {
                Decimal::parse(right)?;
            }
            return Some(left_sign.unwrap_or(0).cmp(&right_sign.unwrap_or(0)));
        }
    }
    let (left, right) = (Decimal::parse(left)?, Decimal::parse(right)?);
    Some(match (left.is_zero(), right.is_zero()) {
        (true, true) => Ordering::Equal,
        (true, false) => sign_order(!right.negative),
        (false, true) => sign_order(left.negative),
        (false, false) if left.negative != right.negative => sign_order(left.negative),
        (false, false) if left.negative => right.magnitude(&left),
        (false, false) => left.magnitude(&right),
    })
}

/// Less when the left side lies below, else greater.
fn sign_order(left_is_below: bool) -> Ordering {
    if left_is_below {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

/// 1 or -1 for the two infinities as Postgres spells them.
fn infinity(text: &str) -> Option<i8> {
    let (sign, word) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    (word.eq_ignore_ascii_case("infinity") || word.eq_ignore_ascii_case("inf")).then_some(sign)
}

impl<'t> Decimal<'t> {
    fn parse(text: &'t str) -> Option<Decimal<'t>> {
        let bytes = text.as_bytes();
        let (negative, bytes) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', bytes) {
            Some(at) => (&bytes[..at], parse_exponent(&bytes[at + 1..])?),
            None => (bytes, 0),
        };
        let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &mantissa[mantissa.len()..]),
        };
        let digits = whole.iter().chain(fraction);
        if whole.len() + fraction.len() == 0 || !digits.clone().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = digits.take_while(|&&digit| digit == b'0').count();
        let (whole, fraction, zeros) = match leading.checked_sub(whole.len()) {
            None => (&whole[leading..], fraction, 0),
            Some(in_fraction) => (&whole[whole.len()..], &fraction[in_fraction..], in_fraction),
        };
        let exponent = exponent
            .saturating_add(whole.len() as i64)
            .saturating_sub(zeros as i64);
        Some(Decimal {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == b'0')
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).copied()
    }

    /// Compares without the signs; neither may be zero.
    fn magnitude(&self, other: &Decimal<'_>) -> Ordering {
        self.exponent.cmp(&other.exponent).then_with(|| {
            let length = (self.whole.len() + self.fraction.len())
                .max(other.whole.len() + other.fraction.len());
            let zeros = std::iter::repeat(b'0');
            self.digits()
                .chain(zeros.clone())
                .take(length)
                .cmp(other.digits().chain(zeros).take(length))
        })
    }
}

/// An exponent; one with too many digits counts as the largest.
fn parse_exponent(bytes: &[u8]) -> Option<i64> {
    let (sign, digits) = match bytes {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| {
        (value * 10 + i64::from(digit - b'0')).min(1 << 40)
    });
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_compare_exactly() {
        for (left, right, order) in [
            ("1", "1.0", Ordering::Equal),
            ("0.1", "0.10000000000000000001", Ordering::Less),
            ("9007199254740993", "9007199254740992.5", Ordering::Greater),
            ("-1", "1", Ordering::Less),
            ("-2.5", "-2.4", Ordering::Less),
            ("1e3", "1000", Ordering::Equal),
            ("1E-3", "0.001", Ordering::Equal),
            ("12e-1", "1.2", Ordering::Equal),
            ("-0.0", "0", Ordering::Equal),
            ("0", "-0.001", Ordering::Greater),
            ("0e99", "1e-99", Ordering::Less),
            ("00012", "12", Ordering::Equal),
            ("+5", "5", Ordering::Equal),
            (".5", "0.5", Ordering::Equal),
            ("5.", "5", Ordering::Equal),
            ("99999999999999999999", "9e19", Ordering::Greater),
            ("1e999999999999999999999", "1e5", Ordering::Greater),
            ("Infinity", "1e400", Ordering::Greater),
            ("-inf", "-1e400", Ordering::Less),
            ("infinity", "inf", Ordering::Equal),
        ] {
            assert_eq!(compare(left, right), Some(order), "{left} {right}");
            assert_eq!(
                compare(right, left),
                Some(order.reverse()),
                "{right} {left}"
            );
        }
    }

    #[test]
    fn what_is_no_number_has_no_order() {
        for text in [
            "", "-", ".", "NaN", "1e", "1e+", "1.2.3", "0x10", " 1", "1 ", "--1",
        ] {
            assert_eq!(compare(text, "1.5"), None, "{text:?}");
            assert_eq!(compare("inf", text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_scaled_integers(a in -10_000i64..10_000, b in -10_000i64..10_000, scale in 0usize..4) {
            let decimal = |value: i64| {
                let digits = format!("{:05}", value.abs());
                let (whole, fraction) = digits.split_at(5 - scale);
                format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" })
            };
            prop_assert_eq!(compare(&decimal(a), &decimal(b)), Some(a.cmp(&b)));
            prop_assert_eq!(compare(&format!("{a}e-{scale}"), &decimal(b)), Some(a.cmp(&b)));
        }
    }
}
