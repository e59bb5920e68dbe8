//! Upgrades under load.

use crate::support::TempDir;
use crate::support::steady::Steady;
use crate::{fixture_in, versions};

/// How many upgrades there are in a row; `UPGRADES` says otherwise.
fn count(at_least: u64) -> u64 {
    let said = std::env::var("UPGRADES").ok();
    said.map_or(at_least, |it| it.parse().expect("a number"))
}

#[test]
fn no_request_is_lost() {
    let directory = TempDir::new();
    let (tls, config) = versions::certificate(&directory);
    let mut flags: Vec<&str> = tls.iter().map(String::as_str).collect();
    flags.extend(["--listen", "https://127.0.0.1:0"]);
    let mut fixture = fixture_in(directory, &flags);
    let places = versions::places(&mut fixture.server, &config);
    let load = Steady::start(&places, versions::judge);
    for version in 2..=1 + count(20) {
        load.see(20);
        std::fs::write(&fixture.routes, versions::routes(version)).expect("the routes file");
        fixture.upgrade();
    }
    load.see(50);
    load.stop().expect_no_fault();
    fixture.stop();
}
