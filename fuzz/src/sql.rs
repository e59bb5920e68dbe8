//! The declared SQL: a placeholder is never found inside a literal, a name or a comment, and
//! everything else is sent byte for byte.

use std::ops::Range;

use pinion::api::sql::Statement;

/// All of it for one input. What is not UTF-8 never gets as far as the lexer.
pub fn check(input: &[u8]) {
    let Ok(declared) = std::str::from_utf8(input) else {
        return;
    };
    let opaque = opaque(declared);
    let sliced = declared.contains('[') && declared.contains(':') && declared.contains(['\'', '"']);
    match Statement::parse(declared) {
        Ok(statement) => {
            let placeholders = placeholders(declared, &statement);
            offsets_lead_back(declared, &statement);
            // In brackets `:e'x'` may be a slice up to a string, which takes the lexer to tell.
            if sliced {
                return;
            }
            let opaque = opaque.expect("what is never closed is refused");
            let outside = |place: &Range<usize>| {
                let apart =
                    |range: &Range<usize>| place.end <= range.start || range.end <= place.start;
                opaque.iter().all(apart)
            };
            assert!(
                placeholders.iter().all(outside),
                "{placeholders:?} {opaque:?}"
            );
            none_is_missed(declared, &opaque, &placeholders);
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            for fault in faults {
                assert!(fault.span.start <= fault.span.end && fault.span.end <= declared.len());
                assert!(!fault.message.is_empty());
            }
        }
    }
}

/// Reads the sent text beside the declared one: equal but for a `$n` wherever a `:name` stands, and a
/// space before it where the two would grow together. Gives the places of all placeholders.
fn placeholders(declared: &str, statement: &Statement) -> Vec<Range<usize>> {
    let start = statement.declared_offset(1);
    let (mut rest, mut sent) = (&declared[start..], statement.text.as_str());
    let mut places: Vec<Range<usize>> = Vec::new();
    let mut seen = 0;
    while let Some(next) = sent.chars().next() {
        let numbered = sent.strip_prefix(' ').unwrap_or(sent).strip_prefix('$');
        let spaced = sent.starts_with(' ');
        let param = numbered.and_then(|text| {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let number: usize = text[..digits].parse().ok()?;
            let name = statement.params.get(number.checked_sub(1)?)?;
            let after = rest.strip_prefix(':')?.strip_prefix(name.as_str())?;
            Some((number, after, &text[digits..]))
        });
        let Some((number, after, sent_after)) = param.filter(|_| !rest.starts_with(next)) else {
            rest = rest.strip_prefix(next).expect("sent as it is declared");
            sent = &sent[next.len_utf8()..];
            continue;
        };
        let at = declared.len() - rest.len();
        let before = declared[..at].chars().next_back();
        let grows = before.is_some_and(|before| {
            before.is_ascii_alphanumeric() || matches!(before, '_' | '$') || !before.is_ascii()
        });
        let touches = places.last().is_some_and(|last| last.end == at);
        assert_eq!(spaced, (grows || touches) && at > start, "{declared:?}");
        if number > seen {
            assert_eq!(number, seen + 1, "numbered in their order");
            assert_eq!(statement.places[seen], at..declared.len() - after.len());
            seen = number;
        }
        places.push(at..declared.len() - after.len());
        (rest, sent) = (after, sent_after);
    }
    assert_eq!(seen, statement.params.len());
    places
}

/// Outside square brackets, where a colon may be a slice, and outside literals, names and comments a
/// single colon before a name is always a placeholder.
fn none_is_missed(declared: &str, opaque: &[Range<usize>], placeholders: &[Range<usize>]) {
    let bytes = declared.as_bytes();
    let hidden = |at: usize| opaque.iter().any(|range| range.contains(&at));
    let bracketed = bytes.contains(&b'[');
    let mut at = 0;
    while at < bytes.len() {
        let pair = [Some(b':'), Some(b'=')].contains(&bytes.get(at + 1).copied());
        if bytes[at] != b':' || hidden(at) {
            at += 1;
        } else if pair {
            at += 2;
        } else {
            let named = bytes
                .get(at + 1)
                .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
            let found = placeholders.iter().any(|place| place.start == at);
            assert!(found || !named || bracketed, "{declared:?} at {at}");
            at += 1;
        }
    }
}

/// A position that Postgres reports leads to a place of the declared text, and never backwards.
fn offsets_lead_back(declared: &str, statement: &Statement) {
    let mut last = 0;
    let characters = statement.text.chars().count().min(400) as u32;
    for position in 0..=characters + 2 {
        let offset = statement.declared_offset(position);
        assert!(offset <= declared.len() && declared.is_char_boundary(offset));
        assert!(
            offset >= last,
            "{declared:?}: {position} leads to {offset} after {last}"
        );
        last = offset;
    }
}

/// The literals, quoted names and comments of a text (Postgres §4.1), found the plain way: at each place
/// the first of them that begins there, to its end. `None` where one is never closed.
fn opaque(text: &str) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        let rest = &text[at..];
        let hidden = if rest.starts_with("--") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)?
        } else if let Some(prefix) = string_prefix(rest) {
            string(rest, prefix)?
        } else if next == '"'
            || rest
                .get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case("u&\""))
        {
            let open = rest.find('"')? + 1;
            open + rest[open..].find('"')? + 1
        } else if let Some(tag) = dollar_tag(rest) {
            tag.len() * 2 + rest[tag.len()..].find(tag)?
        } else {
            at += bare(rest);
            continue;
        };
        found.push(at..at + hidden);
        at += hidden;
    }
    Some(found)
}

/// Length of a word, a number, a placeholder or any other character. What follows the colon of a
/// placeholder is no prefix of a string: `:e'x'` is a placeholder before a plain one.
fn bare(rest: &str) -> usize {
    let numeric = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let wordy = |c: char| begins_word(c) || c.is_ascii_digit() || c == '$';
    let length =
        |rest: &str, inside: &dyn Fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
    let mut characters = rest.chars();
    match (characters.next(), characters.next()) {
        (Some(':'), Some(':' | '=')) => 2,
        (Some(':'), Some(next)) if begins_word(next) => 1 + length(&rest[1..], &wordy),
        (Some('$'), Some('0'..='9')) => 1 + length(&rest[1..], &|c| c.is_ascii_digit()),
        (Some('.'), Some('0'..='9')) | (Some('0'..='9'), _) => length(rest, &numeric),
        (Some(first), _) if begins_word(first) => length(rest, &wordy),
        (first, _) => first.map_or(0, char::len_utf8),
    }
}

fn begins_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

/// Length of what stands before the quote of a string that begins here.
fn string_prefix(rest: &str) -> Option<usize> {
    let quote = rest.find('\'').filter(|quote| *quote <= 2)?;
    let prefix = rest[..quote].to_ascii_lowercase();
    ["", "e", "b", "x", "n", "u&"]
        .contains(&prefix.as_str())
        .then_some(quote)
}

/// Length of a string with everything that is joined to it: after a line break another may follow.
fn string(rest: &str, prefix: usize) -> Option<usize> {
    let escapes = rest[..prefix].eq_ignore_ascii_case("e");
    let mut at = prefix + 1;
    loop {
        let next = rest[at..].find(['\'', '\\'])? + at;
        if rest[next..].starts_with('\\') {
            let skipped = rest[next + 1..].chars().next().filter(|_| escapes);
            at = next + 1 + skipped.map_or(0, char::len_utf8);
        } else if rest[next..].starts_with("''") {
            at = next + 2;
        } else {
            let end = next + 1;
            match joined(&rest[end..]) {
                Some(length) => at = end + length,
                None => return Some(end),
            }
        }
    }
}

/// Length of the blanks and comments up to and with the quote at which a string goes on.
fn joined(rest: &str) -> Option<usize> {
    let mut line_break = false;
    let mut at = 0;
    loop {
        let left = &rest[at..];
        let next = left.chars().next()?;
        match next {
            '\n' | '\r' => line_break = true,
            ' ' | '\t' | '\u{b}' | '\u{c}' => {}
            '-' if left.starts_with("--") => {
                at += left.find(['\n', '\r'])?;
                continue;
            }
            '\'' if line_break => return Some(at + 1),
            _ => return None,
        }
        at += 1;
    }
}

/// Length of a comment with the comments inside it.
fn comment(rest: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    loop {
        let left = rest.get(at..)?;
        if left.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if left.starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += left.chars().next()?.len_utf8();
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// `$tag$` at the start.
fn dollar_tag(rest: &str) -> Option<&str> {
    let tag = rest.strip_prefix('$')?;
    let end = tag.find('$')?;
    let tag = &tag[..end];
    let fits = |c: char| begins_word(c) || c.is_ascii_digit();
    let named = tag.is_empty() || (tag.starts_with(begins_word) && tag.chars().all(fits));
    named.then_some(&rest[..end + 2])
}
