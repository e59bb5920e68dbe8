//! What caches between a server and its clients are told (RFC 9111).

use crate::{ROUTES, TABLES, bearer, files, fixture_of, good};

const FIELDS: &str = r#"
[[route]]
name = "language"
method = "GET"
path = "/language"
result = "one"
sql = "select :language::text as language, :unit::text as unit"
[route.params]
language = { in = "header", name = "Accept-Language", nullable = true }
unit = { in = "header", name = "X-Unit", nullable = true }

[[route]]
name = "headers"
method = "GET"
path = "/headers"
result = "one"
database_role = "postgres"
settings = ["headers"]
sql = "select 1 as one"
"#;

#[test]
fn what_is_for_one_is_kept_by_no_cache() {
    let tables = format!("{TABLES}[auth]\ndatabase_roles = [\"postgres\"]\n");
    let fixture = fixture_of(files(), &tables, &format!("{ROUTES}{FIELDS}"));
    let token = bearer(&good());
    let key = "x-api-key: first\r\n";
    for (target, lines, status) in [
        ("/till", key, 200),
        ("/either", key, 200),
        ("/either", &token, 200),
        ("/who", &token, 200),
        ("/till", "", 401),
        ("/till", "x-api-key: other\r\n", 401),
        ("/agents", key, 403),
        ("/agents", &token, 200),
    ] {
        let response = fixture.get(target, lines);
        assert_eq!(response.status, status, "{target}: {}", response.text());
        let told = response.field("cache-control");
        assert_eq!(told, Some("no-store"), "{target} {status}");
    }
    let mut client = fixture.server.client();
    client.send(format!("HEAD /till HTTP/1.1\r\nHost: a\r\n{key}\r\n"));
    let response = client.response_to_head();
    assert_eq!(response.field("cache-control"), Some("no-store"));
    // Nobody is asked who they are: others may get the same, if they ask the same.
    for (target, vary) in [
        ("/open", None),
        ("/nowhere", None),
        ("/language", Some("accept-language, x-unit")),
        ("/headers", Some("*")),
    ] {
        let response = fixture.get(target, "");
        assert_eq!(response.field("cache-control"), None, "{target}");
        assert_eq!(response.field("vary"), vary, "{target}");
    }
}
