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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(declared: &str) -> (String, Vec<String>) {
        match Statement::parse(declared) {
            Ok(statement) => (statement.text, statement.params),
            Err(faults) => panic!("{declared}: {faults:?}"),
        }
    }

    fn faults(declared: &str) -> Vec<(Range<usize>, String)> {
        let faults = Statement::parse(declared).expect_err(declared);
        faults
            .into_iter()
            .map(|fault| (fault.span, fault.message))
            .collect()
    }

    #[test]
    fn placeholders_become_numbers() {
        let table: &[(&str, &str, &[&str])] = &[
            ("select :a", "select $1", &["a"]),
            ("select :a, :b, :a", "select $1, $2, $1", &["a", "b"]),
            ("select :a::int8", "select $1::int8", &["a"]),
            ("select :a ::int8", "select $1 ::int8", &["a"]),
            ("select :A, :a", "select $1, $2", &["A", "a"]),
            ("select :_x1", "select $1", &["_x1"]),
            ("select (:a)", "select ($1)", &["a"]),
            (
                "select x from t limit:n",
                "select x from t limit $1",
                &["n"],
            ),
            (
                "select x where a between:a and:b",
                "select x where a between $1 and $2",
                &["a", "b"],
            ),
            (
                "select a=:a and b<>:b",
                "select a=$1 and b<>$2",
                &["a", "b"],
            ),
            (
                "select f(a => :a, b := :b)",
                "select f(a => $1, b := $2)",
                &["a", "b"],
            ),
            ("select f(b:=:b)", "select f(b:=$1)", &["b"]),
            ("select 'a' || :a || 'b'", "select 'a' || $1 || 'b'", &["a"]),
            ("select 'é', :a", "select 'é', $1", &["a"]),
            (
                "select x ? :k, x ?| :l, x ?& :m",
                "select x ? $1, x ?| $2, x ?& $3",
                &["k", "l", "m"],
            ),
            (
                "select x -> ':no' ->> :k",
                "select x -> ':no' ->> $1",
                &["k"],
            ),
            ("select -:a, - :b", "select -$1, - $2", &["a", "b"]),
            ("select -- :no\n :a", "select -- :no\n $1", &["a"]),
        ];
        for (declared, text, params) in table {
            let params = params.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(sent(declared), ((*text).to_owned(), params));
        }
    }

    #[test]
    fn nothing_in_these_is_a_placeholder() {
        for declared in [
            "select ':a'",
            "select 'it''s :a'",
            r"select '\', ':a'",
            r"select E'\' :a'",
            r"select e'\\', ':a', E'''\' :a'",
            r"select U&'\0041 :a', u&':a'",
            "select B'01', X'1F', N':a', n':a', b':a', x':a'",
            "select 'a'\n':b'",
            "select E'a'\n'\\' :b'",
            "select E'a' -- it's\n '\\' :b'",
            "select $$ :a $$",
            "select $tag$ :a $$ :b $other$ $tag$",
            "select $é$ :a $é$",
            "select 1 -- :a",
            "select 1 /* :a /* :b */ :c */ + 1",
            "select 1 /* ' */, 2 /* \" */",
            "select \":a\" from \"t\"\":b\"",
            "select U&\":a\"",
            "select x::int8, x:: int8",
            "select x[1:2], x[a:b], x[1:b], x[f(a):b], x[y[1]:b]",
            "select x['1'::int4:b]",
            "select a$1, a$b$c",
            "select : a",
            "select :'a', :\"a\"",
        ] {
            let (text, params) = sent(declared);
            assert_eq!(params, Vec::<String>::new(), "{declared}");
            assert!(declared.starts_with(&text), "{declared} was sent as {text}");
        }
    }

    #[test]
    fn colons_in_brackets() {
        let table: &[(&str, &str)] = &[
            ("select array[:a, :b]", "select array[$1, $2]"),
            ("select x[:n]", "select x[$1]"),
            ("select x[:lo:hi]", "select x[$1:hi]"),
            ("select x[1: :hi]", "select x[1: $1]"),
            ("select x[:lo : :hi]", "select x[$1 : $2]"),
            ("select x[:lo::int4]", "select x[$1::int4]"),
            ("select x[1:hi][:n]", "select x[1:hi][$1]"),
            (
                "select x[case when :a then :b else :c end]",
                "select x[case when $1 then $2 else $3 end]",
            ),
            (
                "select x[(select 1 from t where b = :b limit :n)]",
                "select x[(select 1 from t where b = $1 limit $2)]",
            ),
            (
                "select array[interval :x, not :b]",
                "select array[interval $1, not $2]",
            ),
            ("select x[f(a, :b):hi]", "select x[f(a, $1):hi]"),
            ("select x[1 + :n]", "select x[1 + $1]"),
        ];
        for (declared, text) in table {
            assert_eq!(sent(declared).0, *text);
        }
    }

    #[test]
    fn only_the_statement_is_sent() {
        for (declared, text) in [
            ("\n select 1 ;\n", "select 1"),
            ("select 1;;; -- done", "select 1"),
            ("-- first\nselect 1 -- last", "select 1"),
            (";select 1", "select 1"),
            ("/* a */ select /* b */ 1 /* c */", "select /* b */ 1"),
            ("select ';' ; ", "select ';'"),
        ] {
            assert_eq!(sent(declared).0, text);
        }
    }

    #[test]
    fn faults_have_their_place() {
        let unclosed = "this string is never closed".to_owned();
        assert_eq!(faults("select 'abc"), [(7..8, unclosed.clone())]);
        assert_eq!(faults(r"select E'abc\'"), [(7..8, unclosed.clone())]);
        assert_eq!(faults(r"select E'abc\"), [(7..8, unclosed.clone())]);
        assert_eq!(faults("select 'a'\n'b"), [(7..8, unclosed)]);
        assert_eq!(
            faults("select \"abc"),
            [(7..8, "this quoted identifier is never closed".to_owned())]
        );
        assert_eq!(
            faults("select $a$ $b$"),
            [(7..10, "the quote $a$ is never closed".to_owned())]
        );
        assert_eq!(
            faults("select /* /* */ 1"),
            [(7..9, "this comment is never closed".to_owned())]
        );
        let second = "a route runs one statement, here a second one begins".to_owned();
        assert_eq!(faults("select 1; select 2"), [(10..16, second)]);
        let by_hand = |number| format!("\"{number}\" is not a placeholder here");
        assert_eq!(
            faults("select $1, $22"),
            [(7..9, by_hand("$1")), (11..14, by_hand("$22"))]
        );
        assert_eq!(
            faults("select :naïve"),
            [(7..14, "\":naïve\" can't be a placeholder".to_owned())]
        );
        assert_eq!(
            faults(" begin"),
            [(1..6, "a route can't use \"begin\"".to_owned())]
        );
        assert_eq!(
            faults("SET x = 1"),
            [(0..3, "a route can't use \"set\"".to_owned())]
        );
        for nothing in ["", "  ", ";", "-- only this", "/* */"] {
            assert_eq!(
                faults(nothing),
                [(0..nothing.len(), "there is no statement here".to_owned())]
            );
        }
        assert_eq!(
            faults("select '\0'"),
            [(8..9, "SQL can't hold a NUL character".to_owned())]
        );
    }

    #[test]
    fn read_only_is_read_from_the_words() {
        for (declared, reads_only) in [
            ("select 1", true),
            ("(select 1) union (select 2)", true),
            ("VALUES (1)", true),
            ("table t", true),
            ("with a as (select 1) select * from a", true),
            ("select 'delete', \"update\" -- insert", true),
            ("select substring(a for 3) from t", true),
            ("insert into t values (1)", false),
            (
                "with a as (DELETE from t returning *) select * from a",
                false,
            ),
            ("select 1 from t for update", false),
            ("select 1 from t for no key update", false),
            ("select 1 from t for share", false),
            ("select 1 from t FOR KEY SHARE", false),
            ("select 1 into t2", false),
            (
                "merge into t using u on true when matched then do nothing",
                false,
            ),
            ("call f()", false),
            ("refresh materialized view v", false),
        ] {
            let statement = Statement::parse(declared).unwrap();
            assert_eq!(statement.reads_only, reads_only, "{declared}");
        }
    }

    #[test]
    fn positions_lead_back_to_the_declared_text() {
        let declared = "  select 'é', :first, nope, :first + :b from t;";
        let statement = Statement::parse(declared).unwrap();
        assert_eq!(statement.text, "select 'é', $1, nope, $1 + $2 from t");
        for word in ["select", "'é'", "nope", "from"] {
            let sent = statement.text.find(word).unwrap();
            let position = statement.text[..sent].chars().count() + 1;
            assert_eq!(
                statement.declared_offset(position as u32),
                declared.find(word).unwrap(),
                "{word}"
            );
        }
        let position = statement.text[..statement.text.find("$2").unwrap()]
            .chars()
            .count()
            + 1;
        for inside in [position, position + 1] {
            assert_eq!(
                statement.declared_offset(inside as u32),
                declared.find(":b").unwrap()
            );
        }
        assert_eq!(statement.declared_offset(0), 2);
        assert_eq!(statement.declared_offset(10_000), declared.len() - 1);
        let joined = Statement::parse("select 1 limit:n offset").unwrap();
        assert_eq!(
            joined.declared_offset(15),
            14,
            "the space put in belongs to the placeholder"
        );
    }

    /// A stretch of text that SQL would not look into, with something like a placeholder in it.
    fn sealed() -> impl Strategy<Value = String> {
        let inside = "[a-z0-9 :?;é$-]{0,8}:[a-z]{1,5}[a-z0-9 :?;é-]{0,8}";
        (inside, 0..7usize).prop_map(|(text, form)| match form {
            0 => format!("'{text}'"),
            1 => format!("E'\\'{text}'"),
            2 => format!("\"{text}\""),
            3 => format!("$q${}$q$", text.replace('$', "")),
            4 => format!("/*{text}/*{text}*/*/"),
            5 => format!("--{text}\n"),
            _ => format!("U&'{text}'"),
        })
    }

    proptest! {
        #[test]
        fn sealed_text_holds_no_placeholder(pieces in prop::collection::vec(sealed(), 1..6)) {
            let declared = format!("select {}, :real", pieces.join(" , "));
            let statement = Statement::parse(&declared).unwrap();
            prop_assert_eq!(&statement.params, &["real"]);
            let without = declared.strip_suffix(":real").unwrap();
            prop_assert_eq!(statement.text, format!("{without}$1"));
        }

        #[test]
        fn no_text_panics(any in "\\PC{0,60}", symbols in "[ a-z0-9:;'\"$\\[\\](){}*/\\\\E\n-]{0,60}") {
            for text in [any, symbols] {
                match Statement::parse(&text) {
                    Ok(statement) => {
                        for position in 0..statement.text.chars().count() as u32 + 2 {
                            prop_assert!(text.is_char_boundary(statement.declared_offset(position)));
                        }
                        prop_assert_eq!(statement.places.len(), statement.params.len());
                    }
                    Err(faults) => {
                        prop_assert!(!faults.is_empty());
                        for fault in faults {
                            prop_assert!(text.get(fault.span).is_some());
                        }
                    }
                }
            }
        }
    }
}
