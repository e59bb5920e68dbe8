//! Composite types as JSON objects (binary form: `record_send` of Postgres).

use super::cursor::{Cursor, unescape};
use super::decode;
use super::encode;
use super::reader::Reader;
use super::types::Member;
use super::{DecodeFault, EncodeFault};

/// Appends `{"name":value,…}` with the members in the order of the type.
pub(super) fn write_json(
    members: &[Member],
    raw: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeFault> {
    let mut reader = Reader::new(raw);
    if usize::try_from(reader.i32()?) != Ok(members.len()) {
        return Err(EncodeFault::Malformed);
    }
    out.push(b'{');
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&member.key);
        let _type_oid = reader.i32()?;
        match reader.part()? {
            Some(raw) => encode::shape_json(&member.shape, raw, out)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
    reader.finish()
}

/// A JSON object → binary record, appended. A member that is missing is NULL, one that the type
/// doesn't have is a fault, one that comes twice counts with its last value.
pub(super) fn decode_json(
    members: &[Member],
    raw: &str,
    out: &mut Vec<u8>,
) -> Result<(), DecodeFault> {
    if !raw.starts_with('{') {
        return Err(DecodeFault::new(
            "dict_type",
            "Input should be a valid object",
        ));
    }
    let mut values: Vec<Option<&str>> = vec![None; members.len()];
    let mut cursor = Cursor::new(raw);
    let mut object = cursor.object()?;
    while let Some((key, value)) = object.next()? {
        let key = unescape(key)?;
        let Some(index) = members.iter().position(|member| member.name == *key) else {
            return Err(DecodeFault::new(
                "extra_forbidden",
                "Input has a member that its type does not have",
            ));
        };
        values[index] = (value != "null").then_some(value);
    }
    out.extend_from_slice(&(members.len() as i32).to_be_bytes());
    for (member, value) in members.iter().zip(values) {
        out.extend_from_slice(&member.oid.to_be_bytes());
        match value {
            Some(value) => {
                decode::prefixed(out, |out| decode::shape_json(&member.shape, value, out))?;
            }
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
        }
    }
    Ok(())
}
