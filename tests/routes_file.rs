//! A routes file of one's own over tables of one's own: what each setting does, from the outside.

mod support;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value, json};

use support::{PATIENCE, Postgres, Response, Server, Shared};

const SCHEMA: &str = r#"
create type mood as enum ('sad', 'ok', 'so happy');
create domain rating as int4 check (value between 1 and 5);
create table things (
    id int8 generated always as identity primary key,
    name text not null unique check (name <> 'forbidden'),
    rating rating,
    mood mood
);
insert into things (name, rating, mood) values ('one', 1, 'sad'), ('two', 2, 'ok'), ('three', 3, null);
create table parts (thing int8 not null references things);
insert into parts values (1);

create function fail(state text, message text) returns int4 language plpgsql as $$
begin
    raise exception '%', message using errcode = state, detail = 'secret detail', hint = 'secret hint';
end
$$;
"#;

/// The database, shared by the tests that run at the same time.
fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(SCHEMA))
}

/// One route of a file.
fn route(method: &str, path: &str, result: &str, sql: &str, more: &str) -> String {
    let name: String = path
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() {
                char
            } else {
                '_'
            }
        })
        .collect();
    let name = format!("{}{name}", method.to_lowercase());
    format!(
        "[[route]]\nname = \"{name}\"\nmethod = \"{method}\"\npath = \"{path}\"\nresult = \"{result}\"\n\
         sql = '''{sql}'''\n{more}\n"
    )
}

// ---- Results ----

#[test]
fn each_kind_of_result() {
    let postgres = postgres();
    let file = [
        route(
            "GET",
            "/one/{id}",
            "one",
            "select id, name from things where id = :id",
            "not_found = \"No such thing\"",
        ),
        route(
            "GET",
            "/one",
            "one",
            "select id from things where id < 3 order by id desc",
            "",
        ),
        route(
            "GET",
            "/many",
            "many",
            "select id, name from things where id <= :most order by id",
            "[route.params]\nmost = { in = \"query\", default = 2 }",
        ),
        route(
            "GET",
            "/scalar",
            "scalar",
            "select name from things where id = :id",
            "not_found = \"Nothing\"\n[route.params]\nid = { in = \"query\" }",
        ),
        route("GET", "/null", "scalar", "select null::int4 as nothing", ""),
        route(
            "GET",
            "/document",
            "scalar",
            "select '{\"a\": [1, 2.50]}'::jsonb as document",
            "",
        ),
        route(
            "POST",
            "/exec",
            "exec",
            "update things set rating = rating where id = 1",
            "",
        ),
        route(
            "POST",
            "/returning",
            "exec",
            "update things set rating = rating where id = :id returning id, rating",
            "[route.params]\nid = { in = \"body\" }",
        ),
        route(
            "POST",
            "/accepted",
            "exec",
            "update things set rating = rating where id = 1",
            "status = 202",
        ),
        route("POST", "/created", "one", "select 1 as one", "status = 201"),
        route(
            "POST",
            "/gone",
            "one",
            "update things set rating = 1 where id = -1 returning id",
            "empty_status = 410\nnot_found = \"Gone\"",
        ),
        route(
            "DELETE",
            "/things/{id}",
            "exec",
            "delete from things where id = :id",
            "",
        ),
        route("PUT", "/things/{id}", "one", "select :id::int4 as id", ""),
        route(
            "PATCH",
            "/things/{id}",
            "one",
            "select -:id::int4 as id",
            "",
        ),
    ]
    .concat();
    let server = Server::start(&file, &postgres.url(), &[]).ready();
    assert_answer(&server.get("/one/2"), 200, r#"{"id":2,"name":"two"}"#);
    assert_error(&server.get("/one/99"), 404, "No such thing");
    // Two rows where one was promised: no row is dropped silently.
    assert_error(&server.get("/one"), 500, "Result too large");
    assert_answer(
        &server.get("/many"),
        200,
        r#"[{"id":1,"name":"one"},{"id":2,"name":"two"}]"#,
    );
    assert_answer(&server.get("/many?most=0"), 200, "[]");
    assert_answer(&server.get("/scalar?id=3"), 200, "\"three\"");
    assert_error(&server.get("/scalar?id=0"), 404, "Nothing");
    assert_answer(&server.get("/null"), 200, "null");
    assert_answer(&server.get("/document"), 200, r#"{"a": [1, 2.50]}"#);
    let exec = server.send("POST", "/exec", "");
    assert_eq!(
        (exec.status, exec.body.len(), exec.field("content-type")),
        (204, 0, None)
    );
    assert_answer(
        &server.send("POST", "/returning", "{\"id\":1}"),
        200,
        r#"[{"id":1,"rating":1}]"#,
    );
    assert_answer(&server.send("POST", "/returning", "{\"id\":0}"), 200, "[]");
    let accepted = server.send("POST", "/accepted", "");
    assert_eq!((accepted.status, accepted.body.len()), (202, 0));
    assert_answer(&server.send("POST", "/created", ""), 201, r#"{"one":1}"#);
    assert_error(&server.send("POST", "/gone", ""), 410, "Gone");
    assert_eq!(
        server.client().request("DELETE", "/things/0", None).status,
        204
    );
    assert_answer(&server.send("PUT", "/things/7", ""), 200, r#"{"id":7}"#);
    assert_answer(&server.send("PATCH", "/things/7", ""), 200, r#"{"id":-7}"#);
}

#[test]
fn a_result_past_max_rows_is_an_error_and_not_a_part() {
    let postgres = postgres();
    let rows = |path, more: &str| {
        let sql = "select n from generate_series(1, :count::int4) n";
        let params = "[route.params]\ncount = { in = \"query\" }";
        route("GET", path, "many", sql, &format!("{more}\n{params}"))
    };
    let file = rows("/few", "max_rows = 3") + &rows("/default", "");
    let mut server = Server::start(&file, &postgres.url(), &[]).ready();
    assert_answer(
        &server.get("/few?count=3"),
        200,
        r#"[{"n":1},{"n":2},{"n":3}]"#,
    );
    assert_error(&server.get("/few?count=4"), 500, "Result too large");
    let line = server.wait_for_line("larger than the route allows");
    assert!(
        line.contains("get_few") && line.contains("rows=4") && line.contains("rows_max=3"),
        "{line}"
    );
    assert_eq!(
        server
            .get("/default?count=1000")
            .json()
            .as_array()
            .unwrap()
            .len(),
        1000
    );
    assert_error(&server.get("/default?count=1001"), 500, "Result too large");
    // The connection lives on, and so does the route.
    let mut client = server.client();
    assert_eq!(client.request("GET", "/few?count=5", None).status, 500);
    assert_eq!(client.request("GET", "/few?count=2", None).status, 200);
}

#[test]
fn a_health_route_of_ones_own_takes_the_place_of_the_built_in_one() {
    let postgres = postgres();
    let file = route("GET", "/health", "one", "select 'mine' as status", "");
    let server = Server::start(&file, &postgres.url(), &[]).ready();
    assert_answer(&server.get("/health"), 200, r#"{"status":"mine"}"#);
    assert_answer(&server.get("/ready"), 200, r#"{"status":"ready"}"#);
}

// ---- Parameters ----

#[test]
fn values_from_query_and_header() {
    let postgres = postgres();
    let params = r#"
[route.params]
ids = { in = "query", default = [1, 2] }
names = { in = "query", nullable = true }
page = { in = "query", default = 1, ge = 1, le = 9 }
flag = { in = "query", nullable = true }
tenant = { in = "header", name = "X-Tenant", pattern = "^[a-z]+$" }
depth = { in = "header", default = 3 }
mood = { in = "query", default = "ok" }
rating = { in = "query", nullable = true }
"#;
    let sql = "select :ids::int8[] as ids, :names::text[] as names, :page::int2 as page, :flag::bool as flag, \
               :tenant::text as tenant, :depth::int4 as depth, :mood::mood as mood, :rating::rating as rating";
    let server = Server::start(
        &route("GET", "/echo", "one", sql, params),
        &postgres.url(),
        &[],
    )
    .ready();
    let mut client = server.client();
    let mut get = |query: &str, fields: &str| {
        client.send(format!(
            "GET /echo?{query} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"
        ));
        client.response()
    };
    assert_answer(
        &get("", "x-tenant: acme\r\n"),
        200,
        r#"{"ids":[1,2],"names":null,"page":1,"flag":null,"tenant":"acme","depth":3,"mood":"ok","rating":null}"#,
    );
    assert_answer(
        &get(
            "ids=7&names=a%2Cb&ids=-8&names=&page=9&flag=yes&mood=so+happy&rating=5",
            "X-TENANT: acme\r\nDepth: 12\r\n",
        ),
        200,
        r#"{"ids":[7,-8],"names":["a,b",""],"page":9,"flag":true,"tenant":"acme","depth":12,"mood":"so happy","rating":5}"#,
    );
    assert_details(
        &get(
            "ids=7&ids=x&page=10&flag=maybe&mood=angry&rating=five",
            "X-Tenant: ACME\r\nDepth: deep\r\n",
        ),
        json!([
            {"loc": ["query", "ids"], "msg": "Input should be a valid integer", "type": "int_parsing"},
            {"loc": ["query", "page"], "msg": "Input should be less than or equal to 9", "type": "less_than_equal"},
            {"loc": ["query", "flag"], "msg": "Input should be a valid boolean", "type": "bool_parsing"},
            {"loc": ["query", "mood"], "msg": "Input should be one of 'sad', 'ok', 'so happy'", "type": "enum"},
            {"loc": ["query", "rating"], "msg": "Input should be a valid integer", "type": "int_parsing"},
            {"loc": ["header", "X-Tenant"], "msg": "String should match pattern '^[a-z]+$'", "type": "string_pattern_mismatch"},
            {"loc": ["header", "depth"], "msg": "Input should be a valid integer", "type": "int_parsing"},
        ]),
    );
    assert_details(
        &get("", ""),
        json!([{"loc": ["header", "X-Tenant"], "msg": "Field required", "type": "missing"}]),
    );
    // What only the database knows of the domain is a 422 as well.
    assert_error(
        &get("rating=6", "X-Tenant: acme\r\n"),
        422,
        "A value is not acceptable",
    );
}

#[test]
fn a_whole_body() {
    let postgres = postgres();
    let whole = "[route.params]\ndocument = { in = \"body\", whole = true }";
    let nullable = "[route.params]\ndocument = { in = \"body\", whole = true, nullable = true }";
    let file = [
        route(
            "POST",
            "/json",
            "scalar",
            "select :document::json as document",
            whole,
        ),
        route(
            "POST",
            "/jsonb",
            "scalar",
            "select :document::jsonb as document",
            whole,
        ),
        route(
            "POST",
            "/optional",
            "scalar",
            "select :document::jsonb is null as is_null",
            nullable,
        ),
    ]
    .concat();
    let server = Server::start(&file, &postgres.url(), &[]).ready();
    let document = r#"{"b": 1, "a": [1.50, "é", null, 12345678901234567890.123456789]}"#;
    assert_answer(&server.send("POST", "/json", document), 200, document);
    let response = server.send("POST", "/jsonb", document);
    let expected = r#"{"a": [1.50, "é", null, 12345678901234567890.123456789], "b": 1}"#;
    assert_answer(&response, 200, expected);
    for scalar in ["1", "\"x\"", "true", "[]"] {
        assert_answer(&server.send("POST", "/jsonb", scalar), 200, scalar);
    }
    let missing = json!([{"loc": ["body"], "msg": "Field required", "type": "missing"}]);
    assert_details(&server.send("POST", "/json", ""), missing);
    assert_eq!(server.send("POST", "/json", "{\"a\":}").status, 400);
    let null =
        json!([{"loc": ["body"], "msg": "Input should not be null", "type": "null_forbidden"}]);
    assert_details(&server.send("POST", "/json", "null"), null);
    assert_answer(&server.send("POST", "/optional", ""), 200, "true");
    assert_answer(&server.send("POST", "/optional", "null"), 200, "true");
    assert_answer(&server.send("POST", "/optional", "{}"), 200, "false");
}

#[test]
fn values_go_round_through_the_database() {
    let postgres = postgres();
    let types = [
        "numeric",
        "timestamptz",
        "uuid",
        "bytea",
        "mood",
        "rating",
        "text[]",
        "int8",
        "float8",
        "date",
        "interval",
        "jsonb",
    ];
    let file: String = types
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let params = "[route.params]\nvalue = { in = \"body\" }";
            route(
                "POST",
                &format!("/body{index}"),
                "scalar",
                &format!("select :value::{name} as value"),
                params,
            ) + &route(
                "GET",
                &format!("/query{index}"),
                "scalar",
                &format!("select :value::{name} as value"),
                "[route.params]\nvalue = { in = \"query\" }",
            )
        })
        .collect();
    let server = Server::start(&file, &postgres.url(), &[]).ready();
    for (name, sent, expected) in [
        (
            "numeric",
            "12345678901234567890.123456789",
            "12345678901234567890.123456789",
        ),
        ("numeric", "\"0.10\"", "0.10"),
        ("numeric", "1e-20", "0.00000000000000000001"),
        (
            "timestamptz",
            "\"2024-02-29T23:59:59.123456+02:00\"",
            "\"2024-02-29T21:59:59.123456+00:00\"",
        ),
        (
            "timestamptz",
            "\"2024-02-29T12:00:00Z\"",
            "\"2024-02-29T12:00:00+00:00\"",
        ),
        (
            "uuid",
            "\"00000000-0000-4000-8000-0000000000AB\"",
            "\"00000000-0000-4000-8000-0000000000ab\"",
        ),
        ("bytea", "\"\\\\xdeadBEEF\"", "\"\\\\xdeadbeef\""),
        ("mood", "\"so happy\"", "\"so happy\""),
        ("rating", "5", "5"),
        (
            "text[]",
            "[\"a\",null,\"\\\"\",\"\"]",
            "[\"a\",null,\"\\\"\",\"\"]",
        ),
        ("int8", "9223372036854775807", "9223372036854775807"),
        ("float8", "0.1", "0.1"),
        ("float8", "1e300", "1e+300"),
        ("date", "\"2024-02-29\"", "\"2024-02-29\""),
        ("interval", "\"PT36H\"", "\"36:00:00\""),
        ("jsonb", "{\"a\":1}", "{\"a\": 1}"),
    ] {
        let index = types.iter().position(|known| *known == name).unwrap();
        let response = server.send(
            "POST",
            &format!("/body{index}"),
            &format!("{{\"value\":{sent}}}"),
        );
        assert_answer(&response, 200, expected);
        if let Some(text) = sent
            .strip_prefix('"')
            .and_then(|sent| sent.strip_suffix('"'))
        {
            let text = text
                .replace("\\\\", "%5C")
                .replace('+', "%2B")
                .replace(' ', "%20");
            assert_answer(
                &server.get(&format!("/query{index}?value={text}")),
                200,
                expected,
            );
        }
    }
}

// ---- What the database refuses ----

#[test]
fn each_sqlstate_has_its_status_and_no_database_text_leaks() {
    let postgres = postgres();
    let params = "[route.params]\nstate = { in = \"query\" }\nmessage = { in = \"query\", default = \"secret words\" }";
    let file = route(
        "POST",
        "/fail",
        "scalar",
        "select fail(:state, :message) as nothing",
        params,
    ) + &route(
        "GET",
        "/read",
        "scalar",
        "select fail(:state, :message) as nothing",
        params,
    ) + &route(
        "POST",
        "/things",
        "exec",
        "insert into things (name) values (:name)",
        "[route.params]\nname = { in = \"body\", nullable = true }",
    ) + &route(
        "DELETE",
        "/things/{id}",
        "exec",
        "delete from things where id = :id",
        "",
    );
    let mut server = Server::start(&file, &postgres.url(), &[]).ready();
    let mut client = server.client();
    for (state, status) in [
        ("23505", 409),
        ("23503", 409),
        ("23514", 422),
        ("23502", 422),
        ("22003", 422),
        ("22P02", 422),
        ("22012", 422),
        ("40001", 409),
        ("40P01", 409),
        ("42501", 403),
        ("57014", 504),
        ("42P01", 500),
        ("P0002", 500),
        ("XX000", 500),
        ("0A000", 500),
        ("25006", 503),
    ] {
        for method in ["POST /fail", "GET /read"] {
            let (method, path) = method.split_once(' ').unwrap();
            let response = client.request(method, &format!("{path}?state={state}"), None);
            assert_eq!(
                response.status,
                status,
                "{method} {state}: {}",
                response.text()
            );
            assert!(
                !response.text().contains("secret"),
                "{state}: {}",
                response.text()
            );
            assert_eq!(names(&response.json()), ["error", "code", "request_id"]);
        }
    }
    let raised = client.request("POST", "/fail?state=P0001&message=The+shop+is+closed", None);
    assert_error(&raised, 400, "The shop is closed");
    assert!(!raised.text().contains("secret"));
    // Real faults of real tables.
    let insert = |body| server.send("POST", "/things", body);
    assert_error(
        &insert("{\"name\":\"one\"}"),
        409,
        "Conflict: it exists already",
    );
    assert_error(
        &insert("{\"name\":\"forbidden\"}"),
        422,
        "A value is not acceptable",
    );
    assert_error(&insert("{\"name\":null}"), 422, "A value is not acceptable");
    let used = client.request("DELETE", "/things/1", None);
    assert_error(
        &used,
        409,
        "Conflict: a related record is missing or still in use",
    );
    // The log has what the client must not see.
    let line = server.wait_for_line("42P01");
    assert!(
        line.contains("secret words") && line.contains("post_fail"),
        "{line}"
    );
}

#[test]
fn states_that_speak_of_the_server_are_answered_503() {
    let postgres = postgres();
    let params = "[route.params]\nstate = { in = \"query\" }";
    let file = route(
        "POST",
        "/write",
        "scalar",
        "select fail(:state, 'secret') as nothing",
        params,
    ) + &route(
        "GET",
        "/read",
        "scalar",
        "select fail(:state, 'secret') as nothing",
        params,
    );
    let server = Server::start(&file, &postgres.url(), &[]).ready();
    for state in ["53300", "57P03", "08006"] {
        for (method, path) in [("POST", "/write"), ("GET", "/read")] {
            let response = server
                .client()
                .request(method, &format!("{path}?state={state}"), None);
            assert_eq!(
                response.status,
                503,
                "{method} {state}: {}",
                response.text()
            );
            assert!(!response.text().contains("secret"), "{}", response.text());
        }
    }
    assert_eq!(server.get("/read?state=42501").status, 403);
}

// ---- Time and lanes ----

const SECONDS: &str = "[route.params]\nseconds = { in = \"query\", type = \"float8\" }";

#[test]
fn a_route_of_a_timeout_of_its_own() {
    let postgres = postgres();
    let file = route(
        "GET",
        "/short",
        "one",
        &sleep("short"),
        &format!("timeout = \"100ms\"\n{SECONDS}"),
    ) + &route(
        "GET",
        "/long",
        "one",
        &sleep("long"),
        &format!("timeout = \"10s\"\n{SECONDS}"),
    ) + &route("GET", "/default", "one", &sleep("default_one"), SECONDS);
    let server = Server::start(&file, &postgres.url(), &["--statement-timeout", "300ms"]).ready();
    let message = "The database did not answer in time";
    assert_error(&server.get("/short?seconds=20"), 504, message);
    assert_error(&server.get("/default?seconds=20"), 504, message);
    assert_eq!(server.get("/short?seconds=0").status, 200);
    assert_eq!(server.get("/long?seconds=0.6").status, 200);
    assert_eq!(server.get("/default?seconds=0").status, 200);
}

#[test]
fn a_full_lane_does_not_delay_another_and_refuses_past_its_queue() {
    let postgres = postgres();
    // One connection takes 64 statements; two more wait; the next is refused.
    let file = "[lane.slow]\nconnections = 1\nqueue = 2\n".to_owned()
        + &route(
            "GET",
            "/slow",
            "one",
            &sleep("full"),
            &format!("lane = \"slow\"\n{SECONDS}"),
        )
        + &route("GET", "/fast", "one", "select 1 as one", "");
    let flags = ["--statement-timeout", "0s", "--acquire-timeout", "60s"];
    let server = Server::start(&file, &postgres.url(), &flags).ready();
    let request =
        |seconds: &str| format!("GET /slow?seconds={seconds} HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut first = server.client();
    first.send(request("600"));
    wait_until("the first one sleeps", || sleeps(&postgres, "full"));
    let taken = pinion::limits::PIPELINE_DEPTH_MAX as usize - 1 + 2;
    let mut others: Vec<_> = (0..taken + 5).map(|_| server.client()).collect();
    for client in &mut others {
        client.send(request("0"));
    }
    for _ in 0..20 {
        assert_eq!(server.get("/fast").status, 200);
    }
    assert!(
        sleeps(&postgres, "full"),
        "the fast lane waited for the slow one"
    );
    wake(&postgres, "full");
    assert_eq!(first.response().status, 504);
    let responses: Vec<Response> = others.iter_mut().map(|client| client.response()).collect();
    let (answered, refused): (Vec<_>, Vec<_>) = responses
        .iter()
        .partition(|response| response.status == 200);
    assert_eq!((answered.len(), refused.len()), (taken, 5));
    for response in refused {
        assert_error(response, 503, "Too many requests in flight");
        assert_eq!(response.field("retry-after"), Some("1"));
    }
}

#[test]
fn a_request_waits_for_a_place_no_longer_than_the_acquire_timeout() {
    let postgres = postgres();
    // Routes that may be cancelled have a connection to themselves at a time.
    let file = "[lane.slow]\nconnections = 1\n".to_owned()
        + &route(
            "GET",
            "/slow",
            "one",
            &sleep("held"),
            &format!("lane = \"slow\"\ncancel = true\n{SECONDS}"),
        );
    let flags = ["--statement-timeout", "0s", "--acquire-timeout", "200ms"];
    let server = Server::start(&file, &postgres.url(), &flags).ready();
    let mut holder = server.client();
    holder.send("GET /slow?seconds=600 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the place is taken", || sleeps(&postgres, "held"));
    let refused = server.get("/slow?seconds=0");
    assert_error(&refused, 503, "No database connection became free in time");
    assert_eq!(refused.field("retry-after"), Some("1"));
    wake(&postgres, "held");
    assert_eq!(holder.response().status, 504);
    assert_eq!(server.get("/slow?seconds=0").status, 200);
}

#[test]
fn a_statement_is_cancelled_when_its_client_goes_where_the_route_asks_for_it() {
    let postgres = postgres();
    let file = "[lane.slow]\nconnections = 1\n".to_owned()
        + &route(
            "GET",
            "/cancelled",
            "one",
            &sleep("cancelled"),
            &format!("lane = \"slow\"\ncancel = true\n{SECONDS}"),
        )
        + &route("GET", "/kept", "one", &sleep("kept"), SECONDS);
    let server = Server::start(&file, &postgres.url(), &["--statement-timeout", "0s"]).ready();
    let mut kept = server.client();
    kept.send("GET /kept?seconds=600 HTTP/1.1\r\nHost: test\r\n\r\n");
    for _ in 0..3 {
        let mut client = server.client();
        client.send("GET /cancelled?seconds=77 HTTP/1.1\r\nHost: test\r\n\r\n");
        wait_until("it sleeps", || sleeps(&postgres, "cancelled"));
        drop(client);
        wait_until("it is cancelled", || !sleeps(&postgres, "cancelled"));
        // The lane's only connection is there again, and nothing of the cancellation hits it.
        assert_eq!(server.get("/cancelled?seconds=0").status, 200);
    }
    drop(kept);
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        sleeps(&postgres, "kept"),
        "a route that does not ask for it is not cancelled"
    );
}

/// A statement that sleeps; its column's name tells the tests' statements apart.
fn sleep(tag: &str) -> String {
    format!("select 1 as {tag} from pg_sleep(:seconds)")
}

/// Whether the statement with this column sleeps now, on exactly one connection.
fn sleeps(postgres: &Postgres, tag: &str) -> bool {
    let count = postgres.sql(&format!(
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and query like '% {tag} %'"
    ));
    count == "1"
}

/// Ends the sleep of the statement with this column.
fn wake(postgres: &Postgres, tag: &str) {
    postgres.sql(&format!(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and query like '% {tag} %'"
    ));
}

// ---- Helpers ----

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "it does not happen that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn names(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, _)| name)
        .collect()
}

fn assert_answer(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, response.text()), (status, body));
    assert_eq!(response.field("content-type"), Some("application/json"));
}

fn assert_error(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.json()["error"].as_str(), Some(message));
    assert_eq!(response.json()["code"].as_u64(), Some(u64::from(status)));
}

fn assert_details(response: &Response, details: Value) {
    assert_eq!(response.status, 422, "{}", response.text());
    assert_eq!(response.json()["details"], details, "{}", response.text());
}
