//! The faults of a request's values, as a 422 answer lists them.

use std::borrow::Cow;

use crate::json::write_string;
use crate::limits;

/// One fault of a value. It never holds the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// Where the value stands: `["query", "limit"]`.
    pub loc: Vec<Cow<'static, str>>,
    /// What is wrong, for people.
    pub msg: Cow<'static, str>,
    /// What is wrong, for programs: pydantic's word where it has one. In JSON it is called `type`.
    pub kind: &'static str,
}

impl Detail {
    /// Appends a list of details as JSON: `[{"loc":["query","limit"],"msg":"…","type":"…"}]`.
    pub fn write_all(details: &[Detail], out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, detail) in details.iter().enumerate() {
            out.extend_from_slice(if index > 0 {
                b",{\"loc\":["
            } else {
                b"{\"loc\":["
            });
            for (index, part) in detail.loc.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(part, out);
            }
            out.extend_from_slice(b"],\"msg\":");
            write_string(&detail.msg, out);
            out.extend_from_slice(b",\"type\":");
            write_string(detail.kind, out);
            out.push(b'}');
        }
        out.push(b']');
    }
}

/// Details of one request, as many as are worth listing.
#[derive(Default)]
pub(super) struct Details {
    pub(super) list: Vec<Detail>,
}

impl Details {
    /// Adds a fault of a named value; past the bound it is dropped.
    pub(super) fn add(
        &mut self,
        place: &'static str,
        name: Option<&str>,
        kind: &'static str,
        msg: impl Into<Cow<'static, str>>,
    ) {
        if self.is_full() {
            return;
        }
        let mut loc = vec![Cow::Borrowed(place)];
        loc.extend(name.map(|name| Cow::Owned(shortened(name).to_owned())));
        self.list.push(Detail {
            loc,
            msg: msg.into(),
            kind,
        });
    }

    /// Whether no further fault would be listed.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= limits::DETAILS_MAX
    }
}

/// A name that may be the client's own, cut to what is shown of it.
fn shortened(name: &str) -> &str {
    let mut end = name.len().min(limits::DETAIL_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_json() {
        let mut details = Details::default();
        details.add("query", Some("limit"), "missing", "Field required");
        details.add("body", None, "dict_type", "a \"b\" \\ \n é");
        let mut out = Vec::new();
        Detail::write_all(&details.list, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[{"loc":["query","limit"],"msg":"Field required","type":"missing"},{"loc":["body"],"msg":"a \"b\" \\ \n é","type":"dict_type"}]"#
        );
        let mut out = Vec::new();
        Detail::write_all(&[], &mut out);
        assert_eq!(out, b"[]");
    }

    #[test]
    fn lists_and_names_are_bounded() {
        let mut details = Details::default();
        for _ in 0..=limits::DETAILS_MAX {
            details.add(
                "query",
                Some(&"é".repeat(limits::DETAIL_NAME_BYTES_MAX)),
                "extra_forbidden",
                "no",
            );
        }
        assert_eq!(details.list.len(), limits::DETAILS_MAX);
        assert_eq!(details.list[0].loc[1].len(), limits::DETAIL_NAME_BYTES_MAX);
        details.list.clear();
        details.add(
            "query",
            Some(&format!("a{}", "é".repeat(50))),
            "extra_forbidden",
            "no",
        );
        assert_eq!(
            details.list[0].loc[1].len(),
            limits::DETAIL_NAME_BYTES_MAX - 1
        );
    }
}
