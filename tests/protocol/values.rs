//! Texts that are no texts, in every place of every type: 4xx, and Postgres never hears of them.

use std::sync::Arc;

use sonic_rs::JsonValueTrait;

use super::support::{Client, Postgres, Server};

/// A type, and a value of it in JSON.
const TYPES: &[(&str, &str)] = &[
    ("text", "\"a\""),
    ("varchar", "\"a\""),
    ("\"char\"", "\"a\""),
    ("int8", "1"),
    ("numeric", "1.5"),
    ("float8", "1.5"),
    ("bool", "true"),
    ("uuid", "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""),
    ("date", "\"2024-02-29\""),
    ("timestamptz", "\"2024-02-29T00:00:00Z\""),
    ("interval", "\"1 day\""),
    ("json", "{\"a\":1}"),
    ("jsonb", "{\"a\":1}"),
    ("bytea", "\"\\\\x00\""),
    ("inet", "\"10.0.0.1\""),
    ("text[]", "[\"a\"]"),
    ("int8[]", "[1]"),
    ("jsonb[]", "[{}]"),
];

/// What stands in a target: text that can't be read, or that no type has.
const TARGETS: &[&str] = &[
    "%00",
    "a%00b",
    "%",
    "%4",
    "%zz",
    "%%30",
    "%C3",
    "%FF",
    "%C0%80",
    "%ED%A0%80",
    "%F8%88%80%80%80",
    "%22%5Cu0000%22",
];

/// What stands in a body for a value.
const DOCUMENTS: &[&[u8]] = &[
    b"\"\\u0000\"",
    b"\"a\\u0000b\"",
    b"[\"\\u0000\"]",
    b"{\"\\u0000\": 1}",
    b"{\"a\": [\"\\u0000\"]}",
    b"\"\\ud800\"",
    b"\"\\udc00\\ud800\"",
    b"\"\0\"",
    b"\"\xff\"",
    b"\"\xc3\"",
    b"\"\xed\xa0\x80\"",
    b"\"\xc0\x80\"",
    b"\"\\u12\"",
    b"\"\\u00:0\"",
    b"\"\\x00\"",
];

/// A route for each type and place: `/path/0/{value}`, `/query/0?value=`, and so on by the type's index.
fn routes() -> String {
    let mut file = String::new();
    for (index, (ty, _)) in TYPES.iter().enumerate() {
        let is_list = ty.ends_with("[]");
        let mut route = |place: &str, path: &str, params: &str| {
            file += &format!(
                "[[route]]\nname = \"{place}_{index}\"\nmethod = \"POST\"\npath = \"/{place}/{index}{path}\"\n\
                 result = \"scalar\"\nsql = 'select (:value::{ty})::text'\n[route.params]\n{params}\n"
            );
        };
        route("query", "", "value = { in = \"query\" }");
        route("body", "", "value = { in = \"body\" }");
        if !is_list {
            route("path", "/{value}", "");
            route(
                "header",
                "",
                "value = { in = \"header\", name = \"X-Value\" }",
            );
        }
        if ty.starts_with("json") && !is_list {
            route("whole", "", "value = { in = \"body\", whole = true }");
        }
    }
    file
}

fn status(client: &mut Client, target: &str, fields: &[u8], body: &[u8]) -> u16 {
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    client.send([head.as_bytes(), fields, b"\r\n", body].concat());
    let response = client.response();
    if response.status >= 400 {
        assert!(response.json().is_object(), "{target}");
    }
    response.status
}

fn refused(server: &Server) -> Vec<String> {
    let mut client = server.client();
    let mut faults = Vec::new();
    let mut refuse = |target: &str, fields: &[u8], body: &[u8]| {
        let status = status(&mut client, target, fields, body);
        if !matches!(status, 400 | 422) {
            let body = String::from_utf8_lossy(body);
            faults.push(format!("{status} for {target} {body}"));
        }
    };
    for (index, (ty, _)) in TYPES.iter().enumerate() {
        let is_list = ty.ends_with("[]");
        for text in TARGETS {
            // A text of quotes and a backslash is a text, and one of a list; and escapes are json's to keep.
            let is_escape = text.starts_with("%22");
            if is_escape && (ty.contains("text") || ty.contains("char") || *ty == "json") {
                continue;
            }
            refuse(&format!("/query/{index}?value={text}"), b"", b"");
            if !is_list {
                refuse(&format!("/path/{index}/{text}"), b"", b"");
            }
        }
        for name in ["%00", "%zz", "%FF", "%00=1&value"] {
            refuse(&format!("/query/{index}?{name}=1"), b"", b"");
        }
        if !is_list {
            refuse(&format!("/header/{index}"), b"X-Value: \xff\r\n", b"");
            refuse(
                &format!("/header/{index}"),
                b"X-Value: \xc3\xa9\xff\r\n",
                b"",
            );
        }
        for document in DOCUMENTS {
            let member = [b"{\"value\":", *document, b"}"].concat();
            refuse(&format!("/body/{index}"), b"", &member);
            let name = [b"{", *document, b": 1}"].concat();
            refuse(&format!("/body/{index}"), b"", &name);
            if ty.starts_with("json") && !is_list {
                refuse(&format!("/whole/{index}"), b"", document);
            }
        }
    }
    faults
}

fn accepted(server: &Server) {
    let mut client = server.client();
    for (index, (ty, value)) in TYPES.iter().enumerate() {
        let body = format!("{{\"value\": {value}}}");
        let target = format!("/body/{index}");
        assert_eq!(
            status(&mut client, &target, b"", body.as_bytes()),
            200,
            "{ty}"
        );
    }
}

#[test]
fn what_is_no_text_never_reaches_postgres() {
    let postgres = Arc::new(Postgres::start(""));
    let mut server = Server::start(&routes(), &postgres.url(), &[]).ready();
    accepted(&server);
    let faults = refused(&server);
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    let complaints = |log: &str| -> Vec<String> {
        let of_note = |line: &&str| {
            ["ERROR", "FATAL", "PANIC"]
                .iter()
                .any(|word| line.contains(word))
        };
        log.lines().filter(of_note).map(str::to_owned).collect()
    };
    assert_eq!(
        complaints(&postgres.log()),
        [""; 0],
        "Postgres has heard of it"
    );
    let log = server.log().join("\n");
    assert_eq!(complaints(&log), [""; 0]);
    assert!(
        !log.contains("panicked") && !log.contains(" WARN "),
        "{log}"
    );
    // The log is where complaints would be.
    postgres.sql("do $$ begin raise log 'ERROR: a test looks for this'; end $$");
    assert!(!complaints(&postgres.log()).is_empty());
}
