//! What a browser asks before it sends what no form could.

use sonic_rs::JsonValueTrait;

use super::{answer, cors_fields, request, server};
use crate::support::{Response, Server};

const TABLE: &str = r#"
allow_origins = ["https://shop.example", "https://*.shop.example"]
allow_headers = ["Authorization", "content-type"]
expose_headers = ["x-request-id"]
allow_credentials = true
max_age = "10m"
allow_private_network = true
"#;

const VARY: &str = "origin, access-control-request-method, access-control-request-headers";

/// A preflight from the shop's page; `lines` come after its method.
fn asked(server: &Server, path: &str, method: &str, lines: &str) -> Response {
    asked_from(server, "https://shop.example", path, method, lines)
}

fn asked_from(server: &Server, origin: &str, path: &str, method: &str, lines: &str) -> Response {
    let lines = format!("Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n{lines}");
    answer(server, &request(&format!("OPTIONS {path}"), &lines))
}

/// Nothing in the answer lets anybody in.
fn assert_refused(response: &Response, message: &str) {
    assert_eq!(response.status, 403, "{}", response.text());
    assert_eq!(response.json()["error"].as_str(), Some(message));
    assert_eq!(response.json()["code"].as_u64(), Some(403));
    let vary = response
        .field("vary")
        .expect("it depends on what was asked");
    assert!(vary.starts_with(VARY), "{vary}");
    assert_eq!(cors_fields(response).len(), 1, "{:?}", response.fields);
}

#[test]
fn everything_that_is_declared_is_said() {
    let (server, _postgres) = server(TABLE);
    let headers = "Access-Control-Request-Headers: authorization,content-type\r\n";
    let private = "Access-Control-Request-Private-Network: true\r\n";
    for (path, method, methods) in [
        ("/echo", "POST", "POST"),
        ("/echo/a", "DELETE", "GET, HEAD, DELETE"),
        ("/echo/a?b=c", "GET", "GET, HEAD, DELETE"),
        ("/health", "GET", "GET, HEAD"),
        ("/ready", "HEAD", "GET, HEAD"),
    ] {
        for origin in ["https://shop.example", "https://a.shop.example"] {
            for (lines, private) in [(headers, false), (&format!("{headers}{private}"), true)] {
                let response = asked_from(&server, origin, path, method, lines);
                assert_eq!((response.status, response.text()), (204, ""));
                assert_eq!(response.field("content-length"), None);
                let vary = format!("{VARY}, access-control-request-private-network");
                let private = ("access-control-allow-private-network", "true", private);
                let expected: Vec<(&str, &str)> = [
                    ("access-control-allow-origin", origin, true),
                    ("access-control-allow-methods", methods, true),
                    private,
                    ("access-control-allow-credentials", "true", true),
                    (
                        "access-control-allow-headers",
                        "authorization, content-type",
                        true,
                    ),
                    ("access-control-max-age", "600", true),
                    ("vary", &vary, true),
                ]
                .into_iter()
                .filter_map(|(name, value, is_said)| is_said.then_some((name, value)))
                .collect();
                assert_eq!(cors_fields(&response), expected, "{path}");
                assert!(response.field("x-request-id").is_some());
                assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
                assert_eq!(response.field("allow"), None);
            }
        }
    }
}

#[test]
fn who_may_not_ask_is_told_nothing() {
    let (server, _postgres) = server(TABLE);
    for origin in [
        "https://evil.example",
        "https://evilshop.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "https://shop.example/",
        "null",
        "",
    ] {
        for path in ["/echo", "/nowhere", "/health"] {
            let response = asked_from(&server, origin, path, "POST", "");
            assert_refused(&response, "CORS: origin not allowed");
        }
    }
    let twice = asked(&server, "/echo", "POST", "Origin: https://shop.example\r\n");
    assert_refused(&twice, "CORS: origin not allowed");
}

#[test]
fn what_may_not_be_asked_is_told_nothing() {
    let (server, _postgres) = server(TABLE);
    for method in ["DELETE", "GET", "OPTIONS", "TRACE", "post", "", "POST, GET"] {
        let response = asked(&server, "/echo", method, "");
        assert_refused(&response, "CORS: method not allowed");
    }
    let twice = "Access-Control-Request-Method: POST\r\n";
    assert_refused(
        &asked(&server, "/echo", "POST", twice),
        "CORS: method not allowed",
    );
    for headers in [
        "x-other",
        "authorization, x-other",
        "authorization x",
        "*",
        "\u{e9}",
    ] {
        let lines = format!("Access-Control-Request-Headers: {headers}\r\n");
        let response = asked(&server, "/echo", "POST", &lines);
        assert_refused(&response, "CORS: header not allowed");
    }
    let lines = "Access-Control-Request-Headers: authorization\r\n\
                 Access-Control-Request-Headers: x-other\r\n";
    let response = asked(&server, "/echo", "POST", lines);
    assert_refused(&response, "CORS: header not allowed");
    for headers in ["", "AUTHORIZATION,,", " content-type ,\tauthorization"] {
        let lines = format!("Access-Control-Request-Headers: {headers}\r\n");
        assert_eq!(asked(&server, "/echo", "POST", &lines).status, 204);
    }
}

#[test]
fn a_path_that_is_not_there_is_not_there() {
    let (server, _postgres) = server(TABLE);
    let response = asked(&server, "/nowhere", "POST", "");
    assert_eq!(response.status, 404);
    let vary = format!("{VARY}, access-control-request-private-network");
    assert_eq!(cors_fields(&response), [("vary", vary.as_str())]);
}

#[test]
fn methods_of_the_list_on_every_path() {
    let (server, _postgres) =
        server("allow_origins = [\"https://shop.example\"]\nallow_methods = [\"GET\", \"POST\"]\n");
    let methods = |method| {
        let response = asked(&server, "/echo/a", method, "");
        assert_eq!(response.status, 204, "{method}");
        let methods = response.field("access-control-allow-methods");
        methods.expect("methods").to_owned()
    };
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(methods(method), "GET, POST");
    }
    // The route is there, and pages may not use it.
    for method in ["DELETE", "PUT"] {
        let response = asked(&server, "/echo/a", method, "");
        assert_refused(&response, "CORS: method not allowed");
    }
    let private = "Access-Control-Request-Private-Network: true\r\n";
    let response = asked(&server, "/echo/a", "GET", private);
    let expected = [
        ("access-control-allow-origin", "https://shop.example"),
        ("access-control-allow-methods", "GET, POST"),
        ("vary", VARY),
    ];
    assert_eq!(cors_fields(&response), expected);
}

#[test]
fn stars_without_credentials() {
    let (server, _postgres) = server(
        "allow_origins = [\"*\"]\nallow_methods = [\"*\"]\nallow_headers = [\"*\"]\n\
         expose_headers = [\"*\"]\nmax_age = \"0s\"\n",
    );
    let lines = "Access-Control-Request-Headers: x-anything\r\n";
    let response = asked_from(&server, "https://any.example", "/echo/a", "PATCH", lines);
    let expected = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "*"),
        ("access-control-allow-headers", "*"),
        ("access-control-max-age", "0"),
        ("vary", VARY),
    ];
    assert_eq!(
        (response.status, cors_fields(&response)),
        (204, expected.into())
    );
    let response = answer(
        &server,
        &request("GET /echo/a", "Origin: https://any.example\r\n"),
    );
    let expected = [
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "*"),
        ("vary", "origin"),
    ];
    assert_eq!(cors_fields(&response), expected);
    for (origin, lines, message) in [
        ("null", "", "CORS: origin not allowed"),
        (
            "https://any.example",
            "Access-Control-Request-Headers: authorization\r\n",
            "CORS: header not allowed",
        ),
    ] {
        let response = asked_from(&server, origin, "/echo/a", "GET", lines);
        assert_refused(&response, message);
    }
}

#[test]
fn preflights_stand_in_line_with_requests() {
    let (server, _postgres) = server(TABLE);
    let mut client = server.client();
    let origin = "Origin: https://shop.example\r\n";
    let preflight = format!("{origin}Access-Control-Request-Method: DELETE\r\n");
    client.send(
        request("OPTIONS /echo/a", &preflight)
            + &request("DELETE /echo/a", origin)
            + &request("OPTIONS /echo/a", origin)
            + &request("GET /echo/a", origin),
    );
    assert_eq!(
        client.response().field("access-control-max-age"),
        Some("600")
    );
    let [deleted, options, got] = [(); 3].map(|()| client.response());
    assert_eq!(
        (deleted.status, options.status, got.status),
        (204, 204, 200)
    );
    assert_eq!(options.field("allow"), Some("GET, HEAD, DELETE, OPTIONS"));
    for response in [deleted, options, got] {
        let expected = [
            ("access-control-allow-origin", "https://shop.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-request-id"),
            ("vary", "origin"),
        ];
        assert_eq!(cors_fields(&response), expected);
    }
}
