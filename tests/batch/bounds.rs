//! Batches that fail, take too long, or find no room.

use std::time::Duration;

use crate::fixture::get;
use crate::gated::{Gated, batches};
use crate::support::{Postgres, Server, Signal};

#[test]
fn a_batch_past_its_time_is_told_so_and_the_next_one_is_fine() {
    let flags = ["--acquire-timeout", "20s"];
    let settings = "batch = true\ntimeout = \"300ms\"";
    let mut gated = Gated::start("late", 21, "", settings, &flags);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = gated.ask(&[2, 3, 3]);
    first.all_are(504);
    others.all_are(504);
    // Nobody was run again, neither alone nor together.
    gated.wait_for(0);
    gated.open();
    gated.is_well();
    assert_eq!(gated.calls(), 1);
    assert_eq!(batches(&mut gated.server, "late"), (3, 5, 3));
}

#[test]
fn what_finds_no_room_to_wait_is_refused_at_once() {
    let lanes = "[lane.short]\nqueue = 2\n";
    let settings = "lane = \"short\"\nbatch = { max = 4 }";
    let flags = ["--statement-timeout", "20s", "--acquire-timeout", "20s"];
    let mut gated = Gated::start("room", 22, lanes, settings, &flags);
    let mut asked = vec![gated.ask(&[1])];
    gated.wait_for(1);
    asked.push(gated.ask(&[2, 3, 4, 5]));
    // One connection: the full batch is behind the first.
    gated.settle();
    // A batch's worth and the queue's.
    asked.push(gated.ask(&[6, 7, 8, 9, 10, 11]));
    gated.settle();
    let refused = gated.ask(&[12]).all_are(503);
    assert_eq!(refused[0].field("retry-after"), Some("1"));
    assert!(refused[0].text().contains("Too many requests"));
    gated.open();
    for asked in asked {
        asked.all_are(200);
    }
    gated.is_well();
}

#[test]
fn what_waits_for_too_long_is_refused_while_the_batch_before_it_is_in_flight() {
    let flags = ["--statement-timeout", "20s", "--acquire-timeout", "300ms"];
    let mut gated = Gated::start("slow", 23, "", "batch = true", &flags);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let refused = gated.ask(&[2, 3]).all_are(503);
    assert!(refused[0].text().contains("became free in time"));
    assert_eq!(refused[0].field("retry-after"), Some("1"));
    assert_eq!(gated.at_the_gate().len(), 1, "the first is still in flight");
    // What comes after them waits for its own time.
    let last = gated.ask(&[4]);
    std::thread::sleep(Duration::from_millis(50));
    gated.open();
    first.all_are(200);
    last.all_are(200);
}

#[test]
fn a_server_that_was_suspended_refuses_nothing_that_waited() {
    let flags = ["--statement-timeout", "20s", "--acquire-timeout", "300ms"];
    let mut gated = Gated::start("suspended", 24, "", "batch = true", &flags);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = gated.ask(&[2, 3]);
    gated.settle();
    gated.server.signal(Signal::STOP);
    std::thread::sleep(Duration::from_millis(1500));
    gated.open();
    gated.server.signal(Signal::CONT);
    first.all_are(200);
    others.all_are(200);
}

#[test]
fn a_bad_key_fails_alone_however_little_room_its_lane_has() {
    let lanes = "[lane.short]\nqueue = 1\n";
    let settings = "lane = \"short\"\nbatch = true";
    let flags = ["--statement-timeout", "20s", "--acquire-timeout", "20s"];
    let mut gated = Gated::start("bad", 25, lanes, settings, &flags);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    // More than the connection has places: when their batch fails they wait again, each by itself.
    let ids = |client: u64| (1..31).map(|id| 100 * client + id).collect::<Vec<_>>();
    let good: Vec<_> = (0..4).map(|client| gated.ask(&ids(client))).collect();
    let bad = gated.ask(&[666]);
    gated.settle();
    gated.open();
    first.all_are(200);
    let refused = bad.all_are(400);
    assert!(refused[0].text().contains("bad luck"));
    for asked in good {
        asked.all_are(200);
    }
    assert_eq!(batches(&mut gated.server, "bad"), (2, 122, 121));
}

#[test]
fn answers_that_are_large_together_are_given_all_the_same() {
    let postgres = Postgres::start("");
    let routes = "[[route]]\nname = \"pad\"\nmethod = \"GET\"\npath = \"/pad/{size}\"\nresult = \"scalar\"\n\
                  sql = \"select repeat('x', :size) as pad\"\nbatch = true\n";
    let flags = [
        "--statement-timeout",
        "20s",
        // Three of them alone, one after the other, take what the machine has.
        "--acquire-timeout",
        "20s",
        "--log",
        "info,pinion::pg=debug",
    ];
    let mut server = Server::start(routes, &postgres.url(), &flags).ready();
    // More than an answer may have: three together, and one alone.
    let sizes = [25_000_000, 5, 25_000_001, 70_000_000, 25_000_002, 20_000];
    let mut clients = sizes.map(|_| server.client());
    for (client, size) in clients.iter_mut().zip(sizes) {
        client.send(get(&format!("/pad/{size}")));
    }
    for (client, size) in clients.iter_mut().zip(sizes) {
        let response = client.response();
        let expected = if size == 70_000_000 { 500 } else { 200 };
        let said = response.text();
        assert_eq!(response.status, expected, "{size}: {said:.200}");
        if expected == 200 {
            assert_eq!(response.body.len(), size + 2);
        }
    }
    // Those that came while the first one was away went together.
    let (_, asked, largest) = batches(&mut server, "pad");
    assert_eq!(asked, 6);
    assert!(largest >= 3, "at most {largest} went together");
}

#[test]
fn a_route_whose_full_batches_take_too_long_gets_smaller_ones() {
    // Dearer than Postgres can know: twenty of them are the route's time.
    let postgres = Postgres::start(
        "create function dear(id int8) returns int8 language plpgsql stable as $$
         begin
           perform pg_sleep(0.005);
           return id;
         end $$",
    );
    let routes = "[[route]]\nname = \"dear\"\nmethod = \"GET\"\npath = \"/dear/{id}\"\nresult = \"scalar\"\n\
                  sql = \"select dear(:id) as id\"\ntimeout = \"100ms\"\n";
    let flags = ["--acquire-timeout", "20s", "--log", "info,pinion::pg=debug"];
    let mut server = Server::start(routes, &postgres.url(), &flags).ready();
    let mut clients: Vec<_> = (0..2).map(|_| server.client()).collect();
    let mut good = 0;
    for round in 0..16 {
        for client in &mut clients {
            let requests = (0..30).map(|id| get(&format!("/dear/{}", 1000 * round + id)));
            client.send(requests.collect::<String>());
        }
        for client in &mut clients {
            for _ in 0..30 {
                let status = client.response().status;
                assert!([200, 504].contains(&status));
                good += usize::from(round >= 8 && status == 200);
            }
        }
    }
    println!("{good} of 480 were answered in time");
    assert!(good > 360);
    let (count, requests, _) = batches(&mut server, "dear");
    assert!(requests > 3 * count, "{count} batches of {requests}");
}
