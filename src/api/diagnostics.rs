//! Faults of a routes file, each shown with its place, its line and a caret, as compilers do.

use std::fmt;
use std::ops::Range;

/// A routes file as read: what every diagnostic points into.
#[derive(Debug, Clone)]
pub struct Source {
    path: String,
    text: String,
}

impl Source {
    /// A file's text under the name by which the reader knows it.
    pub fn new(path: &str, text: &str) -> Source {
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// The file's name as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line, from 1, of a byte offset.
    pub(super) fn line_number(&self, offset: usize) -> usize {
        self.place(offset).0
    }

    /// Line and column, both from 1, of a byte offset; columns count characters.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    /// The line that holds a byte offset, without its line ending.
    fn line(&self, offset: usize) -> &str {
        let start = self.text[..offset]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let end = self.text[offset..]
            .find('\n')
            .map_or(self.text.len(), |newline| offset + newline);
        self.text[start..end].trim_end_matches('\r')
    }
}

/// One fault: where, what, and where possible how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    path: String,
    /// Byte offset of the fault: the order in which faults are listed.
    offset: usize,
    line: usize,
    column: usize,
    source_line: String,
    /// Characters under which carets stand, at least one, never past the line.
    width: usize,
    message: String,
    help: Option<String>,
}

impl Diagnostic {
    /// A fault at a span of bytes of the source; a span past the end points at the end.
    pub fn new(source: &Source, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let start = floor_char_boundary(&source.text, span.start);
        let end = floor_char_boundary(&source.text, span.end).max(start);
        let (line, column) = source.place(start);
        let source_line = source.line(start);
        let first_line = source.text[start..end].lines().next().unwrap_or("");
        let room = source_line.chars().count().saturating_sub(column - 1);
        Diagnostic {
            path: source.path.clone(),
            offset: start,
            line,
            column,
            source_line: source_line.to_owned(),
            width: first_line.chars().count().min(room).max(1),
            message: message.into(),
            help: None,
        }
    }

    /// The same fault with a line that says how to mend it.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The fault in one line, without its place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        // Tabs stay tabs under the line, so that the carets stand right at any tab width.
        let padding: String = self
            .source_line
            .chars()
            .take(self.column - 1)
            .map(|character| if character == '\t' { '\t' } else { ' ' })
            .collect();
        // A control character of the file must not reach the reader's terminal.
        let shown: String = self
            .source_line
            .chars()
            .map(|character| {
                if character.is_control() && character != '\t' {
                    '\u{fffd}'
                } else {
                    character
                }
            })
            .collect();
        writeln!(out, "error: {}", self.message)?;
        writeln!(
            out,
            "{gutter}--> {}:{}:{}",
            self.path, self.line, self.column
        )?;
        writeln!(out, "{gutter} |")?;
        writeln!(out, "{}", format!("{number} | {shown}").trim_end())?;
        writeln!(out, "{gutter} | {padding}{}", "^".repeat(self.width))?;
        if let Some(help) = &self.help {
            writeln!(out, "{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

/// Every fault that was found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts the faults into the order of the file.
    pub fn new(mut faults: Vec<Diagnostic>) -> Diagnostics {
        faults.sort_by_key(|fault| fault.offset);
        Diagnostics(faults)
    }

    /// The faults, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(out, "{fault}")?;
        }
        match self.0.as_slice() {
            [first, _, ..] => write!(out, "{} faults in {}", self.0.len(), first.path),
            [only] => write!(out, "1 fault in {}", only.path),
            [] => write!(out, "no faults"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// The known word that a mistyped one most likely stands for: the nearest by edit distance, if it is
/// near enough (a third of the word's letters, at least one).
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Names in quotes for a sentence: `"a", "b" or "c"`.
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words
        .into_iter()
        .map(|word| format!("\"{word}\""))
        .collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// Edits between two words: insertions, deletions, replacements, and swaps of neighbours, which are what
/// fingers get wrong most (optimal string alignment).
fn edit_distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// The nearest character boundary at or before an offset, within the text.
fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_under_the_span_counted_in_characters() {
        let source = Source::new("a.toml", "x = 1\n\tnäme = \"ö\" # end\r\nlast");
        let start = source.text().find("\"ö\"").unwrap();
        let fault = Diagnostic::new(&source, start..start + 4, "bad name").help("choose another");
        assert_eq!(
            fault.to_string(),
            "error: bad name\n --> a.toml:2:9\n  |\n2 | \tnäme = \"ö\" # end\n  | \t       ^^^\n  = help: choose another\n"
        );
    }

    #[test]
    fn a_span_of_several_lines_ends_with_its_first() {
        let source = Source::new("a.toml", "ab\ncd\nef");
        let fault = Diagnostic::new(&source, 1..7, "wrong");
        assert_eq!(
            fault.to_string(),
            "error: wrong\n --> a.toml:1:2\n  |\n1 | ab\n  |  ^\n"
        );
    }

    #[test]
    fn the_end_of_the_file_has_a_place() {
        for (text, line, column) in [("", 1, 1), ("a = 1\n", 2, 1), ("a = 1", 1, 6)] {
            let source = Source::new("a.toml", text);
            let fault = Diagnostic::new(&source, text.len()..text.len() + 9, "short");
            assert_eq!((fault.line(), fault.column()), (line, column));
            assert!(fault.to_string().contains('^'));
        }
    }

    #[test]
    fn faults_are_listed_in_the_order_of_the_file_and_counted() {
        let source = Source::new("a.toml", "one\ntwo\n");
        let two = Diagnostic::new(&source, 4..7, "second");
        let one = Diagnostic::new(&source, 0..3, "first");
        let shown = Diagnostics::new(vec![two, one]).to_string();
        assert!(shown.find("first").unwrap() < shown.find("second").unwrap());
        assert!(shown.ends_with("2 faults in a.toml"), "{shown}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let source = Source::new("a.toml", "x = \u{1b}[31m");
        assert!(
            !Diagnostic::new(&source, 4..5, "bad")
                .to_string()
                .contains('\u{1b}')
        );
    }

    #[test]
    fn the_nearest_word_is_near_or_none() {
        let known = ["method", "path", "result", "sql"];
        assert_eq!(nearest("metod", known), Some("method"));
        assert_eq!(nearest("metohd", known), Some("method"));
        assert_eq!(nearest("sqll", known), Some("sql"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
    }
}
