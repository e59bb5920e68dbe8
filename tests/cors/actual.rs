//! Whatever is answered, it says whose pages may read it.

use super::{answer, cors_fields, echo, request, server, server_of};

const TABLE: &str = r#"
allow_origins = ["https://shop.example", "https://*.shop.example", "http://localhost:*"]
expose_headers = ["X-Request-ID", "retry-after"]
allow_credentials = true
"#;

/// One request of every kind of answer, with its status; `{O}` is where the Origin stands.
fn every_kind() -> Vec<(u16, String)> {
    let request = |line: &str, lines: &str| request(line, &format!("{{O}}{lines}"));
    let chunked = "Transfer-Encoding: chunked\r\n";
    let long = "Content-Length: 101\r\n";
    let more = [
        (204, request("OPTIONS /health", "")),
        (400, request("POST /echo", chunked) + "x\r\n"),
        (404, request("OPTIONS /nowhere", "")),
        (405, request("POST /health", "")),
        (408, request("POST /echo", "Content-Length: 9\r\n") + "x"),
        (413, request("POST /echo", long)),
        (
            413,
            request("POST /echo", &format!("{long}Expect: 100-continue\r\n")),
        ),
        (413, request("POST /echo", chunked) + "65\r\n"),
        (500, request("GET /two", "")),
    ];
    let common = echo::every_kind("{O}").into_iter();
    common.chain(more).collect()
}

/// What can't be read as a request may be of any page.
fn no_requests() -> Vec<(u16, String)> {
    let long = "x".repeat(20_000);
    vec![
        (400, request("GET /echo/a", "{O}Broken : line\r\n")),
        (400, "GET /echo/a HTTP/1.1\r\n{O}\r\n".to_owned()),
        (408, "GET /echo/a HTTP/1.1\r\nHost: a\r\n{O}".to_owned()),
        (414, request(&format!("GET /{long}"), "{O}")),
        (417, request("GET /echo/a", "{O}Expect: x\r\n")),
        (431, request("GET /echo/a", &format!("{{O}}A: {long}\r\n"))),
        (501, request("BREW /echo/a", "{O}")),
    ]
}

const ALLOWED: [&str; 4] = [
    "https://shop.example",
    "https://a.b.shop.example",
    "http://localhost:3000",
    "http://localhost",
];

const REFUSED: [&str; 14] = [
    "https://evil.example",
    "https://evilshop.example",
    "https://shop.example.evil.example",
    "http://shop.example",
    "https://shop.example:443",
    "https://shop.example/",
    "HTTPS://shop.example",
    "https://SHOP.example",
    "https://shop.example, https://a.shop.example",
    "https://a\tb.shop.example",
    "https://\u{e9}.shop.example",
    "http://localhost:99999",
    "null",
    "",
];

#[test]
fn every_response_says_who_may_read_it_errors_included() {
    let flags = ["--max-body-bytes", "100", "--body-timeout", "1s"];
    let (server, _postgres) = server_of(Some(TABLE), &flags);
    for (status, text) in every_kind() {
        let what = text.lines().next().unwrap_or_default();
        for origin in &ALLOWED[..2] {
            let sent = text.replace("{O}", &format!("Origin: {origin}\r\n"));
            let response = answer(&server, &sent);
            assert_eq!(response.status, status, "{what}: {}", response.text());
            let expected = [
                ("access-control-allow-origin", *origin),
                ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", "x-request-id, retry-after"),
                ("vary", "origin"),
            ];
            assert_eq!(cors_fields(&response), expected, "{status} {what}");
        }
        for lines in ["", "Origin: https://evil.example\r\n"] {
            let response = answer(&server, &text.replace("{O}", lines));
            assert_eq!(response.status, status, "{what}: {}", response.text());
            assert_eq!(
                cors_fields(&response),
                [("vary", "origin")],
                "{status} {what}"
            );
        }
    }
}

#[test]
fn what_is_no_request_is_nobodys() {
    let (server, _postgres) = server_of(Some(TABLE), &["--header-timeout", "1s"]);
    for (status, text) in no_requests() {
        let what = text[..text.len().min(60)].to_owned();
        for lines in ["", "Origin: https://shop.example\r\n"] {
            let response = answer(&server, &text.replace("{O}", lines));
            assert_eq!(response.status, status, "{what}: {}", response.text());
            assert_eq!(cors_fields(&response), [("vary", "origin")], "{what}");
        }
    }
}

#[test]
fn whose_pages_are_let_in() {
    let (server, _postgres) = server(TABLE);
    let get = |lines: &str| answer(&server, &request("GET /echo/a", lines));
    for origin in ALLOWED {
        for line in [
            format!("Origin: {origin}\r\n"),
            format!("oRIGIN:\t {origin} \t\r\n"),
        ] {
            let response = get(&line);
            let named = response.field("access-control-allow-origin");
            assert_eq!((response.status, named), (200, Some(origin)));
        }
    }
    for origin in REFUSED {
        let response = get(&format!("Origin: {origin}\r\n"));
        assert_eq!(response.status, 200, "the page can't read it, others can");
        assert_eq!(cors_fields(&response), [("vary", "origin")], "{origin}");
    }
    let two = "Origin: https://shop.example\r\n".repeat(2);
    assert_eq!(cors_fields(&get(&two)), [("vary", "origin")]);
    let two = "Origin: https://shop.example\r\nX: y\r\nOrigin: https://evil.example\r\n";
    assert_eq!(cors_fields(&get(two)), [("vary", "origin")]);
}

#[test]
fn everybody_is_let_in_by_a_star() {
    let (server, _postgres) = server("allow_origins = [\"*\"]");
    let get = |lines: &str| answer(&server, &request("GET /echo/a", lines));
    let open = [("access-control-allow-origin", "*"), ("vary", "origin")];
    for lines in ["", "Origin: https://evil.example\r\n"] {
        assert_eq!(cors_fields(&get(lines)), open);
    }
    for origin in ["null", "", "https://a.example, https://b.example"] {
        let response = get(&format!("Origin: {origin}\r\n"));
        assert_eq!(cors_fields(&response), [("vary", "origin")], "{origin}");
    }
}

#[test]
fn answers_of_one_connection_are_each_for_their_page() {
    let (server, _postgres) = server(TABLE);
    let mut client = server.client();
    let origins = [
        Some("https://shop.example"),
        None,
        Some("https://evil.example"),
        Some("http://localhost:1"),
        Some("https://a.shop.example"),
        Some("null"),
    ];
    let lines = |origin: Option<&str>| {
        origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"))
    };
    let all = origins.map(|origin| request("GET /echo/a", &lines(origin)));
    client.send(all.concat());
    for origin in origins {
        let response = client.response();
        let named = response.field("access-control-allow-origin");
        let expected = origin.filter(|origin| ALLOWED.contains(origin) || origin.contains("//a."));
        let expected = expected.or(origin.filter(|origin| origin.ends_with(":1")));
        assert_eq!(named, expected);
    }
}

#[test]
fn without_the_table_nothing_is_said() {
    let (server, _postgres) = server_of(None, &["--max-body-bytes", "100", "--body-timeout", "1s"]);
    for (status, text) in every_kind() {
        let sent = text.replace("{O}", "Origin: https://shop.example\r\n");
        let response = answer(&server, &sent);
        assert_eq!(response.status, status);
        assert_eq!(cors_fields(&response), [], "{text}");
    }
    let lines = "Origin: https://shop.example\r\nAccess-Control-Request-Method: GET\r\n";
    let response = answer(&server, &request("OPTIONS /echo/a", lines));
    let allow = response.field("allow");
    assert_eq!(
        (response.status, allow),
        (204, Some("GET, HEAD, DELETE, OPTIONS"))
    );
    assert_eq!(cors_fields(&response), []);
}

#[test]
fn a_page_can_read_that_it_asks_too_often() {
    let limited = r#"
[rate_limit.once]
requests = 1
per = "1h"
key = "ip"

[[route]]
name = "limited"
method = "GET"
path = "/limited"
result = "one"
sql = "select 1 as one"
rate_limit = "once"
"#;
    let (server, _postgres) = server(&format!("{TABLE}{limited}"));
    let origin = "Origin: https://shop.example\r\n";
    for status in [200, 429, 429] {
        let response = answer(&server, &request("GET /limited", origin));
        assert_eq!(response.status, status, "{}", response.text());
        let named = response.field("access-control-allow-origin");
        assert_eq!(named, Some("https://shop.example"));
        assert_eq!(response.field("vary"), Some("origin"));
    }
    let foreign = answer(&server, &request("GET /limited", "Origin: null\r\n"));
    assert_eq!(
        (foreign.status, cors_fields(&foreign)),
        (429, vec![("vary", "origin")])
    );
    // To ask whether one may ask costs nothing.
    let asked = format!("{origin}Access-Control-Request-Method: GET\r\n");
    for _ in 0..3 {
        let response = answer(&server, &request("OPTIONS /limited", &asked));
        assert_eq!(response.status, 204);
    }
}
