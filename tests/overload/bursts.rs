//! What is no overload, and who finds room in one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pinion::limits;

use crate::fixture::{ROUTES, alone, expect_answers_and_refusals, get, load, postgres};
use crate::support::{Client, PATIENCE, Server};

#[test]
fn a_thousand_requests_at_once_on_an_idle_server_are_all_answered() {
    let _alone = alone();
    let postgres = postgres();
    // Nobody waits for longer than Postgres needs for all of them.
    let flags = ["--acquire-timeout", "20s", "--statement-timeout", "20s"];
    let server = Server::start(ROUTES, &postgres.url(), &flags).ready();
    for path in ["single", "batched"] {
        // Four of each are at Postgres while nothing is known of how long the answers are.
        let mut clients: Vec<Client> = (0..250).map(|_| server.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(many(path, 4 * number, 4));
        }
        // Whether it is an overload is judged when somebody comes.
        for number in 250..262 {
            std::thread::sleep(limits::OVERLOAD_INTERVAL + Duration::from_millis(20));
            clients.push(server.client());
            clients[number].send(many(path, 4 * number, 4));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            for id in 4 * number..4 * number + 4 {
                let response = client.response();
                assert_eq!((response.status, response.text()), (200, &*id.to_string()));
            }
        }
    }
}

#[test]
fn many_clients_that_ask_one_thing_at_a_time_are_no_overload() {
    let _alone = alone();
    let postgres = postgres();
    let server = Server::start(ROUTES, &postgres.url(), &[]).ready();
    // Far more than are answered within the target, but never more than these.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| keep_asking(server.address, "single", &over));
        }
        std::thread::sleep(Duration::from_secs(2));
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn clients_that_pipeline_do_not_shut_out_those_that_do_not() {
    let _alone = alone();
    let postgres = postgres();
    let server = Server::start(ROUTES, &postgres.url(), &[]).ready();
    let stop = AtomicBool::new(false);
    let (address, stop) = (server.address, &stop);
    let (good, refused) = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    client.send(many("single", 0, 32));
                    (0..32).for_each(|_| drop(client.response()));
                }
            });
        }
        std::thread::sleep(Duration::from_secs(1));
        // A request now and then, far fewer than a fair share.
        let outcome = load(server.address, "single", 50.0, Duration::from_secs(3));
        stop.store(true, Ordering::Relaxed);
        expect_answers_and_refusals(&outcome);
        (outcome.of(200).count(), outcome.of(503).count())
    });
    println!("{good} of single requests were answered, {refused} refused");
    assert!(good > 4 * refused);
}

#[test]
fn a_lane_in_overload_costs_another_nothing() {
    let _alone = alone();
    let postgres = postgres();
    let server = Server::start(ROUTES, &postgres.url(), &[]).ready();
    let (overload, other) = std::thread::scope(|scope| {
        let address = server.address;
        let overload = scope.spawn(move || load(address, "single", 1600.0, Duration::from_secs(3)));
        let other = load(server.address, "other", 100.0, Duration::from_secs(3));
        (overload.join().expect("right answers"), other)
    });
    expect_answers_and_refusals(&overload);
    assert!(overload.of(503).count() > overload.of(200).count());
    assert_eq!(other.of(200).count(), 300, "nobody is refused");
    let halves = [&other, &overload].map(|it| it.of(200).quantile(0.5));
    println!("p50 of the other lane and of the one in overload: {halves:?}");
    assert!(halves[0] < halves[1] / 2, "{halves:?}");
}

#[test]
fn after_an_overload_a_burst_is_let_in_again() {
    let _alone = alone();
    let postgres = postgres();
    let flags = ["--acquire-timeout", "20s"];
    let server = Server::start(ROUTES, &postgres.url(), &flags).ready();
    let overload = load(server.address, "single", 1600.0, Duration::from_secs(2));
    assert!(overload.of(503).count() > 500, "it is one");
    // An interval without a refusal.
    std::thread::sleep(Duration::from_millis(150));
    let start = Instant::now();
    let mut clients: Vec<Client> = (0..200).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(get("/single/7"));
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert!(start.elapsed() < PATIENCE);
}

/// Asks for one thing after the other, each of which has to be answered.
fn keep_asking(address: SocketAddr, path: &str, over: &AtomicBool) {
    let mut client = Client::connect(address);
    for id in 0.. {
        let response = client.request("GET", &format!("/{path}/{id}"), None);
        assert_eq!((response.status, response.text()), (200, &*id.to_string()));
        if over.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn many(path: &str, first: usize, count: usize) -> String {
    let requests = (first..first + count).map(|id| get(&format!("/{path}/{id}")));
    requests.collect()
}
