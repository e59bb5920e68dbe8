//! The whole way: a token comes in over HTTP, and its statement runs as its role.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::fixture::{SCHEMA, json};
use crate::support::{Postgres, Response, Server, TempDir, ended, pinion};

const SECRET: &str = "a secret of the tests, which is long enough for every hash";

const ROUTES: &str = r#"
[[route]]
name = "told"
method = "GET"
path = "/told"
result = "one"
auth = "jwt"
database_role = "claim:role"
sql = '''
select current_setting('request.jwt.claims', true)::json ->> 'tenant' as tenant,
       current_setting('request.headers', true)::json as headers,
       current_setting('request.method', true) as method, current_setting('request.path', true) as path,
       current_setting('request.id', true) as id, current_user::text as role
'''

[[route]]
name = "agents"
method = "GET"
path = "/agents"
result = "many"
auth = "jwt"
database_role = "claim:role"
settings = ["claims"]
sql = "select id, tenant from agents order by id"

[[route]]
name = "fixed"
method = "GET"
path = "/fixed"
result = "scalar"
auth = "jwt"
database_role = "auditor"
sql = "select current_user::text || ' ' || count(*) from agents"

[[route]]
name = "public"
method = "GET"
path = "/public"
result = "scalar"
sql = "select current_setting('request.jwt.claims', true)"
"#;

/// The routes file in a directory of its own, beside its key.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        let files = Files(TempDir::new());
        files.0.file("key", SECRET);
        files
    }

    fn head(&self, roles: &str) -> String {
        let key = self.0.path().join("key");
        format!(
            "[auth]\ndatabase_roles = {roles}\n[auth.jwt]\nalgorithms = [\"HS256\"]\nsecret_file = {key:?}\n"
        )
    }
}

/// A token with these claims (RFC 7515), good for an hour.
fn token(claims: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a date");
    let claims = format!("{{{claims},\"exp\":{}}}", now.as_secs() + 3600);
    pinion::demo::tokens::sign(SECRET, &claims)
}

fn get(server: &Server, target: &str, claims: &str, more: &str) -> Response {
    let mut client = server.client();
    let token = token(claims);
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
    ));
    client.response()
}

#[test]
fn a_token_decides_on_the_role_and_the_rows() {
    let postgres = Postgres::start(SCHEMA);
    let files = Files::new();
    let routes = files.head("[\"agent\", \"auditor\"]") + ROUTES;
    let url = format!("{}&user=app", postgres.url());
    let server = Server::start(&routes, &url, &["--connections-per-core", "1"]).ready();
    for tenant in ["t0", "t1", "t2", "t9"] {
        let claims = format!("\"tenant\":\"{tenant}\",\"role\":\"agent\"");
        let response = get(&server, "/agents", &claims, "");
        assert_eq!(response.status, 200, "{}", response.text());
        let rows = json(response.text());
        let rows = rows.as_array().expect("a list");
        assert_eq!(rows.len(), if tenant == "t9" { 0 } else { 30 });
        assert!(rows.iter().all(|row| row["tenant"] == tenant));
        assert_eq!(server.get("/public").text(), "\"\"");
    }
    let all = get(
        &server,
        "/agents",
        "\"tenant\":\"t1\",\"role\":\"auditor\"",
        "",
    );
    assert_eq!(json(all.text()).as_array().map(Vec::len), Some(90));
    let fixed = get(&server, "/fixed", "\"role\":\"agent\"", "");
    assert_eq!(fixed.text(), "\"auditor 90\"");
    // No role, one that is not allowed, and what is none.
    for role in [
        "\"x\":1",
        "\"role\":\"outsider\"",
        "\"role\":\"postgres\"",
        "\"role\":\"none\"",
        "\"role\":\"Agent\"",
        "\"role\":\"agent \"",
        "\"role\":\"\"",
        "\"role\":[\"agent\"]",
        "\"role\":null",
    ] {
        let response = get(&server, "/agents", &format!("\"tenant\":\"t1\",{role}"), "");
        assert_eq!(response.status, 403, "{role}: {}", response.text());
        assert!(response.text().contains("Forbidden"), "{}", response.text());
    }
    assert_eq!(server.get("/agents").status, 401);
}

#[test]
fn the_settings_are_those_of_the_request_without_its_secrets() {
    let postgres = Postgres::start(SCHEMA);
    let files = Files::new();
    let routes = files.head("[\"agent\", \"auditor\"]") + ROUTES;
    let url = format!("{}&user=app", postgres.url());
    let server = Server::start(&routes, &url, &[]).ready();
    let claims = "\"tenant\":\"it's \\\"t\\\" \\u00e9\",\"role\":\"agent\"";
    let more = "Cookie: secret=1\r\nProxy-Authorization: Basic c2VjcmV0\r\nX-Request-ID: one-1\r\n\
                X-A: a\"b\\\r\nx-a: '); drop table agents; --\r\nX-Bytes: \u{e9}\r\n";
    let response = get(&server, "/t%6Fld", claims, more);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.field("x-request-id"), Some("one-1"));
    let told = json(response.text());
    assert_eq!(told["tenant"], "it's \"t\" é");
    let expected = serde_json::json!({
        "host": "test",
        "x-request-id": "one-1",
        "x-a": "a\"b\\, '); drop table agents; --",
        "x-bytes": "é",
    });
    assert_eq!(told["headers"], expected);
    assert_eq!(
        (&told["method"], &told["path"]),
        (&"GET".into(), &"/told".into())
    );
    assert_eq!(
        (&told["id"], &told["role"]),
        (&"one-1".into(), &"agent".into())
    );
    // An id that the server made is the response's too.
    let response = get(&server, "/told", claims, "");
    let id = response.field("x-request-id").map(str::to_owned);
    assert_eq!(json(response.text())["id"].as_str().map(str::to_owned), id);
    let head = format!(
        "HEAD /told HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n\r\n",
        token(claims)
    );
    let mut client = server.client();
    client.send(head);
    assert_eq!(client.response_to_head().status, 200);
}

/// Routes for everybody that run as a role, as nobody.
const PUBLIC: &str = r#"
[[route]]
name = "as_auditor"
method = "GET"
path = "/as-auditor/{id}"
result = "one"
database_role = "auditor"
settings = ["path"]
sql = '''
select current_user::text as role, current_setting('request.jwt.claims', true) as claims,
       current_setting('request.path', true) as path, count(*) from agents where id > :id
'''

[[route]]
name = "as_agent"
method = "GET"
path = "/as-agent"
result = "one"
auth = "none"
database_role = "agent"
sql = "select current_user::text as role, current_setting('request.jwt.claims', true) as claims, count(*) from agents"
"#;

#[test]
fn a_route_for_everybody_may_run_as_a_role_and_is_nobody() {
    let postgres = Postgres::start(SCHEMA);
    let files = Files::new();
    let routes = files.head("[\"agent\", \"auditor\"]") + ROUTES + PUBLIC;
    let url = format!("{}&user=app", postgres.url());
    let one = ["--connections-per-core", "1", "--cores", "0"];
    let server = Server::start(&routes, &url, &one).ready();
    for tenant in ["t0", "t1"] {
        // On the one connection, right after who is somebody.
        let claims = format!("\"tenant\":\"{tenant}\",\"role\":\"agent\"");
        assert_eq!(get(&server, "/agents", &claims, "").status, 200);
        let response = server.get("/as-auditor/0");
        let expected = r#"{"role":"auditor","claims":"","path":"/as-auditor/0","count":90}"#;
        assert_eq!(response.text(), expected);
        assert_eq!(response.field("cache-control"), None);
        // Whoever shows a token that nobody asks for is nobody all the same.
        let expected = r#"{"role":"agent","claims":"","count":0}"#;
        assert_eq!(server.get("/as-agent").text(), expected);
        assert_eq!(get(&server, "/as-agent", &claims, "").text(), expected);
        assert_eq!(server.get("/public").text(), "\"\"");
    }
    // Roles that can't be had are faults of these routes, too.
    let (code, _, err) = check(
        &files,
        "[\"agent\", \"outsider\", \"auditor\"]",
        &(PUBLIC.replace("\"auditor\"", "\"outsider\"")),
        &url,
    );
    assert_eq!(code, Some(1));
    assert!(err.contains("can't become the role \"outsider\""), "{err}");
    let (code, out, err) = check(&files, "[\"agent\", \"auditor\"]", PUBLIC, &url);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

fn check(files: &Files, roles: &str, routes: &str, url: &str) -> (Option<i32>, String, String) {
    let file = files.0.file("routes.toml", &(files.head(roles) + routes));
    let mut command = pinion(&["check", "--database-url", url, "--routes"]);
    command.arg(file);
    ended(command)
}

#[test]
fn roles_that_can_not_be_had_are_start_up_faults() {
    let postgres = Postgres::start(SCHEMA);
    let files = Files::new();
    let url = format!("{}&user=app", postgres.url());
    let roles = "[\"agent\", \"outsider\", \"no\\\"body\"]";
    let routes = ROUTES.replace("\"auditor\"", "\"agent\"");
    let (code, out, err) = check(&files, roles, &routes, &url);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    for words in [
        "the login role can't become the role \"outsider\"",
        "the role \"no\"body\" does not exist",
        "database_role = \"claim:role\"",
    ] {
        assert!(err.contains(words), "{words:?} is not in\n{err}");
    }
    // Both routes that may run as them, and not the one that runs as another one.
    assert_eq!(err.matches("\"outsider\"").count(), 2, "{err}");
    // Nobody is warned of anything where policies hold for all.
    let (code, out, err) = check(&files, "[\"agent\", \"auditor\"]", ROUTES, &url);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    // What is told of each request can't be batched, and what is asked to be is a fault.
    assert!(out.contains("others for each request"), "{out}");
    let batched = ROUTES.replace("result = \"one\"", "result = \"one\"\nbatch = true");
    let (code, _, err) = check(&files, "[\"agent\", \"auditor\"]", &batched, &url);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("this route can't be batched: its \"settings\" are others"),
        "{err}"
    );
}

#[test]
fn whom_policies_do_not_hold_for_is_told() {
    let postgres = Postgres::start(SCHEMA);
    let files = Files::new();
    postgres.sql("create role owner login; alter table notes owner to owner; grant agent to owner");
    let login = ROUTES.replace("database_role = \"claim:role\"\n", "");
    let roles = "[\"agent\", \"auditor\"]";
    let warned = |routes: &str, user: &str, words: &str| {
        let url = format!("{}&user={user}", postgres.url());
        let (code, _, err) = check(&files, roles, routes, &url);
        assert_eq!(code, Some(0), "{err}");
        assert!(err.contains(words), "{words:?} is not in\n{err}");
    };
    let superuser = "warning: policies don't hold for the role \"postgres\", as it is a superuser: \
                     those of agents, notes";
    warned(&login, "postgres", superuser);
    postgres.sql("grant auditor, agent to owner; grant select on agents to owner");
    warned(
        &login,
        "owner",
        "for the role \"owner\", as it owns them: those of notes",
    );
    postgres.sql("alter role auditor bypassrls");
    warned(
        ROUTES,
        "app",
        "for the role \"auditor\", as it has BYPASSRLS: those of agents, notes",
    );
    // A superuser that only ever becomes another one is not above anything.
    let url = postgres.url();
    postgres.sql("alter role auditor nobypassrls");
    let without_login = ROUTES;
    let (code, _, err) = check(&files, roles, without_login, &url);
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

#[test]
fn policies_are_judged_for_the_roles_that_they_are_for() {
    let postgres = Postgres::start(SCHEMA);
    let files = Files::new();
    // Above all policies, so that its own plan has none.
    let url = postgres.url();
    let roles = "[\"agent\", \"auditor\"]";
    let batching = || {
        let (code, out, err) = check(&files, roles, ROUTES, &url);
        assert_eq!(code, Some(0), "{err}");
        let start = out.find("/agents").expect("the route");
        out[start..]
            .lines()
            .find(|line| line.contains("batched"))
            .expect("how")
            .to_owned()
    };
    assert!(batching().contains("batched: run once for all"));
    postgres.sql(
        "create function noted() returns bool language plpgsql as 'begin return true; end';
         create policy noted on agents as restrictive to auditor using (noted())",
    );
    let words = batching();
    assert!(words.contains("calls a volatile function"), "{words}");
    // A policy that would fail without any claims does so for nobody here.
    postgres.sql(
        "drop policy noted on agents;
         create policy plain on agents to agent
          using (tenant = current_setting('request.jwt.claims')::json ->> 'tenant')",
    );
    assert!(batching().contains("batched: run once for all"));
}
