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
