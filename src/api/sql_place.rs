//! From a place in the SQL to its place in the file.

use std::ops::Range;

use super::diagnostics::Source;
use super::tree::Place;

/// Where the text of the SQL stands in the file.
#[derive(Debug, Clone)]
pub(super) struct SqlPlace {
    /// The TOML string with its quotes.
    span: Range<usize>,
    /// Where its first character stands, if the string has no escapes: then bytes map one to one.
    content: Option<usize>,
}

impl SqlPlace {
    /// Finds out whether the string has escapes.
    pub(super) fn new(source: &Source, text: &Place<&str>) -> SqlPlace {
        let raw = &source.text()[text.span.clone()];
        let content = ["'''", "\"\"\"", "'", "\""].into_iter().find_map(|quote| {
            let inner = raw.strip_prefix(quote)?.strip_suffix(quote)?;
            // A line break right after three quotes is not part of the text (TOML 1.0, String).
            let skipped = match quote.len() {
                3 => {
                    inner.len()
                        - inner
                            .strip_prefix("\r\n")
                            .or(inner.strip_prefix('\n'))
                            .unwrap_or(inner)
                            .len()
                }
                _ => 0,
            };
            (&inner[skipped..] == text.value).then_some(text.span.start + quote.len() + skipped)
        });
        SqlPlace {
            span: text.span.clone(),
            content,
        }
    }

    /// The place in the file of a span of the SQL; the whole string where escapes hide it.
    pub(super) fn locate(&self, span: Range<usize>) -> Range<usize> {
        match self.content {
            Some(start) => start + span.start..start + span.end,
            None => self.span.clone(),
        }
    }

    /// The place of the word (or the one character) that begins at an offset of the SQL.
    pub(super) fn locate_word(&self, source: &Source, offset: usize) -> Range<usize> {
        let Some(start) = self.content.map(|start| start + offset) else {
            return self.span.clone();
        };
        let rest = source.text().get(start..).unwrap_or_default();
        let is_word =
            |character: char| character.is_alphanumeric() || character == '_' || character == '.';
        let length = match rest.chars().next() {
            Some(':') => {
                1 + rest[1..]
                    .find(|character| !is_word(character))
                    .unwrap_or(rest.len() - 1)
            }
            Some('"') => rest[1..].find('"').map_or(1, |end| end + 2),
            Some(character) if is_word(character) => rest
                .find(|character| !is_word(character))
                .unwrap_or(rest.len()),
            Some(character) => character.len_utf8(),
            None => 0,
        };
        start..start + length
    }
}
