//! What clients have used of a rate limit outlives a reload that leaves the limit as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::Client;
use crate::{Fixture, TAKEN, fixture};

fn routes(rules: &[(&str, u32)], version: u64) -> String {
    let mut text = String::new();
    for (name, requests) in rules {
        text += &format!(
            r#"
[rate_limit.{name}]
requests = {requests}
per = "31d"
key = "header:x-key"
[[route]]
name = "of_{name}"
method = "GET"
path = "/{name}/{{text}}"
result = "one"
rate_limit = "{name}"
sql = "select :text::text as text, {version} as version"
"#
        );
    }
    text
}

/// How many of so many requests of one client are served, each on a connection of its own: on any core.
fn served(fixture: &Fixture, rule: &str, key: &str, count: usize) -> usize {
    let mut served = 0;
    for _ in 0..count {
        let mut client = fixture.server.client();
        client.send(format!(
            "GET /{rule}/x HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n"
        ));
        match client.response().status {
            200 => served += 1,
            429 => {}
            status => panic!("{status}"),
        }
    }
    served
}

#[test]
fn what_was_used_stays_used() {
    let mut fixture = fixture(&routes(&[("ten", 10), ("five", 5)], 1), &[]);
    for key in ["a", "b", "c", "d"] {
        assert_eq!(served(&fixture, "ten", key, 4), 4);
        assert_eq!(served(&fixture, "five", key, 9), 5);
    }
    // Others before it, which moves its place in the file, and one with another rate.
    let next = [("zero", 3), ("five", 6), ("ten", 10)];
    fixture.reload(&routes(&next, 2), TAKEN);
    for key in ["a", "b", "c", "d"] {
        assert_eq!(served(&fixture, "ten", key, 5), 5, "{key}");
        assert_eq!(served(&fixture, "five", key, 9), 6, "another rule: {key}");
        assert_eq!(served(&fixture, "zero", key, 5), 3, "{key}");
    }
    fixture.reload(&routes(&[("ten", 10)], 3), TAKEN);
    for key in ["a", "b", "c", "d"] {
        assert_eq!(served(&fixture, "ten", key, 5), 1, "{key}");
    }
}

#[test]
fn a_limit_is_exact_while_reloads_go_on() {
    let version = |number| routes(&[("hundred", 100)], number);
    let mut fixture = fixture(&version(0), &[]);
    let address = fixture.server.address;
    let stop = Arc::<AtomicBool>::default();
    let clients = (0..4).map(|_| {
        let stop = stop.clone();
        std::thread::spawn(move || {
            let (mut client, mut counts) = (Client::connect(address), (0, 0));
            while !stop.load(Ordering::Relaxed) || counts.1 < 100 {
                client.send("GET /hundred/x HTTP/1.1\r\nHost: a\r\nX-Key: one\r\n\r\n");
                counts.0 += u32::from(client.response().status == 200);
                counts.1 += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            counts
        })
    });
    let clients: Vec<_> = clients.collect();
    for number in 1..=8 {
        fixture.reload(&version(number), TAKEN);
    }
    stop.store(true, Ordering::Relaxed);
    let counts = clients
        .into_iter()
        .map(|client| client.join().expect("answers"));
    let (served, asked) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{served} of {asked}");
    assert_eq!(served, 100);
}
