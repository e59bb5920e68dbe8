//! Cuts SQL into tokens as Postgres does (Postgres §4.1), with `standard_conforming_strings` on.

use std::ops::Range;

use super::sql::SqlFault;

/// What a token means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An unquoted identifier or a keyword.
    Word,
    /// A string, a number or a quoted identifier.
    Operand,
    /// `$1`.
    Positional,
    /// One of `( ) [ ] ; : , .`.
    Mark(u8),
    /// Anything else: one character of an operator, `::` or `:=`.
    Operator,
}

/// One token and the bytes that hold it.
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// Cuts SQL into tokens; whitespace and comments lie between them.
pub(super) struct Lexer<'s> {
    text: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    /// Begins at the start of the text.
    pub(super) fn new(text: &'s str) -> Lexer<'s> {
        Lexer { text, at: 0 }
    }

    /// The next token; a string, quote or comment that is never closed is a fault and ends the reading.
    pub(super) fn next(&mut self) -> Result<Option<Token>, SqlFault> {
        self.skip_blank()?;
        let start = self.at;
        let Some(byte) = self.byte(0) else {
            return Ok(None);
        };
        let kind = match byte {
            b'\'' => self.string(start, false)?,
            b'"' => self.quoted_identifier(start)?,
            b'$' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => {
                self.at += 1;
                self.skip_while(|byte| byte.is_ascii_digit());
                Kind::Positional
            }
            b'$' => self.dollar_quote(start)?,
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            _ if begins_word(byte) => self.word(start)?,
            b':' if matches!(self.byte(1), Some(b':' | b'=')) => {
                self.at += 2;
                Kind::Operator
            }
            b'(' | b')' | b'[' | b']' | b';' | b':' | b',' | b'.' => {
                self.at += 1;
                Kind::Mark(byte)
            }
            _ => {
                self.at += 1;
                Kind::Operator
            }
        };
        Ok(Some(Token {
            kind,
            span: start..self.at,
        }))
    }

    /// The name that begins right here, if one does.
    pub(super) fn name(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if !self.byte(0).is_some_and(begins_word) {
            return None;
        }
        self.skip_while(continues_word);
        Some(start..self.at)
    }

    /// A word, or one of the strings and identifiers that a letter introduces: E'', B'', X'', N'', U&'', U&"".
    fn word(&mut self, start: usize) -> Result<Kind, SqlFault> {
        let quote_next = self.byte(1) == Some(b'\'');
        match self.byte(0) {
            Some(b'e' | b'E') if quote_next => {
                self.at += 1;
                return self.string(start, true);
            }
            Some(b'b' | b'B' | b'x' | b'X' | b'n' | b'N') if quote_next => {
                self.at += 1;
                return self.string(start, false);
            }
            Some(b'u' | b'U') if self.byte(1) == Some(b'&') && self.byte(2) == Some(b'\'') => {
                self.at += 2;
                return self.string(start, false);
            }
            Some(b'u' | b'U') if self.byte(1) == Some(b'&') && self.byte(2) == Some(b'"') => {
                self.at += 2;
                return self.quoted_identifier(start);
            }
            _ => {}
        }
        self.skip_while(continues_word);
        Ok(Kind::Word)
    }

    fn number(&mut self) -> Kind {
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
        Kind::Operand
    }

    /// A string from its opening quote, with the pieces that SQL joins to it: `'a'`, line break, `'b'`. The
    /// pieces of an E'' string have escapes too.
    fn string(&mut self, start: usize, escapes: bool) -> Result<Kind, SqlFault> {
        loop {
            self.at += 1;
            loop {
                match self.byte(0) {
                    None => {
                        return Err(SqlFault::new(
                            start..start + 1,
                            "this string is never closed",
                        ));
                    }
                    Some(b'\\') if escapes => self.at += 2,
                    Some(b'\'') if self.byte(1) == Some(b'\'') => self.at += 2,
                    Some(b'\'') => break,
                    Some(_) => self.at += 1,
                }
            }
            self.at += 1;
            match self.continuation() {
                Some(quote) => self.at = quote,
                None => return Ok(Kind::Operand),
            }
        }
    }

    /// Where the string that just ended goes on: at a quote that only blanks with a line break among them (and
    /// line comments) separate from it.
    fn continuation(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        let mut line_break = false;
        loop {
            match bytes.get(at)? {
                b'\n' | b'\r' => line_break = true,
                byte if is_blank(*byte) => {}
                b'-' if bytes.get(at + 1) == Some(&b'-') => {
                    at += memchr::memchr2(b'\n', b'\r', &bytes[at..])?;
                    continue;
                }
                b'\'' if line_break => return Some(at),
                _ => return None,
            }
            at += 1;
        }
    }

    fn quoted_identifier(&mut self, start: usize) -> Result<Kind, SqlFault> {
        // A doubled quote closes and opens again: to us the same as two identifiers side by side.
        match memchr::memchr(b'"', &self.text.as_bytes()[self.at + 1..]) {
            Some(length) => {
                self.at += length + 2;
                Ok(Kind::Operand)
            }
            None => Err(SqlFault::new(
                start..start + 1,
                "this quoted identifier is never closed",
            )),
        }
    }

    /// `$tag$ … $tag$`; a `$` that opens no such quote is left to Postgres to refuse.
    fn dollar_quote(&mut self, start: usize) -> Result<Kind, SqlFault> {
        self.at += 1;
        if self.byte(0).is_some_and(begins_word) {
            self.skip_while(|byte| continues_word(byte) && byte != b'$');
        }
        if self.byte(0) != Some(b'$') {
            self.at = start + 1;
            return Ok(Kind::Operator);
        }
        self.at += 1;
        let delimiter = &self.text[start..self.at];
        match memchr::memmem::find(&self.text.as_bytes()[self.at..], delimiter.as_bytes()) {
            Some(length) => {
                self.at += length + delimiter.len();
                Ok(Kind::Operand)
            }
            None => Err(SqlFault::new(
                start..self.at,
                format!("the quote {delimiter} is never closed"),
            )),
        }
    }

    /// Skips whitespace, `--` comments and nested `/* */` comments.
    fn skip_blank(&mut self) -> Result<(), SqlFault> {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(byte), _) if is_blank(byte) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_while(|byte| byte != b'\n' && byte != b'\r'),
                (Some(b'/'), Some(b'*')) => self.block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), SqlFault> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => {
                    return Err(SqlFault::new(
                        start..start + 2,
                        "this comment is never closed",
                    ));
                }
            }
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_while(&mut self, matches: impl Fn(u8) -> bool) {
        while self.byte(0).is_some_and(&matches) {
            self.at += 1;
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Whether a byte may stand inside an unquoted identifier.
pub(super) fn continues_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}
