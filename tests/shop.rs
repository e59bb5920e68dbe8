//! The shop over a real Postgres: every route, from the outside.

mod support;

use std::sync::{Arc, Barrier};

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value, json};

use support::{Client, Postgres, Response, Server};

// ---- Users ----

#[test]
fn a_user_is_found_and_a_deleted_one_is_not() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let response = server.get("/users/42");
    assert_eq!(response.status, 200);
    let user = response.json();
    assert_eq!(
        names(&user),
        ["user_id", "username", "email", "last_active"]
    );
    assert_eq!(user["user_id"].as_i64(), Some(42));
    assert!(user["last_active"].is_f64());
    let seconds =
        postgres.sql("select extract(epoch from last_active) from users where user_id = 42");
    assert_eq!(user["last_active"].as_f64(), Some(seconds.parse().unwrap()));
    let deleted = postgres.sql("select min(user_id) from users where deleted_at is not null");
    for missing in [&deleted, "0", "-1", "100001", "9223372036854775807"] {
        let response = server.get(&format!("/users/{missing}"));
        refused(&response, 404, "User not found");
    }
    for (wrong, kind, message) in [
        ("x", "int_parsing", "Input should be a valid integer"),
        ("1.0", "int_parsing", "Input should be a valid integer"),
        ("9223372036854775808", "int_parsing_size", INT8_RANGE),
    ] {
        let response = server.get(&format!("/users/{wrong}"));
        invalid(&response, &[(&["path", "user_id"], kind, message)]);
    }
}

const INT8_RANGE: &str = "Input should be between -9223372036854775808 and 9223372036854775807";

// ---- Products ----

#[test]
fn products_are_found_by_key() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let response = server.get("/products/7");
    assert_eq!(response.status, 200);
    let row = postgres.sql(
        "set timezone = 'UTC'; select row_to_json(p) from (select product_id, name, category, price, \
         created_at from products where product_id = 7) p",
    );
    assert_eq!(response.json(), sonic_rs::from_str::<Value>(&row).unwrap());
    // The price is a number with all its digits, not a float that happens to look like it.
    let price = postgres.sql("select price from products where product_id = 7");
    assert!(
        response.text().contains(&format!("\"price\":{price}")),
        "{}",
        response.text()
    );
    refused(&server.get("/products/0"), 404, "Product not found");
    refused(&server.get("/products/50001"), 404, "Product not found");
    let fault = ("int_parsing", "Input should be a valid integer");
    invalid(
        &server.get("/products/kettle"),
        &[(&["path", "product_id"], fault.0, fault.1)],
    );
}

#[test]
fn the_pages_of_a_search_give_every_row_once() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let mut client = server.client();
    for (filter, condition) in [
        ("category=tea&limit=500", "category = 'tea'"),
        (
            "category=toys&min_price=10.5&max_price=100&limit=313",
            "category = 'toys' and price between 10.5 and 100",
        ),
        ("min_price=1500", "price >= 1500"),
        ("category=nothing", "false"),
    ] {
        let found = pages(&mut client, "/products", filter, "product_id");
        let expected = postgres.sql(&format!(
            "select product_id from products where {condition} order by product_id"
        ));
        let expected: Vec<i64> = expected.lines().map(|line| line.parse().unwrap()).collect();
        assert!(
            found == expected,
            "{filter}: {} rows, not {}",
            found.len(),
            expected.len()
        );
    }
}

#[test]
fn every_product_is_on_one_page() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let found = pages(&mut server.client(), "/products", "limit=500", "product_id");
    assert!(found.iter().copied().eq(1..=50_000), "{} rows", found.len());
}

#[test]
fn a_page_has_its_bounds() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let rows = |target: &str| server.get(target).json().as_array().unwrap().len();
    assert_eq!(rows("/products"), 50);
    assert_eq!(rows("/products?limit=1"), 1);
    assert_eq!(rows("/products?limit=500"), 500);
    let agent = "/api/v1/agents/00000000-0000-4000-8000-000000000001/messages";
    assert_eq!(rows(agent), 50);
    assert_eq!(rows(&format!("{agent}?limit=500")), 500);
    for target in ["/products", agent] {
        let bound = "Input should be less than or equal to 500";
        let response = server.get(&format!("{target}?limit=501"));
        invalid(
            &response,
            &[(&["query", "limit"], "less_than_equal", bound)],
        );
        let bound = "Input should be greater than or equal to 1";
        let response = server.get(&format!("{target}?limit=0"));
        invalid(
            &response,
            &[(&["query", "limit"], "greater_than_equal", bound)],
        );
    }
}

#[test]
fn all_faults_of_a_query_come_together() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    // No hexadecimal digit: the id of the request is in the body too.
    let category = "z".repeat(51);
    let response = server.get(&format!(
        "/products?category={category}&min_price=-0.01&max_price=cheap&after=-1&limit=501&limit=2&colour=red"
    ));
    invalid(
        &response,
        &[
            (
                &["query", "category"],
                "string_too_long",
                "String should have at most 50 characters",
            ),
            (
                &["query", "min_price"],
                "greater_than_equal",
                "Input should be greater than or equal to 0",
            ),
            (
                &["query", "max_price"],
                "decimal_parsing",
                "Input should be a valid decimal",
            ),
            (
                &["query", "after"],
                "greater_than_equal",
                "Input should be greater than or equal to 0",
            ),
            (
                &["query", "limit"],
                "less_than_equal",
                "Input should be less than or equal to 500",
            ),
            (&["query", "limit"], "duplicate", "Given more than once"),
            (
                &["query", "colour"],
                "extra_forbidden",
                "Extra inputs are not permitted",
            ),
        ],
    );
    assert!(
        !response.text().contains("cheap") && !response.text().contains("zzz"),
        "a value is echoed"
    );
    assert_eq!(
        server
            .get(&format!("/products?category={}", "%C3%A9".repeat(50)))
            .status,
        200
    );
}

// ---- Inventory ----

#[test]
fn stock_is_reserved_and_released_within_its_bounds() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let stock = server.get("/inventory/SKU-00003");
    assert_eq!(stock.status, 200);
    assert_eq!(
        names(&stock.json()),
        ["sku", "product_id", "on_hand", "reserved", "updated_at"]
    );
    assert_eq!(counts(&stock), (3, 0));
    let reserve = |count: &str| {
        server.send(
            "POST",
            "/inventory/SKU-00003/reserve",
            &format!("{{\"quantity\":{count}}}"),
        )
    };
    let release = |count: &str| {
        server.send(
            "POST",
            "/inventory/SKU-00003/release",
            &format!("{{\"quantity\":{count}}}"),
        )
    };
    refused(&reserve("4"), 409, SHORT);
    refused(&release("1"), 409, NOT_RESERVED);
    assert_eq!(counts(&reserve("2")), (1, 2));
    refused(&reserve("2"), 409, SHORT);
    assert_eq!(counts(&reserve("1")), (0, 3));
    refused(&reserve("1"), 409, SHORT);
    refused(&release("4"), 409, NOT_RESERVED);
    assert_eq!(counts(&release("3")), (3, 0));
    refused(&release("1"), 409, NOT_RESERVED);
    assert_eq!(counts(&server.get("/inventory/SKU-00003")), (3, 0));
    // The largest int4, against which an addition could overflow, and one more.
    refused(&reserve("2147483647"), 409, SHORT);
    let range = "Input should be between -2147483648 and 2147483647";
    invalid(
        &reserve("2147483648"),
        &[(&["body", "quantity"], "int_parsing_size", range)],
    );
    refused(&server.get("/inventory/SKU-0"), 404, "SKU not found");
    let unknown = server.send("POST", "/inventory/SKU-0/reserve", "{\"quantity\":1}");
    refused(&unknown, 409, SHORT);
    let unknown = server.send("POST", "/inventory/SKU-0/release", "{\"quantity\":1}");
    refused(&unknown, 409, NOT_RESERVED);
}

const SHORT: &str = "Not enough stock, or no such SKU";
const NOT_RESERVED: &str = "Not that much reserved, or no such SKU";

#[test]
fn of_200_reservations_of_a_stock_of_100_exactly_100_succeed() {
    const CLIENTS: usize = 20;
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    assert_eq!(counts(&server.get("/inventory/SKU-00100")), (100, 0));
    let start = Arc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (start, address) = (start.clone(), server.address);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                start.wait();
                // All at once on each connection too: pipelined.
                let request = "POST /inventory/SKU-00100/reserve HTTP/1.1\r\nHost: test\r\n\
                               Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"quantity\":1}";
                client.send(request.repeat(200 / CLIENTS));
                (0..200 / CLIENTS).map(|_| client.response()).collect::<Vec<_>>()
            })
        })
        .collect();
    let responses: Vec<Response> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    let (reserved, short): (Vec<_>, Vec<_>) = responses
        .iter()
        .partition(|response| response.status == 200);
    assert_eq!((reserved.len(), short.len()), (100, 100));
    short
        .iter()
        .for_each(|response| refused(response, 409, SHORT));
    // Each success saw a stock of its own: no number twice, none left out.
    let mut left: Vec<i64> = reserved.iter().map(|response| counts(response).0).collect();
    left.sort_unstable();
    assert!(left.iter().copied().eq(0..100), "{left:?}");
    assert_eq!(counts(&server.get("/inventory/SKU-00100")), (0, 100));
}

#[test]
fn a_body_that_is_not_what_the_route_takes() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let target = "/inventory/SKU-00200/reserve";
    let required = ("missing", "Field required");
    for (body, kind, message) in [
        ("{}", required.0, required.1),
        (
            "{\"quantity\":null}",
            "null_forbidden",
            "Input should not be null",
        ),
        (
            "{\"quantity\":\"many\"}",
            "int_type",
            "Input should be an integer",
        ),
        (
            "{\"quantity\":1.5}",
            "int_from_float",
            "Input should be an integer, got a number with a fraction or exponent",
        ),
        (
            "{\"quantity\":true}",
            "int_type",
            "Input should be an integer",
        ),
        (
            "{\"quantity\":[1]}",
            "int_type",
            "Input should be an integer",
        ),
        (
            "{\"quantity\":0}",
            "greater_than_equal",
            "Input should be greater than or equal to 1",
        ),
        (
            "{\"quantity\":-1}",
            "greater_than_equal",
            "Input should be greater than or equal to 1",
        ),
    ] {
        invalid(
            &server.send("POST", target, body),
            &[(&["body", "quantity"], kind, message)],
        );
    }
    // No body at all is one without members.
    let response = server.client().request("POST", target, None);
    invalid(
        &response,
        &[(&["body", "quantity"], required.0, required.1)],
    );
    for body in ["[1]", "1", "\"x\"", "null"] {
        let response = server.send("POST", target, body);
        invalid(
            &response,
            &[(&["body"], "dict_type", "Input should be an object")],
        );
    }
    for body in [
        "{",
        "quantity=1",
        "{\"quantity\":1}}",
        "{\"quantity\":01}",
        "{'quantity':1}",
        " ",
    ] {
        let response = server.send("POST", target, body);
        assert_eq!(response.status, 400, "{body}: {}", response.text());
        error_body(&response);
    }
    let response = server.send(
        "POST",
        target,
        "{\"quantity\":1,\"price\":2,\"quantity\":3}",
    );
    invalid(
        &response,
        &[
            (
                &["body", "price"],
                "extra_forbidden",
                "Extra inputs are not permitted",
            ),
            (&["body", "quantity"], "duplicate", "Given more than once"),
        ],
    );
    assert_eq!(counts(&server.get("/inventory/SKU-00200")), (200, 0));
}

#[test]
fn a_body_of_another_media_type() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let mut client = server.client();
    let mut status = |content_type: &str| {
        client.send(format!(
            "POST /inventory/SKU-00300/reserve HTTP/1.1\r\nHost: test\r\n{content_type}\
             Content-Length: 14\r\n\r\n{{\"quantity\":1}}"
        ));
        let response = client.response();
        if response.status == 415 {
            refused(&response, 415, "The body has to be application/json");
            assert_eq!(response.field("accept"), Some("application/json"));
        }
        response.status
    };
    assert_eq!(status(""), 415);
    assert_eq!(status("Content-Type: text/plain\r\n"), 415);
    assert_eq!(
        status("Content-Type: application/x-www-form-urlencoded\r\n"),
        415
    );
    assert_eq!(status("Content-Type: application/jsonp\r\n"), 415);
    assert_eq!(status("Content-Type: application/json\r\n"), 200);
    assert_eq!(
        status("Content-Type: Application/JSON; charset=utf-8\r\n"),
        200
    );
    assert_eq!(status("Content-Type: application/vnd.shop+json\r\n"), 200);
}

// ---- Agents and their messages ----

#[test]
fn a_tenant_sees_its_agents_and_no_others() {
    let postgres = Postgres::shop();
    let mut server = Server::shop(&postgres, &[]).ready();
    let expected = [
        "agent_id",
        "tenant",
        "name",
        "model",
        "status",
        "capabilities",
        "config",
        "created_at",
    ];
    let mut seen = 0;
    for tenant in pinion::demo::tokens::TENANTS {
        server = server.of_tenant(tenant);
        let count = |query: &str, condition: &str| {
            let found = server.get(&format!("/api/v1/agents?{query}")).json();
            let found = found.as_array().unwrap();
            let all_its_own = found
                .iter()
                .all(|agent| agent["tenant"].as_str() == Some(tenant));
            assert!(all_its_own, "{tenant} {query}: {found:?}");
            let expected = postgres.sql(&format!(
                "select count(*) from agents join tenants using (tenant_id) \
                 where tenants.name = '{tenant}' and {condition}"
            ));
            assert_eq!(found.len().to_string(), expected, "{tenant} {query}");
            found.len()
        };
        seen += count("", "true");
        count("status=idle", "status = 'idle'");
        count(&format!("tenant={tenant}&status=busy"), "status = 'busy'");
        let other = if tenant == "acme" { "globex" } else { "acme" };
        count(&format!("tenant={other}"), "false");
    }
    assert_eq!(seen, 16);

    let server = server.of_tenant("globex");
    let all = server.get("/api/v1/agents").json();
    assert_eq!(names(&all[0]), expected);
    assert!(all[0]["capabilities"].is_array() && all[0]["config"].is_object());
    let choices = "Input should be 'idle', 'busy' or 'offline'";
    invalid(
        &server.get("/api/v1/agents?status=asleep"),
        &[(&["query", "status"], "enum", choices)],
    );
    let one = server.get("/api/v1/agents/00000000-0000-4000-8000-000000000001");
    assert_eq!(one.json(), all[0]);
    // That of another tenant is as little there as that of nobody.
    for other in ["000000000002", "000000000011"] {
        let target = format!("/api/v1/agents/00000000-0000-4000-8000-{other}");
        refused(&server.get(&target), 404, "Agent not found");
    }
    let fault = ("uuid_parsing", "Input should be a valid UUID");
    invalid(
        &server.get("/api/v1/agents/1"),
        &[(&["path", "agent_id"], fault.0, fault.1)],
    );
}

#[test]
fn without_a_token_of_a_tenant_there_is_nothing() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    for (method, target) in [
        ("GET", "/api/v1/agents"),
        ("GET", "/api/v1/agents/00000000-0000-4000-8000-000000000001"),
        ("POST", "/api/v1/workflows"),
    ] {
        let mut client = Client::connect(server.address);
        let response = client.request(method, target, None);
        refused(&response, 401, "Unauthorized");
        assert_eq!(
            response.field("www-authenticate"),
            Some("Bearer realm=\"api\"")
        );
    }
    let server = server.of_tenant("nobody");
    assert_eq!(server.get("/api/v1/agents").text(), "[]");
    let agent = "/api/v1/agents/00000000-0000-4000-8000-000000000001";
    refused(&server.get(agent), 404, "Agent not found");
    let response = server.send("POST", &format!("{agent}/messages"), "{\"content\":\"x\"}");
    refused(&response, 404, "Agent not found");
    refused(
        &server.send("POST", "/api/v1/workflows", &workflow("[\"a\"]")),
        403,
        "Forbidden",
    );
    // What has no guard of its own is there for everybody.
    assert_eq!(server.get("/users/42").status, 200);
    let limits = server.get("/api/v1/agents");
    assert_eq!(
        limits.field("ratelimit-policy"),
        Some("\"api\";q=60000;w=60")
    );
    assert_eq!(server.get("/users/42").field("ratelimit-policy"), None);
}

#[test]
fn messages_are_posted_and_listed() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).of_tenant("initech").ready();
    let target = "/api/v1/agents/00000000-0000-4000-8000-000000000002/messages";
    let before = pages(&mut server.client(), target, "limit=199", "message_id");
    assert!(
        before.is_sorted() && before.len() == 500,
        "{}",
        before.len()
    );

    let message =
        r#"{"content":"Grüße \"quoted\" \\ \n 🙂","metadata":{"a":[1,2.50,null]},"role":"tool"}"#;
    let response = server.send("POST", target, message);
    assert_eq!(response.status, 201);
    let posted = response.json();
    let expected = [
        "message_id",
        "agent_id",
        "role",
        "content",
        "metadata",
        "created_at",
    ];
    assert_eq!(names(&posted), expected);
    assert_eq!(posted["role"].as_str(), Some("tool"));
    assert_eq!(
        posted["content"].as_str(),
        Some("Grüße \"quoted\" \\ \n 🙂")
    );
    assert_eq!(posted["metadata"], json!({"a": [1, 2.50, null]}));
    let posted_plain = server.send("POST", target, "{\"content\":\"x\"}").json();
    assert_eq!(posted_plain["role"].as_str(), Some("user"));
    assert!(posted_plain["metadata"].is_null());
    let last = before.last().unwrap();
    let after = pages(
        &mut server.client(),
        target,
        &format!("after={last}&limit=1"),
        "message_id",
    );
    assert_eq!(
        after,
        [&posted, &posted_plain].map(|message| message["message_id"].as_i64().unwrap())
    );

    let unknown = "/api/v1/agents/ffffffff-0000-4000-8000-000000000000/messages";
    refused(
        &server.send("POST", unknown, "{\"content\":\"x\"}"),
        404,
        "Agent not found",
    );
    assert_eq!(server.get(unknown).text(), "[]");
    let longest = "ü".repeat(32_768);
    assert_eq!(
        server
            .send("POST", target, &format!("{{\"content\":\"{longest}\"}}"))
            .status,
        201
    );
    let too_long = server.send("POST", target, &format!("{{\"content\":\"{longest}x\"}}"));
    let message = "String should have at most 32768 characters";
    invalid(
        &too_long,
        &[(&["body", "content"], "string_too_long", message)],
    );
    let response = server.send("POST", target, r#"{"role":"boss","content":"","more":1}"#);
    invalid(
        &response,
        &[
            (
                &["body", "role"],
                "enum",
                "Input should be 'system', 'user', 'assistant' or 'tool'",
            ),
            (
                &["body", "content"],
                "string_too_short",
                "String should have at least 1 character",
            ),
            (
                &["body", "more"],
                "extra_forbidden",
                "Extra inputs are not permitted",
            ),
        ],
    );
}

// ---- Workflows ----

#[test]
fn a_workflow_goes_through_its_steps_and_no_further() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let create = |body: &str| server.send("POST", "/api/v1/workflows", body);
    let response = create(&workflow(r#"["fetch","store"]"#));
    assert_eq!(response.status, 201);
    let created = response.json();
    assert_eq!(
        (created["status"].as_str(), created["step"].as_i64()),
        (Some("pending"), Some(0))
    );
    assert_eq!(created["steps"], json!(["fetch", "store"]));
    assert!(created["error"].is_null());
    let target = format!(
        "/api/v1/workflows/{}",
        created["workflow_id"].as_i64().unwrap()
    );
    assert_eq!(server.get(&target).json(), created);
    let advance = |body: Option<&str>| {
        server
            .client()
            .request("POST", &format!("{target}/advance"), body)
    };
    // Only what runs can fail.
    refused(&advance(Some("{\"error\":\"x\"}")), 409, ENDED);
    for (status, step) in [("running", 1), ("running", 2), ("completed", 2)] {
        let response = advance(None);
        assert_eq!(response.status, 200);
        let moved = response.json();
        assert_eq!(
            (moved["status"].as_str(), moved["step"].as_i64()),
            (Some(status), Some(step))
        );
        assert_eq!(server.get(&target).json(), moved);
    }
    refused(&advance(None), 409, ENDED);
    refused(&advance(Some("{}")), 409, ENDED);
    assert_eq!(
        server.get(&target).json()["status"].as_str(),
        Some("completed")
    );
}

const ENDED: &str = "Workflow has ended or is not running, or there is no such workflow";

#[test]
fn a_workflow_fails_and_stays_failed() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let created = server
        .send("POST", "/api/v1/workflows", &workflow(r#"["only"]"#))
        .json();
    let target = format!(
        "/api/v1/workflows/{}/advance",
        created["workflow_id"].as_i64().unwrap()
    );
    assert_eq!(
        server.send("POST", &target, "{}").json()["status"].as_str(),
        Some("running")
    );
    let failed = server
        .send("POST", &target, "{\"error\":\"no answer\"}")
        .json();
    assert_eq!(failed["status"].as_str(), Some("failed"));
    assert_eq!(failed["error"].as_str(), Some("no answer"));
    refused(&server.send("POST", &target, "{}"), 409, ENDED);
    refused(
        &server.send("POST", &target, "{\"error\":\"again\"}"),
        409,
        ENDED,
    );
}

#[test]
fn a_workflow_that_can_not_be() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    let create = |body: &str| server.send("POST", "/api/v1/workflows", body);
    // Of another tenant, of nobody: no telling which.
    for agent in ["0002\"", "0099\""] {
        let foreign = workflow("[\"a\"]").replace("0001\"", agent);
        refused(&create(&foreign), 403, "Forbidden");
    }
    for steps in ["[]", "[null]", "[[\"a\"],[\"b\"]]"] {
        refused(&create(&workflow(steps)), 422, "A value is not acceptable");
    }
    let many = format!("[{}\"s\"]", "\"s\",".repeat(99));
    assert_eq!(create(&workflow(&many)).status, 201);
    let too_many = format!("[{}\"s\"]", "\"s\",".repeat(100));
    refused(
        &create(&workflow(&too_many)),
        422,
        "A value is not acceptable",
    );
    let response = create(r#"{"agent_id":"x","name":"","steps":"a"}"#);
    invalid(
        &response,
        &[
            (
                &["body", "agent_id"],
                "uuid_parsing",
                "Input should be a valid UUID",
            ),
            (
                &["body", "name"],
                "string_too_short",
                "String should have at least 1 character",
            ),
            (
                &["body", "steps"],
                "list_type",
                "Input should be a valid array",
            ),
        ],
    );
    refused(
        &server.get("/api/v1/workflows/0"),
        404,
        "Workflow not found",
    );
    refused(
        &server.send("POST", "/api/v1/workflows/0/advance", "{}"),
        409,
        ENDED,
    );
}

fn workflow(steps: &str) -> String {
    let agent = "00000000-0000-4000-8000-000000000001";
    format!(r#"{{"agent_id":"{agent}","name":"test","steps":{steps}}}"#)
}

// ---- The whole ----

#[test]
fn what_is_built_in_and_what_is_not_there() {
    let postgres = Postgres::shop();
    let server = Server::shop(&postgres, &[]).ready();
    assert_eq!(server.get("/health").text(), "{\"status\":\"ok\"}");
    assert_eq!(server.get("/ready").text(), "{\"status\":\"ready\"}");
    refused(&server.get("/nothing"), 404, "Not found");
    refused(&server.get("/users"), 404, "Not found");
    let response = server.send("POST", "/users/1", "{}");
    refused(&response, 405, "Method not allowed");
    assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"));
    let head = server.client().request("HEAD", "/users/42", None);
    let get = server.get("/users/42");
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, get.field("content-length"))
    );
}

// ---- Helpers ----

/// The values of `key` on all pages of a keyset search, in the order of the pages.
fn pages(client: &mut Client, target: &str, query: &str, key: &str) -> Vec<i64> {
    let mut found: Vec<i64> = Vec::new();
    let mut target_of_page = format!("{target}?{query}");
    let query = query
        .split('&')
        .filter(|pair| !pair.starts_with("after="))
        .collect::<Vec<_>>()
        .join("&");
    loop {
        let response = client.request("GET", &target_of_page, None);
        assert_eq!(
            response.status,
            200,
            "{target_of_page}: {}",
            response.text()
        );
        let page = response.json();
        let page = page.as_array().unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page.iter().map(|row| row[key].as_i64().unwrap()));
        let after = found[found.len() - 1];
        target_of_page = format!("{target}?{query}&after={after}");
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

/// `on_hand` and `reserved`.
fn counts(response: &Response) -> (i64, i64) {
    assert_eq!(response.status, 200, "{}", response.text());
    let stock = response.json();
    (
        stock["on_hand"].as_i64().unwrap(),
        stock["reserved"].as_i64().unwrap(),
    )
}

/// The fields of an error that every answer has; no others but `details` of 422.
fn error_body(response: &Response) -> Value {
    let error = response.json();
    assert_eq!(error["code"].as_u64(), Some(u64::from(response.status)));
    assert_eq!(error["request_id"].as_str(), response.field("x-request-id"));
    assert!(!error["request_id"].as_str().unwrap().is_empty());
    assert_eq!(response.field("content-type"), Some("application/json"));
    error
}

fn refused(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let error = error_body(response);
    assert_eq!(error["error"].as_str(), Some(message));
    assert_eq!(names(&error), ["error", "code", "request_id"]);
}

/// 422 with exactly these details, in this order: place, type, message.
fn invalid(response: &Response, details: &[(&[&str], &str, &str)]) {
    assert_eq!(response.status, 422, "{}", response.text());
    let error = error_body(response);
    let expected: Vec<Value> = details
        .iter()
        .map(|(place, kind, message)| json!({"loc": place, "msg": message, "type": kind}))
        .collect();
    assert_eq!(error["details"], json!(expected), "{}", response.text());
    assert_eq!(names(&error), ["error", "code", "request_id", "details"]);
}
