//! A Postgres that becomes slow, stands still or is gone under a load that it could bear before.

use std::time::Duration;

use crate::fixture::{
    HEADING, ROUTES, SCHEMA, alone, expect_answers_and_refusals, load, row, succeeds,
};
use crate::support::open_loop::Outcome;
use crate::support::{Postgres, Server};

#[test]
fn a_postgres_ten_times_slower_answers_what_it_can_and_is_itself_again() {
    let _alone = alone();
    let postgres = Postgres::start(SCHEMA);
    let server = Server::start(ROUTES, &postgres.url(), &[]).ready();
    println!("{HEADING}");
    let before = load(server.address, "single", 200.0, Duration::from_secs(2));
    println!("{}", row("before", 200.0, &before));
    assert_eq!(before.of(200).count(), before.answers.len());
    postgres.sql("update pace set seconds = 0.1");
    succeeds(|| try_slow(&server));
    postgres.sql("update pace set seconds = 0.01");
    std::thread::sleep(Duration::from_millis(500));
    let after = load(server.address, "single", 200.0, Duration::from_secs(2));
    println!("{}", row("after", 200.0, &after));
    assert_eq!(after.of(200).count(), after.answers.len());
}

/// One load while a statement takes 100 ms, and what is wrong with it.
fn try_slow(server: &Server) -> Result<(), String> {
    let slow = load(server.address, "single", 200.0, Duration::from_secs(4));
    expect_answers_and_refusals(&slow);
    let slow = slow.during(Duration::from_secs(2)..Duration::from_secs(4));
    println!("{}", row("ten times slower", 200.0, &slow));
    // 40 a second are what four connections can do.
    if slow.goodput() <= 25.0 {
        return Err(format!("{} a second", slow.goodput()));
    }
    // One runs and one waits on each connection; without a bound on time it would be a second.
    let p99 = slow.of(200).quantile(0.99);
    if p99 >= Duration::from_millis(600) {
        return Err(format!("p99 of good answers: {p99:?}"));
    }
    refuses_at_once(&slow)
}

fn refuses_at_once(outcome: &Outcome) -> Result<(), String> {
    let half = outcome.of(503).quantile(0.5);
    match half < Duration::from_millis(20) {
        true => Ok(()),
        false => Err(format!("p50 of refusals: {half:?}")),
    }
}

#[test]
fn when_postgres_has_gone_refusals_come_at_once_and_name_no_overload() {
    let _alone = alone();
    let mut postgres = Postgres::start(SCHEMA);
    let mut server = Server::start(ROUTES, &postgres.url(), &[]).ready();
    let good = load(server.address, "single", 200.0, Duration::from_secs(1));
    assert_eq!(good.of(200).count(), good.answers.len());
    postgres.stop();
    succeeds(|| {
        let gone = load(server.address, "single", 400.0, Duration::from_secs(3));
        assert_eq!(gone.of(503).count(), gone.answers.len());
        for answer in &gone.answers {
            assert!(answer.retry_after.is_some(), "{answer:?}");
        }
        // Those of the first second wait for it to come back, and nobody after them.
        refuses_at_once(&gone.during(Duration::from_secs(2)..Duration::from_secs(3)))
    });
    server.wait_for_line("no connection to Postgres");
    let told = server.log().iter();
    let told = told.filter(|line| line.contains("too many requests"));
    assert_eq!(told.count(), 0, "that was not the reason");
}
