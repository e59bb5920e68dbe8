use std::time::Duration;

use pinion::limits;

use crate::support::process::{limit_descriptors, lowest_free_descriptor};
use crate::support::{Client, Postgres, Server, Signal, connect, wait_until};
use crate::traffic::{get, shop};

/// A GET of `/livez` whose head has so many bytes.
fn of_length(length: usize) -> String {
    let start = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ";
    let filling = "x".repeat(length - start.len() - 4);
    format!("{start}{filling}\r\n\r\n")
}

#[test]
fn a_head_has_a_bound() {
    let postgres = Postgres::shop();
    let (_server, admin) = shop(&postgres);
    for (length, status) in [
        (limits::ADMIN_HEAD_BYTES_MAX, 200),
        (limits::ADMIN_HEAD_BYTES_MAX + 1, 431),
        (limits::ADMIN_HEAD_BYTES_MAX * 3, 431),
    ] {
        let mut client = Client::connect(admin);
        client.send(of_length(length));
        assert_eq!(client.response().status, status, "{length}");
        assert!(client.is_closed());
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let postgres = Postgres::shop();
    let (_server, admin) = shop(&postgres);
    for (sent, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        // A body is not looked at, and the answer is read all the same.
        (
            "GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n\r\n",
            200,
        ),
        (
            "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.1\r\n",
            200,
        ),
    ] {
        let mut client = Client::connect(admin);
        client.send(sent);
        client.send(if sent.contains("30000") {
            "x".repeat(30000)
        } else {
            String::new()
        });
        assert_eq!(client.response().status, status, "{sent}");
        assert!(client.is_closed(), "one answer and no more: {sent}");
    }
}

#[test]
fn a_name_that_was_bent_to_this_host_is_refused() {
    let postgres = Postgres::shop();
    let (_server, admin) = shop(&postgres);
    let port = admin.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("[::1]".to_owned(), 200),
        (format!("rebound.example:{port}"), 421),
        ("localhost.example".to_owned(), 421),
    ] {
        for path in ["/metrics", "/config", "/", "/nothing"] {
            let mut client = Client::connect(admin);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let answer = client.response();
            let status = if path == "/nothing" && status == 200 {
                404
            } else {
                status
            };
            assert_eq!(answer.status, status, "{host}{path}");
        }
    }
}

#[test]
fn those_who_say_nothing_hold_their_places_for_a_while_only() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let mut silent: Vec<Client> = (0..limits::ADMIN_CONNECTIONS_MAX)
        .map(|_| Client::over(connect(admin)))
        .collect();
    silent[0].send("GET /livez HTTP/1.1\r\nHost: local");
    // There is no place for this one until one of them has been given up.
    assert_eq!(get(admin, "/livez").status, 200);
    for client in &mut silent {
        assert!(
            client.is_closed(),
            "nothing is said to those who said nothing"
        );
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn descriptors_that_have_run_out_are_told_of_once() {
    let postgres = Postgres::shop();
    let (mut server, admin) = shop(&postgres);
    let pid = server.pid();
    wait_until("all is open", || get(admin, "/readyz").status == 200);
    // The start still closes what it needed.
    std::thread::sleep(Duration::from_millis(500));
    limit_descriptors(pid, lowest_free_descriptor(pid));
    let mut client = Client::over(connect(admin));
    client.send(of_length(100));
    server.wait_for_line("the admin port can't take connections");
    std::thread::sleep(Duration::from_secs(1)); // some ten attempts
    limit_descriptors(pid, 1024);
    assert_eq!(client.response().status, 200);
    let lines = server.log().iter();
    assert_eq!(lines.filter(|it| it.contains("admin port can")).count(), 1);
}

#[test]
fn a_stopped_process_goes_on_where_it_was() {
    let postgres = Postgres::shop();
    let (server, admin) = shop(&postgres);
    let mut client = Client::connect(admin);
    client.send("GET /livez HTTP/1.1\r\nHost: local");
    std::thread::sleep(Duration::from_millis(100));
    server.signal(Signal::STOP);
    let stat = format!("/proc/{}/stat", server.pid());
    wait_until("it has stopped", || {
        let stat = std::fs::read_to_string(&stat).expect("a process");
        stat.contains(") T ")
    });
    server.signal(Signal::CONT);
    client.send("host\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[test]
fn clients_for_whom_there_is_no_place_are_counted() {
    let postgres = Postgres::shop();
    let flags = ["--admin", "127.0.0.1:0", "--max-connections", "1"];
    let mut server = Server::shop(&postgres, &flags);
    let admin = server.admin();
    let full = || {
        let text = get(admin, "/metrics").text().to_owned();
        let line = text
            .lines()
            .find(|line| line.starts_with("pinion_listener_full_total "));
        let value = line.and_then(|line| line.rsplit(' ').next());
        value.map(|value| value.parse::<f64>().expect("a number"))
    };
    wait_until("the core is heard", || full() == Some(0.0));
    let mut first = server.client();
    assert_eq!(first.request("GET", "/health", None).status, 200);
    let mut second = server.client();
    second.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the second one waits", || full() == Some(1.0));
    drop(first);
    assert_eq!(second.response().status, 200);
}
