//! `require` of a route: claims that have to match.

use super::claims::{Claims, text_of};

/// One claim that has to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The claim's name.
    pub claim: Box<str>,
    /// It has to be one of these.
    pub values: Vec<Wanted>,
}

/// A value that a claim may be required to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A string with exactly these characters.
    Text(Box<str>),
    /// A whole number. `5.0` and `"5"` are none.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
}

impl Requirement {
    /// Whether it holds: the claim is one of the values, or a list with one of them in it. A string is
    /// one value, spaces or not, except that `scope` is a list of words (RFC 8693 §4.2). An object
    /// matches nothing, and neither does a claim that is not there.
    pub fn holds(&self, claims: &Claims) -> bool {
        let Some(json) = claims.json(&self.claim) else {
            return false;
        };
        if json.starts_with('[') {
            let members: Result<Vec<&serde_json::value::RawValue>, _> = serde_json::from_str(json);
            return members
                .is_ok_and(|members| members.iter().any(|member| self.is_met_by(member.get())));
        }
        if &*self.claim == "scope"
            && let Some(words) = text_of(json)
        {
            return words.split(' ').any(|word| self.wants_text(word));
        }
        self.is_met_by(json)
    }

    fn is_met_by(&self, json: &str) -> bool {
        match text_of(json) {
            Some(text) => self.wants_text(&text),
            None => self.values.iter().any(|value| match value {
                Wanted::Text(_) => false,
                Wanted::Integer(number) => json.parse() == Ok(*number),
                Wanted::Boolean(boolean) => json == if *boolean { "true" } else { "false" },
            }),
        }
    }

    fn wants_text(&self, text: &str) -> bool {
        let is_it = |value: &Wanted| matches!(value, Wanted::Text(wanted) if **wanted == *text);
        self.values.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(claim: &str, values: &[Wanted]) -> Requirement {
        Requirement {
            claim: claim.into(),
            values: values.to_vec(),
        }
    }

    fn text(text: &str) -> Wanted {
        Wanted::Text(text.into())
    }

    #[track_caller]
    fn check(requirement: &Requirement, claims: &str, expected: bool) {
        let parsed: Claims = serde_json::from_str(claims).unwrap();
        assert_eq!(requirement.holds(&parsed), expected, "{claims}");
    }

    #[test]
    fn one_of_the_values() {
        let role = requirement("role", &[text("admin"), text("agent")]);
        for held in [
            r#"{"role":"admin"}"#,
            r#"{"role":"agent"}"#,
            r#"{"role":"\u0061dmin"}"#,
            r#"{"role":["x","agent"]}"#,
            r#"{"role":[ 1, null, {"a":["x"]}, "admin" ]}"#,
        ] {
            check(&role, held, true);
        }
        for not_held in [
            "{}",
            r#"{"Role":"admin"}"#,
            r#"{"role":"Admin"}"#,
            r#"{"role":"administrator"}"#,
            r#"{"role":"admin agent"}"#,
            r#"{"role":" admin"}"#,
            r#"{"role":""}"#,
            r#"{"role":null}"#,
            r#"{"role":true}"#,
            r#"{"role":[]}"#,
            r#"{"role":[["admin"]]}"#,
            r#"{"role":["admin agent"]}"#,
            r#"{"role":{"admin":true}}"#,
            r#"{"other":"admin"}"#,
        ] {
            check(&role, not_held, false);
        }
    }

    #[test]
    fn a_scope_is_a_list_of_words() {
        let scope = requirement("scope", &[text("orders:read")]);
        check(&scope, r#"{"scope":"profile orders:read"}"#, true);
        check(&scope, r#"{"scope":["orders:read"]}"#, true);
        check(&scope, r#"{"scope":"orders:readwrite"}"#, false);
        check(&scope, r#"{"scope":"orders:read,profile"}"#, false);
    }

    #[test]
    fn numbers_and_booleans_are_no_texts() {
        let level = requirement("level", &[Wanted::Integer(-5)]);
        check(&level, r#"{"level":-5}"#, true);
        check(&level, r#"{"level":[1,-5]}"#, true);
        for other in ["-5.0", "\"-5\"", "5", "-50", "-5e0", "null"] {
            check(&level, &format!(r#"{{"level":{other}}}"#), false);
        }
        let verified = requirement("verified", &[Wanted::Boolean(true)]);
        check(&verified, r#"{"verified":true}"#, true);
        check(&verified, r#"{"verified":"true"}"#, false);
        check(&verified, r#"{"verified":1}"#, false);
        check(&verified, r#"{"verified":false}"#, false);
    }
}
