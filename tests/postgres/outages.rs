//! A Postgres that is stopped, crashes, or is not there yet.

use std::time::Duration;

use crate::fixture::{Breakable, Load, ROUTES, lines, until};
use crate::support::Server;

#[test]
fn a_crashed_postgres_is_taken_up_again() {
    let mut postgres = Breakable::start();
    let mut server = Server::start(ROUTES, &postgres.url, &[]).ready();
    let load = Load::start(server.address, 4);
    std::thread::sleep(Duration::from_millis(200));
    postgres.stop_immediately();
    until("not ready", || server.get("/ready").status == 503);
    assert_eq!(server.get("/health").status, 200);
    assert!(server.get("/ready").text().contains("postgres: "));
    std::thread::sleep(Duration::from_secs(2));
    // Down for longer than the patience: refused at once.
    let response = server.get("/items/3");
    assert_eq!(response.status, 503);
    assert_eq!(response.field("retry-after"), Some("1"));
    postgres.start_again();
    let took = until("a good answer", || server.get("/items/3").status == 200);
    println!("recovered {took:?} after Postgres was back");
    assert!(took < Duration::from_secs(5), "{took:?}");
    until("ready", || server.get("/ready").status == 200);
    let tally = load.stop();
    tally.expect(&[200, 503]);
    let told = lines(&mut server, "to Postgres");
    assert!(told <= 10, "{told} lines: {:?}", server.log());
    server.wait_for_line("connected to Postgres again");
}

#[test]
fn a_postgres_that_comes_after_the_server_is_found() {
    let mut postgres = Breakable::start();
    postgres.stop();
    let mut server = Server::start(ROUTES, &postgres.url, &[]);
    assert_eq!(server.get("/health").status, 200);
    until("the reason", || {
        server.get("/ready").text().contains(".s.PGSQL.5432")
    });
    for _ in 0..50 {
        let response = server.get("/items/1");
        assert_eq!(response.status, 503);
        assert_eq!(response.field("retry-after"), Some("1"));
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(lines(&mut server, "no connection to Postgres"), 1);
    postgres.start_again();
    let took = until("a good answer", || server.get("/items/1").status == 200);
    assert!(took < Duration::from_secs(5), "{took:?}");
    // Stopped in order, it goes and comes as well.
    postgres.stop();
    until("not ready", || server.get("/ready").status == 503);
    postgres.start_again();
    until("a good answer", || server.get("/items/1").status == 200);
}
