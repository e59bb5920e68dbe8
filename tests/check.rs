//! `pinion check`: the resolved table, or every fault in one go.

mod support;

use support::{Postgres, TempDir, ended, pinion};

#[test]
fn the_shop_resolves_to_its_table() {
    let postgres = Postgres::shop();
    let (code, out, err) = check(pinion::demo::ROUTES, &postgres.url());
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(err, "");
    let lines: Vec<String> = out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "GET /users/{user_id} get_user one batched",
        "GET /products/{product_id} get_product one batched",
        "GET /inventory/{sku} get_stock one batched",
        "GET /api/v1/agents list_agents many batched",
        "GET /api/v1/agents/{agent_id} get_agent one batched",
        "GET /api/v1/agents/{agent_id}/messages list_messages many batched",
        "GET /api/v1/workflows/{workflow_id} get_workflow one batched",
        "POST /inventory/{sku}/reserve reserve_stock one not batched: it is not read-only",
        "rate limit api, auth jwt, as the role shop_agent",
        "user_id path int8 required",
        "→ last_active float8 number",
        "category query text optional, nullable, max_length 50",
        "min_price query numeric optional, nullable, ge 0",
        "limit query int8 default 50, ge 1, le 500",
        "→ price numeric number",
        "quantity body int4 required, ge 1",
        "→ capabilities text[] array of string",
        "POST /api/v1/workflows create_workflow one not batched: it is not read-only",
        "steps body text[] required",
    ] {
        assert!(
            lines.iter().any(|known| known == line),
            "{line:?} is not in\n{out}"
        );
    }
    // A search walks through many products: its requests are better off side by side.
    let search = "GET /products list_products many not batched: one key costs ";
    assert!(lines.iter().any(|line| line.starts_with(search)), "{out}");
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("GET ") || line.starts_with("POST "))
            .count(),
        13
    );
}

#[test]
fn all_faults_of_all_routes_come_in_one_go() {
    let postgres = Postgres::shop();
    let routes = r#"
[[route]]
name = "typo"
method = "GET"
path = "/typo"
result = "one"
sql = "select user_idd from users"

[[route]]
name = "no_rows"
method = "POST"
path = "/no_rows"
result = "one"
sql = "delete from users where false"

[[route]]
name = "point"
method = "GET"
path = "/point"
result = "one"
sql = "select point(1, 2) as place"

[[route]]
name = "fine"
method = "GET"
path = "/fine"
result = "one"
sql = "select 1 as one"
"#;
    let (code, out, err) = check(routes, &postgres.url());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for words in [
        "routes.toml:7:15",
        "Postgres: column \"user_idd\" does not exist",
        "routes.toml:13:10",
        "result = \"one\", but the statement returns no columns",
        "add RETURNING",
        "column \"place\" is of type point, which is not supported",
        "cast it, such as place::text as place",
        "3 faults in ",
        "^^^^",
    ] {
        assert!(err.contains(words), "{words:?} is not in\n{err}");
    }
}

#[test]
fn without_a_connection_it_fails() {
    let (code, out, err) = check(
        pinion::demo::ROUTES,
        "postgres://nobody@/x?host=/nonexistent",
    );
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.starts_with("error: no connection to Postgres: /nonexistent/.s.PGSQL.5432: "),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
}

fn check(routes: &str, url: &str) -> (Option<i32>, String, String) {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", routes);
    let mut command = pinion(&["check", "--database-url", url, "--routes"]);
    command.arg(file);
    ended(command)
}
