//! What a real browser lets the script of a page do. It knows nothing of this server but its answers.

use std::sync::Arc;

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

use super::server_of;
use crate::support::browser::{Pages, Tap};
use crate::support::{Postgres, Server};

/// A server, what is sent to it, and pages of other origins.
struct Scene {
    pages: Pages,
    tap: Tap,
    _server: Server,
    _postgres: Arc<Postgres>,
}

/// What a page's script saw of each of its requests, by name.
struct Seen(Value);

impl Scene {
    /// `{PORT}` in the table is the port of the pages.
    fn new(table: &str) -> Scene {
        let pages = Pages::start();
        let table = table.replace("{PORT}", &pages.address.port().to_string());
        let (server, postgres) = server_of(Some(&table), &["--max-body-bytes", "100"]);
        Scene {
            tap: Tap::start(server.address),
            pages,
            _server: server,
            _postgres: postgres,
        }
    }

    /// Runs `requests` on a page under a name for this machine: each line `name: target, options`.
    fn seen(&self, host: &str, requests: &str) -> Seen {
        let html = page(&script(&self.api(), requests));
        self.shown(host, &html)
    }

    fn shown(&self, host: &str, html: &str) -> Seen {
        let report = self.pages.shown(host, html);
        let value = sonic_rs::from_str(&report);
        Seen(value.unwrap_or_else(|error| panic!("{error}: {report}")))
    }

    fn api(&self) -> String {
        format!("http://{}", self.tap.address)
    }
}

impl Seen {
    fn answer(&self, name: &str) -> &Value {
        let known = &self.0["seen"];
        known
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// The script could not read any of it.
    #[track_caller]
    fn assert_blocked(&self, name: &str) {
        assert_eq!(
            self.answer(name).as_str(),
            Some("blocked"),
            "{name}: {}",
            self.0
        );
    }

    /// The script has read status and text.
    #[track_caller]
    fn assert_read(&self, name: &str, status: u64, text: &str) {
        let answer = self.answer(name);
        assert_eq!(
            answer["status"].as_u64(),
            Some(status),
            "{name}: {}",
            self.0
        );
        let read = answer["text"].as_str().expect("a text");
        assert!(read.contains(text), "{name}: {}", self.0);
    }

    /// Fields that the script could see.
    fn fields(&self, name: &str) -> Vec<&str> {
        let fields = self.answer(name)["fields"].as_array().expect("fields");
        fields.iter().filter_map(|field| field.as_str()).collect()
    }
}

fn page(script: &str) -> String {
    format!("<!doctype html><title>A page</title><body><script>{script}</script></body>")
}

/// Sends one request after the other, shows what came of it in the document and reports the document.
fn script(api: &str, requests: &str) -> String {
    let requests: String = requests
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(name, arguments)| format!("await send('{name}', {arguments});\n"))
        .collect();
    format!(
        "const seen = {{}};
async function send(name, target, options) {{
    try {{
        const response = await fetch('{api}' + target, options);
        const fields = [...response.headers.keys()];
        seen[name] = {{status: response.status, text: await response.text(), fields}};
    }} catch (error) {{
        seen[name] = 'blocked';
    }}
}}
async function run() {{
{requests}
    document.body.textContent = JSON.stringify({{origin: self.origin, seen}});
    report(document.body.textContent);
}}
function report(text) {{
    fetch('/report', {{method: 'POST', body: text}});
}}
run();"
    )
}

const TABLE: &str = r#"
allow_origins = ["http://127.0.0.1:{PORT}", "http://*.shop.localhost:*"]
allow_headers = ["content-type", "x-tenant"]
expose_headers = ["x-request-id"]
allow_credentials = true
max_age = "10m"
"#;

/// Requests that any form could send, and some that need a preflight.
const REQUESTS: &str = r#"
    get: '/echo/a'
    plain: '/echo', {method: 'POST', body: 'x'}
    json: '/echo', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{"text":"b"}'}
    delete: '/echo/c', {method: 'DELETE', headers: {'X-Tenant': '7'}}
    credentials: '/echo/d', {credentials: 'include'}
"#;

#[test]
fn a_page_that_is_let_in() {
    let scene = Scene::new(TABLE);
    let more = r#"
        missing: '/nowhere'
        no_row: '/none'
        method: '/echo', {method: 'GET'}
        invalid: '/echo', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{"text":1}'}
        too_much: '/echo', {method: 'POST', headers: {'content-type': 'application/json'}, body: 'x'.repeat(101)}
        two_rows: '/two'
        other_header: '/echo/other', {method: 'DELETE', headers: {'x-other': '7'}}
        authorization: '/echo/authorization', {headers: {authorization: 'Bearer x'}}
        other_method: '/echo/put', {method: 'PUT'}
        unknown_path: '/nowhere/at/all', {method: 'DELETE'}
        cookie: '/cookie', {credentials: (document.cookie = 'a=1', 'include')}
        no_cookie: '/cookie', {credentials: 'omit'}
    "#;
    let seen = scene.seen("127.0.0.1", &format!("{REQUESTS}{more}"));
    assert_eq!(
        seen.0["origin"].as_str(),
        Some(&*scene.pages.origin("127.0.0.1"))
    );
    seen.assert_read("get", 200, r#"{"text":"a"}"#);
    seen.assert_read("plain", 415, "application/json");
    seen.assert_read("json", 200, r#"{"text":"b"}"#);
    seen.assert_read("delete", 204, "");
    seen.assert_read("credentials", 200, r#"{"text":"d"}"#);
    // Errors are for pages to read, too.
    seen.assert_read("missing", 404, "Not found");
    seen.assert_read("no_row", 404, "\"code\":404");
    seen.assert_read("method", 405, "Method not allowed");
    seen.assert_read("invalid", 422, "details");
    seen.assert_read("too_much", 413, "\"code\":413");
    seen.assert_read("two_rows", 500, "Result too large");
    // What is exposed, and what every page may read; nothing else.
    assert_eq!(
        seen.fields("get"),
        ["content-length", "content-type", "x-request-id"]
    );
    // Refused before they were sent.
    for (name, method, target) in [
        ("other_header", "DELETE", "/echo/other"),
        ("authorization", "GET", "/echo/authorization"),
        ("other_method", "PUT", "/echo/put"),
        ("unknown_path", "DELETE", "/nowhere/at/all"),
    ] {
        seen.assert_blocked(name);
        assert_eq!(scene.tap.count("OPTIONS", target), 1, "{name}");
        assert_eq!(scene.tap.count(method, target), 0, "{name}");
    }
    assert_eq!(scene.tap.count("OPTIONS", "/echo/a"), 0);
    assert_eq!(scene.tap.count("OPTIONS", "/echo/c"), 1);
    // Cookies know no ports.
    seen.assert_read("cookie", 200, r#"{"cookie":"a=1"}"#);
    seen.assert_read("no_cookie", 200, r#"{"cookie":null}"#);
}

#[test]
fn pages_that_are_not_let_in() {
    let scene = Scene::new(TABLE);
    // Below a name is neither the name itself nor one that only ends like it.
    for host in ["localhost", "shop.localhost", "evilshop.localhost"] {
        let seen = scene.seen(host, REQUESTS);
        for name in ["get", "plain", "json", "delete", "credentials"] {
            seen.assert_blocked(name);
        }
    }
    // What forms can send was sent and could not be read; the rest was not sent.
    assert_eq!(scene.tap.count("GET", "/echo/a"), 3);
    assert_eq!(scene.tap.count("POST", "/echo"), 3);
    assert_eq!(scene.tap.count("OPTIONS", "/echo/c"), 3);
    assert_eq!(scene.tap.count("DELETE", "/echo/c"), 0);
}

#[test]
fn a_page_below_a_name() {
    let scene = Scene::new(TABLE);
    let seen = scene.seen("a.b.shop.localhost", REQUESTS);
    seen.assert_read("get", 200, r#"{"text":"a"}"#);
    seen.assert_read("json", 200, r#"{"text":"b"}"#);
    seen.assert_read("delete", 204, "");
    seen.assert_read("credentials", 200, r#"{"text":"d"}"#);
}

#[test]
fn everybodys_pages_without_credentials() {
    let scene = Scene::new(
        "allow_origins = [\"*\"]\nallow_methods = [\"*\"]\nallow_headers = [\"*\"]\n\
         expose_headers = [\"*\"]\n",
    );
    let more = "    authorization: '/echo/e', {headers: {authorization: 'Bearer x'}}";
    let seen = scene.seen("any.localhost", &format!("{REQUESTS}{more}"));
    seen.assert_read("get", 200, r#"{"text":"a"}"#);
    seen.assert_read("json", 200, r#"{"text":"b"}"#);
    seen.assert_read("delete", 204, "");
    assert!(seen.fields("get").contains(&"x-process-time"));
    seen.assert_blocked("credentials");
    seen.assert_blocked("authorization");
}

#[test]
fn a_sandboxed_frame_is_nobody() {
    let scene = Scene::new("allow_origins = [\"*\"]\nallow_headers = [\"*\"]\n");
    // It has no origin to report to: the page around it does.
    let framed = script(&scene.api(), REQUESTS).replace(
        "fetch('/report', {method: 'POST', body: text})",
        "parent.postMessage(text, '*')",
    );
    let framed = page(&framed).replace('&', "&amp;").replace('"', "&quot;");
    let html = format!(
        "<!doctype html><script>
onmessage = (event) => fetch('/report', {{method: 'POST', body: event.data}});
</script><iframe sandbox=\"allow-scripts\" srcdoc=\"{framed}\"></iframe>"
    );
    let seen = scene.shown("127.0.0.1", &html);
    assert_eq!(seen.0["origin"].as_str(), Some("null"));
    for name in ["get", "plain", "json", "delete", "credentials"] {
        seen.assert_blocked(name);
    }
    assert_eq!(scene.tap.count("GET", "/echo/a"), 1);
    assert_eq!(scene.tap.count("DELETE", "/echo/c"), 0);
}

#[test]
fn a_preflight_is_kept_for_max_age() {
    for (max_age, preflights) in [("10m", 1), ("0s", 3)] {
        let scene = Scene::new(&format!(
            "allow_origins = [\"http://127.0.0.1:{{PORT}}\"]\nmax_age = \"{max_age}\"\n"
        ));
        let requests = ["first", "second", "third"]
            .map(|name| format!("{name}: '/echo/a', {{method: 'DELETE'}}\n"))
            .concat();
        let seen = scene.seen("127.0.0.1", &requests);
        seen.assert_read("third", 204, "");
        assert_eq!(scene.tap.count("DELETE", "/echo/a"), 3);
        assert_eq!(
            scene.tap.count("OPTIONS", "/echo/a"),
            preflights,
            "{max_age}"
        );
    }
}
