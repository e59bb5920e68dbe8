//! Rate limits as clients meet them: exactly what is declared, whatever core a connection lands on.

mod support;

#[path = "rate_limit/declared.rs"]
mod declared;
#[path = "rate_limit/exact.rs"]
mod exact;
#[path = "rate_limit/told.rs"]
mod told;
#[path = "rate_limit/unread.rs"]
mod unread;

use std::sync::{Arc, Weak};

use support::{Client, Postgres, Response, Server, Shared, wait_until};

/// Nothing that was used comes back while a test runs.
const ROUTES: &str = r#"
[rate_limit.by_ip]
requests = 1000
per = "31d"

[rate_limit.by_key]
requests = 1000
per = "31d"
key = "header:X-Key"
on_store_failure = "deny"

[rate_limit.together]
requests = 1000
per = "31d"
key = "route"

[rate_limit.three]
requests = 3
per = "31d"

[rate_limit.bursts]
requests = 31
per = "31d"
burst = 2
key = "header:x-key"

[rate_limit.each_second]
requests = 1
per = "1s"

[[route]]
name = "by_ip"
method = "GET"
path = "/by_ip/{text}"
result = "one"
rate_limit = "by_ip"
sql = "select :text::int4 as text"

[[route]]
name = "by_key"
method = "GET"
path = "/by_key/{text}"
result = "one"
rate_limit = "by_key"
sql = "select :text::int4 as text"

[[route]]
name = "by_key_too"
method = "GET"
path = "/by_key_too/{text}"
result = "one"
rate_limit = "by_key"
sql = "select :text::int4 as text"

[[route]]
name = "together"
method = "GET"
path = "/together/{text}"
result = "one"
rate_limit = "together"
sql = "select :text::int4 as text"

[[route]]
name = "together_too"
method = "GET"
path = "/together_too/{text}"
result = "one"
rate_limit = "together"
sql = "select :text::int4 as text"

[[route]]
name = "three"
method = "GET"
path = "/three/{text}"
result = "one"
rate_limit = "three"
sql = "select :text::int4 as text"

[[route]]
name = "post_three"
method = "POST"
path = "/three"
result = "one"
rate_limit = "three"
sql = "select :text::int4 as text"
[route.params]
text = { in = "body" }

[[route]]
name = "bursts"
method = "GET"
path = "/bursts/{text}"
result = "one"
rate_limit = "bursts"
sql = "select :text::int4 as text"

[[route]]
name = "each_second"
method = "GET"
path = "/each_second/{text}"
result = "one"
rate_limit = "each_second"
sql = "select :text::int4 as text"

[[route]]
name = "free"
method = "GET"
path = "/free/{text}"
result = "one"
sql = "select :text::int4 as text"
"#;

/// What has `Server::log` tell where requests were decided.
const LOG: &str = "info,pinion::server::rate_limit=debug";

/// A Postgres without any table, shared by the tests that run at the same time.
fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(""))
}

/// A server over these routes, on so many cores, and the Postgres that it needs.
fn server(tables: &str, cores: usize, flags: &[&str]) -> (Server, Arc<Postgres>) {
    let postgres = postgres();
    let list: Vec<String> = (0..cores).map(|core| core.to_string()).collect();
    let list = list.join(",");
    let flags = [&["--log", LOG, "--cores", &list], flags].concat();
    let server = Server::start(&format!("{ROUTES}{tables}"), &postgres.url(), &flags).ready();
    let mut ready = 0;
    wait_until("every core is ready", || {
        ready = match server.get("/ready").status {
            200 => ready + 1,
            _ => 0,
        };
        cores == 1 || ready == 40
    });
    (server, postgres)
}

/// Whether there are two cores to spread connections over.
fn has_two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// A GET with further lines.
fn get(client: &mut Client, target: &str, lines: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    client.response()
}
