//! Ranges and multiranges, in JSON a string with Postgres' literal: `[1,5)`, `{[1,2),[3,4)}`
//! (binary form: `range_send` and `multirange_send` of Postgres).

use super::decode;
use super::encode;
use super::reader::Reader;
use super::types::{Scalar, Shape};
use super::{DecodeFault, EncodeFault};

const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

const NOT_A_RANGE: DecodeFault =
    DecodeFault::new("range_parsing", "Input should be a valid range, like [1,5)");
const NOT_A_MULTIRANGE: DecodeFault = DecodeFault::new(
    "range_parsing",
    "Input should be a valid multirange, like {[1,2),[3,4)}",
);

/// Appends a range as a JSON string.
pub(super) fn write_json(bound: Scalar, raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    out.push(b'"');
    write_range(bound, raw, out)?;
    out.push(b'"');
    Ok(())
}

/// Appends a multirange as a JSON string.
pub(super) fn write_multirange_json(
    bound: Scalar,
    raw: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    let count = reader.i32()?;
    if count < 0 {
        return Err(EncodeFault::Malformed);
    }
    out.extend_from_slice(b"\"{");
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        write_range(bound, reader.part()?.ok_or(EncodeFault::Malformed)?, out)?;
    }
    out.extend_from_slice(b"}\"");
    reader.finish()
}

/// A range literal → binary range, appended. Whether the bounds are in order is left to Postgres,
/// which alone knows the order of the type (22000, also a 422).
pub(super) fn parse(bound: Scalar, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let rest = parse_range(bound, text, out)?;
    if rest.trim_ascii_start().is_empty() {
        Ok(())
    } else {
        Err(NOT_A_RANGE)
    }
}

/// A multirange literal → binary multirange, appended.
pub(super) fn parse_multirange(
    bound: Scalar,
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), DecodeFault> {
    let text = text.trim_ascii();
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let mut rest = inner.ok_or(NOT_A_MULTIRANGE)?.trim_ascii();
    let start = out.len();
    out.extend_from_slice(&0i32.to_be_bytes());
    let mut count = 0i32;
    while !rest.is_empty() {
        if count > 0 {
            rest = rest.strip_prefix(',').ok_or(NOT_A_MULTIRANGE)?;
        }
        let mut after = rest;
        decode::prefixed(out, |out| {
            after = parse_range(bound, rest, out)?;
            Ok(())
        })?;
        rest = after.trim_ascii_start();
        count += 1;
    }
    out[start..start + 4].copy_from_slice(&count.to_be_bytes());
    Ok(())
}

fn write_range(bound: Scalar, raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    let flags = reader.u8()?;
    if flags & EMPTY != 0 {
        out.extend_from_slice(b"empty");
        return reader.finish();
    }
    out.push(if flags & LOWER_INCLUSIVE != 0 {
        b'['
    } else {
        b'('
    });
    if flags & LOWER_INFINITE == 0 {
        write_bound(bound, reader.part()?.ok_or(EncodeFault::Malformed)?, out)?;
    }
    out.push(b',');
    if flags & UPPER_INFINITE == 0 {
        write_bound(bound, reader.part()?.ok_or(EncodeFault::Malformed)?, out)?;
    }
    out.push(if flags & UPPER_INCLUSIVE != 0 {
        b']'
    } else {
        b')'
    });
    reader.finish()
}

/// Writes the bound's text at the end of `out`, then quotes it there for the range and for JSON.
fn write_bound(bound: Scalar, raw: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeFault> {
    let start = out.len();
    encode::scalar_text(bound, raw, out)?;
    let text = &out[start..];
    let quotes = text.is_empty() || text.iter().any(|&byte| needs_quotes(byte));
    if !quotes && !text.iter().any(|&byte| byte < 0x20) {
        return Ok(());
    }
    let end = out.len();
    let grown: usize = text.iter().map(|&byte| quoted(byte).1 - 1).sum();
    let quote: &[u8] = if quotes { b"\\\"" } else { b"" };
    out.resize(end + grown + 2 * quote.len(), 0);
    // From the back, so that no byte is overwritten before it was read.
    let mut write_end = out.len() - quote.len();
    out[write_end..].copy_from_slice(quote);
    for read in (start..end).rev() {
        let (bytes, len) = quoted(out[read]);
        out[write_end - len..write_end].copy_from_slice(&bytes[..len]);
        write_end -= len;
    }
    out[start..start + quote.len()].copy_from_slice(quote);
    Ok(())
}

/// The characters that make Postgres put quotes around a bound.
fn needs_quotes(byte: u8) -> bool {
    matches!(
        byte,
        b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',' | b' ' | 0x09..=0x0D
    )
}

/// A byte of a bound: `"` and `\` are doubled for the range, and each of the two escaped for JSON.
fn quoted(byte: u8) -> ([u8; 6], usize) {
    match byte {
        b'"' => (*b"\\\"\\\"  ", 4),
        b'\\' => (*b"\\\\\\\\  ", 4),
        0x00..0x20 => {
            let low = b"0123456789abcdef"[usize::from(byte & 15)];
            ([b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low], 6)
        }
        _ => ([byte, 0, 0, 0, 0, 0], 1),
    }
}

/// Reads one range in front of `text` and returns what follows it (`range_parse` of Postgres).
fn parse_range<'t>(
    bound: Scalar,
    text: &'t str,
    out: &mut Vec<u8>,
) -> Result<&'t str, DecodeFault> {
    let text = text.trim_ascii_start();
    if text
        .get(..5)
        .is_some_and(|word| word.eq_ignore_ascii_case("empty"))
    {
        out.push(EMPTY);
        return Ok(&text[5..]);
    }
    let mut flags = match text.as_bytes().first() {
        Some(b'[') => LOWER_INCLUSIVE,
        Some(b'(') => 0,
        _ => return Err(NOT_A_RANGE),
    };
    let start = out.len();
    out.push(0);
    let (lower, rest) = bound_text(&text[1..])?;
    let rest = rest.strip_prefix(',').ok_or(NOT_A_RANGE)?;
    let (upper, rest) = bound_text(rest)?;
    flags |= match rest.as_bytes().first() {
        Some(b']') => UPPER_INCLUSIVE,
        Some(b')') => 0,
        _ => return Err(NOT_A_RANGE),
    };
    for (text, infinite) in [(lower, LOWER_INFINITE), (upper, UPPER_INFINITE)] {
        match text {
            Some(text) => decode::prefixed(out, |out| parse_bound(bound, &text, out))?,
            None => flags |= infinite,
        }
    }
    out[start] = flags;
    Ok(&rest[1..])
}

/// Space around a bound is left aside where Postgres does so: `[1, 5)`, `[2026-01-01, )`.
fn parse_bound(bound: Scalar, text: &str, out: &mut Vec<u8>) -> Result<(), DecodeFault> {
    let text = match bound {
        Scalar::Int2
        | Scalar::Int4
        | Scalar::Int8
        | Scalar::Float4
        | Scalar::Float8
        | Scalar::Numeric
        | Scalar::Date
        | Scalar::Time
        | Scalar::Timestamp
        | Scalar::TimestampTz => text.trim_ascii(),
        _ => text,
    };
    decode::shape_text(&Shape::Scalar(bound), text, out)
}

/// The text of a bound, quotes and backslashes resolved; `None` is infinite.
fn bound_text(text: &str) -> Result<(Option<String>, &str), DecodeFault> {
    if text.starts_with([',', ')', ']']) {
        return Ok((None, text));
    }
    let mut bound = String::new();
    let mut in_quotes = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            ',' | ')' | ']' if !in_quotes => return Ok((Some(bound), &text[at..])),
            '\\' => bound.push(characters.next().ok_or(NOT_A_RANGE)?.1),
            '"' if !in_quotes => in_quotes = true,
            '"' => match characters.next_if(|&(_, next)| next == '"') {
                Some(_) => bound.push('"'),
                None => in_quotes = false,
            },
            _ => bound.push(character),
        }
    }
    Err(NOT_A_RANGE)
}
