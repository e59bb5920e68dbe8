//! The real server whose rate limits are counted in a real Redis.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::support::certificates::{Authority, Leaf};
use crate::support::redis::Redis;
use crate::support::{
    Client, Postgres, Response, Server, Shared, TempDir, ended, pinion, wait_until,
};

/// A hundred in ten hours, with what is done when Redis does not say.
fn routes(on_store_failure: &str) -> String {
    format!(
        r#"
[api]
title = "Limited"
version = "1"

[rate_limit.hundred]
requests = 100
per = "10h"
key = "header:x-key"
store = "redis"
on_store_failure = "{on_store_failure}"

[[route]]
name = "echo"
method = "GET"
path = "/echo/{{text}}"
result = "one"
rate_limit = "hundred"
sql = "select :text::text as text"

[[route]]
name = "free"
method = "GET"
path = "/free/{{text}}"
result = "one"
sql = "select :text::text as text"
"#
    )
}

fn postgres() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(""))
}

/// Long enough that Redis is never late here.
const PATIENT: [&str; 2] = ["--redis-timeout", "10s"];

fn serve(on_store_failure: &str, url: &str, flags: &[&str]) -> Server {
    let flags = [&["--redis-url", url][..], flags].concat();
    Server::start(&routes(on_store_failure), &postgres().url(), &flags).ready()
}

/// One request of the client that `key` names.
fn ask(client: &mut Client, key: &str) -> Response {
    client.send(format!(
        "GET /echo/x HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n"
    ));
    client.response()
}

/// Waits until the core of this connection has its own ones to Postgres and to Redis.
fn wait_for_core(client: &mut Client) {
    wait_until("the core", || {
        let is_served = client.request("GET", "/free/x", None).status == 200;
        is_served && ask(client, "warm").field("ratelimit").is_some()
    });
}

/// Two servers, eight connections to each, and one client's limit: to the request.
#[test]
fn two_servers_admit_together_what_the_rule_says() {
    let (redis, postgres) = (Redis::start(&[]), postgres());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = if cores > 1 { "0,1" } else { "0" };
    let flags = [&PATIENT[..], &["--cores", cores]].concat();
    let servers = [(); 2].map(|()| serve("deny", &redis.url(), &flags));
    let addresses = servers.each_ref().map(|server| server.address);
    let clients: Vec<_> = (0..16)
        .map(|number| {
            std::thread::spawn(move || {
                let mut client = Client::connect(addresses[number % 2]);
                wait_for_core(&mut client);
                let mut statuses = Vec::new();
                for _ in 0..125 {
                    // Some of them at a time, as a proxy would.
                    let request = "GET /echo/x HTTP/1.1\r\nHost: test\r\nX-Key: one\r\n\r\n";
                    client.send(request.repeat(5));
                    statuses.extend((0..5).map(|_| client.response().status));
                }
                statuses
            })
        })
        .collect();
    let statuses: Vec<u16> = clients
        .into_iter()
        .flat_map(|client| client.join().expect("answers"))
        .collect();
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(429)), (100, 9900));
    // Another client has a limit of its own, whichever server it asks.
    let mut remaining = Vec::new();
    for server in &servers {
        let mut client = server.client();
        wait_for_core(&mut client);
        let response = ask(&mut client, "other");
        let field = response.field("ratelimit").expect("a field").to_owned();
        remaining.push((
            response.status,
            field.contains("r=99"),
            field.contains("r=98"),
        ));
    }
    assert_eq!(remaining, [(200, true, false), (200, false, true)]);
    drop(postgres);
}

#[test]
fn a_client_is_told_what_redis_says() {
    let (redis, _postgres) = (Redis::start(&[]), postgres());
    let server = serve("deny", &redis.url(), &PATIENT);
    let mut client = server.client();
    wait_for_core(&mut client);
    for left in (0..100).rev() {
        let response = ask(&mut client, "k");
        assert_eq!(response.status, 200);
        let field = response.field("ratelimit").expect("a field");
        assert!(field.contains(&format!("r={left}")), "{field}");
    }
    let response = ask(&mut client, "k");
    assert_eq!(response.status, 429);
    let wait: u64 = response
        .field("retry-after")
        .expect("a field")
        .parse()
        .expect("seconds");
    assert!((1..=360).contains(&wait), "{wait}");
    // What limits nobody asks nobody.
    assert!(
        client
            .request("GET", "/free/x", None)
            .field("ratelimit")
            .is_none()
    );
}

/// Whose value the key is stays here: Redis has its hash.
#[test]
fn no_value_of_a_header_reaches_redis() {
    let (redis, _postgres) = (Redis::start(&[]), postgres());
    let server = serve("deny", &redis.url(), &PATIENT);
    let mut client = server.client();
    wait_for_core(&mut client);
    assert_eq!(ask(&mut client, "hunter2").status, 200);
    let keys = format!("{:?}", redis.command("KEYS *"));
    assert!(
        keys.contains("hundred") && !keys.contains("hunter2"),
        "{keys}"
    );
}

/// Without Redis the rule says what happens, at once and from the start; with it again, all is as it was.
#[test]
fn killed_away_and_back() {
    let postgres = postgres();
    for (word, status) in [("allow", 200), ("deny", 503)] {
        let mut redis = Redis::stopped(&["appendonly yes", "appendfsync always"]);
        let mut server = serve(word, &redis.unix_url(), &PATIENT);
        server.wait_for_line("no connection to Redis");
        let mut client = server.client();
        let without = |response: &Response| {
            assert_eq!(response.status, status);
            assert!(response.field("ratelimit").is_none());
            let again = response.field("retry-after").is_some();
            assert_eq!(again, word == "deny");
        };
        without(&ask(&mut client, "k"));
        redis.launch();
        // From here on every admission is counted.
        let mut counted = 0;
        wait_until("Redis to be asked", || {
            let response = ask(&mut client, "k");
            counted += usize::from(response.field("ratelimit").is_some());
            counted > 0
        });
        for _ in 1..50 {
            let response = ask(&mut client, "k");
            assert!(response.status == 200 && response.field("ratelimit").is_some());
        }
        redis.kill();
        server.wait_for_line("rate limit could not be decided on");
        wait_until("the end to be noticed", || {
            ask(&mut client, "k").field("ratelimit").is_none()
        });
        for _ in 0..20 {
            without(&ask(&mut client, "k"));
        }
        redis.launch();
        server.wait_for_line("connected to Redis again");
        let mut admitted = 0;
        wait_until("the limit to be reached", || {
            let response = ask(&mut client, "k");
            admitted +=
                usize::from(response.status == 200 && response.field("ratelimit").is_some());
            response.status == 429
        });
        // Those that were admitted before the end was noticed, too.
        assert!(admitted <= 50, "{admitted}");
        assert!(
            server
                .log()
                .iter()
                .filter(|line| line.contains("ERROR"))
                .count()
                == 0
        );
    }
    drop(postgres);
}

/// A frozen Redis costs requests the deadline, and those that come while it is known to be silent nothing.
#[test]
fn frozen() {
    let (redis, _postgres) = (Redis::start(&[]), postgres());
    for (word, status) in [("allow", 200), ("deny", 503)] {
        let flags = ["--redis-timeout", "200ms", "--slow-log", "150ms"];
        let mut server = serve(word, &redis.url(), &flags);
        let mut client = server.client();
        wait_until("Redis to be asked", || {
            ask(&mut client, word).field("ratelimit").is_some()
        });
        redis.freeze();
        for _ in 0..20 {
            let response = ask(&mut client, word);
            assert_eq!(response.status, status);
            assert!(response.field("ratelimit").is_none());
        }
        redis.thaw();
        wait_until("Redis to be asked again", || {
            ask(&mut client, word).field("ratelimit").is_some()
        });
        server.wait_for_line("Redis did not answer in time");
        // A line for each cause and not for each request.
        let lines = server.log().iter().filter(|line| line.contains("in time"));
        assert_eq!(lines.count(), 1);
        // The time is one of waiting, whatever comes of it.
        let slow = server.wait_for_line("wait_ms=");
        let waited = slow.split("wait_ms=").nth(1).expect("a time");
        let waited = waited.split_whitespace().next().expect("a time");
        assert!(waited.parse::<f64>().expect("a time") >= 150.0, "{slow}");
    }
}

#[test]
fn over_tls_with_a_password_that_nobody_is_shown() {
    let (directory, authority) = (TempDir::new(), Authority::new("Of Redis"));
    let (certificate, key) = authority.issue(&Leaf::default()).files(&directory, "redis");
    let ca = authority.file(&directory, "ca.crt");
    let redis = Redis::start_with_tls(&[
        "requirepass hunter2",
        "tls-auth-clients no",
        &format!("tls-cert-file {}", certificate.display()),
        &format!("tls-key-file {}", key.display()),
        &format!("tls-ca-cert-file {}", ca.display()),
    ]);
    let (port, ca) = (redis.tls_port(), ca.display().to_string());
    let _postgres = postgres();
    let flags = [&PATIENT[..], &["--redis-ca", &ca, "--log", "trace"]].concat();
    for (password, works) in [("hunter2", true), ("hunter3", false)] {
        let url = format!("rediss://:{password}@localhost:{port}/4");
        let mut server = serve("deny", &url, &flags);
        let mut client = server.client();
        match works {
            true => wait_until("Redis to be asked", || ask(&mut client, "k").status == 200),
            false => {
                let line = server.wait_for_line("no connection to Redis");
                assert!(line.contains("WRONGPASS"), "{line}");
                assert_eq!(ask(&mut client, "k").status, 503);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        let log = server.log().join("\n");
        assert!(!log.contains("hunter"), "{log}");
    }
}

/// What is wrong with the settings ends the start, in a line that shows no password.
#[test]
fn faults_of_the_settings() {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", &routes("deny"));
    let missing = directory.path().join("missing.crt");
    let missing = missing.to_str().expect("text");
    for (flags, fault) in [
        (
            &[][..],
            "[rate_limit.hundred]: store = \"redis\" needs --redis-url",
        ),
        (
            &["--redis-url", "redis://:hunter2@h/x"],
            "--redis-url: the database is a number",
        ),
        (
            &["--redis-url", "http://:hunter2@h"],
            "--redis-url: it is not redis://",
        ),
        (
            &["--redis-url", "rediss://h", "--redis-ca", missing],
            "--redis-ca ",
        ),
        (
            &["--redis-url", "rediss://h", "--redis-cert", missing],
            "--redis-cert: needs --redis-key",
        ),
        (
            &["--redis-url", "redis://h", "--redis-timeout", "0s"],
            "--redis-timeout: longer",
        ),
    ] {
        let mut command = pinion(&["serve", "--database-url", "postgres://nobody@127.0.0.1:1/x"]);
        command.arg("--routes").arg(&file).args(flags);
        let (code, _, text) = ended(command);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(fault), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
