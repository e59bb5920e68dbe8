//! A Postgres that may be broken, the routes that are asked meanwhile, and the load that asks them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sonic_rs::JsonValueTrait;

use crate::support::{Client, PATIENCE, Postgres, Response, Server, Shared, items};

/// Items under load, and a table for writes. Tables that a test changes are its own.
pub const SCHEMA: &str = concat!(
    items::table!(),
    "create table effects (id serial, key text unique);
"
);

pub const ROUTES: &str = concat!(
    items::route!(),
    r#"
[[route]]
name = "nap"
method = "GET"
path = "/nap/{id}"
result = "one"
sql = "select :id::int4 as id from pg_sleep(:seconds::float8)"
[route.params]
seconds = { in = "query", default = 0 }

[[route]]
name = "divide"
method = "GET"
path = "/divide/{id}/{by}"
result = "scalar"
sql = "select :id::int4 / :by::int4"

[[route]]
name = "add_effect"
method = "POST"
path = "/effects/{key}"
result = "exec"
sql = "insert into effects (key) select :key::text from pg_sleep(:seconds::float8)"
[route.params]
seconds = { in = "query", default = 0 }

[[route]]
name = "setting"
method = "GET"
path = "/settings/{name}"
result = "scalar"
sql = "select current_setting(:name)"
"#
);

/// One more route that reads, for a test's own table.
pub fn read_route(name: &str, sql: &str) -> String {
    let result = if sql.contains(":id") { "one" } else { "many" };
    let id = if sql.contains(":id") { "/{id}" } else { "" };
    format!(
        "\n[[route]]\nname = \"{name}\"\nmethod = \"GET\"\npath = \"/{name}{id}\"\n\
         result = \"{result}\"\nsql = '''{sql}'''\n"
    )
}

/// The cluster that tests share which don't break it.
pub fn shared() -> Arc<Postgres> {
    static SHARED: Shared = Shared::new(Weak::new());
    Postgres::shared(&SHARED, || Postgres::start(SCHEMA))
}

/// The URL with a setting more. A name of its own tells a server's backends from the others'.
pub fn with(url: &str, setting: &str) -> String {
    format!("{url}&{setting}")
}

/// The process ids of a server's backends.
pub fn backends(postgres: &Postgres, name: &str) -> Vec<u32> {
    backends_where(postgres, &format!("application_name = '{name}'"))
}

/// Of those in which a statement sleeps.
pub fn sleeping(postgres: &Postgres, name: &str) -> Vec<u32> {
    let condition = format!("application_name = '{name}' and wait_event = 'PgSleep'");
    backends_where(postgres, &condition)
}

fn backends_where(postgres: &Postgres, condition: &str) -> Vec<u32> {
    let pids = postgres.sql(&format!(
        "select pid from pg_stat_activity where {condition}"
    ));
    pids.lines()
        .map(|pid| pid.parse().expect("a process id"))
        .collect()
}

pub fn terminate(postgres: &Postgres, name: &str, limit: &str) {
    postgres.sql(&format!(
        "select pg_terminate_backend(pid) from (select pid from pg_stat_activity \
         where application_name = '{name}' limit {limit}) backends"
    ));
}

/// Waits until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// Lines of the server's log that contain `part`.
pub fn lines(server: &mut Server, part: &str) -> usize {
    let log = server.log();
    log.iter().filter(|line| line.contains(part)).count()
}

/// Clients that ask for items all the time, some requests pipelined, and check every answer.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What the load saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers by status. Those with 200 had the row that was asked for.
    pub statuses: BTreeMap<u16, usize>,
    /// The longest wait for one round of answers.
    pub slowest: Duration,
}

impl Load {
    pub fn start(address: SocketAddr, clients: usize) -> Load {
        let stop = Arc::<AtomicBool>::default();
        let clients = (0..clients)
            .map(|number| {
                let stop = stop.clone();
                std::thread::spawn(move || ask(address, number, &stop))
            })
            .collect();
        Load { stop, clients }
    }

    /// Ends the load. Fails when an answer was wrong, cut or never came.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Tally::default();
        for client in self.clients {
            let tally = client.join().expect("every answer is right");
            for (status, count) in tally.statuses {
                *total.statuses.entry(status).or_default() += count;
            }
            total.slowest = total.slowest.max(tally.slowest);
        }
        total
    }

    pub fn during<T>(address: SocketAddr, work: impl FnOnce() -> T) -> (T, Tally) {
        let load = Load::start(address, 4);
        std::thread::sleep(Duration::from_millis(100));
        let value = work();
        std::thread::sleep(Duration::from_millis(300));
        (value, load.stop())
    }
}

impl Tally {
    pub fn ok(&self) -> usize {
        self.statuses.get(&200).copied().unwrap_or(0)
    }

    /// Only these statuses, and some successes.
    pub fn expect(&self, statuses: &[u16]) {
        assert!(self.ok() > 0, "{self:?}");
        let known = |status: &u16| statuses.contains(status);
        assert!(self.statuses.keys().all(known), "{self:?}");
    }
}

fn ask(address: SocketAddr, number: usize, stop: &AtomicBool) -> Tally {
    let mut client = Client::connect(address);
    let mut tally = Tally::default();
    let mut next = number * 131;
    while !stop.load(Ordering::Relaxed) {
        let ids: Vec<usize> = (0..4).map(|step| (next + step * 7) % 1000 + 1).collect();
        next += 31;
        let start = Instant::now();
        let requests: String = ids.iter().map(|id| get(&format!("/items/{id}"))).collect();
        client.send(requests);
        for id in ids {
            let response = client.response();
            *tally.statuses.entry(response.status).or_default() += 1;
            check(&response, id);
        }
        tally.slowest = tally.slowest.max(start.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    tally
}

/// The text of a request.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// An answer with 200 is of the row that was asked for; one with 503 says when to come again.
pub fn check(response: &Response, id: usize) {
    match response.status {
        200 => {
            let item = response.json();
            assert_eq!(item["id"].as_u64(), Some(id as u64), "{}", response.text());
            if let Some(name) = item.get("name") {
                assert_eq!(name.as_str(), Some(format!("item {id}").as_str()));
            }
        }
        503 => {
            let seconds = response.field("retry-after").expect("when to come again");
            assert!((1..=8).contains(&seconds.parse().expect("seconds")));
        }
        _ => assert!(response.json()["error"].is_str(), "{}", response.text()),
    }
}
