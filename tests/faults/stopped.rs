//! Backends that are ended, and a Postgres that is stopped and started.

use std::time::Duration;

use crate::fixture::{lines, until, with};
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Load, ROUTES, SCHEMA};

/// Those of the server.
const NAME: &str = "pinion";

#[test]
fn backends_that_are_ended_under_load_fail_no_read_and_repeat_no_write() {
    let cluster = Cluster::start("", SCHEMA);
    let mut server = Server::start(ROUTES, &cluster.url(), &[]).ready();
    let (ended, tally) = Load::during(server.address, || {
        let rounds = (0..12).map(|_| {
            std::thread::sleep(Duration::from_millis(150));
            cluster.terminate(NAME, "1")
        });
        rounds.sum::<usize>()
    });
    // A read is lost once and run again; one at a time, none is lost twice.
    tally.expect(&[200], &[201, 503]);
    tally.check_writes(&cluster);
    assert_eq!(lines(&mut server, " ERROR "), 0, "{:?}", server.log());
    // Once for each time that the lane was whole before.
    let told = lines(&mut server, "a connection to Postgres is down");
    assert!((1..=ended).contains(&told), "{told}: {:?}", server.log());

    let ((), tally) = Load::during(server.address, || {
        for _ in 0..12 {
            cluster.terminate(NAME, "all");
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    tally.expect(&[200, 503], &[201, 503]);
    tally.check_writes(&cluster);
    until("all four are back", || cluster.backends(NAME).len() == 4);
    let ((), tally) = Load::during(server.address, || ());
    tally.expect(&[200], &[201]);
}

#[test]
fn a_postgres_that_is_stopped_is_taken_up_within_a_second_of_its_return() {
    let mut cluster = Cluster::start("", SCHEMA);
    let mut server = Server::start(ROUTES, &cluster.url(), &[]).ready();
    for crash in [true, false] {
        let before = server.log().len();
        let load = Load::start(server.address);
        std::thread::sleep(Duration::from_millis(300));
        match crash {
            true => cluster.stop_immediately(),
            false => cluster.stop_fast(),
        }
        // For longer than requests are let wait.
        std::thread::sleep(Duration::from_millis(1500));
        let ready = server.get("/ready");
        assert_eq!((ready.status, ready.field("retry-after")), (503, Some("1")));
        assert!(ready.text().contains("postgres: "), "{}", ready.text());
        let back = cluster.launch();
        until("ready", || server.get("/ready").status == 200);
        std::thread::sleep(Duration::from_millis(500));
        let tally = load.stop();
        tally.expect(&[200, 503], &[201, 503]);
        tally.check_writes(&cluster);
        tally.check_recovery(back);
        // Thousands of requests were refused. What Postgres said, how it was missed, how it came back.
        let told = &server.log()[before..];
        assert!(told.len() <= 6, "{told:?}");
    }
    server.wait_for_line("connected to Postgres again");
}

#[test]
fn a_single_connection_that_is_ended_again_and_again_is_sat_out() {
    let cluster = Cluster::start("", SCHEMA);
    let url = with(&cluster.url(), "connect_timeout=2");
    let flags = ["--connections-per-core", "1"];
    let server = Server::start(ROUTES, &url, &flags).ready();
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..5 {
            cluster.terminate(NAME, "all");
            std::thread::sleep(Duration::from_millis(400));
        }
    });
    tally.expect(&[200], &[201, 503]);
    tally.check_writes(&cluster);
}
