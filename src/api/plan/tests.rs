use super::super::{Resolved, load, table};
use super::*;

fn api(result: &str, sql: &str, rest: &str) -> Api {
    let text = format!(
        "[[route]]\nname = \"r\"\nmethod = \"POST\"\npath = \"/r/{{id}}\"\nresult = \"{result}\"\nsql = '''\n{sql}\n'''\n{rest}\n"
    );
    load("api.toml", &text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn column(name: &str, ty: Type) -> (String, Type) {
    (name.to_owned(), ty)
}

/// Line, column and message of each fault.
fn faults(api: &Api, params: &[Type], columns: &[(String, Type)]) -> Vec<String> {
    let faults = api.routes[0]
        .plan(api, params, columns)
        .expect_err("a fault");
    faults
        .iter()
        .map(|fault| format!("{}:{} {}", fault.line(), fault.column(), fault.message()))
        .collect()
}

#[test]
fn results_need_their_columns() {
    let id = [Type::INT8];
    for result in ["one", "many", "scalar"] {
        let api = api(result, "delete from t where id = :id", "");
        let message = format!("5:10 result = \"{result}\", but the statement returns no columns");
        assert_eq!(faults(&api, &id, &[]), [message]);
    }
    let scalar = api("scalar", "select 1, 2 where 3 = :id", "");
    let two = [column("a", Type::INT4), column("b", Type::INT4)];
    assert_eq!(
        faults(&scalar, &id, &two),
        ["5:10 result = \"scalar\" takes one column, the statement returns 2"]
    );
    assert!(scalar.routes[0].plan(&scalar, &id, &two[..1]).is_ok());
    let exec = api("exec", "delete from t where id = :id", "status = 204");
    assert!(exec.routes[0].plan(&exec, &id, &[]).is_ok());
    assert_eq!(
        faults(&exec, &id, &two),
        ["5:10 a 204 answer has no body, but the statement returns rows"]
    );
    let exec = api("exec", "delete from t where id = :id returning a, b", "");
    assert!(exec.routes[0].plan(&exec, &id, &two).is_ok());
}

#[test]
fn columns_and_parameters_need_a_known_type() {
    let api = api("many", "  select * from t where p = :id", "");
    let columns = [
        column("a", Type::POINT),
        column("b", Type::INT4),
        column("b", Type::INT8),
    ];
    assert_eq!(
        faults(&api, &[Type::POINT], &columns),
        [
            "7:29 :id is of type point, which is not supported",
            "7:3 two columns are named \"b\"",
            "7:3 column \"a\" is of type point, which is not supported",
        ]
    );
}

#[test]
fn constraints_need_their_type() {
    let with = |entry: &str, ty: Type| {
        let api = api(
            "exec",
            "select f(:id, :q)",
            &format!("[route.params]\nq = {{ in = \"query\", {entry} }}"),
        );
        match api.routes[0].plan(&api, &[Type::INT8, ty], &[]) {
            Ok(_) => "ok".to_owned(),
            Err(faults) => faults
                .iter()
                .map(|fault| format!("{} {}", fault.column(), fault.message()))
                .collect(),
        }
    };
    assert_eq!(with("ge = 1", Type::INT4), "ok");
    assert_eq!(with("ge = 1", Type::NUMERIC), "ok");
    assert_eq!(
        with("ge = 1", Type::TEXT),
        "26 \"ge\" is only for a number, :q is text"
    );
    assert_eq!(
        with("le = 1", Type::DATE),
        "26 \"le\" is only for a number, :q is date"
    );
    assert_eq!(with("min_length = 1", Type::TEXT), "ok");
    assert_eq!(
        with("min_length = 1", Type::INT4),
        "34 \"min_length\" is only for a text, :q is int4"
    );
    assert_eq!(
        with("max_length = 1", Type::TEXT_ARRAY),
        "34 \"max_length\" is only for a text, :q is text[]"
    );
    assert_eq!(
        with("pattern = 'a'", Type::UUID),
        "31 \"pattern\" is only for a text, :q is uuid"
    );
    assert_eq!(with("enum = ['2024-01-01']", Type::DATE), "ok");
    assert_eq!(
        with("enum = [1, 'x']", Type::INT4),
        "28 'x' can't be int4: Input should be a valid integer"
    );
    assert_eq!(
        with("enum = [1]", Type::INT4_ARRAY),
        "28 \"enum\" is only for a single value, :q is int4[]"
    );
    assert_eq!(
        with("enum = ['{}']", Type::JSONB),
        "28 \"enum\" is only for a single value, :q is jsonb"
    );
    assert_eq!(
        with("default = 'x'", Type::INT4),
        "31 the default can't be int4: Input should be a valid integer"
    );
    assert_eq!(with("default = [1, 2]", Type::INT4_ARRAY), "ok");
    assert_eq!(
        with("default = 1", Type::INT4_ARRAY),
        "31 the default can't be int4[]: it is no list, write [ … ]"
    );
    assert_eq!(
        with("default = [1]", Type::INT4),
        "31 the default can't be int4: it is a list"
    );
    assert_eq!(
        with("default = '5', ge = 6", Type::INT4),
        "31 the default can't be int4: Input should be greater than or equal to 6"
    );
    assert_eq!(with("default = 2024-01-01", Type::DATE), "ok");
    assert_eq!(with("default = true", Type::BOOL), "ok");
    assert_eq!(with("nullable = true", Type::BOOL), "ok");
}

#[test]
fn whole_bodies_are_json_and_paths_hold_one_value() {
    let whole = api(
        "exec",
        "select f(:id, :doc)",
        "params.doc = { in = \"body\", whole = true }",
    );
    assert_eq!(
        faults(&whole, &[Type::INT8, Type::TEXT], &[]),
        ["9:37 the whole body is json or jsonb, :doc is text"]
    );
    assert!(
        whole.routes[0]
            .plan(&whole, &[Type::INT8, Type::JSONB], &[])
            .is_ok()
    );
    assert_eq!(
        faults(&whole, &[Type::INT8_ARRAY, Type::JSON], &[]),
        ["4:8 a path holds one value, :id is int8[]"]
    );
    assert_eq!(
        faults(&whole, &[Type::INT8], &[]),
        ["7:1 Postgres sees 1 parameters in this statement, not 2"]
    );
}

#[test]
fn what_postgres_refuses_is_shown_where_it_stands() {
    let api = api(
        "many",
        "select é, nope\n  from t where id = :id and x = :id",
        "",
    );
    let route = &api.routes[0];
    let sent = &route.statement.text;
    let position = |word: &str| Some(sent[..sent.find(word).unwrap()].chars().count() as u32 + 1);
    let fault = route.prepare_fault(
        &api,
        "column \"nope\" does not exist",
        position("nope"),
        None,
    );
    assert_eq!(
        fault.to_string(),
        "error: Postgres: column \"nope\" does not exist\n --> api.toml:7:11\n  |\n7 | select é, nope\n  |           ^^^^\n"
    );
    let fault = route.prepare_fault(
        &api,
        "operator does not exist: t = $1",
        position("$1 and"),
        Some("Add a\ncast to $1."),
    );
    assert_eq!(
        fault.to_string(),
        "error: Postgres: operator does not exist: t = :id\n --> api.toml:8:21\n  |\n8 |   from t where id = :id and x = :id\n  |                     ^^^\n  = help: Add a cast to :id.\n"
    );
    let fault = route.prepare_fault(
        &api,
        "could not determine data type of parameter $1",
        None,
        None,
    );
    assert_eq!((fault.line(), fault.column()), (8, 21));
    assert!(
        fault
            .to_string()
            .contains("= help: cast it, :id::text, or pin it: id = { type = \"text\" }"),
        "{fault}"
    );
    let fault = route.prepare_fault(&api, "permission denied for $9 or $", None, None);
    assert_eq!(
        (fault.line(), fault.column(), fault.message()),
        (7, 1, "Postgres: permission denied for $9 or $")
    );
}

#[test]
fn the_table_shows_what_was_resolved() {
    let text = r#"
[[route]]
name = "get_user"
method = "GET"
path = "/users/{user_id}"
result = "one"
sql = "select user_id, username, tags from users where user_id = :user_id"

[[route]]
name = "search"
method = "POST"
path = "/search"
result = "exec"
sql = "select f(:tenant, :kind, :limit, :note)"
[route.params]
tenant = { in = "header", name = "X-Tenant" }
kind = { in = "query", enum = ["a", "b"], nullable = true }
limit = { in = "query", default = 50, ge = 1, le = 500 }
note = { in = "body", nullable = true, max_length = 9, pattern = "^x" }
"#;
    let api = load("api.toml", text).unwrap();
    let columns = [
        column("user_id", Type::INT8),
        column("username", Type::TEXT),
        column("tags", Type::TEXT_ARRAY),
    ];
    let user = api.routes[0].plan(&api, &[Type::INT8], &columns).unwrap();
    let search = api.routes[1]
        .plan(&api, &[Type::UUID, Type::TEXT, Type::INT4, Type::TEXT], &[])
        .unwrap();
    let resolved = [
        (user, "batched"),
        (search, "not batched: it is not read-only"),
    ];
    let resolved = resolved.map(|(plan, batching)| Resolved {
        plan,
        batching: batching.to_owned(),
    });
    let shown = table(&api, &resolved);
    let expected = "\
GET     /users/{user_id}  get_user  one   batched
        user_id  path  int8  required
        → user_id   int8    integer
        → username  text    string
        → tags      text[]  array of string

POST    /search           search    exec  not batched: it is not read-only
        tenant  header X-Tenant  uuid  required
        kind    query            text  optional, nullable, enum 'a' 'b'
        limit   query            int4  default 50, ge 1, le 500
        note    body             text  optional, nullable, max_length 9, pattern ^x
";
    assert_eq!(shown, expected, "\n{shown}");
}
