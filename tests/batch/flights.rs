//! Which requests go together, and when.

use crate::gated::{Gated, batches};
use crate::support::Signal;

const PATIENT: &[&str] = &["--statement-timeout", "20s", "--acquire-timeout", "20s"];

#[test]
fn a_lone_request_goes_at_once_by_itself_and_the_next_ones_gather() {
    let mut gated = Gated::start("alone", 1, "", "batch = true", PATIENT);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = [gated.ask(&[2, 3]), gated.ask(&[4])];
    gated.settle();
    // One in flight, by the route's own statement; the rest waits.
    assert_eq!(gated.at_the_gate(), [false]);
    gated.open();
    first.all_are(200);
    for asked in others {
        asked.all_are(200);
    }
    assert_eq!(batches(&mut gated.server, "alone"), (2, 4, 3));
}

#[test]
fn full_batches_do_not_wait_and_no_more_are_in_flight_than_declared() {
    let settings = "batch = { max = 4, in_flight = 2 }";
    let mut gated = Gated::start("full", 2, "", settings, PATIENT);
    let mut asked = vec![gated.ask(&[1])];
    gated.wait_for(1);
    asked.push(gated.ask(&[2]));
    gated.wait_for(2);
    // Both are in flight: three gather, and the fourth makes them a full batch.
    asked.push(gated.ask(&[3, 4, 5]));
    gated.settle();
    assert_eq!(gated.at_the_gate(), [false, false]);
    asked.push(gated.ask(&[6]));
    gated.wait_for(3);
    // One full batch is in flight beside them, and no second one.
    asked.push(gated.ask(&[7, 8, 9, 10]));
    asked.push(gated.ask(&[11]));
    gated.settle();
    let mut at_the_gate = gated.at_the_gate();
    at_the_gate.sort();
    assert_eq!(at_the_gate, [false, false, true]);
    gated.open();
    for asked in asked {
        asked.all_are(200);
    }
    let (_, requests, largest) = batches(&mut gated.server, "full");
    assert_eq!((requests, largest), (11, 4));
}

#[test]
fn what_one_batch_has_no_room_for_goes_with_the_next_that_may_be_in_flight() {
    let settings = "batch = { max = 3, in_flight = 3 }";
    let mut gated = Gated::start("spare", 3, "", settings, PATIENT);
    // All of them arrive in one pass: the first two batches take three each.
    let asked = gated.ask(&[1, 2, 3, 4, 5, 6, 7]);
    gated.wait_for(3);
    gated.open();
    asked.all_are(200);
    let (count, requests, largest) = batches(&mut gated.server, "spare");
    assert_eq!((count, requests, largest), (3, 7, 3));
}

#[test]
fn batches_of_one_request_are_full_at_once() {
    let mut gated = Gated::start("single", 4, "", "batch = { max = 1 }", PATIENT);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let second = gated.ask(&[2]);
    gated.wait_for(2);
    gated.open();
    first.all_are(200);
    second.all_are(200);
}

#[test]
fn equal_keys_are_fetched_once() {
    let mut gated = Gated::start("equal", 5, "", "batch = true", PATIENT);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = [
        gated.ask(&[2, 2, 3]),
        gated.ask(&[3, 2]),
        gated.ask(&[1, 2]),
    ];
    gated.settle();
    gated.open();
    first.all_are(200);
    for asked in others {
        asked.all_are(200);
    }
    // The first one alone, then 1, 2 and 3 together.
    assert_eq!(gated.calls(), 4);
    // All the same: they need no statement for several keys.
    gated.close();
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = [gated.ask(&[5, 5]), gated.ask(&[5])];
    gated.settle();
    gated.open();
    first.all_are(200);
    for asked in others {
        asked.all_are(200);
    }
    assert_eq!(gated.calls(), 6);
    assert_eq!(batches(&mut gated.server, "equal"), (4, 12, 7));
}

#[test]
fn a_client_that_goes_away_harms_nobody() {
    let mut gated = Gated::start("gone", 6, "", "batch = { max = 8 }", PATIENT);
    for round in 0..10 {
        let lone = gated.ask(&[1]);
        gated.wait_for(1);
        let gathered = [gated.ask(&[2, 3]), gated.ask(&[4]), gated.ask(&[3, 5])];
        gated.settle();
        // Of those in flight and of those that wait, one goes.
        let [first, second, third] = gathered;
        drop(second);
        let lone = match round % 2 {
            0 => {
                drop(lone);
                None
            }
            _ => Some(lone),
        };
        gated.settle();
        gated.open();
        if let Some(lone) = lone {
            lone.all_are(200);
        }
        first.all_are(200);
        third.all_are(200);
        gated.is_well();
        gated.close();
    }
    gated.open();
    gated.is_well();
}

#[test]
fn a_stop_answers_what_is_in_flight_and_what_has_gathered() {
    let mut gated = Gated::start("stop", 7, "", "batch = true", PATIENT);
    let first = gated.ask(&[1]);
    gated.wait_for(1);
    let others = [gated.ask(&[2, 3]), gated.ask(&[4])];
    gated.settle();
    gated.server.signal(Signal::TERM);
    gated.server.wait_for_line("stopping");
    gated.open();
    first.all_are(200);
    for asked in others {
        asked.all_are(200);
    }
    assert_eq!(gated.server.exit().code(), Some(0));
}
