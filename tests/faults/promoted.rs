//! A primary that goes, and a standby that takes its place.

use std::time::{Duration, Instant};

use crate::fixture::{lines, until, with};
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Load, ROUTES, SCHEMA};

/// A primary with its data, and a standby that has followed it so far.
fn pair() -> (Cluster, Cluster) {
    let primary = Cluster::start("", SCHEMA);
    let standby = Cluster::standby_of(&primary);
    let rows = "select count(*) from items";
    until("the standby follows", || standby.sql(rows) == "1000");
    assert_eq!(standby.sql("select pg_is_in_recovery()"), "t");
    (primary, standby)
}

/// Both hosts, the primary first.
fn url(primary: &Cluster, standby: &Cluster, wanted: &str) -> String {
    let hosts = format!(
        "{},{}",
        primary.sockets().display(),
        standby.sockets().display()
    );
    let url = format!("postgres://postgres@/postgres?host={hosts}");
    with(&url, &format!("target_session_attrs={wanted}"))
}

#[test]
fn writes_go_on_on_the_standby_that_is_promoted() {
    let (mut primary, standby) = pair();
    let mut server = Server::start(ROUTES, &url(&primary, &standby, "read-write"), &[]).ready();
    until("all four", || primary.backends("pinion").len() == 4);
    let load = Load::start(server.address);
    std::thread::sleep(Duration::from_millis(300));
    // What was confirmed is on the standby as well: in order, then gone.
    primary.stop_fast();
    until("no server takes writes", || {
        server.get("/ready").text().contains("not read-write")
    });
    std::thread::sleep(Duration::from_millis(1200));
    standby.promote();
    let back = Instant::now();
    until("ready", || server.get("/ready").status == 200);
    std::thread::sleep(Duration::from_millis(500));
    let tally = load.stop();
    tally.expect(&[200, 503], &[201, 503]);
    tally.check_recovery(back);
    tally.check_writes(&standby);
    until("all four", || standby.backends("pinion").len() == 4);
    server.wait_for_line("connected to Postgres again");
    assert_eq!(
        lines(&mut server, "not read-write"),
        1,
        "{:?}",
        server.log()
    );
    assert!(lines(&mut server, " WARN ") <= 4, "{:?}", server.log());
}

#[test]
fn each_kind_of_server_is_found_among_the_hosts_and_left_when_it_is_another() {
    let (mut primary, standby) = pair();
    let start = |wanted| Server::start(ROUTES, &url(&primary, &standby, wanted), &[]);
    let mut servers = Vec::new();
    let mut sessions = (0, 0);
    for (wanted, on_standby) in [
        ("any", false),
        ("read-write", false),
        ("primary", false),
        ("read-only", true),
        ("standby", true),
        ("prefer-standby", true),
    ] {
        servers.push((wanted, start(wanted).ready()));
        match on_standby {
            true => sessions.1 += 4,
            false => sessions.0 += 4,
        }
        until(wanted, || {
            let now = (
                primary.backends("pinion").len(),
                standby.backends("pinion").len(),
            );
            now == sessions
        });
    }
    // The primary turns read-only, as one whose disk is full is made to: sessions that are there notice
    // with the next write, and those that were to write are given up.
    primary.sql("alter system set default_transaction_read_only = on");
    primary.reload();
    std::thread::sleep(Duration::from_millis(1100));
    for (wanted, server) in &servers[..3] {
        let refused = server.send("POST", "/effects/too-late", "");
        assert_eq!(refused.status, 503, "{wanted}: {}", refused.text());
        assert!(
            refused.text().contains("takes no changes"),
            "{}",
            refused.text()
        );
        assert_eq!(refused.field("retry-after"), Some("1"));
    }
    let (_, wants_writes) = &servers[1];
    until("all of its sessions are given up", || {
        let refused = wants_writes.send("POST", "/effects/too-late", "");
        assert_eq!(refused.status, 503, "{}", refused.text());
        wants_writes.get("/ready").text().contains("not read-write")
    });
    // One that asks whether it is let in again is there for a moment.
    until("the others stay", || primary.backends("pinion").len() == 8);
    for (_, server) in [&servers[0], &servers[2]] {
        assert_eq!(server.get("/items/1").status, 200);
    }
    primary.sql("alter system reset default_transaction_read_only");
    primary.reload();
    until("it is taken again", || {
        wants_writes.send("POST", "/effects/in-time", "").status == 201
    });
    assert_eq!(
        primary.sql("select count(*) from effects where key = 'too-late'"),
        "0"
    );
    for (_, server) in &mut servers {
        assert!(
            lines(server, "read-only transaction") <= 1,
            "{:?}",
            server.log()
        );
    }
    // The standby goes: who wants one has none, who prefers one takes the other.
    drop(standby);
    let (_, standby_only) = &servers[4];
    until("it has none", || standby_only.get("/ready").status == 503);
    let (_, prefers) = &servers[5];
    until("it takes the other", || {
        prefers.get("/items/1").status == 200
    });
    primary.stop_fast();
}
