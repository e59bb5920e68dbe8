//! JSON strings (RFC 8259 §7), by sonic-rs's vector code.

use sonic_rs::format::{CompactFormatter, Formatter};

/// sonic-rs reserves six times the text it is given. Longer texts go through it in pieces, so that
/// a large column doesn't make the response buffer several times its size.
const PIECE_BYTES: usize = 4096;

/// Appends `text` as a JSON string with its quotes.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    if text.len() <= PIECE_BYTES {
        return write_piece(text, true, out);
    }
    out.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary_at(PIECE_BYTES));
        write_piece(piece, false, out);
        rest = after;
    }
    out.push(b'"');
}

/// `"name":`, ready to be appended.
pub(super) fn key(name: &str) -> Box<[u8]> {
    let mut key = Vec::with_capacity(name.len() + 3);
    write_string(name, &mut key);
    key.push(b':');
    key.into()
}

fn write_piece(text: &str, quotes: bool, out: &mut Vec<u8>) {
    CompactFormatter
        .write_string_fast(out, text, quotes)
        .expect("writing to a Vec has no failure");
}

trait FloorCharBoundary {
    fn floor_char_boundary_at(&self, index: usize) -> usize;
}

impl FloorCharBoundary for str {
    /// The last character boundary at or before `index`, never 0 for a text that is not empty.
    fn floor_char_boundary_at(&self, index: usize) -> usize {
        if index >= self.len() {
            return self.len();
        }
        (0..=index)
            .rev()
            .find(|&at| self.is_char_boundary(at))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_what_json_must_escape() {
        assert_eq!(
            written("a\"b\\c\n\u{1}\u{7f}é"),
            "\"a\\\"b\\\\c\\n\\u0001\u{7f}é\""
        );
        assert_eq!(&*key("a\"b"), b"\"a\\\"b\":");
    }

    #[test]
    fn long_text_in_pieces_is_the_same_text() {
        for len in [
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
            3 * PIECE_BYTES + 7,
        ] {
            for fill in ["a", "é", "€", "😀", "\""] {
                let text: String = std::iter::once("x")
                    .chain(std::iter::repeat_n(fill, len))
                    .collect();
                let back: String = sonic_rs::from_str(&written(&text)).unwrap();
                assert!(back == text, "{fill} × {len}");
            }
        }
    }
}
