//! What is claimed of an identity: the members of one JSON object, kept as texts.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The claims of an identity (RFC 7519 §4). Names are unique: an object that has one twice is none (§4 leaves
/// the choice to refuse it, and two readers that choose otherwise would see two identities).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The object, without space around its members.
    text: Box<str>,
    /// Each member's name, and where its value stands in `text`.
    members: Box<[(Box<str>, Range<u32>)]>,
}

impl Claims {
    /// Claims whose values are strings.
    pub fn of_texts(members: &[(&str, &str)]) -> Claims {
        let mut builder = Builder::new();
        for (name, value) in members {
            builder.add((*name).into(), &quoted(value));
        }
        builder.build()
    }

    /// The object.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The JSON text of a claim's value: `"x"`, `5`, `["a"]`, `null`.
    pub fn json(&self, name: &str) -> Option<&str> {
        let (_, value) = self.members.iter().find(|(known, _)| &**known == name)?;
        self.text.get(value.start as usize..value.end as usize)
    }

    /// The characters of a claim that is a string.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        text_of(self.json(name)?)
    }
}

/// The characters of a JSON string; nothing of any other value, and of one that holds half a surrogate pair.
pub(super) fn text_of(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Reads the object, and nothing that is none.
impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Claims;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut builder = Builder::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            if builder.members.iter().any(|(known, _)| **known == *name) {
                return Err(Error::custom("a claim is there twice"));
            }
            builder.add(name.into(), value.get());
        }
        Ok(builder.build())
    }
}

struct Builder {
    text: String,
    members: Vec<(Box<str>, Range<u32>)>,
}

impl Builder {
    fn new() -> Builder {
        Builder {
            text: "{".to_owned(),
            members: Vec::new(),
        }
    }

    fn add(&mut self, name: Box<str>, value: &str) {
        if !self.members.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&quoted(&name));
        self.text.push(':');
        // A token has at most 8 KiB, so its claims can't be past 32 bits.
        let start = self.text.len() as u32;
        self.text.push_str(value);
        self.members.push((name, start..self.text.len() as u32));
    }

    fn build(mut self) -> Claims {
        self.text.push('}');
        Claims {
            text: self.text.into(),
            members: self.members.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Result<Claims, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn members_keep_their_texts() {
        let claims = claims(
            r#" { "sub" : "a\u00e9\"b", "n":12345678901234567890.50 , "l":[ 1, "x" ], "z":null } "#,
        );
        let claims = claims.unwrap();
        assert_eq!(claims.json("n"), Some("12345678901234567890.50"));
        assert_eq!(claims.json("l"), Some(r#"[ 1, "x" ]"#));
        assert_eq!(claims.json("z"), Some("null"));
        assert_eq!(claims.json("none"), None);
        assert_eq!(claims.text("sub").unwrap(), "aé\"b");
        assert_eq!(claims.text("n"), None);
        let text = r#"{"sub":"a\u00e9\"b","n":12345678901234567890.50,"l":[ 1, "x" ],"z":null}"#;
        assert_eq!(claims.as_str(), text);
    }

    #[test]
    fn names_are_told_apart_by_their_characters() {
        assert!(claims(r#"{"a":1,"\u0061":2}"#).is_err());
        let claims = claims(r#"{"\u0061\"":1}"#).unwrap();
        assert_eq!(claims.json("a\""), Some("1"));
        assert_eq!(claims.as_str(), r#"{"a\"":1}"#);
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1} 2",
            "{\"a\":}",
        ] {
            assert!(claims(text).is_err(), "{text}");
        }
        assert_eq!(claims("{}").unwrap().as_str(), "{}");
    }

    #[test]
    fn texts_are_written_as_json() {
        let claims = Claims::of_texts(&[("sub", "a\"b"), ("auth", "api_key")]);
        assert_eq!(claims.as_str(), r#"{"sub":"a\"b","auth":"api_key"}"#);
        assert_eq!(claims.text("sub").unwrap(), "a\"b");
    }
}
