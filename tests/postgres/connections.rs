//! Connections that are cut, frozen, refused or replaced while the server runs.

use std::time::{Duration, Instant};

use crate::fixture::{Load, ROUTES, backends, lines, shared, sleeping, terminate, until, with};
use crate::support::{Postgres, Server, Signal};

#[test]
fn all_terminated_backends_come_back_and_none_is_left_over() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=all_cut");
    let mut server = Server::start(ROUTES, &url, &[]).ready();
    let (most, tally) = Load::during(server.address, || {
        let (mut most, mut ended) = (0, Vec::new());
        for _ in 0..20 {
            ended.extend(backends(&postgres, "all_cut"));
            terminate(&postgres, "all_cut", "all");
            std::thread::sleep(Duration::from_millis(100));
            // The old ones may still be on their way out.
            let now = backends(&postgres, "all_cut").into_iter();
            most = most.max(now.filter(|pid| !ended.contains(pid)).count());
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
fn a_read_whose_backend_is_cut_is_run_again_once() {
    let postgres = shared();
    let url = with(&postgres.url(), "application_name=read_cut");
    let flags = ["--statement-timeout", "10s"];
    let server = Server::start(ROUTES, &url, &flags).ready();
    for connections in [1, 2] {
        let mut client = server.client();
        let asked = Instant::now();
        client.send(crate::fixture::get("/nap/5?seconds=2"));
        let mut cut = None;
        for _ in 0..connections {
            cut = cut_sleeping(&postgres, "read_cut", cut);
        }
        let response = client.response();
        if connections == 1 {
            assert!(asked.elapsed() > Duration::from_secs(2), "it has slept");
        }
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
    let mut cut = None;
    for number in 0..3 {
        let mut client = server.client();
        let target = format!("/effects/cut{number}?seconds=2");
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n"
        ));
        cut = cut_sleeping(&postgres, "write_cut", cut);
        let response = client.response();
        assert_eq!(response.status, 503, "{}", response.text());
        assert!(response.text().contains("not known"), "{}", response.text());
        assert_eq!(response.field("retry-after"), None);
    }
    // One that was run again would have slept by then.
    std::thread::sleep(Duration::from_millis(2500));
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

/// Ends the backend that sleeps, if it is not the one that was ended `before`; its process id.
fn cut_sleeping(postgres: &Postgres, name: &str, before: Option<u32>) -> Option<u32> {
    let mut next = None;
    until("a backend sleeps", || {
        let mut pids = sleeping(postgres, name).into_iter();
        next = pids.find(|pid| Some(*pid) != before);
        next.is_some()
    });
    let pid = next.expect("it was waited for");
    let cut = postgres.sql(&format!("select pg_terminate_backend({pid})"));
    assert_eq!(cut, "t");
    next
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
