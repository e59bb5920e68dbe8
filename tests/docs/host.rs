//! What the handbook speaks of: a server with its Postgres, its Redis, its routes file and its dumps.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::support::process::signal_all;
use crate::support::redis::Redis;
use crate::support::{Client, Postgres, Response, Server, Signal, TempDir, pinion, wait_until};

const SCHEMA: &str = "
create table items (id int4 primary key, name text not null);
insert into items select n, 'item ' || n from generate_series(1, 1000) n;
create function fails() returns int language plpgsql as
    $$ begin raise exception 'bad luck' using errcode = 'XX001'; end $$;
";

pub const ROUTES: &str = r#"
[api]
title = "Items"
version = "1"

[lane.slow]
connections = 1
queue = 1

[rate_limit.shared]
requests = 1000
per = "1m"
store = "redis"

[[route]]
name = "get_item"
method = "GET"
path = "/items/{id}"
result = "one"
sql = "select id, name from items where id = :id"

[[route]]
name = "slow"
method = "GET"
path = "/slow/{seconds}"
result = "one"
lane = "slow"
timeout = "60s"
cancel = true
sql = "select 'slept' as text from pg_sleep(:seconds)"

[[route]]
name = "late"
method = "GET"
path = "/late"
result = "one"
timeout = "50ms"
sql = "select 'slept' as text from pg_sleep(20)"

[[route]]
name = "fails"
method = "GET"
path = "/fails"
result = "scalar"
sql = "select fails()"

[[route]]
name = "limited"
method = "GET"
path = "/limited"
result = "scalar"
rate_limit = "shared"
sql = "select 1"
"#;

pub struct Host {
    pub server: Server,
    pub postgres: Postgres,
    pub redis: Redis,
    pub admin: SocketAddr,
    pub routes: PathBuf,
    pub dumps: PathBuf,
}

impl Host {
    /// A server on one core that answers two requests at a time.
    pub fn start() -> Host {
        let directory = TempDir::new();
        let (postgres, redis) = (Postgres::start(SCHEMA), Redis::start(&[]));
        let routes = directory.routes(ROUTES);
        let dumps = directory.path().join("dumps");
        let mut command = pinion(&["serve", "--cores", "0", "--max-in-flight", "2"]);
        command
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args([
                "--slow-log",
                "50ms",
                "--drain-timeout",
                "4s",
                "--acquire-timeout",
                "60s",
            ])
            .args(["--redis-url", &redis.url()])
            .args(["--database-url", &postgres.url()])
            .arg("--histogram-dir")
            .arg(&dumps)
            .arg("--routes")
            .arg(&routes);
        let mut server = Server::run(command, directory).ready();
        let admin = server.admin();
        let host = Host {
            server,
            postgres,
            redis,
            admin,
            routes,
            dumps,
        };
        host.answers("/limited", 200);
        host
    }

    pub fn get(&self, target: &str) -> Response {
        self.server.get(target)
    }

    /// Asks until it is answered so.
    pub fn answers(&self, target: &str, status: u16) {
        wait_until(target, || self.get(target).status == status);
    }

    /// What the admin port tells.
    pub fn metrics(&self) -> String {
        let mut client = Client::connect(self.admin);
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.response().text().to_owned()
    }

    /// Waits until a counter is not 0 any more.
    pub fn has_counted(&self, name: &str) {
        wait_until(name, || {
            let metrics = self.metrics();
            let value = metrics.lines().find_map(|line| line.strip_prefix(name));
            value.is_some_and(|value| value.trim() != "0")
        });
    }

    /// Asks, and leaves the answer for later.
    pub fn ask(&self, target: &str) -> Client {
        let mut client = self.server.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        client
    }
}

impl Drop for Host {
    /// Another process may serve in the place of the one that was started.
    fn drop(&mut self) {
        let pids = self.server.log().iter().filter_map(|line| {
            let (_, rest) = line.split_once("upgraded: another process serves")?;
            let (_, pid) = rest.split_once("pid=")?;
            pid.split_whitespace().next()?.parse().ok()
        });
        signal_all(&pids.collect::<Vec<u32>>(), Signal::KILL);
    }
}
