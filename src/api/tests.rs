//! Whole files: what loads, and every fault with its exact place.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::*;
use crate::limits;

/// The example of the design document, which every reader of it tries first.
const SHOP: &str = r#"
[api]
title = "Shop"
version = "1.0.0"

[lane.slow]
connections = 2
queue = 10

[[route]]
name = "get_user"              # operation id and metric label, unique
method = "GET"
path = "/users/{user_id}"
result = "one"                 # one | many | exec | scalar
not_found = "User not found"
sql = '''
select user_id, username, email, last_active
  from users
 where user_id = :user_id and deleted_at is null
'''

[[route]]
name = "list_products"
method = "GET"
path = "/products"
result = "many"
timeout = "250ms"
lane = "slow"
sql = '''
select product_id, name, price from products
 where (:category::text is null or category = :category)
   and product_id > :after
 order by product_id limit :limit
'''
[route.params]
category = { in = "query", nullable = true }
after    = { in = "query", default = 0 }
limit    = { in = "query", default = 50, ge = 1, le = 500 }

[[route]]
name = "reserve"
method = "POST"
path = "/inventory/{sku}/reserve"
result = "one"
empty_status = 409
not_found = "Out of stock"
status = 201
cancel = true
sql = "update stock set free = free - :quantity where sku = :sku and free >= :quantity returning free"
params.quantity = { in = "body", type = "int4", ge = 1 }
params.sku = { type = "text", min_length = 1 }
"#;

/// A file of one route from its lines after the usual ones.
fn one_route(lines: &str) -> String {
    format!("[[route]]\nname = \"r\"\nmethod = \"GET\"\npath = \"/r\"\n{lines}")
}

fn faults(text: &str) -> String {
    match load("api.toml", text) {
        Ok(_) => panic!("no fault in:\n{text}"),
        Err(faults) => faults.to_string(),
    }
}

/// The faults in short: line, column, message and help.
pub(super) fn listed(text: &str) -> Vec<String> {
    let faults = load("api.toml", text).expect_err(text);
    let line = |fault: &Diagnostic| {
        let shown = fault.to_string();
        let help = shown
            .split_once("= help: ")
            .map_or(String::new(), |(_, help)| format!(" | {}", help.trim()));
        format!(
            "{}:{} {}{help}",
            fault.line(),
            fault.column(),
            fault.message()
        )
    };
    faults.iter().map(line).collect()
}

#[test]
fn the_example_loads() {
    let api = load("shop.toml", SHOP).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(
        (api.title.as_str(), api.version.as_str()),
        ("Shop", "1.0.0")
    );
    assert_eq!(
        api.lanes[0],
        Lane {
            name: "default".into(),
            connections: None,
            queue: None
        }
    );
    assert_eq!(
        api.lanes[1],
        Lane {
            name: "slow".into(),
            connections: Some(2),
            queue: Some(10)
        }
    );
    let [user, products, reserve] = api.routes.as_slice() else {
        panic!("three routes")
    };

    assert_eq!(user.result, ResultKind::One);
    assert_eq!(
        (user.not_found.as_str(), user.empty_status),
        ("User not found", 404)
    );
    assert!(user.read_only && !user.cancel && user.timeout.is_none() && user.lane == 0);
    assert_eq!(
        (user.params[0].source, user.params[0].name.as_str()),
        (In::Path, "user_id")
    );

    assert!(
        products
            .statement
            .text
            .contains("($1::text is null or category = $1)")
    );
    let names: Vec<&str> = products
        .params
        .iter()
        .map(|param| param.name.as_str())
        .collect();
    assert_eq!(names, ["category", "after", "limit"]);
    assert_eq!(products.timeout, Some(Duration::from_millis(250)));
    assert_eq!((products.lane, products.max_rows), (1, limits::ROWS_MAX));
    assert_eq!(
        products.params[2].default,
        Some(Literal::Number("50".into()))
    );

    assert!(!reserve.read_only && reserve.cancel);
    assert_eq!((reserve.status, reserve.empty_status), (Some(201), 409));
    assert_eq!(reserve.pinned_types(), [Type::INT4, Type::TEXT]);
    assert!(matches!(
        api.router.find(Some(Method::Get), "/users/7"),
        Found::Route { index: 0, .. }
    ));
    assert!(matches!(
        api.router.find(Some(Method::Post), "/inventory/a/reserve"),
        Found::Route { index: 2, .. }
    ));
}

#[test]
fn several_faults_are_shown_as_a_compiler_shows_them() {
    let text = "[[route]]\nname = \"get user\"\nmetod = \"GET\"\npath = \"/users/{id}\"\nresult = \"one\"\nsql = '''\nselect *\n  from users where id = :user_id\n'''\n";
    assert_eq!(
        faults(text),
        r#"error: [[route]] has no "method"
 --> api.toml:1:1
  |
1 | [[route]]
  | ^^^^^^^^^
"#
        .to_owned()
            + r#"
error: "get user" can't name a route
 --> api.toml:2:8
  |
2 | name = "get user"
  |        ^^^^^^^^^^
  = help: names are ASCII letters, digits and _

error: unknown key "metod" in [[route]]
 --> api.toml:3:1
  |
3 | metod = "GET"
  | ^^^^^
  = help: did you mean "method"?

error: unused parameter "id"
 --> api.toml:4:8
  |
4 | path = "/users/{id}"
  |        ^^^^^^^^^^^^^
  = help: use :id in the SQL, or take the parameter out

error: ":user_id" is not declared
 --> api.toml:8:25
  |
8 |   from users where id = :user_id
  |                         ^^^^^^^^
  = help: declare it: user_id = { in = "query" } under [route.params]

5 faults in api.toml"#
    );
}

#[test]
fn syntax_faults_have_their_place() {
    assert_eq!(
        listed("[api]\ntitle = \"a\nx = 1"),
        ["2:11 invalid basic string, expected `\"`"]
    );
    assert_eq!(listed("a = 1\na = 2"), ["2:1 duplicate key"]);
    let two = listed("[api]\ntitle = \nversion = \n");
    assert_eq!(two.len(), 2, "{two:?}");
}

#[test]
fn tables_of_the_file() {
    assert_eq!(
        listed(""),
        ["1:1 the file declares no route | begin one with [[route]]"]
    );
    assert_eq!(
        listed("[route]\nname = \"a\""),
        [
            "1:1 \"route\" must be a list of tables, not a table | write [[route]], with two brackets"
        ]
    );
    let valid = one_route("result = \"one\"\nsql = \"select 1\"\n");
    let with = |head: &str| listed(&format!("{head}\n{valid}"));
    let guards = guards::TABLES.join(", ");
    assert_eq!(
        with("[nonsense]"),
        [format!(
            "1:2 unknown key \"nonsense\" in the file | known here: api, lane, route, {guards}"
        )]
    );
    assert_eq!(
        with("[lanes.a]"),
        ["1:2 unknown key \"lanes\" in the file | did you mean \"lane\"?"]
    );
    assert_eq!(
        with("[api]\ntitel = \"a\""),
        ["2:1 unknown key \"titel\" in [api] | did you mean \"title\"?"]
    );
    assert_eq!(
        with("[api]\ntitle = 1"),
        ["2:9 \"title\" must be a string, not an integer"]
    );
    assert_eq!(
        with("[lane.a]\nconnections = 0"),
        ["2:15 \"connections\" must be 1 to 1000"]
    );
    assert_eq!(
        with("[lane.a]\nconnections = 1001"),
        ["2:15 \"connections\" must be 1 to 1000"]
    );
    assert_eq!(
        with("[lane.a]\nqueue = -1"),
        ["2:9 \"queue\" must be 0 to 1000000"]
    );
    assert_eq!(
        with("[lane.a]\nqueue = 1.5"),
        ["2:9 \"queue\" must be a whole number, not a float"]
    );
    assert_eq!(
        with("[lane.a-b]"),
        ["1:7 \"a-b\" can't name a lane | names are ASCII letters, digits and _"]
    );
    assert_eq!(
        with("lane = 1"),
        ["1:8 \"lane\" must be a table, not an integer | write [lane.NAME]"]
    );
    for accepted in [
        "[lane.default]\nconnections = 1000\nqueue = 0",
        "[lane.a]\nconnections = 1\nqueue = 1000000",
    ] {
        assert!(load("api.toml", &format!("{accepted}\n{valid}")).is_ok());
    }
}

#[test]
fn settings_of_a_route() {
    for (setting, fault) in [
        (
            "timeout = \"0ms\"",
            "7:11 \"timeout\" must be 1ms to 60m, in whole milliseconds",
        ),
        (
            "timeout = \"1500us\"",
            "7:11 \"timeout\" must be 1ms to 60m, in whole milliseconds",
        ),
        (
            "timeout = \"61m\"",
            "7:11 \"timeout\" must be 1ms to 60m, in whole milliseconds",
        ),
        (
            "timeout = \"99999999999999999999s\"",
            "7:11 \"timeout\" must be a whole number and a unit | such as \"250ms\", \"2s\" or \"1m\"",
        ),
        (
            "timeout = \"2d\"",
            "7:11 \"timeout\" must be a whole number and a unit | such as \"250ms\", \"2s\" or \"1m\"",
        ),
        (
            "timeout = \"1.5s\"",
            "7:11 \"timeout\" must be a whole number and a unit | such as \"250ms\", \"2s\" or \"1m\"",
        ),
        (
            "timeout = 250",
            "7:11 \"timeout\" must be a string, not an integer",
        ),
        (
            "lane = \"slow\"",
            "7:8 there is no lane \"slow\" | declare it: [lane.slow]",
        ),
        (
            "lane = \"defualt\"",
            "7:8 there is no lane \"defualt\" | did you mean \"default\"?",
        ),
        (
            "max_rows = 5",
            "7:1 \"max_rows\" is only for result = \"many\"",
        ),
        (
            "empty_status = 399",
            "7:16 \"empty_status\" must be 400 to 499",
        ),
        (
            "empty_status = 500",
            "7:16 \"empty_status\" must be 400 to 499",
        ),
        (
            "empty_status = 401",
            "7:16 a route can't answer with this status | it has to come with WWW-Authenticate (RFC 9110 §15.5.2)",
        ),
        (
            "empty_status = 405",
            "7:16 a route can't answer with this status | it has to come with Allow (RFC 9110 §15.5.6)",
        ),
        (
            "empty_status = 426",
            "7:16 a route can't answer with this status | it has to come with Upgrade (RFC 9110 §15.5.22)",
        ),
        (
            "status = 206",
            "7:10 a route can't answer with this status | it has to come with Content-Range (RFC 9110 §15.3.7)",
        ),
        ("status = 199", "7:10 \"status\" must be 200 to 299"),
        ("status = 300", "7:10 \"status\" must be 200 to 299"),
        (
            "status = 204",
            "7:10 a 204 or 205 answer has no body, but this result is one | result = \"exec\" answers 204 by itself",
        ),
        (
            "cancel = \"yes\"",
            "7:10 \"cancel\" must be true or false, not a string",
        ),
        (
            "name2 = 1",
            "7:1 unknown key \"name2\" in [[route]] | did you mean \"name\"?",
        ),
        (
            "zzz = 1",
            "7:1 unknown key \"zzz\" in [[route]] | known here: name, method, path, result, sql, params, not_found, empty_status, status, timeout, lane, max_rows, read_only, cancel, batch, rate_limit, auth, require, database_role, settings",
        ),
        (
            "params = 1",
            "7:10 \"params\" must be a table, not an integer",
        ),
    ] {
        let text = one_route(&format!(
            "result = \"one\"\nsql = \"select 1\"\n{setting}\n"
        ));
        assert_eq!(listed(&text), [fault], "{setting}");
    }
    for accepted in [
        "timeout = \"1ms\"",
        "timeout = \"60m\"",
        "lane = \"default\"",
        "empty_status = 400",
        "empty_status = 499",
        "status = 200",
        "status = 299",
    ] {
        let text = one_route(&format!(
            "result = \"one\"\nsql = \"select 1\"\n{accepted}\n"
        ));
        assert!(load("api.toml", &text).is_ok(), "{accepted}");
    }
    let many = |rows: &str| {
        one_route(&format!(
            "result = \"many\"\nsql = \"select 1\"\nmax_rows = {rows}\n"
        ))
    };
    assert_eq!(
        listed(&many("0")),
        ["7:12 \"max_rows\" must be 1 to 4294967295"]
    );
    assert_eq!(load("a", &many("1")).unwrap().routes[0].max_rows, 1);
    let exec = one_route(
        "result = \"exec\"\nsql = \"delete from t\"\nnot_found = \"x\"\nempty_status = 404\n",
    );
    assert_eq!(
        listed(&exec),
        [
            "7:1 \"not_found\" is only for result = \"one\" and result = \"scalar\"",
            "8:1 \"empty_status\" is only for result = \"one\""
        ]
    );
}

#[test]
fn batches_of_a_route() {
    let with = |batch: &str| one_route(&format!("result = \"one\"\nsql = \"select 1\"\n{batch}\n"));
    let read = |text: &str| {
        let api = load("a", &with(text)).unwrap_or_else(|faults| panic!("{faults}"));
        let Batch {
            mode,
            keys_max,
            in_flight_max,
        } = api.routes[0].batch;
        (mode, keys_max, in_flight_max)
    };
    use BatchMode::{Automatic, Off, On};
    for (batch, meaning) in [
        ("", (Automatic, 128, 1)),
        ("batch = false", (Off, 128, 1)),
        ("batch = true", (On, 128, 1)),
        ("batch = {}", (On, 128, 1)),
        ("batch = { max = 1, in_flight = 8 }", (On, 1, 8)),
        ("batch.max = 1024", (On, 1024, 1)),
    ] {
        assert_eq!(read(batch), meaning, "{batch}");
    }
    for (batch, fault) in [
        ("batch = { max = 0 }", "7:17 \"max\" must be 1 to 1024"),
        ("batch = { max = 1025 }", "7:17 \"max\" must be 1 to 1024"),
        (
            "batch = { max = \"9\" }",
            "7:17 \"max\" must be a whole number, not a string",
        ),
        (
            "batch = { in_flight = 0 }",
            "7:23 \"in_flight\" must be 1 to 8",
        ),
        (
            "batch = { in_flight = 9 }",
            "7:23 \"in_flight\" must be 1 to 8",
        ),
        (
            "batch = { keys = 9 }",
            "7:11 unknown key \"keys\" in batch | known here: max, in_flight",
        ),
        (
            "batch = 64",
            "7:9 \"batch\" must be true, false or a table, not an integer | such as { max = 64, in_flight = 2 }",
        ),
        (
            "read_only = false\nbatch = true",
            "8:9 this route can't be batched: it is not read-only | take \"batch\" out, or set it to false",
        ),
    ] {
        assert_eq!(listed(&with(batch)), [fault], "{batch}");
    }
    let exec = one_route("result = \"exec\"\nsql = \"select 1\"\nbatch = { max = 2 }\n");
    assert_eq!(
        listed(&exec),
        [
            "7:9 this route can't be batched: its result is \"exec\" | take \"batch\" out, or set it to false"
        ]
    );
}

#[test]
fn words_of_a_route() {
    let route = |method: &str, path: &str, result: &str| {
        format!(
            "[[route]]\nname = \"r\"\nmethod = \"{method}\"\npath = \"{path}\"\nresult = \"{result}\"\nsql = \"select 1\"\n"
        )
    };
    let methods = "3:10 \"method\" must be \"GET\", \"POST\", \"PUT\", \"PATCH\" or \"DELETE\"";
    assert_eq!(
        listed(&route("get", "/", "one")),
        [format!("{methods} | did you mean \"GET\"?")]
    );
    assert_eq!(listed(&route("TRACE", "/", "one")), [methods]);
    assert_eq!(
        listed(&route("HEAD", "/", "one")),
        ["3:10 HEAD can't be declared | a GET route answers HEAD too"]
    );
    assert_eq!(
        listed(&route("GET", "users", "one")),
        ["4:8 a path begins with \"/\""]
    );
    assert_eq!(
        listed(&route("GET", "/", "manny")),
        [
            "5:10 \"result\" must be \"one\", \"many\", \"exec\" or \"scalar\" | did you mean \"many\"?"
        ]
    );
    assert_eq!(
        listed("[[route]]\n"),
        ["name", "method", "path", "result", "sql"]
            .map(|key| format!("1:1 [[route]] has no \"{key}\""))
    );
}

#[test]
fn duplicates_are_found_although_a_route_has_other_faults() {
    let route = |name: &str, path: &str, rest: &str| {
        format!("[[route]]\nname = \"{name}\"\nmethod = \"GET\"\npath = \"{path}\"\n{rest}\n")
    };
    let fine = "result = \"one\"\nsql = \"select :x\"";
    let text = route("a", "/a/{x}", fine)
        + &route("a", "/a/{x}", "result = \"one\"")
        + &route("b", "/a/{y}", "result = \"one\"\nsql = \"select :y\"");
    assert_eq!(
        listed(&text),
        [
            "7:1 [[route]] has no \"sql\"",
            "8:8 a route named \"a\" is declared on line 2 already",
            "10:8 GET /a/{x} is declared on line 4 already",
            "15:8 GET /a/{y} can't be told apart from /a/{x} on line 4",
        ]
    );
}

#[test]
fn faults_in_the_sql_are_placed_in_every_kind_of_string() {
    for (sql, place) in [
        ("'''\nselect 'é',\n  $1\n'''", "8:3"),
        ("\"\"\"\nselect 1,\n  $1\"\"\"", "8:3"),
        ("\"select $1\"", "6:15"),
        ("'select $1'", "6:15"),
        // Escapes hide where a character stands: the whole string is shown.
        ("\"select \\t $1\"", "6:7"),
    ] {
        let text = one_route(&format!("result = \"one\"\nsql = {sql}\n"));
        let found = listed(&text);
        assert_eq!(
            found,
            [format!(
                "{place} \"$1\" is not a placeholder here | write :name and declare it in [route.params]"
            )]
        );
    }
    let windows =
        one_route("result = \"one\"\nsql = '''\nselect 1,\n  $1\n'''\n").replace('\n', "\r\n");
    assert_eq!(listed(&windows)[0].split(' ').next(), Some("8:3"));
}

#[test]
fn read_only_follows_the_method_and_the_sql_unless_declared() {
    let route = |method: &str, sql: &str, rest: &str| {
        load(
            "a",
            &format!(
                "[[route]]\nname = \"r\"\nmethod = \"{method}\"\npath = \"/r\"\nresult = \"exec\"\nsql = \"{sql}\"\n{rest}\n"
            ),
        )
    };
    assert!(route("GET", "select 1", "").unwrap().routes[0].read_only);
    assert!(!route("POST", "select 1", "").unwrap().routes[0].read_only);
    assert!(!route("GET", "select 1 for update", "").unwrap().routes[0].read_only);
    assert!(
        route("POST", "select 1", "read_only = true")
            .unwrap()
            .routes[0]
            .read_only
    );
    assert!(
        !route("GET", "select 1", "read_only = false")
            .unwrap()
            .routes[0]
            .read_only
    );
    let fault = route("POST", "INSERT into t values (1)", "read_only = true").unwrap_err();
    assert!(
        fault
            .to_string()
            .contains("read_only = true, but the SQL begins with \"insert\""),
        "{fault}"
    );
}
