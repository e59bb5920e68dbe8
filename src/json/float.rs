//! float4 and float8: shortest digits that read back as the same value.

use super::DecodeFault;

/// Appends a float as JSON: a number, or the string `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub(super) fn write_json(value: impl Float, out: &mut Vec<u8>) {
    match value.special() {
        None => out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes()),
        Some(name) => {
            out.push(b'"');
            out.extend_from_slice(name.as_bytes());
            out.push(b'"');
        }
    }
}

/// Appends the text form that Postgres prints (`1`, `1e+20`, `-0`, `Infinity`).
pub(super) fn write_text<F: Float>(value: F, out: &mut Vec<u8>) {
    if let Some(name) = value.special() {
        return out.extend_from_slice(name.as_bytes());
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    let (unsigned, negative) = match shortest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (shortest, false),
    };
    if negative {
        out.push(b'-');
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = [0u8; 32];
    let mut len = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        // Leading zeros are not digits of the value.
        if len > 0 || digit != b'0' {
            digits[len] = digit;
            len += 1;
        }
    }
    let last = digits[..len].iter().rposition(|&digit| digit != b'0');
    let Some(last) = last else {
        return out.push(b'0');
    };
    let exponent: i32 = exponent.parse().expect("zmij prints a decimal exponent");
    // The power of ten of the first digit.
    let power = exponent - fraction.len() as i32 + len as i32 - 1;
    place_point(&digits[..=last], power, F::FIXED_POWER_END, out);
}

/// Reads a float as Postgres does: decimal notation, `NaN`, `Infinity`, `inf`; what overflows, or
/// underflows to zero, is out of range.
pub(super) fn parse<F: Float>(text: &str) -> Result<F, DecodeFault> {
    const NOT_A_FLOAT: DecodeFault =
        DecodeFault::new("float_parsing", "Input should be a valid number");
    let value: F = text.parse().map_err(|_| NOT_A_FLOAT)?;
    if value.special() == Some("NaN") && text.starts_with(['-', '+']) {
        return Err(NOT_A_FLOAT); // it would have another form than NaN, and Postgres has one
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or("");
    let has_digits = mantissa.bytes().any(|byte| byte.is_ascii_digit());
    let nonzero = mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let overflow = has_digits && value.special().is_some();
    let underflow = nonzero && value.is_zero();
    if overflow || underflow {
        return Err(DecodeFault::new(
            "float_parsing",
            "Input is out of range for this number type",
        ));
    }
    Ok(value)
}

/// f32 and f64.
pub(super) trait Float: zmij::Float + std::str::FromStr + Copy {
    /// From this power of ten on Postgres prints an exponent (FLT_DIG and DBL_DIG of C).
    const FIXED_POWER_END: i32;
    /// The name of a value that has no digits.
    fn special(self) -> Option<&'static str>;
    fn is_zero(self) -> bool;
}

impl Float for f32 {
    const FIXED_POWER_END: i32 = 6;

    fn special(self) -> Option<&'static str> {
        f64::from(self).special()
    }

    fn is_zero(self) -> bool {
        self == 0.0
    }
}

impl Float for f64 {
    const FIXED_POWER_END: i32 = 15;

    fn special(self) -> Option<&'static str> {
        if self.is_finite() {
            None
        } else if self.is_nan() {
            Some("NaN")
        } else if self > 0.0 {
            Some("Infinity")
        } else {
            Some("-Infinity")
        }
    }

    fn is_zero(self) -> bool {
        self == 0.0
    }
}

/// Writes digits whose first stands for 10^`power`, fixed from 10^-4 up to `fixed_end`.
fn place_point(digits: &[u8], power: i32, fixed_end: i32, out: &mut Vec<u8>) {
    if power < -4 || power >= fixed_end {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if power < 0 { b"e-" } else { b"e+" });
        if power.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(power.abs()).as_bytes());
    } else if power < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', -power as usize - 1));
        out.extend_from_slice(digits);
    } else {
        let whole = power as usize + 1;
        let split = whole.min(digits.len());
        out.extend_from_slice(&digits[..split]);
        out.extend(std::iter::repeat_n(b'0', whole - split));
        if split < digits.len() {
            out.push(b'.');
            out.extend_from_slice(&digits[split..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_text(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_form_switches_where_postgres_switches() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.5e15, "1.5e+15"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (123456.75, "123456.75"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), expected);
        }
        let mut out = Vec::new();
        write_text(1e6f32, &mut out);
        assert_eq!(out, b"1e+06");
    }

    #[test]
    fn out_of_range_is_a_fault() {
        assert!(parse::<f64>("1e308").is_ok() && parse::<f64>("1e309").is_err());
        assert!(parse::<f64>("1e-323").is_ok() && parse::<f64>("1e-400").is_err());
        assert!(parse::<f32>("1e38").is_ok() && parse::<f32>("1e39").is_err());
        assert!(parse::<f64>("0e-400").is_ok() && parse::<f64>("-Infinity").is_ok());
        assert!(
            parse::<f64>("").is_err()
                && parse::<f64>("1,5").is_err()
                && parse::<f64>("0x1").is_err()
        );
    }

    proptest::proptest! {
        #[test]
        fn text_form_reads_back(bits in proptest::prelude::any::<u64>()) {
            let value = f64::from_bits(bits);
            let mut out = Vec::new();
            write_text(value, &mut out);
            let back = parse::<f64>(std::str::from_utf8(&out).unwrap()).unwrap();
            proptest::prop_assert!(back == value || back.is_nan() && value.is_nan());
            out.clear();
            let small = f32::from_bits(bits as u32);
            write_text(small, &mut out);
            let back = parse::<f32>(std::str::from_utf8(&out).unwrap()).unwrap();
            proptest::prop_assert!(back == small || back.is_nan() && small.is_nan());
        }
    }
}
