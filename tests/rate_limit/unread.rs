//! Clients that wait to be asked for a body (RFC 9110 §10.1.1).

use crate::support::{Client, TempDir};
use crate::{has_two_cores, server};

const BODY: &str = r#"{"text": 1}"#;

fn head(target: &str, lines: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         {lines}Expect: 100-continue\r\n\r\n",
        BODY.len()
    )
}

/// All that comes in answer to a head alone, until the server closes.
fn refused(mut client: Client, target: &str, lines: &str) -> String {
    client.send(head(target, lines));
    String::from_utf8(client.rest()).expect("text")
}

fn assert_answer(bytes: &str, status_line: &str, fields: &[&str]) {
    let start = format!("HTTP/1.1 {status_line}\r\n");
    assert!(bytes.starts_with(&start), "{bytes}");
    for field in ["connection: close"].iter().chain(fields) {
        assert!(bytes.contains(&format!("\r\n{field}")), "{field}: {bytes}");
    }
}

#[test]
fn one_over_its_limit_is_refused_without_its_body() {
    let (server, _postgres) = server("", 1, &[]);
    let mut client = server.client();
    // Each counts once, although it is looked at twice.
    for left in [2, 1, 0] {
        client.send(head("/three", ""));
        let asked = client.response();
        assert_eq!((asked.status, asked.fields.len()), (100, 0));
        client.send(BODY);
        let response = client.response();
        assert_eq!(response.text(), r#"{"text":1}"#);
        let state = response.field("ratelimit").expect("a RateLimit field");
        assert!(
            state.starts_with(&format!("\"three\";r={left};")),
            "{state}"
        );
    }
    let fields = [
        "retry-after: ",
        "ratelimit: \"three\";r=0;",
        "x-request-id: ",
    ];
    assert_answer(
        &refused(client, "/three", ""),
        "429 Too Many Requests",
        &fields,
    );
}

#[test]
fn one_that_is_refused_for_what_it_shows_counts_once() {
    let directory = TempDir::new();
    // printf %s first | sha256sum
    let hash = "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e";
    let keys = directory.file("keys", &format!("till:{hash}\n"));
    let route = |name: &str, rule: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nmethod = \"POST\"\npath = \"/{name}\"\nresult = \"one\"\n\
             auth = \"api_key\"\nrate_limit = \"{rule}\"\nsql = \"select :text::int4 as text\"\n\
             [route.params]\ntext = {{ in = \"body\" }}\n"
        )
    };
    let tables = format!(
        "[auth.api_key]\nhashes_file = \"{}\"\n\
         [rate_limit.of_keys]\nrequests = 3\nper = \"31d\"\nkey = \"claim:sub\"\n{}{}",
        keys.display(),
        route("kept", "three"),
        route("of_keys", "of_keys")
    );
    let (server, _postgres) = server(&tables, 1, &[]);
    let good = "x-api-key: first\r\n";
    for (target, rule) in [("/kept", "three"), ("/of_keys", "of_keys")] {
        for (lines, left) in [("", 2), ("x-api-key: wrong\r\n", 1), ("", 0)] {
            let bytes = refused(server.client(), target, lines);
            let state = format!("ratelimit: \"{rule}\";r={left};");
            let fields = ["www-authenticate: ApiKey", &state];
            assert_answer(&bytes, "401 Unauthorized", &fields);
        }
        let bytes = refused(server.client(), target, "");
        assert_answer(&bytes, "429 Too Many Requests", &["retry-after: "]);
    }
    // The limit of addresses comes first, and that of keys is another one for each.
    let bytes = refused(server.client(), "/kept", good);
    assert_answer(&bytes, "429 Too Many Requests", &[]);
    let mut client = server.client();
    for _ in 0..3 {
        client.send(head("/of_keys", good));
        assert_eq!(client.response().status, 100);
        client.send(BODY);
        assert_eq!(client.response().status, 200);
    }
    let bytes = refused(client, "/of_keys", good);
    assert_answer(&bytes, "429 Too Many Requests", &[]);
    assert!(!bytes.contains("401"), "{bytes}");
}

/// Where another core counts, it is refused with its body at the latest: as many are let in.
#[test]
fn whichever_core_counts_as_many_are_let_in() {
    let cores = if has_two_cores() { 2 } else { 1 };
    let (server, _postgres) = server("", cores, &[]);
    let mut served = 0;
    for _ in 0..24 {
        let mut client = server.client();
        client.send(head("/three", ""));
        let mut response = client.response();
        if response.status == 100 {
            client.send(BODY);
            response = client.response();
        }
        match response.status {
            200 => served += 1,
            status => assert_eq!(status, 429),
        }
    }
    assert_eq!(served, 3);
}
