use serde_json::Value;

use crate::support::core_thread::StoppedCore;
use crate::support::{Client, Postgres, SHOP_SECRET, Server, Signal, TempDir, pinion, wait_until};
use crate::traffic::{ask, get, json, shop};

const ROUTES: &str = r#"
[[route]]
name = "item"
method = "GET"
path = "/items/{id}"
result = "one"
sql = "select :id::int4 as id, 'x' as name"

[[route]]
name = "nap"
method = "GET"
path = "/nap"
result = "one"
timeout = "1m"
sql = "select pg_sleep(:seconds)::text as nap"
[route.params]
seconds = { in = "query", le = 60 }
"#;

/// The check of a name in `/readyz`.
fn check<'a>(ready: &'a Value, name: &str) -> &'a Value {
    let checks = ready["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {ready}"))
}

#[test]
fn every_path_answers_get_and_head_and_says_what_browsers_may_do() {
    let postgres = Postgres::shop();
    let (_server, admin) = shop(&postgres);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/live.json", "application/json"),
        ("/livez", "application/json"),
        ("/readyz", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/routes", "application/json"),
        ("/config?and=more", "application/json"),
    ] {
        let answer = get(admin, path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.field("content-type"), Some(kind), "{path}");
        assert_eq!(answer.field("connection"), Some("close"), "{path}");
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.field("cross-origin-resource-policy"),
            Some("same-origin")
        );
        let policy = answer.field("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        let head = ask(admin, "HEAD", path);
        assert_eq!((head.status, head.field("content-type")), (200, Some(kind)));
    }
}

#[test]
fn other_paths_and_methods_are_refused() {
    let postgres = Postgres::shop();
    let (_server, admin) = shop(&postgres);
    for path in [
        "/nothing",
        "/metrics/",
        "//",
        "/users/1",
        "/health",
        "/favicon.ico",
    ] {
        let answer = ask(admin, "GET", path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("\"error\""), "{}", answer.text());
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(admin, method, "/metrics");
        assert_eq!(
            (answer.status, answer.field("allow")),
            (405, Some("GET, HEAD"))
        );
    }
    // What has an effect is no GET.
    for method in ["GET", "HEAD"] {
        let answer = ask(admin, method, "/histograms");
        assert_eq!((answer.status, answer.field("allow")), (405, Some("POST")));
    }
    let answer = ask(admin, "POST", "/histograms");
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("--histogram-dir"));
    for (origin, status) in [
        ("http://127.0.0.1", 409),
        ("http://elsewhere.example", 403),
        ("https://127.0.0.1", 403),
        ("http://127.0.0.1:1", 403),
        ("null", 403),
    ] {
        let mut client = Client::connect(admin);
        let head = "POST /histograms HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin:";
        client.send(format!("{head} {origin}\r\n\r\n"));
        assert_eq!(client.response().status, status, "{origin}");
    }
}

#[test]
fn histograms_are_dumped_when_somebody_asks() {
    let postgres = Postgres::shop();
    let directory = TempDir::new();
    let dumps = directory.path().join("dumps").display().to_string();
    let flags = ["--admin", "127.0.0.1:0", "--histogram-dir", &dumps];
    std::fs::create_dir(&dumps).expect("a directory");
    let mut server = Server::start(ROUTES, &postgres.url(), &flags).ready();
    let admin = server.admin();
    assert_eq!(server.get("/items/1").status, 200);
    let answer = ask(admin, "POST", "/histograms");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let dumped: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let path = dumped["dump"].as_str().expect("a path");
    assert!(path.starts_with(&dumps), "{path}");
    let files = std::fs::read_dir(path).expect("the dump is a directory");
    let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    let log = files
        .iter()
        .find(|file| file.extension().is_some_and(|end| end == "hlog"));
    let log = log.unwrap_or_else(|| panic!("no .hlog among {files:?}"));
    let log = std::fs::read_to_string(log).expect("a log in ASCII");
    assert!(log.contains("item"), "{log}");
}

#[test]
fn routes_are_told_with_the_types_that_postgres_gave() {
    let postgres = Postgres::shop();
    let (_server, admin) = shop(&postgres);
    let all = json(admin, "/routes");
    assert_eq!(all["title"], "Shop");
    assert_eq!(all["unresolved"], Value::Null);
    let routes = all["routes"].as_array().expect("routes");
    let route = |name: &str| {
        let found = routes.iter().find(|route| route["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    };
    let user = route("get_user");
    assert_eq!(
        (&user["method"], &user["path"]),
        (&"GET".into(), &"/users/{user_id}".into())
    );
    assert_eq!(user["batching"], "batched");
    assert_eq!(user["params"][0]["name"], "user_id");
    assert_eq!(
        (&user["params"][0]["in"], &user["params"][0]["type"]),
        (&"path".into(), &"int8".into())
    );
    assert_eq!(
        (&user["columns"][0]["type"], &user["columns"][0]["json"]),
        (&"int8".into(), &"integer".into())
    );
    let guards = route("list_agents")["guards"].to_string();
    assert!(guards.contains("auth jwt"), "{guards}");
}

#[test]
fn settings_are_told_and_secrets_are_not() {
    let postgres = Postgres::shop();
    let directory = TempDir::new();
    let mut command = pinion(&["serve", "--listen", "127.0.0.1:0", "--cores", "0"]);
    command
        .args([
            "--admin",
            "127.0.0.1:0",
            "--queue-target",
            "25ms",
            "--routes",
        ])
        .arg(directory.routes(ROUTES))
        .env(
            "PINION_DATABASE_URL",
            format!("{}&password=hush-postgres", postgres.url()),
        )
        .env(
            "PINION_REDIS_URL",
            "redis://somebody:hush-redis@127.0.0.1:1/3",
        );
    let mut server = Server::run(command, directory);
    let admin = server.admin();
    let text = get(admin, "/config").text().to_owned();
    assert!(!text.contains("hush"), "{text}");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    let settings = config["settings"].as_array().expect("settings");
    let setting = |flag: &str| {
        let found = settings.iter().find(|setting| setting["flag"] == flag);
        let found = found.unwrap_or_else(|| panic!("no {flag} in {text}"));
        (
            found["value"].as_str().unwrap_or("null"),
            found["from"].as_str().expect("a source"),
        )
    };
    assert_eq!(setting("--queue-target"), ("25ms", "flag"));
    assert_eq!(setting("--database-url"), ("(hidden)", "environment"));
    assert_eq!(setting("--redis-url"), ("(hidden)", "environment"));
    assert_eq!(setting("--keep-alive"), ("75s", "default"));
    assert_eq!(setting("--tls-key"), ("null", "none"));
    let effect = &config["in_effect"];
    assert_eq!(effect["redis"], "redis://127.0.0.1:1/3");
    assert_eq!(effect["listening"][0], format!("http://{}", server.address));
    assert!(
        effect["database"]
            .as_str()
            .expect("a place")
            .starts_with("shop as postgres at")
    );
}

#[test]
fn what_can_not_be_answered_is_not_ready_and_says_why() {
    let mut postgres = Postgres::start("select 1;");
    let mut server = Server::start(ROUTES, &postgres.url(), &["--admin", "127.0.0.1:0"]);
    let admin = server.admin();
    wait_until("it is ready", || get(admin, "/readyz").status == 200);
    let ready = json(admin, "/readyz");
    assert_eq!(ready["status"], "ready");
    for name in ["core", "postgres", "reload", "drain"] {
        assert_eq!(check(&ready, name)["state"], "ok", "{ready}");
    }
    postgres.stop();
    wait_until("it is not ready", || get(admin, "/readyz").status == 503);
    wait_until("Postgres is missed", || {
        let ready = json(admin, "/readyz");
        check(&ready, "postgres")["state"] == "failed"
    });
    let ready = json(admin, "/readyz");
    let postgres_check = check(&ready, "postgres");
    assert_eq!(postgres_check["core"], 0);
    assert!(
        postgres_check["detail"]
            .as_str()
            .expect("words")
            .starts_with("connections: 0 open")
    );
    assert_eq!(get(admin, "/livez").status, 200, "it lives all the same");
    assert!(get(admin, "/metrics").text().contains("\npinion_ready 0\n"));
    postgres.start_again();
    wait_until("it is ready again", || get(admin, "/readyz").status == 200);
    assert!(get(admin, "/metrics").text().contains("\npinion_ready 1\n"));
}

#[test]
fn routes_of_a_server_that_started_without_postgres_are_asked_for_later() {
    let mut postgres = Postgres::start("select 1;");
    postgres.stop();
    let mut server = Server::start(ROUTES, &postgres.url(), &["--admin", "127.0.0.1:0"]);
    let admin = server.admin();
    let without = json(admin, "/routes");
    assert!(without["unresolved"].is_string(), "{without}");
    assert_eq!(without["routes"][0]["params"][0]["name"], "id");
    assert_eq!(without["routes"][0]["params"][0]["type"], Value::Null);
    postgres.start_again();
    wait_until("they are known", || {
        json(admin, "/routes")["unresolved"].is_null()
    });
    let with = json(admin, "/routes");
    assert_eq!(with["routes"][0]["params"][0]["type"], "int4");
}

#[test]
fn a_server_that_stops_is_not_ready_and_answers_to_the_end() {
    let postgres = Postgres::shop();
    let mut server = Server::start(ROUTES, &postgres.url(), &["--admin", "127.0.0.1:0"]).ready();
    let admin = server.admin();
    let mut client = server.client();
    client.send("GET /nap?seconds=4 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it naps", || {
        get(admin, "/metrics")
            .text()
            .contains("pinion_in_flight{core=\"0\"} 1")
    });
    server.signal(Signal::TERM);
    wait_until("it stops", || get(admin, "/readyz").status == 503);
    let ready = json(admin, "/readyz");
    assert_eq!(check(&ready, "drain")["state"], "failed", "{ready}");
    assert_eq!(json(admin, "/live.json")["draining"], true);
    assert_eq!(client.response().status, 200);
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_reload_that_was_refused_is_told_and_leaves_it_ready() {
    let postgres = Postgres::shop();
    let directory = TempDir::new();
    let mut command = pinion(&["serve", "--listen", "127.0.0.1:0", "--cores", "0"]);
    let routes = directory.routes(pinion::demo::ROUTES);
    command
        .args([
            "--admin",
            "127.0.0.1:0",
            "--database-url",
            &postgres.url(),
            "--routes",
        ])
        .arg(&routes);
    let secret = routes.with_file_name("shop-jwt.key");
    let mut server = Server::run(command, directory).ready();
    let admin = server.admin();
    wait_until("it is ready", || get(admin, "/readyz").status == 200);
    std::fs::write(&secret, "short").expect("a file");
    server.signal(Signal::HUP);
    let state = || check(&json(admin, "/readyz"), "reload")["state"].clone();
    wait_until("it is refused", || state() == "warning");
    assert_eq!(get(admin, "/readyz").status, 200);
    assert!(
        get(admin, "/metrics")
            .text()
            .contains("\npinion_last_reload_successful 0\n")
    );
    let problems = json(admin, "/live.json")["problems"].to_string();
    assert!(problems.contains("shop-jwt.key"), "{problems}");
    std::fs::write(&secret, SHOP_SECRET).expect("a file");
    server.signal(Signal::HUP);
    wait_until("it is taken", || state() == "ok");
}

#[test]
fn a_core_that_stands_still_can_not_hide() {
    let postgres = Postgres::shop();
    let (mut server, admin) = shop(&postgres);
    let held = StoppedCore::stop(server.pid());
    wait_until("it is noticed", || get(admin, "/livez").status == 503);
    let alive = json(admin, "/livez");
    assert_eq!(alive["status"], "stuck");
    let problems = alive["problems"].to_string();
    assert!(problems.contains("core 0 has not moved for"), "{problems}");
    assert!(!problems.contains("core 1"), "{problems}");
    let ready = json(admin, "/readyz");
    assert_eq!(check(&ready, "core")["state"], "failed", "{ready}");
    let metrics = get(admin, "/metrics");
    let lag = metrics
        .text()
        .lines()
        .find_map(|line| line.strip_prefix("pinion_core_heartbeat_lag_seconds{core=\"0\"} "))
        .expect("its lag");
    assert!(lag.parse::<f64>().expect("seconds") >= 3.0, "{lag}");
    drop(held);
    wait_until("it goes on", || get(admin, "/livez").status == 200);
    server.wait_for_line("the core that was stuck goes on");
}
