//! bytea as hex, and the one-byte `"char"`.

use super::decode::HOLDS_NUL;
use super::{DecodeFault, EncodeFault};

const NOT_HEX: DecodeFault = DecodeFault::new(
    "bytes_invalid_encoding",
    "Input should be bytes in hex: \\x and two hex digits for each byte",
);

/// Appends the two hex digits of each byte, without the `\x`.
pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() * 2);
    for &byte in bytes {
        write_hex_byte(byte, out);
    }
}

pub(super) fn write_hex_byte(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

pub(super) fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// `\x00ff` → the bytes, appended.
pub(super) fn parse_bytea(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let digits = text.strip_prefix("\\x").ok_or(NOT_HEX)?.as_bytes();
    if digits.len() % 2 != 0 {
        return Err(NOT_HEX);
    }
    out.reserve(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let (high, low) = hex_value(pair[0]).zip(hex_value(pair[1])).ok_or(NOT_HEX)?;
        out.push(high << 4 | low);
    }
    Ok(())
}

/// The text of a `"char"`: nothing for 0, `\377` for bytes that are no ASCII (Postgres 16 and later
/// print them so; before, they were not valid text). Room for the text is the caller's.
pub(super) fn char_text(raw: &[u8], room: &mut [u8; 4]) -> Result<usize, EncodeFault> {
    match *raw {
        [0] => Ok(0),
        [byte] if byte.is_ascii() => {
            room[0] = byte;
            Ok(1)
        }
        [byte] => {
            *room = [
                b'\\',
                b'0' + (byte >> 6),
                b'0' + (byte >> 3 & 7),
                b'0' + (byte & 7),
            ];
            Ok(4)
        }
        [] => Err(EncodeFault::Truncated),
        _ => Err(EncodeFault::TrailingBytes),
    }
}

/// One ASCII character, `\377`, or nothing → one byte, appended. Postgres would cut longer text.
pub(super) fn parse_char(text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let byte = match *text.as_bytes() {
        [] => 0,
        [0] => return Err(HOLDS_NUL),
        [byte] => byte,
        [
            b'\\',
            high @ b'0'..=b'3',
            middle @ b'0'..=b'7',
            low @ b'0'..=b'7',
        ] => (high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'),
        _ => {
            return Err(DecodeFault::new(
                "string_too_long",
                "Input should be one ASCII character",
            ));
        }
    };
    out.push(byte);
    Ok(())
}
