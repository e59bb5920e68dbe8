//! A process that may open no further descriptor goes on with those that it has.

use std::thread;
use std::time::{Duration, Instant};

use super::{Client, Server, descriptors_at_rest, echo, get, lines, process, server, wait_until};

const CAN_NOT: &str = "can't accept connections";
const CAN: &str = "accepting connections again";

/// From now on the server can open nothing before it closes something.
fn starve(server: &Server) {
    descriptors_at_rest(server);
    let free = process::lowest_free_descriptor(server.pid());
    process::limit_descriptors(server.pid(), free);
}

#[test]
fn without_descriptors_the_open_connections_are_served_and_the_others_wait() {
    let (mut server, _postgres) = server(&[]);
    let mut open: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut open {
        assert_eq!(client.request("GET", "/echo/a", None).status, 200);
    }
    starve(&server);
    let mut waiting: Vec<Client> = (0..5).map(|_| server.client()).collect();
    waiting
        .iter_mut()
        .for_each(|client| client.send(get("/echo/b")));
    server.wait_for_line(CAN_NOT);
    assert_eq!(
        process::backlog(server.address.port()),
        5,
        "not one is lost"
    );

    // Trying again costs next to nothing, and is told once.
    let (start, before) = (Instant::now(), process::cpu_time(server.pid()));
    while start.elapsed() < Duration::from_secs(3) {
        for client in &mut open {
            assert_eq!(client.request("GET", "/echo/a", None).status, 200);
        }
        thread::sleep(Duration::from_millis(100));
    }
    let busy = process::cpu_time(server.pid()) - before;
    assert!(busy < start.elapsed() / 2, "{busy:?}: it spins");
    assert_eq!(lines(&mut server, CAN_NOT), 1);
    assert_eq!(lines(&mut server, CAN), 0);

    process::limit_descriptors(server.pid(), 1000);
    for client in &mut waiting {
        assert_eq!(client.response().status, 200);
    }
    server.wait_for_line(CAN);
    assert_eq!(
        (lines(&mut server, CAN_NOT), lines(&mut server, CAN)),
        (1, 1)
    );
    assert_eq!(server.get("/echo/c").status, 200);
}

/// Clients that leave make room for another one, and for connections to Postgres that are still missing.
#[test]
fn a_descriptor_that_comes_back_is_used() {
    let (server, _postgres) = server(&[]);
    let mut first: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut first {
        assert_eq!(client.request("GET", "/health", None).status, 200);
    }
    starve(&server);
    let mut next = server.client();
    next.send(get("/health"));
    drop(first);
    assert_eq!(next.response().status, 200);
}

#[test]
fn connections_to_postgres_come_back_with_the_descriptors() {
    let postgres = echo::postgres();
    let url = format!("{}&application_name=starved", postgres.url());
    let server = Server::start(echo::ROUTES, &url, &[]).ready();
    let mut client = server.client();
    assert_eq!(client.request("GET", "/echo/a", None).status, 200);
    process::limit_descriptors(server.pid(), 3); // not one more, whatever is closed
    wait_until("no connection is left", || {
        postgres.sql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity \
             where application_name = 'starved'",
        );
        client.request("GET", "/echo/a", None).status == 503
    });
    assert_eq!(client.request("GET", "/health", None).status, 200);
    process::limit_descriptors(server.pid(), 1000);
    wait_until("Postgres is back", || {
        client.request("GET", "/echo/a", None).status == 200
    });
}
