//! A Postgres that is not there yet.

use std::time::Duration;

use crate::fixture::{ROUTES, SCHEMA, lines, until};
use crate::support::{Postgres, Server};

#[test]
fn a_postgres_that_comes_after_the_server_is_found() {
    let mut postgres = Postgres::start(SCHEMA);
    postgres.stop();
    let mut server = Server::start(ROUTES, &postgres.url(), &[]);
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
