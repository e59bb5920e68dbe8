//! The columns of a statement, resolved once: a row → one JSON object or one JSON value.

use tokio_postgres::types::Type;

use super::types::type_name;
use super::{EncodeFault, Encoder, UnsupportedType, escape};

/// The columns of a statement, in their order.
#[derive(Clone, Debug)]
pub struct Columns {
    columns: Box<[Column]>,
}

#[derive(Clone, Debug)]
struct Column {
    name: String,
    /// `{"name":` for the first column, `,"name":` for the others.
    lead: Box<[u8]>,
    postgres_type: String,
    encoder: Encoder,
}

impl Columns {
    /// Resolves every column; the faults name the index of each column that has none.
    pub fn resolve(columns: &[(String, Type)]) -> Result<Columns, Vec<(usize, UnsupportedType)>> {
        let mut resolved = Vec::with_capacity(columns.len());
        let mut faults = Vec::new();
        for (index, (name, ty)) in columns.iter().enumerate() {
            match Encoder::resolve(ty) {
                Ok(encoder) => resolved.push(Column {
                    name: name.clone(),
                    lead: lead(index, name),
                    postgres_type: type_name(ty),
                    encoder,
                }),
                Err(fault) => faults.push((index, fault)),
            }
        }
        if faults.is_empty() {
            Ok(Columns {
                columns: resolved.into(),
            })
        } else {
            Err(faults)
        }
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the statement returns no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Name, Postgres type and JSON type of column `index`, for `pinion check`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn describe(&self, index: usize) -> (&str, String, String) {
        let column = &self.columns[index];
        (
            &column.name,
            column.postgres_type.clone(),
            column.encoder.json_type(),
        )
    }

    /// Appends a row as `{"a":1,"b":null}`; `row` gives the bytes of each column from the left,
    /// `None` for NULL. After a fault `out` is as it was.
    pub fn encode_object<'a>(
        &self,
        mut row: impl Iterator<Item = Option<&'a [u8]>>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeFault> {
        let start = out.len();
        for resolved in &self.columns {
            out.extend_from_slice(&resolved.lead);
            let encoded = match row.next() {
                Some(column) => resolved.encoder.encode(column, out),
                None => Err(EncodeFault::Truncated),
            };
            if let Err(fault) = encoded {
                out.truncate(start);
                return Err(fault);
            }
        }
        out.extend_from_slice(if self.columns.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }

    /// Appends the first column alone, as one JSON value (`null` if there is no column). After a
    /// fault `out` is as it was.
    pub fn encode_scalar<'a>(
        &self,
        mut row: impl Iterator<Item = Option<&'a [u8]>>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeFault> {
        let start = out.len();
        let encoded = match (self.columns.first(), row.next()) {
            (Some(first), Some(column)) => first.encoder.encode(column, out),
            (Some(_), None) => Err(EncodeFault::Truncated),
            (None, _) => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        };
        if encoded.is_err() {
            out.truncate(start);
        }
        encoded
    }
}

fn lead(index: usize, name: &str) -> Box<[u8]> {
    let mut lead = vec![if index == 0 { b'{' } else { b',' }];
    lead.extend_from_slice(&escape::key(name));
    lead.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(types: &[(&str, Type)]) -> Result<Columns, Vec<(usize, UnsupportedType)>> {
        let owned: Vec<_> = types
            .iter()
            .map(|(name, ty)| ((*name).to_owned(), ty.clone()))
            .collect();
        Columns::resolve(&owned)
    }

    #[test]
    fn object_and_scalar() {
        let columns = columns(&[("id", Type::INT8), ("say \"hi\"", Type::TEXT_ARRAY)]).unwrap();
        let id = 7i64.to_be_bytes();
        let mut out = Vec::new();
        columns
            .encode_object([Some(&id[..]), None].into_iter(), &mut out)
            .unwrap();
        assert_eq!(out, br#"{"id":7,"say \"hi\"":null}"#);
        out.clear();
        columns
            .encode_scalar([Some(&id[..])].into_iter(), &mut out)
            .unwrap();
        assert_eq!(out, b"7");
        let (name, postgres, json) = columns.describe(1);
        assert_eq!(
            (name, &*postgres, &*json),
            ("say \"hi\"", "text[]", "array of string")
        );
    }

    #[test]
    fn no_column_is_an_empty_object() {
        let columns = columns(&[]).unwrap();
        let mut out = Vec::new();
        columns.encode_object(std::iter::empty(), &mut out).unwrap();
        assert_eq!(out, b"{}");
    }

    #[test]
    fn a_fault_leaves_no_trace() {
        let columns = columns(&[("a", Type::INT8), ("b", Type::INT8)]).unwrap();
        let one = 1i64.to_be_bytes();
        let mut out = b"[".to_vec();
        for row in [&[Some(&one[..]), Some(&one[..3])][..], &[Some(&one)], &[]] {
            assert_eq!(
                columns.encode_object(row.iter().copied(), &mut out),
                Err(EncodeFault::Truncated)
            );
            assert_eq!(out, b"[");
        }
        let none = std::iter::empty();
        assert_eq!(
            columns.encode_scalar(none, &mut out),
            Err(EncodeFault::Truncated)
        );
    }

    #[test]
    fn every_unsupported_column_is_named() {
        let faults = columns(&[
            ("a", Type::POINT),
            ("b", Type::INT8),
            ("c", Type::POINT_ARRAY),
        ])
        .unwrap_err();
        assert_eq!(
            faults.iter().map(|fault| fault.0).collect::<Vec<_>>(),
            [0, 2]
        );
        assert_eq!(
            faults[0].1.to_string(),
            "type point is not supported: cast it, e.g. ::text"
        );
    }
}
