//! Connections that are cut, frozen, refused or replaced while the server runs.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::fixture::{Load, ROUTES, backends, lines, shared, terminate, until, with};
use crate::support::{Client, Response, Server, Signal, send_signal};

#[test]
fn one_terminated_backend_fails_no_read() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=one_cut");
    let mut server = Server::start(ROUTES, &url, &[]).ready();
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..10 {
            terminate(&postgres, "one_cut", "1");
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    tally.expect(&[200]);
    until("all four are back", || {
        backends(&postgres, "one_cut").len() == 4
    });
    assert!(lines(&mut server, "a connection to Postgres is down") <= 10);
}

#[test]
fn all_terminated_backends_come_back_and_none_is_left_over() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=all_cut");
    let mut server = Server::start(ROUTES, &url, &[]).ready();
    let (most, tally) = Load::during(server.address, || {
        let mut most = 0;
        for _ in 0..20 {
            terminate(&postgres, "all_cut", "all");
            std::thread::sleep(Duration::from_millis(100));
            most = most.max(backends(&postgres, "all_cut").len());
        }
        most
    });
    // A read that was lost twice may be refused.
    tally.expect(&[200, 503]);
    assert!(most <= 4, "{most} connections");
    let took = until("a good answer", || server.get("/items/7").status == 200);
    assert!(took < Duration::from_secs(5), "{took:?}");
    until("all four are back", || {
        backends(&postgres, "all_cut").len() == 4
    });
    // A place that was not given back would have its connection taken for dead, again and again.
    let before = backends(&postgres, "all_cut");
    std::thread::sleep(Duration::from_millis(3500));
    assert_eq!(backends(&postgres, "all_cut"), before);
    // Not more than once for each reason and each time that connections went.
    assert!(lines(&mut server, " WARN ") <= 80, "{:?}", server.log());
}

#[test]
fn a_single_connection_that_is_cut_is_sat_out() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=only_cut");
    let server = Server::start(ROUTES, &url, &["--connections-per-core", "1"]).ready();
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..5 {
            terminate(&postgres, "only_cut", "all");
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    tally.expect(&[200]);
}

#[test]
fn a_read_whose_backend_is_cut_is_run_again_once() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=read_cut");
    let flags = ["--statement-timeout", "10s"];
    let server = Server::start(ROUTES, &url, &flags).ready();
    for connections in [1, 2] {
        let mut client = server.client();
        let asked = Instant::now();
        client.send(crate::fixture::get("/nap/5?seconds=0.6"));
        for _ in 0..connections {
            std::thread::sleep(Duration::from_millis(300));
            cut_sleeping(&postgres, "read_cut");
        }
        let response = client.response();
        assert!(asked.elapsed() > Duration::from_millis(600));
        // Cut once, it is run again; cut twice, it is given up.
        let expected = if connections == 1 { 200 } else { 503 };
        assert_eq!(response.status, expected, "{}", response.text());
        crate::fixture::check(&response, 5);
    }
}

#[test]
fn a_write_whose_backend_is_cut_is_never_run_again() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=write_cut");
    let flags = ["--statement-timeout", "10s"];
    let server = Server::start(ROUTES, &url, &flags).ready();
    for number in 0..3 {
        let mut client = server.client();
        let target = format!("/effects/cut{number}?seconds=0.5");
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        ));
        std::thread::sleep(Duration::from_millis(200));
        cut_sleeping(&postgres, "write_cut");
        let response = client.response();
        assert_eq!(response.status, 503, "{}", response.text());
        assert!(response.text().contains("not known"), "{}", response.text());
        assert_eq!(response.field("retry-after"), None);
    }
    std::thread::sleep(Duration::from_millis(700));
    let count = postgres.sql("select count(*) from effects where key like 'cut%'");
    assert_eq!(count, "0", "the statements were cut before they wrote");
    // Writes after it go through, each once.
    for number in 0..20 {
        let response = server.send("POST", &format!("/effects/after{number}"), "");
        assert_eq!(response.status, 204, "{}", response.text());
    }
    let count = postgres.sql("select count(*) from effects where key like 'after%'");
    assert_eq!(count, "20");
}

#[test]
fn every_write_was_done_as_often_as_its_answer_says() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=writes_cut");
    let server = Server::start(ROUTES, &url, &["--connections-per-core", "2"]).ready();
    let stop = AtomicBool::new(false);
    let answers: Vec<(String, Response)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn({
                    let (client, stop) = (server.client(), &stop);
                    move || write(client, writer, stop)
                })
            })
            .collect();
        for round in 0..30 {
            std::thread::sleep(Duration::from_millis(70));
            let limit = if round % 3 == 0 { "all" } else { "1" };
            terminate(&postgres, "writes_cut", limit);
        }
        stop.store(true, Ordering::Relaxed);
        let answers = writers.into_iter().map(|it| it.join().expect("a writer"));
        answers.flatten().collect()
    });
    let rows = postgres.sql("select key from effects where key like 'w-%'");
    let rows: HashSet<&str> = rows.lines().collect();
    let mut unknown = 0;
    for (key, response) in &answers {
        let done = rows.contains(key.as_str());
        match (response.status, response.field("retry-after")) {
            (204, _) => assert!(done, "{key} was confirmed and is not there"),
            (503, Some(_)) => assert!(!done, "{key} may be tried again, but was done"),
            (503, None) => unknown += 1,
            // It would be a unique violation if it had been sent twice.
            (status, _) => panic!("{key}: {status} {}", response.text()),
        }
    }
    let confirmed = answers.iter().filter(|(_, it)| it.status == 204).count();
    println!(
        "{} writes, {confirmed} confirmed, {unknown} unknown",
        answers.len()
    );
    assert!(confirmed > 100 && unknown < answers.len() / 4);
}

fn write(mut client: Client, writer: usize, stop: &AtomicBool) -> Vec<(String, Response)> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("w-{writer}-{}", answers.len());
        let response = client.request("POST", &format!("/effects/{key}"), Some(""));
        answers.push((key, response));
    }
    answers
}

fn cut_sleeping(postgres: &crate::support::Postgres, name: &str) {
    let sql = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity \
         where application_name = '{name}' and wait_event = 'PgSleep'"
    );
    until("a backend sleeps and is cut", || postgres.sql(&sql) == "1");
}

#[test]
fn frozen_backends_are_given_up_and_replaced() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=frozen");
    let flags = [
        "--connections-per-core",
        "2",
        "--statement-timeout",
        "300ms",
    ];
    let server = Server::start(ROUTES, &url, &flags).ready();
    let frozen = backends(&postgres, "frozen");
    assert_eq!(frozen.len(), 2, "and none of the check at the start");
    let (took, tally) = Load::during(server.address, || {
        for pid in &frozen {
            send_signal(*pid, Signal::STOP);
        }
        // Beyond the statement timeout and the grace of two seconds, new ones have taken over.
        std::thread::sleep(Duration::from_secs(3));
        let took = until("a good answer", || server.get("/items/9").status == 200);
        for pid in &frozen {
            send_signal(*pid, Signal::CONT);
        }
        took
    });
    assert!(took < Duration::from_secs(3), "{took:?}");
    tally.expect(&[200, 503, 504]);
    assert!(tally.slowest < Duration::from_secs(12), "{tally:?}");
    // One that had nothing in flight while it was frozen was not missed.
    until("the frozen ones that were given up are gone", || {
        let now = backends(&postgres, "frozen");
        now.len() == 2 && now != frozen
    });
}

#[test]
fn a_server_that_was_suspended_does_not_take_its_connections_for_dead() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=suspended");
    let flags = ["--statement-timeout", "300ms"];
    let server = Server::start(ROUTES, &url, &flags).ready();
    let before = backends(&postgres, "suspended");
    let ((), tally) = Load::during(server.address, || {
        server.signal(Signal::STOP);
        std::thread::sleep(Duration::from_secs(3));
        server.signal(Signal::CONT);
        std::thread::sleep(Duration::from_millis(700));
    });
    tally.expect(&[200]);
    assert_eq!(backends(&postgres, "suspended"), before);
}

#[test]
fn recycled_connections_fail_no_request() {
    let postgres = shared();
    for connections in ["1", "4"] {
        let name = format!("recycled{connections}");
        let url = with(&postgres.url(), &format!("application_name={name}"));
        let flags = ["--recycle", "400ms", "--connections-per-core", connections];
        let mut server = Server::start(ROUTES, &url, &flags).ready();
        let before = backends(&postgres, &name);
        let (most, tally) = Load::during(server.address, || {
            let most = (0..20).map(|_| {
                std::thread::sleep(Duration::from_millis(100));
                backends(&postgres, &name).len()
            });
            most.max()
        });
        tally.expect(&[200]);
        let after = backends(&postgres, &name);
        assert!(!after.iter().any(|pid| before.contains(pid)));
        // The old backend may still be on its way out when the new one is there.
        assert!(most <= Some(2 * before.len()), "{most:?}");
        assert_eq!(lines(&mut server, " WARN "), 0, "{:?}", server.log());
    }
}

#[test]
fn a_refused_connection_is_told_once_and_the_others_serve() {
    let postgres = shared();
    postgres.sql("alter role limited connection limit 0");
    let url = with(&postgres.url(), "application_name=refused&user=limited");
    let url = url.replace("postgres@", "");
    let routes = &ROUTES[..ROUTES
        .find("[[route]]\nname = \"nap\"")
        .expect("it is there")];
    // Too many at the start: it starts all the same.
    let mut server = Server::start(routes, &url, &[]);
    assert_eq!(server.get("/health").status, 200);
    let ready = server.get("/ready");
    assert_eq!(ready.status, 503);
    until("the reason", || {
        server.get("/ready").text().contains("53300")
    });
    let refused = server.get("/items/1");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.field("retry-after"), Some("1"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(lines(&mut server, "no connection to Postgres"), 1);
    // Room for two of the four: they serve, and the others are no news.
    postgres.sql("alter role limited connection limit 2");
    let mut server = server.ready();
    let ((), tally) = Load::during(server.address, || {
        std::thread::sleep(Duration::from_secs(2));
    });
    tally.expect(&[200]);
    assert_eq!(backends(&postgres, "refused").len(), 2);
    assert!(lines(&mut server, "53300") <= 3, "{:?}", server.log());
    postgres.sql("alter role limited connection limit 10");
    until("all four", || backends(&postgres, "refused").len() == 4);
    server.wait_for_line("connected to Postgres again");
}
