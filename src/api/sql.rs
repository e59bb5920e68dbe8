//! The declared SQL: `:name` placeholders become `$1`, `$2`, …, everything else is sent as it stands.
//!
//! The lexer follows Postgres' own (Postgres §4.1, Lexical Structure), with
//! `standard_conforming_strings` on, so that a `:name` inside a string, a comment, a dollar quote or a
//! quoted identifier is never taken for a placeholder. `?` is never one: it is a jsonb operator.
//!
//! **Colons in square brackets.** `x[1:n]` is an array slice to SQL and would be a placeholder to us. In
//! brackets a colon that follows an operand (a number, a name, a string, a placeholder, `)` or `]`) is a
//! slice colon, and what follows it is SQL; any other colon before a name begins a placeholder. So
//! `array[:a, :b]`, `x[:n]`, and `x[case when a then :b end]` hold placeholders, `x[1:n]` slices up to the
//! column `n`, and a slice up to a placeholder is written `x[1: :n]`.

use std::ops::Range;

use super::lexer::{Kind, Lexer, Token, continues_word};
use crate::limits;

/// One statement, ready to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What is sent: the declared SQL from its first token to its last, with `$n` for every `:name`.
    pub text: String,
    /// Names of the placeholders: `$1` is the first. A name used twice has one number.
    pub params: Vec<String>,
    /// Where each placeholder first stands in the declared SQL, in bytes, its colon included.
    pub places: Vec<Range<usize>>,
    /// Whether nothing in the text says that it writes or locks: it begins with `select`, `values`, `table`
    /// or `with` and has no `insert`, `update`, `delete`, `merge`, `into`, `for update` or `for share`.
    /// Functions that write can't be seen from here.
    pub reads_only: bool,
    /// Pieces of `text` and where they come from, in order.
    pieces: Vec<Piece>,
}

/// A piece of the sent text: from this offset on, up to the next piece.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    sent: usize,
    declared: usize,
    /// Copied byte for byte; otherwise it is a `$n`, which maps to its `:name` as a whole.
    verbatim: bool,
}

/// A fault of the SQL: where in the declared text, in bytes, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlFault {
    /// Bytes of the declared SQL.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
}

impl SqlFault {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> SqlFault {
        SqlFault {
            span,
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> SqlFault {
        self.help = Some(help.into());
        self
    }
}

impl Statement {
    /// Reads one statement. All faults that can be told apart are reported.
    pub fn parse(declared: &str) -> Result<Statement, Vec<SqlFault>> {
        Reading::new(declared).run()
    }

    /// Byte offset in the declared SQL of a position that Postgres reports: characters of the sent text,
    /// from 1 (Postgres §54.8, field `P`).
    pub fn declared_offset(&self, position: u32) -> usize {
        let index = (position as usize).saturating_sub(1);
        let sent = self
            .text
            .char_indices()
            .nth(index)
            .map_or(self.text.len(), |(offset, _)| offset);
        let after = self.pieces.partition_point(|piece| piece.sent <= sent);
        match self.pieces[..after].last() {
            Some(piece) if piece.verbatim => piece.declared + (sent - piece.sent),
            Some(piece) => piece.declared,
            None => 0,
        }
    }
}

/// Words that change what the connection's other users see: a route may not use them.
const SESSION_WORDS: &[&str] = &[
    "abort",
    "begin",
    "checkpoint",
    "close",
    "cluster",
    "commit",
    "copy",
    "deallocate",
    "declare",
    "discard",
    "end",
    "execute",
    "fetch",
    "listen",
    "load",
    "lock",
    "move",
    "prepare",
    "release",
    "reset",
    "rollback",
    "savepoint",
    "set",
    "start",
    "unlisten",
    "vacuum",
];

/// Words that end no operand: after one of these a colon in brackets begins a placeholder.
const OPEN_WORDS: &[&str] = &[
    "all",
    "and",
    "any",
    "as",
    "between",
    "by",
    "case",
    "distinct",
    "else",
    "escape",
    "from",
    "having",
    "ilike",
    "in",
    "interval",
    "is",
    "isnull",
    "like",
    "limit",
    "not",
    "offset",
    "on",
    "or",
    "returning",
    "select",
    "similar",
    "some",
    "symmetric",
    "then",
    "to",
    "using",
    "values",
    "when",
    "where",
];

/// One pass over the tokens.
struct Reading<'s> {
    declared: &'s str,
    lexer: Lexer<'s>,
    faults: Vec<SqlFault>,
    statement: Statement,
    /// Everything of the declared text before this offset is in the statement's text.
    copied: usize,
    /// Start of the first token and end of the last.
    first: Option<usize>,
    end: usize,
    /// Open `(` and `[`.
    brackets: Vec<u8>,
    /// Whether the last token ends an operand.
    after_operand: bool,
    first_word: Option<Range<usize>>,
    last_word: String,
    ended: bool,
}

impl<'s> Reading<'s> {
    fn new(declared: &'s str) -> Reading<'s> {
        Reading {
            declared,
            lexer: Lexer::new(declared),
            faults: Vec::new(),
            statement: Statement {
                text: String::with_capacity(declared.len()),
                params: Vec::new(),
                places: Vec::new(),
                reads_only: true,
                pieces: Vec::new(),
            },
            copied: 0,
            first: None,
            end: 0,
            brackets: Vec::new(),
            after_operand: false,
            first_word: None,
            last_word: String::new(),
            ended: false,
        }
    }

    fn run(mut self) -> Result<Statement, Vec<SqlFault>> {
        if let Some(nul) = memchr::memchr(0, self.declared.as_bytes()) {
            self.faults.push(SqlFault::new(
                nul..nul + 1,
                "SQL can't hold a NUL character",
            ));
        }
        loop {
            match self.lexer.next() {
                Ok(Some(token)) => {
                    if !self.token(token) {
                        break;
                    }
                }
                Ok(None) => break,
                Err(fault) => {
                    self.faults.push(fault);
                    break;
                }
            }
        }
        self.finish()
    }

    /// Takes one token; false when nothing after it can be read with sense.
    fn token(&mut self, token: Token) -> bool {
        let Token { kind, span } = token;
        if kind == Kind::Mark(b';') {
            self.ended = self.first.is_some();
            return true;
        }
        if self.ended {
            self.faults.push(
                SqlFault::new(span, "a route runs one statement, here a second one begins")
                    .help("join them with a CTE (with … as (…)), or call a function"),
            );
            return false;
        }
        if self.first.is_none() {
            self.first = Some(span.start);
            self.copied = span.start;
            self.statement.pieces.push(Piece {
                sent: 0,
                declared: span.start,
                verbatim: true,
            });
        }
        self.end = span.end;
        match kind {
            Kind::Word => self.word(span),
            Kind::Operand => self.after_operand = true,
            Kind::Positional => self.positional(span),
            Kind::Mark(mark) => self.mark(mark, span),
            Kind::Operator => self.after_operand = false,
        }
        true
    }

    fn word(&mut self, span: Range<usize>) {
        let word = self.declared[span.clone()].to_ascii_lowercase();
        if self.first_word.is_none() {
            self.first_word = Some(span);
            if !matches!(word.as_str(), "select" | "values" | "table" | "with") {
                self.statement.reads_only = false;
            }
        }
        let locks =
            self.last_word == "for" && matches!(word.as_str(), "no" | "key" | "share" | "update");
        if locks
            || matches!(
                word.as_str(),
                "insert" | "update" | "delete" | "merge" | "into"
            )
        {
            self.statement.reads_only = false;
        }
        self.after_operand = !OPEN_WORDS.contains(&word.as_str());
        self.last_word = word;
    }

    fn positional(&mut self, span: Range<usize>) {
        let message = format!(
            "\"{}\" is not a placeholder here",
            &self.declared[span.clone()]
        );
        self.faults.push(
            SqlFault::new(span, message).help("write :name and declare it in [route.params]"),
        );
        self.after_operand = true;
    }

    fn mark(&mut self, mark: u8, span: Range<usize>) {
        match mark {
            b'(' | b'[' => self.brackets.push(mark),
            b')' | b']' => drop(self.brackets.pop()),
            _ => {}
        }
        let in_slice = self.brackets.last() == Some(&b'[') && self.after_operand;
        if mark == b':'
            && !in_slice
            && let Some(name) = self.lexer.name()
        {
            self.placeholder(span.start..name.end, name);
            return;
        }
        self.after_operand = matches!(mark, b')' | b']');
    }

    fn placeholder(&mut self, span: Range<usize>, name: Range<usize>) {
        let name = &self.declared[name];
        self.end = span.end;
        self.after_operand = true;
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let message = format!("\":{name}\" can't be a placeholder");
            self.faults
                .push(SqlFault::new(span, message).help("names are ASCII letters, digits and _"));
            return;
        }
        let number = match self.statement.params.iter().position(|known| known == name) {
            Some(index) => index + 1,
            None => {
                if self.statement.params.len() == limits::PARAMS_MAX {
                    let message = format!(
                        "a statement has {} parameters at the most",
                        limits::PARAMS_MAX
                    );
                    self.faults.push(SqlFault::new(span.clone(), message));
                }
                self.statement.params.push(name.to_owned());
                self.statement.places.push(span.clone());
                self.statement.params.len()
            }
        };
        let Statement { text, pieces, .. } = &mut self.statement;
        text.push_str(&self.declared[self.copied..span.start]);
        pieces.push(Piece {
            sent: text.len(),
            declared: span.start,
            verbatim: false,
        });
        if text.bytes().last().is_some_and(continues_word) {
            // `limit:n` would become `limit$1`, which is one identifier.
            text.push(' ');
        }
        text.push('$');
        text.push_str(itoa::Buffer::new().format(number));
        pieces.push(Piece {
            sent: text.len(),
            declared: span.end,
            verbatim: true,
        });
        self.copied = span.end;
    }

    fn finish(mut self) -> Result<Statement, Vec<SqlFault>> {
        if self.first.is_none() && self.faults.is_empty() {
            self.faults.push(SqlFault::new(
                0..self.declared.len(),
                "there is no statement here",
            ));
        }
        if let Some(span) = self.first_word {
            let word = self.declared[span.clone()].to_ascii_lowercase();
            if SESSION_WORDS.contains(&word.as_str()) {
                self.faults.push(
                    SqlFault::new(span, format!("a route can't use \"{word}\""))
                        .help("requests share their connections, and every statement is a transaction of its own"),
                );
            }
        }
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        self.statement
            .text
            .push_str(&self.declared[self.copied..self.end]);
        Ok(self.statement)
    }
}

#[cfg(test)]
mod tests;
