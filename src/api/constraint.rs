//! What a parameter's value must keep to, and the answer for one that does not.
//!
//! Kinds and messages are pydantic's, so that clients of a FastAPI service read what they read before.

use std::cmp::Ordering;

use regex::Regex;

use super::decimal;
use super::literal::Literal;

/// Constraints of one parameter. Numbers are kept as text and compared exactly.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// Least value.
    pub ge: Option<String>,
    /// Greatest value.
    pub le: Option<String>,
    /// Least number of characters (Unicode scalar values).
    pub min_length: Option<u32>,
    /// Greatest number of characters.
    pub max_length: Option<u32>,
    /// A regular expression that must match somewhere in the text, as in JSON Schema: `^…$` for the whole.
    pub pattern: Option<Regex>,
    /// The only values allowed; empty means any.
    pub choices: Vec<Literal>,
}

/// A value as its constraints see it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'v> {
    /// A number, in decimal digits.
    Number(&'v str),
    /// A text.
    Text(&'v str),
    /// Anything else: constraints on it are a fault of the routes file, but for the choices, which are
    /// compared in Postgres' binary form by who has it.
    Other,
}

/// A constraint that a value breaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Constraints {
    /// Each of them in words.
    pub fn words(&self) -> Vec<String> {
        let Constraints {
            ge,
            le,
            min_length,
            max_length,
            pattern,
            choices,
        } = self;
        let mut words = Vec::new();
        words.extend(ge.as_ref().map(|least| format!("ge {least}")));
        words.extend(le.as_ref().map(|most| format!("le {most}")));
        words.extend(min_length.map(|least| format!("min_length {least}")));
        words.extend(max_length.map(|most| format!("max_length {most}")));
        words.extend(pattern.as_ref().map(|pattern| format!("pattern {pattern}")));
        if !choices.is_empty() {
            let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
            words.push(format!("enum {}", choices.join(" ")));
        }
        words
    }

    /// Whether there is none, which is the common case.
    pub(super) fn is_empty(&self) -> bool {
        !self.bounds_number() && !self.bounds_text() && self.choices.is_empty()
    }

    /// Whether there is one that only a number can keep to.
    pub(super) fn bounds_number(&self) -> bool {
        self.ge.is_some() || self.le.is_some()
    }

    /// Whether there is one that only a text can keep to.
    pub(super) fn bounds_text(&self) -> bool {
        self.min_length.is_some() || self.max_length.is_some() || self.pattern.is_some()
    }

    /// The first constraint that a value breaks.
    pub(super) fn check(&self, value: Seen<'_>) -> Result<(), Violation> {
        match value {
            Seen::Number(number) => self.check_number(number),
            Seen::Text(text) => self.check_text(text),
            Seen::Other => Ok(()),
        }
    }

    /// The answer for a value that is none of the choices.
    pub(super) fn not_a_choice(&self) -> Violation {
        let words: Vec<String> = self.choices.iter().map(Literal::to_string).collect();
        let listed = match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        Violation {
            kind: "enum",
            message: format!("Input should be {listed}"),
        }
    }

    fn check_number(&self, number: &str) -> Result<(), Violation> {
        if let Some(least) = &self.ge
            && !matches!(
                decimal::compare(number, least),
                Some(Ordering::Greater | Ordering::Equal)
            )
        {
            let message = format!("Input should be greater than or equal to {least}");
            return Err(Violation {
                kind: "greater_than_equal",
                message,
            });
        }
        if let Some(most) = &self.le
            && !matches!(
                decimal::compare(number, most),
                Some(Ordering::Less | Ordering::Equal)
            )
        {
            let message = format!("Input should be less than or equal to {most}");
            return Err(Violation {
                kind: "less_than_equal",
                message,
            });
        }
        let equal = |choice: &Literal| {
            choice
                .text()
                .and_then(|choice| decimal::compare(number, choice))
                == Some(Ordering::Equal)
        };
        if !self.choices.is_empty() && !self.choices.iter().any(equal) {
            return Err(self.not_a_choice());
        }
        Ok(())
    }

    fn check_text(&self, text: &str) -> Result<(), Violation> {
        if self.min_length.is_some() || self.max_length.is_some() {
            let characters = text.chars().count();
            if let Some(least) = self.min_length.filter(|least| characters < *least as usize) {
                let message = format!("String should have at least {}", counted(least));
                return Err(Violation {
                    kind: "string_too_short",
                    message,
                });
            }
            if let Some(most) = self.max_length.filter(|most| characters > *most as usize) {
                let message = format!("String should have at most {}", counted(most));
                return Err(Violation {
                    kind: "string_too_long",
                    message,
                });
            }
        }
        if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.is_match(text))
        {
            let message = format!("String should match pattern '{pattern}'");
            return Err(Violation {
                kind: "string_pattern_mismatch",
                message,
            });
        }
        if !self.choices.is_empty()
            && !self
                .choices
                .iter()
                .any(|choice| choice.text() == Some(text))
        {
            return Err(self.not_a_choice());
        }
        Ok(())
    }
}

fn counted(characters: u32) -> String {
    format!(
        "{characters} character{}",
        if characters == 1 { "" } else { "s" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(constraints: &Constraints, value: Seen<'_>) -> Option<(&'static str, String)> {
        constraints
            .check(value)
            .err()
            .map(|violation| (violation.kind, violation.message))
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        let bounds = Constraints {
            ge: Some("1".into()),
            le: Some("500".into()),
            ..Constraints::default()
        };
        for number in ["1", "500", "1.0", "499.999"] {
            assert_eq!(broken(&bounds, Seen::Number(number)), None);
        }
        for number in ["0", "0.999999999999999999999", "-5", "NaN"] {
            let fault = (
                "greater_than_equal",
                "Input should be greater than or equal to 1".to_owned(),
            );
            assert_eq!(broken(&bounds, Seen::Number(number)), Some(fault));
        }
        for number in ["501", "500.000000000000000000001", "Infinity"] {
            let fault = (
                "less_than_equal",
                "Input should be less than or equal to 500".to_owned(),
            );
            assert_eq!(broken(&bounds, Seen::Number(number)), Some(fault));
        }
    }

    #[test]
    fn texts_keep_to_their_lengths_in_characters() {
        let bounds = Constraints {
            min_length: Some(1),
            max_length: Some(3),
            ..Constraints::default()
        };
        assert_eq!(broken(&bounds, Seen::Text("é")), None);
        assert_eq!(broken(&bounds, Seen::Text("ééé")), None);
        let short = (
            "string_too_short",
            "String should have at least 1 character".to_owned(),
        );
        assert_eq!(broken(&bounds, Seen::Text("")), Some(short));
        let long = (
            "string_too_long",
            "String should have at most 3 characters".to_owned(),
        );
        assert_eq!(broken(&bounds, Seen::Text("abcd")), Some(long));
    }

    #[test]
    fn patterns_search_unless_anchored() {
        let with = |pattern| Constraints {
            pattern: Some(Regex::new(pattern).unwrap()),
            ..Constraints::default()
        };
        assert_eq!(broken(&with("b"), Seen::Text("abc")), None);
        let fault = (
            "string_pattern_mismatch",
            "String should match pattern '^b'".to_owned(),
        );
        assert_eq!(broken(&with("^b"), Seen::Text("abc")), Some(fault));
    }

    #[test]
    fn choices_are_the_only_values() {
        let text = |text: &str| Literal::Text(text.into());
        let words = Constraints {
            choices: vec![text("a"), text("b"), text("c")],
            ..Constraints::default()
        };
        assert_eq!(broken(&words, Seen::Text("b")), None);
        let fault = ("enum", "Input should be 'a', 'b' or 'c'".to_owned());
        assert_eq!(broken(&words, Seen::Text("d")), Some(fault));
        let number = |text: &str| Literal::Number(text.into());
        let numbers = Constraints {
            choices: vec![number("1"), number("2.5")],
            ..Constraints::default()
        };
        assert_eq!(broken(&numbers, Seen::Number("2.50")), None);
        assert_eq!(
            broken(&numbers, Seen::Number("2")),
            Some(("enum", "Input should be 1 or 2.5".to_owned()))
        );
    }
}
