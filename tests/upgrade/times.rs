//! How long the old process is there, and for whom.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::support::{Client, Signal, TempDir, send_signal, wait_until};
use crate::{fixture, fixture_in, has_ended, versions};

#[test]
fn who_has_a_connection_may_ask_once_more() {
    let mut fixture = fixture(&[]);
    let mut idle = fixture.server.client();
    let mut used = fixture.server.client();
    assert_eq!(used.request("GET", "/versions/1", None).status, 200);
    // Accepted, not only in a queue.
    assert_eq!(idle.request("GET", "/health", None).status, 200);
    let mut slow = fixture.server.client();
    slow.send("GET /slow/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut half = fixture.server.client();
    half.send("GET /versions/1 HT");
    assert_eq!(fixture.server.get("/health").status, 200);
    std::fs::write(&fixture.routes, versions::routes(2)).expect("the routes file");
    let old = fixture.begin_upgrade();
    half.send("TP/1.1\r\nHost: a\r\n\r\n");
    for client in [&mut idle, &mut used] {
        // Two at once are both answered, the last one says that it is: as soon as its core has heard.
        let request = "GET /versions/1 HTTP/1.1\r\nHost: a\r\n\r\n";
        wait_until("the last answer says so", || {
            client.send(request.repeat(2));
            let answers = [client.response(), client.response()];
            assert_eq!(answers.each_ref().map(|it| it.status), [200, 200]);
            answers[1].field("connection") == Some("close")
        });
        assert!(client.is_closed());
    }
    for mut client in [half, slow] {
        wait_until("its last answer says so, too", || {
            let answer = client.response();
            assert_eq!(answer.status, 200);
            let is_last = answer.field("connection") == Some("close");
            if !is_last {
                client.send("GET /versions/1 HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            is_last
        });
        assert!(client.is_closed());
    }
    drop((idle, used));
    wait_until("the old one has ended", || has_ended(old));
    assert_eq!(fixture.server.get("/versions/2").status, 200);
    fixture.stop();
}

#[test]
fn who_asks_for_nothing_is_dismissed_at_last() {
    let mut fixture = fixture(&["--drain-timeout", "4s"]);
    let mut idle = fixture.server.client();
    assert_eq!(idle.request("GET", "/health", None).status, 200);
    let old = fixture.begin_upgrade();
    idle.stream.set_nonblocking(true).expect("a flag");
    assert!(idle.stream.peek(&mut [0]).is_err(), "not at once");
    idle.stream.set_nonblocking(false).expect("a flag");
    assert!(idle.is_closed());
    wait_until("the old one has ended", || has_ended(old));
    fixture.stop();
}

#[test]
fn a_signal_ends_the_old_one_sooner() {
    let mut fixture = fixture(&["--drain-timeout", "10m"]);
    let mut idle = fixture.server.client();
    assert_eq!(idle.request("GET", "/health", None).status, 200);
    let old = fixture.begin_upgrade();
    send_signal(old, Signal::TERM);
    assert!(idle.is_closed());
    wait_until("the old one has ended", || has_ended(old));
    assert_eq!(fixture.server.get("/health").status, 200);
    fixture.stop();
}

#[test]
fn a_unix_socket_stays_where_it_is_until_the_last_process_ends() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let mut fixture = fixture_in(directory, &["--listen", &listen]);
    for _ in 0..3 {
        fixture.upgrade();
        let mut client = Client::over(UnixStream::connect(&path).expect("the socket"));
        assert_eq!(client.request("GET", "/versions/1", None).status, 200);
    }
    fixture.stop();
    assert!(!path.exists());
}

#[test]
fn what_waits_to_be_accepted_is_served_by_the_next() {
    // One place, which is taken: who connects waits in the queue of the socket.
    let mut fixture = fixture(&["--cores", "0", "--max-connections", "1"]);
    let mut only = fixture.server.client();
    assert_eq!(only.request("GET", "/health", None).status, 200);
    let mut waiting: Vec<_> = (0..20).map(|_| fixture.server.client()).collect();
    for client in &mut waiting {
        let request = "GET /versions/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        client
            .stream
            .write_all(request.as_bytes())
            .expect("a write");
    }
    let old = fixture.begin_upgrade();
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(only.request("GET", "/versions/1", None).status, 200);
    assert_eq!(only.stream.read(&mut [0]).expect("the end"), 0);
    drop(only);
    wait_until("the old one has ended", || has_ended(old));
    fixture.stop();
}
