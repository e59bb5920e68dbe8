//! Arrays: any dimension, lower bounds left aside (binary form: `array_send` of Postgres).

use super::cursor::Cursor;
use super::decode;
use super::encode;
use super::reader::Reader;
use super::types::{Element, Scalar, Shape};
use super::{DecodeFault, EncodeFault};

/// Dimensions of an array (Postgres, MAXDIM).
const DIMENSIONS_MAX: usize = 6;

const NOT_A_LIST: DecodeFault = DecodeFault::new("list_type", "Input should be a valid array");
const NOT_RECTANGULAR: DecodeFault = DecodeFault::new(
    "list_shape",
    "Input should be a rectangular array: lists side by side have the same length, none empty",
);
const TOO_DEEP: DecodeFault = DecodeFault::new(
    "list_shape",
    "Input should be an array of at most 6 dimensions",
);

/// Appends an array as nested JSON arrays.
pub(super) fn write_json(
    element: &Shape,
    raw: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    let dimensions = usize::try_from(reader.i32()?).map_err(|_| EncodeFault::Malformed)?;
    let _has_nulls = reader.i32()?;
    let _element_oid = reader.i32()?;
    if dimensions == 0 {
        out.extend_from_slice(b"[]");
        return reader.finish();
    }
    let mut lengths = [0i32; DIMENSIONS_MAX];
    let lengths = lengths
        .get_mut(..dimensions)
        .ok_or(EncodeFault::Malformed)?;
    for length in lengths.iter_mut() {
        *length = reader.i32()?;
        let _lower_bound = reader.i32()?;
        if *length <= 0 {
            return Err(EncodeFault::Malformed);
        }
    }
    write_dimension(element, lengths, &mut reader, out)?;
    reader.finish()
}

/// A JSON array, nested for more dimensions → binary array, appended. Elements of json and jsonb
/// arrays may be arrays themselves, so those are always of one dimension.
pub(super) fn decode_json(
    element: &Element,
    raw: &str,
    out: &mut Vec<u8>,
) -> Result<(), DecodeFault> {
    let holds_json = matches!(element.shape, Shape::Scalar(Scalar::Json | Scalar::Jsonb));
    let dimensions = if holds_json { 1 } else { nesting(raw) };
    if dimensions == 0 || !raw.starts_with('[') {
        return Err(NOT_A_LIST);
    }
    if dimensions > DIMENSIONS_MAX {
        return Err(TOO_DEEP);
    }
    let start = out.len();
    write_header(dimensions, element.oid, out);
    let mut writer = Writer {
        element,
        lengths: [None; DIMENSIONS_MAX],
        has_nulls: false,
    };
    writer.write_dimension(dimensions, 0, raw, out)?;
    if writer.lengths[0] == Some(0) {
        if dimensions > 1 {
            return Err(NOT_RECTANGULAR);
        }
        out.truncate(start);
        write_header(0, element.oid, out);
        return Ok(());
    }
    for (index, length) in writer.lengths[..dimensions].iter().enumerate() {
        patch(out, start + 12 + index * 8, length.unwrap_or(0));
    }
    patch(out, start + 4, i32::from(writer.has_nulls));
    Ok(())
}

/// One element for each text → binary array of one dimension, appended.
pub(super) fn decode_texts(
    element: &Element,
    items: &[&str],
    out: &mut Vec<u8>,
) -> Result<(), DecodeFault> {
    if items.is_empty() {
        write_header(0, element.oid, out);
        return Ok(());
    }
    let start = out.len();
    write_header(1, element.oid, out);
    patch(
        out,
        start + 12,
        i32::try_from(items.len()).map_err(|_| NOT_A_LIST)?,
    );
    for item in items {
        decode::prefixed(out, |out| decode::shape_text(&element.shape, item, out))?;
    }
    Ok(())
}

fn write_dimension(
    element: &Shape,
    lengths: &[i32],
    reader: &mut Reader,
    out: &mut Vec<u8>,
) -> Result<(), EncodeFault> {
    let Some((&length, inner)) = lengths.split_first() else {
        return match reader.part()? {
            Some(raw) => encode::shape_json(element, raw, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        };
    };
    // Each element takes at least four bytes, so a false length ends in a fault, not in a loop.
    for index in 0..length {
        out.push(if index == 0 { b'[' } else { b',' });
        write_dimension(element, inner, reader, out)?;
    }
    out.push(b']');
    Ok(())
}

/// How many arrays open at the start of a JSON value.
fn nesting(raw: &str) -> usize {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    raw.bytes()
        .filter(|byte| !space(byte))
        .take_while(|&byte| byte == b'[')
        .count()
}

struct Writer<'a> {
    element: &'a Element,
    /// The length of each dimension, known once the first list of it has ended.
    lengths: [Option<i32>; DIMENSIONS_MAX],
    has_nulls: bool,
}

impl Writer<'_> {
    fn write_dimension(
        &mut self,
        dimensions: usize,
        depth: usize,
        raw: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeFault> {
        if !raw.starts_with('[') {
            return Err(NOT_RECTANGULAR);
        }
        let mut length = 0;
        let mut cursor = Cursor::new(raw);
        let mut items = cursor.array()?;
        while let Some(item) = items.next()? {
            length += 1;
            if depth + 1 < dimensions {
                self.write_dimension(dimensions, depth + 1, item, out)?;
            } else if item == "null" {
                self.has_nulls = true;
                out.extend_from_slice(&(-1i32).to_be_bytes());
            } else {
                decode::prefixed(out, |out| {
                    decode::shape_json(&self.element.shape, item, out)
                })?;
            }
        }
        let empty_inside = length == 0 && depth > 0;
        let known = *self.lengths[depth].get_or_insert(length);
        if known == length && !empty_inside {
            Ok(())
        } else {
            Err(NOT_RECTANGULAR)
        }
    }
}

/// The header with every length still 0 and lower bounds of 1.
fn write_header(dimensions: usize, element_oid: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&(dimensions as i32).to_be_bytes());
    out.extend_from_slice(&0i32.to_be_bytes());
    out.extend_from_slice(&element_oid.to_be_bytes());
    for _ in 0..dimensions {
        out.extend_from_slice(&0i32.to_be_bytes());
        out.extend_from_slice(&1i32.to_be_bytes());
    }
}

fn patch(out: &mut [u8], at: usize, value: i32) {
    out[at..at + 4].copy_from_slice(&value.to_be_bytes());
}
