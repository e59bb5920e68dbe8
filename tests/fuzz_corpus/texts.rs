//! Random routes files, SQL, parameters and JSON bodies.

use proptest::prelude::*;

use super::fuzz::{binding, json, routes, sql};

/// Texts that are put together from pieces of what they should be, and now and then anything.
pub(super) fn of(pieces: &'static [&'static str], count: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        12 => prop::sample::select(pieces).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..count).prop_map(|pieces| pieces.concat())
}

const SQL: &[&str] = &[
    "select ", ":a", ":b", ":limit", " ", "\n", "'", "''", "\"", "\\", "E'", "e'", "U&'", "u&\"",
    "x'", "$$", "$t$", "$1", "--", "/*", "*/", "::", ":=", ":", "[", "]", "(", ")", "1", "1.5e3",
    ".5", "é", "a$b", "from t", ",", ";", "'\n'", "-", "/", "*", "in", "limit",
];

const TOML: &[&str] = &[
    "[[route]]\n",
    "[api]\n",
    "[lane.slow]\n",
    "[route.params]\n",
    "[route.batch]\n",
    "\n",
    "\n",
    "name = \"a\"\n",
    "name = \"b\"\n",
    "method = \"GET\"\n",
    "method = \"POST\"\n",
    "path = \"/a/{b}\"\n",
    "path = \"/a/b\"\n",
    "path = \"/{c}/b\"\n",
    "path = \"/%C3\"\n",
    "result = \"one\"\n",
    "result = \"exec\"\n",
    "sql = \"select :b\"\n",
    "sql = '''\nselect :b, :c'''\n",
    "sql = \"select 'a\"\n",
    "b = { in = \"path\" }\n",
    "c = { in = \"query\", default = 1 }\n",
    "c = { in = \"body\", ge = 1, le = 0 }\n",
    "b = { pattern = \"(\" }\n",
    "connections = 4\n",
    "lane = \"slow\"\n",
    "timeout = \"2s\"\n",
    "status = 201\n",
    "titel = \"x\"\n",
    "\u{1b}",
    "\"",
    "=",
];

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "+",
    "9223372036854775807",
    "1e5",
    ".5",
    "NaN",
    "Infinity",
    "-infinity",
    "true",
    "null",
    "\"",
    "\"a\"",
    "\\u0000",
    "\\ud800",
    "\0",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"value\":",
    "\"id\":",
    "2024-02-30",
    "2024-02-29",
    "T",
    " ",
    "23:59:60",
    "Z",
    "+14:00",
    " BC",
    "P1Y2M",
    "1 day",
    "\\x",
    "zz",
    "00",
    "127.0.0.1",
    "::1",
    "/8",
    "08:00:2b:01:02:03",
    "(",
    ")",
    "%00",
    "%zz",
    "%C3%A9",
    "%FF",
    "é",
    "sad",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "&value=",
    "&",
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"text\"",
    "\"document\"",
    "\"other\"",
    "null",
    "true",
    "1",
    "-0",
    "01",
    "1e400",
    "1e-400",
    "0.1",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\n\"",
    "\"\n\"",
    "\"\\x\"",
    "\"é\"",
    " ",
    "\n",
    "\u{feff}",
    "\"t\\u0065xt\"",
    "[[[[[[[[",
    "]]]]]]]]",
    "{\"text\":",
];

/// Well-formed documents, so that what they hold is compared.
fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| serde_json::json!(value).to_string()),
        "[a-z\u{0}\u{1}\"\\\\é😀]{0,6}".prop_map(|text| serde_json::json!(text).to_string()),
    ];
    let name = prop::sample::select(vec![
        "text", "document", "text", "document", "other", "\\u0000",
    ]);
    leaf.prop_recursive(70, 90, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name.clone(), inner), 0..4).prop_map(|members| {
                let members = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {value}"));
                format!("{{{}}}", members.collect::<Vec<String>>().join(" ,\n"))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statements(declared in of(SQL, 14)) {
        sql::check(declared.as_bytes());
        sql::check(format!("select {declared} from t where a = :a").as_bytes());
    }

    #[test]
    fn parameters(choice in any::<[u8; 2]>(), value in of(VALUES, 5)) {
        binding::check(&[&choice, value.as_bytes()].concat());
    }

    #[test]
    fn bodies(body in of(JSON, 12)) {
        json::check(body.as_bytes());
    }

    #[test]
    fn documents(body in document()) {
        json::check(body.as_bytes());
    }

    #[test]
    fn objects(text in document(), document in document()) {
        json::check(format!("{{\"text\": {text}, \"document\": {document}}}").as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files(text in of(TOML, 16)) {
        routes::check(text.as_bytes());
    }

    /// The shop's file with a piece of it gone, or another in its place.
    #[test]
    fn damaged_files(at in any::<prop::sample::Index>(), length in 0usize..40, piece in of(TOML, 2)) {
        let file = pinion::demo::ROUTES;
        let boundary = |at: usize| (at..=file.len()).find(|at| file.is_char_boundary(*at)).unwrap_or(file.len());
        let start = boundary(at.index(file.len()));
        let end = boundary((start + length).min(file.len()));
        routes::check([&file[..start], &piece, &file[end..]].concat().as_bytes());
    }
}
