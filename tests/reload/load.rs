//! Reloads under load.

use crate::support::steady::Steady;
use crate::support::{Server, Signal, TempDir, echo, pinion};
use crate::{Fixture, TAKEN, versions};

/// How many reloads there are in a row; `RELOADS` says otherwise.
fn count(at_least: u64) -> u64 {
    let said = std::env::var("RELOADS").ok();
    said.map_or(at_least, |it| it.parse().expect("a number"))
}

#[test]
fn no_request_is_lost() {
    let postgres = echo::postgres();
    let directory = TempDir::new();
    let (tls, config) = versions::certificate(&directory);
    let file = directory.file("routes.toml", &versions::routes(1));
    let mut command = pinion(&["serve", "--cores", versions::cores()]);
    command.args([
        "--listen",
        "https://127.0.0.1:0",
        "--listen",
        "http://127.0.0.1:0",
    ]);
    command.args(["--database-url", &postgres.url(), "--routes"]);
    command.arg(&file).args(&tls);
    let mut server = Server::run(command, directory);
    let places = versions::places(&mut server, &config);
    server.address = places[0].address;
    let mut fixture = Fixture {
        server: versions::ready(server),
        routes: file,
        postgres,
    };
    let load = Steady::start(&places, versions::judge);
    let last = 1 + count(20);
    for version in 2..=last {
        load.see(20);
        fixture.reload(&versions::routes(version), TAKEN);
    }
    load.see(50);
    load.stop().expect_no_fault();
    // All cores serve the last one, and only that.
    for _ in 0..20 {
        let one = fixture.server.get("/items/7");
        assert_eq!(one.text(), format!("{{\"id\":7,\"version\":{last}}}"));
        let gone = format!("/versions/{}", last - 1);
        assert_eq!(fixture.server.get(&gone).status, 404);
    }
    fixture.server.signal(Signal::TERM);
    assert_eq!(fixture.server.exit().code(), Some(0));
}
