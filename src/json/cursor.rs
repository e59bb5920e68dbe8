//! Walks the text of a JSON value (RFC 8259) without building it, strictly and to a bounded depth.

use std::borrow::Cow;

use super::DecodeFault;
use super::numeric;
use crate::limits::JSON_DEPTH_MAX;

pub(super) const NOT_JSON: DecodeFault =
    DecodeFault::new("json_invalid", "Input should be valid JSON");
const TOO_DEEP: DecodeFault = DecodeFault::new("json_invalid", "Input is nested too deeply");
const NOT_JSONB: DecodeFault = DecodeFault::new(
    "json_invalid",
    "Input holds \\u0000, half a surrogate pair or a number out of range, which jsonb cannot store",
);

/// A place in a JSON text. `jsonb` also rejects what Postgres' jsonb can't hold.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    jsonb: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor {
            text,
            at: 0,
            jsonb: false,
        }
    }

    /// The members of the array that begins here.
    pub fn array(&mut self) -> Result<Items<'_, 'a>, DecodeFault> {
        self.open(b'[')?;
        Ok(Items {
            cursor: self,
            first: true,
        })
    }

    /// The members of the object that begins here.
    pub fn object(&mut self) -> Result<Members<'_, 'a>, DecodeFault> {
        self.open(b'{')?;
        Ok(Members {
            cursor: self,
            first: true,
        })
    }

    fn open(&mut self, bracket: u8) -> Result<(), DecodeFault> {
        self.skip_space();
        if self.eat(bracket) {
            Ok(())
        } else {
            Err(NOT_JSON)
        }
    }

    /// The text of the value that begins here, without the space around it.
    fn value(&mut self, depth: usize) -> Result<&'a str, DecodeFault> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'{' | b'[') if depth == JSON_DEPTH_MAX => return Err(TOO_DEEP),
            Some(b'{') => self.members(depth)?,
            Some(b'[') => self.items(depth)?,
            _ => self.word()?,
        }
        Ok(&self.text[start..self.at])
    }

    fn members(&mut self, depth: usize) -> Result<(), DecodeFault> {
        let mut first = true;
        self.at += 1;
        while self.has_more(b'}', &mut first)? {
            self.key()?;
            self.value(depth + 1)?;
        }
        Ok(())
    }

    fn items(&mut self, depth: usize) -> Result<(), DecodeFault> {
        let mut first = true;
        self.at += 1;
        while self.has_more(b']', &mut first)? {
            self.value(depth + 1)?;
        }
        Ok(())
    }

    /// True in front of a further member; false once the closing bracket has been passed.
    fn has_more(&mut self, close: u8, first: &mut bool) -> Result<bool, DecodeFault> {
        self.skip_space();
        if self.eat(close) {
            return Ok(false);
        }
        if !std::mem::take(first) && !self.eat(b',') {
            return Err(NOT_JSON);
        }
        self.skip_space();
        // A comma is always followed by a value: the closing bracket here is none.
        Ok(true)
    }

    fn key(&mut self) -> Result<&'a str, DecodeFault> {
        self.skip_space();
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(NOT_JSON);
        }
        self.string()?;
        let key = &self.text[start..self.at];
        self.skip_space();
        if self.eat(b':') {
            Ok(key)
        } else {
            Err(NOT_JSON)
        }
    }

    fn string(&mut self) -> Result<(), DecodeFault> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                None | Some(0x00..0x20) => return Err(NOT_JSON),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), DecodeFault> {
        self.at += 1;
        let Some(letter) = self.peek() else {
            return Err(NOT_JSON);
        };
        self.at += 1;
        match letter {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => {
                let unit = self.code_unit()?;
                if self.jsonb {
                    self.check_code_unit(unit)
                } else {
                    Ok(())
                }
            }
            _ => Err(NOT_JSON),
        }
    }

    /// No NUL; a high surrogate has its low one behind it.
    fn check_code_unit(&mut self, unit: u16) -> Result<(), DecodeFault> {
        match unit {
            0 | 0xDC00..=0xDFFF => Err(NOT_JSONB),
            0xD800..=0xDBFF => {
                if !(self.eat(b'\\') && self.eat(b'u')) {
                    return Err(NOT_JSONB);
                }
                let low = self.code_unit()?;
                if (0xDC00..=0xDFFF).contains(&low) {
                    Ok(())
                } else {
                    Err(NOT_JSONB)
                }
            }
            _ => Ok(()),
        }
    }

    fn code_unit(&mut self) -> Result<u16, DecodeFault> {
        let digits = self
            .text
            .as_bytes()
            .get(self.at..self.at + 4)
            .ok_or(NOT_JSON)?;
        self.at += 4;
        digits.iter().try_fold(0u16, |unit, &digit| {
            let value = char::from(digit).to_digit(16).ok_or(NOT_JSON)?;
            Ok(unit << 4 | value as u16)
        })
    }

    fn number(&mut self) -> Result<(), DecodeFault> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        if self.jsonb && !numeric::holds(&self.text[start..self.at]) {
            return Err(NOT_JSONB);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), DecodeFault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(NOT_JSON)
        }
    }

    fn word(&mut self) -> Result<(), DecodeFault> {
        let rest = &self.text[self.at..];
        let word = ["true", "false", "null"]
            .into_iter()
            .find(|word| rest.starts_with(word));
        self.at += word.ok_or(NOT_JSON)?.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// The members of an array, one text each.
pub(super) struct Items<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    first: bool,
}

impl<'a> Items<'_, 'a> {
    pub fn next(&mut self) -> Result<Option<&'a str>, DecodeFault> {
        if !self.cursor.has_more(b']', &mut self.first)? {
            return Ok(None);
        }
        self.cursor.value(1).map(Some)
    }
}

/// The members of an object: the key with its quotes, and the value's text.
pub(super) struct Members<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    first: bool,
}

impl<'a> Members<'_, 'a> {
    pub fn next(&mut self) -> Result<Option<(&'a str, &'a str)>, DecodeFault> {
        if !self.cursor.has_more(b'}', &mut self.first)? {
            return Ok(None);
        }
        let key = self.cursor.key()?;
        Ok(Some((key, self.cursor.value(1)?)))
    }
}

/// Checks that `text` is one JSON value, of the kind that json, or jsonb, can hold.
pub(super) fn check(text: &str, jsonb: bool) -> Result<(), DecodeFault> {
    let mut cursor = Cursor { text, at: 0, jsonb };
    cursor.value(0)?;
    cursor.skip_space();
    if cursor.at == text.len() {
        Ok(())
    } else {
        Err(NOT_JSON)
    }
}

/// The content of a JSON string given with its quotes.
pub(super) fn unescape(raw: &str) -> Result<Cow<'_, str>, DecodeFault> {
    let inner = raw
        .strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .ok_or(NOT_JSON)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    let text = sonic_rs::from_str::<String>(raw);
    text.map(Cow::Owned)
        .map_err(|_| DecodeFault::new("string_unicode", "Input should be a valid Unicode string"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_json_and_nothing_else() {
        for text in [
            "null",
            " true ",
            "-0.5e+10",
            "\"a\\u00e9\\n\"",
            "[]",
            "[1 , [2],{}]",
            "{\"a\":{\"b\":[null]}}",
        ] {
            assert!(
                check(text, false).is_ok() && check(text, true).is_ok(),
                "{text}"
            );
        }
        for text in [
            "",
            "01",
            "1.",
            ".5",
            "+1",
            "NaN",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1,}",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"",
            "tru",
            "1 1",
            "[1",
            "{\"a\":",
            "nul",
        ] {
            assert_eq!(check(text, false), Err(NOT_JSON), "{text}");
        }
    }

    #[test]
    fn jsonb_holds_less() {
        for text in [
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "1e131072",
            "[{\"\\u0000\":1}]",
        ] {
            assert!(
                check(text, false).is_ok() && check(text, true).is_err(),
                "{text}"
            );
        }
        assert!(check("\"\\ud83d\\ude00\"", true).is_ok());
    }

    #[test]
    fn depth_at_the_limit_and_one_over() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(check(&nested(JSON_DEPTH_MAX), false).is_ok());
        assert_eq!(check(&nested(JSON_DEPTH_MAX + 1), false), Err(TOO_DEEP));
    }

    #[test]
    fn unescape_borrows_where_it_can() {
        assert!(matches!(unescape("\"abc\""), Ok(Cow::Borrowed("abc"))));
        assert_eq!(unescape("\"a\\n\\ud83d\\ude00\"").unwrap(), "a\n😀");
        assert!(unescape("\"\\ud800\"").is_err());
        assert!(unescape("\"").is_err());
    }
}
