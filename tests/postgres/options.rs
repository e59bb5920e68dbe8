//! What the connection string and the flags set on a connection.

use crate::fixture::{ROUTES, lines, shared, until, with};
use crate::support::Server;

#[test]
fn settings_arrive_on_the_connection() {
    let postgres = shared();
    let options = "application_name=named&options=-c%20work_mem%3D8MB%20-c%20TimeZone%3DJapan";
    let url = with(&postgres.url(), options);
    let flags = ["--statement-timeout", "1234ms"];
    let server = Server::start(ROUTES, &url, &flags).ready();
    let setting = |name: &str| server.get(&format!("/settings/{name}")).text().to_owned();
    assert_eq!(setting("application_name"), "\"named\"");
    assert_eq!(setting("work_mem"), "\"8MB\"");
    // What rows are encoded from is ours.
    assert_eq!(setting("TimeZone"), "\"UTC\"");
    assert_eq!(setting("DateStyle"), "\"ISO, MDY\"");
    assert_eq!(setting("IntervalStyle"), "\"postgres\"");
    assert_eq!(setting("bytea_output"), "\"hex\"");
    assert_eq!(setting("client_encoding"), "\"UTF8\"");
    assert_eq!(setting("statement_timeout"), "\"1234ms\"");
}

#[test]
fn no_statement_timeout_is_none() {
    let postgres = shared();
    let server = Server::start(ROUTES, &postgres.url(), &["--statement-timeout", "0s"]).ready();
    assert_eq!(server.get("/settings/statement_timeout").text(), "\"0\"");
    assert_eq!(server.get("/nap/1?seconds=3").status, 200);
}

#[test]
fn a_server_of_the_wrong_kind_is_not_used() {
    let postgres = shared();
    let url = with(&postgres.url(), "target_session_attrs=read-only");
    let mut server = Server::start(ROUTES, &url, &[]);
    until("the reason", || {
        server.get("/ready").text().contains("not read-only")
    });
    assert_eq!(server.get("/ready").status, 503);
    assert_eq!(server.get("/items/1").status, 503);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(lines(&mut server, "no connection to Postgres"), 1);
    for fits in ["read-write", "primary", "prefer-standby", "any"] {
        let url = with(&postgres.url(), &format!("target_session_attrs={fits}"));
        let server = Server::start(ROUTES, &url, &[]).ready();
        assert_eq!(server.get("/items/1").status, 200, "{fits}");
    }
}

#[test]
fn the_second_host_serves_when_the_first_refuses() {
    let postgres = shared();
    // Nothing listens on port 1.
    let url = postgres.url().replace("host=", "host=127.0.0.1,");
    let url = with(&url, "port=1,5432");
    let mut server = Server::start(ROUTES, &url, &[]).ready();
    assert_eq!(server.get("/items/8").status, 200);
    assert_eq!(lines(&mut server, " WARN "), 0, "{:?}", server.log());
}
