//! A first look at a JSON document, before a recursive parser sees it.

use crate::limits;

/// What the look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Whether a string or a name holds `\u0000`, which no text of Postgres can.
    pub(super) holds_nul: bool,
}

/// Bounds the nesting, so that no document can exhaust the stack, and refuses escapes that are none (RFC
/// 8259 §7), which the parser skips, and halves of surrogate pairs, which are no text (§8.2) and which
/// jsonb refuses. Everything else is left to the parser.
pub(super) fn scan(json: &[u8]) -> Result<Scan, &'static str> {
    let mut found = Scan { holds_nul: false };
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > limits::JSON_DEPTH_MAX {
                    return Err("The JSON document is nested too deeply");
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at = scan_string(json, at, &mut found)?,
            _ => {}
        }
    }
    Ok(found)
}

/// Goes through a string from after its opening quote to after its closing one.
fn scan_string(json: &[u8], mut at: usize, found: &mut Scan) -> Result<usize, &'static str> {
    while let Some(length) = memchr::memchr2(b'"', b'\\', json.get(at..).unwrap_or_default()) {
        at += length;
        if json[at] == b'"' {
            return Ok(at + 1);
        }
        match code_unit(json, at) {
            Some(0xd800..=0xdbff) => match code_unit(json, at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => return Err("The JSON document holds half a surrogate pair"),
            },
            Some(0xdc00..=0xdfff) => return Err("The JSON document holds half a surrogate pair"),
            Some(unit) => {
                found.holds_nul |= unit == 0;
                at += 6;
            }
            None => match json.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') | None => at += 2,
                Some(_) => return Err("The body is not valid JSON"),
            },
        }
    }
    Ok(json.len())
}

/// The value of an escape `\uXXXX` that stands here.
fn code_unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0u16, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | digit as u16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(scan(nested(limits::JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(
            scan(nested(limits::JSON_DEPTH_MAX + 1).as_bytes()),
            Err("The JSON document is nested too deeply")
        );
        assert!(scan("{\"a\":".repeat(limits::JSON_DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(
            scan(format!("[{}]", vec!["[]"; 500].join(",")).as_bytes()).is_ok(),
            "wide is not deep"
        );
        assert!(
            scan(format!("\"{}\"", "[".repeat(500)).as_bytes()).is_ok(),
            "text is not structure"
        );
        assert!(
            scan(format!(r#""\"{}""#, "[".repeat(500)).as_bytes()).is_ok(),
            "an escaped quote ends nothing"
        );
        assert!(
            scan(format!(r#""\\"{}"#, "[".repeat(500)).as_bytes()).is_err(),
            "an escaped backslash escapes nothing"
        );
    }

    #[test]
    fn escapes_that_are_no_text_are_found() {
        let nul = |json: &str| scan(json.as_bytes()).map(|scan| scan.holds_nul);
        assert_eq!(nul(r#"{"a": "x\u0000"}"#), Ok(true));
        assert_eq!(nul(r#"{"\u0000": 1}"#), Ok(true));
        assert_eq!(nul(r#""\\u0000""#), Ok(false));
        assert_eq!(nul(r#""\\\u0000""#), Ok(true));
        assert_eq!(nul(r#""\u0001 \u00000""#), Ok(true));
        assert_eq!(nul(r#""\ud83d\ude00""#), Ok(false));
        for half in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83d\n""#,
        ] {
            assert!(scan(half.as_bytes()).is_err(), "{half}");
        }
        for cut in [r#""\"#, r#"""#, ""] {
            assert!(
                scan(cut.as_bytes()).is_ok(),
                "{cut:?} is the parser's to refuse"
            );
        }
        for none in [
            r#""\u"#,
            r#""\u00""#,
            r#""\u00:0""#,
            r#""\x41""#,
            r#""\\\'""#,
        ] {
            assert!(scan(none.as_bytes()).is_err(), "{none}");
        }
    }
}
