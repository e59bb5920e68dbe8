//! Backends that stand still: nothing is said, and what they say afterwards comes too late.

use std::time::{Duration, Instant};

use crate::fixture::{lines, until};
use crate::support::cluster::Cluster;
use crate::support::load::{Ask, Load, ROUTES, SCHEMA, ask, unique_key};
use crate::support::{Server, Signal, send_signal};

const NAME: &str = "pinion";

#[test]
fn routes_go_on_past_frozen_backends_before_these_are_given_up() {
    let cluster = Cluster::start("", SCHEMA);
    let timeout = Duration::from_secs(1);
    let flags = ["--statement-timeout", "1s"];
    let mut server = Server::start(ROUTES, &cluster.url(), &flags).ready();
    let frozen = cluster.backends(NAME)[..3].to_vec();
    let ((stood, given_up, others), mut tally) = Load::during(server.address, || {
        let stood = Instant::now();
        for pid in &frozen {
            send_signal(*pid, Signal::STOP);
        }
        // The load's own clients may all be waiting for a frozen one: others come.
        let mut others = Vec::new();
        until("they are given up", || {
            for asks in [
                vec![Ask::Item(1), Ask::Item(2)],
                vec![Ask::Plain(3)],
                vec![Ask::List(4)],
                vec![Ask::Write(unique_key())],
            ] {
                let mut client = server.client();
                others.push(std::thread::spawn(move || ask(&mut client, asks)));
            }
            std::thread::sleep(Duration::from_millis(40));
            lines(&mut server, "silent for too long") > 0
        });
        let given_up = Instant::now();
        std::thread::sleep(Duration::from_millis(500));
        for pid in &frozen {
            send_signal(*pid, Signal::CONT);
        }
        let others = others.into_iter();
        let seen = others.flat_map(|other| other.join().expect("a right answer"));
        (stood, given_up, seen.collect::<Vec<_>>())
    });
    tally.seen.extend(others);
    // Who waited behind a frozen one was refused.
    tally.expect(&[200, 503], &[201, 503]);
    tally.check_writes(&cluster);
    for kind in ["item", "plain", "list", "write"] {
        let meanwhile = tally.seen.iter().filter(|seen| {
            let when = stood + timeout..given_up;
            seen.ask.kind() == kind && seen.status < 300 && when.contains(&seen.answered)
        });
        assert!(meanwhile.count() > 0, "{kind} stood still");
    }
    // One line for those that were given up together; no more than one for each.
    let told = lines(&mut server, "silent for too long");
    assert!((1..=3).contains(&told), "{:?}", server.log());
    until("all four are back", || {
        let now = cluster.backends(NAME);
        now.len() == 4 && frozen.iter().filter(|pid| now.contains(pid)).count() == 0
    });
}

#[test]
fn a_frozen_postgres_is_given_up_with_and_without_a_statement_timeout() {
    let cluster = Cluster::start("", SCHEMA);
    let mut bounded = Server::start(ROUTES, &cluster.url(), &[]).ready();
    let flags = ["--statement-timeout", "0s"];
    let mut unbounded = Server::start(ROUTES, &cluster.url(), &flags).ready();
    let loads = [Load::start(bounded.address), Load::start(unbounded.address)];
    std::thread::sleep(Duration::from_millis(300));
    cluster.freeze();
    let stood = Instant::now();
    until("it is given up", || {
        lines(&mut bounded, "silent for too long") > 0
    });
    std::thread::sleep(Duration::from_secs(10).saturating_sub(stood.elapsed()));
    assert_eq!(lines(&mut unbounded, "silent"), 0, "{:?}", unbounded.log());
    until("it is given up", || {
        lines(&mut unbounded, "silent for too long") > 0
    });
    assert_eq!(bounded.get("/health").status, 200);
    let refused = bounded.get("/items/1");
    assert_eq!(refused.status, 503);
    assert!(refused.field("retry-after").is_some());
    cluster.thaw();
    // As soon as it runs it takes up what is waiting.
    let back = Instant::now();
    for server in [&bounded, &unbounded] {
        until("ready", || server.get("/ready").status == 200);
    }
    std::thread::sleep(Duration::from_millis(500));
    let [bounded_tally, unbounded_tally] = loads.map(Load::stop);
    for tally in [&bounded_tally, &unbounded_tally] {
        tally.expect(&[200, 503], &[201, 503]);
        tally.check_recovery(back);
        tally.check_writes(&cluster);
    }
    // Given up once, run again and given up once more.
    let twice = 2 * (Duration::from_millis(2500) + Duration::from_secs(1));
    assert!(bounded_tally.slowest() < twice + Duration::from_secs(3));
    for server in [&mut bounded, &mut unbounded] {
        assert!(server.log().len() <= 12, "{:?}", server.log());
    }
}
