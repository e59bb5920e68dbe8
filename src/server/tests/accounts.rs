//! What the record says of a connection: each answer when the kernel has it, and why it ended.

use std::time::Duration;

use super::script::{KEEP_ALIVE, START, WRITE};
use super::stage::{Stage, get, post};
use crate::metrics::{Closed, Gauges, Snapshot, Stage as Part};

const SECOND: Duration = Duration::from_secs(1);

/// What has been recorded since the last time.
fn recorded(stage: &Stage) -> Snapshot {
    let empty = Snapshot::empty(0, Snapshot::names(std::iter::empty()), 1);
    let recorder = &stage.script.books.0;
    *recorder.exchange(Box::new(empty), Gauges::default())
}

/// Statuses and the longest time in seconds of what has been recorded since the last time.
fn answered(stage: &Stage) -> (Vec<(u16, u64)>, u64) {
    let snapshot = recorded(stage);
    // The scripted handler gives no route.
    let route = snapshot.routes.last().expect("there are built-in names");
    let total = route.latencies.of(Part::Total);
    (route.statuses.iter().collect(), total.max() / 1_000_000)
}

/// The kernel takes what was written.
fn hand(stage: &Stage) {
    let now = *START + stage.wire.clock.get();
    stage.script.books.0.handed(now);
}

fn ended(stage: &Stage) -> Closed {
    assert!(stage.is_over());
    let closed = recorded(stage).counters.closed;
    assert_eq!(closed.iter().sum::<u64>(), 1);
    Closed::ALL[closed.iter().position(|&count| count == 1).expect("one")]
}

#[test]
fn an_answer_counts_from_the_first_byte_of_its_request_until_the_kernel_has_it() {
    let mut stage = Stage::new();
    stage.send("GET /now HTTP");
    stage.pass(SECOND);
    stage.send("/1.1\r\nHost: a\r\n");
    stage.pass(2 * SECOND);
    stage.send("\r\n");
    assert_eq!(answered(&stage), (vec![], 0), "the kernel has nothing yet");
    stage.pass(4 * SECOND);
    hand(&stage);
    assert_eq!(answered(&stage), (vec![(200, 1)], 7));
    stage.pass(8 * SECOND);
    stage.send(get("/later/a"));
    stage.pass(SECOND);
    stage.open("a");
    hand(&stage);
    assert_eq!(answered(&stage), (vec![(200, 1)], 1), "each from its own");
}

#[test]
fn what_is_pipelined_counts_from_its_own_arrival() {
    let mut stage = Stage::new();
    stage.send(get("/later/a"));
    stage.pass(SECOND);
    stage.send(get("/now"));
    stage.pass(2 * SECOND);
    stage.open("a");
    hand(&stage);
    let snapshot = recorded(&stage);
    let total = snapshot
        .routes
        .last()
        .expect("one")
        .latencies
        .of(Part::Total);
    let seconds = |micros: u64| (micros + 500_000) / 1_000_000;
    assert_eq!((total.len(), seconds(total.min())), (2, 2));
    assert_eq!(seconds(total.max()), 3);
}

#[test]
fn an_answer_that_is_not_read_counts_when_the_kernel_has_its_last_byte() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    // What is past the bound of one send is not with the kernel after the next pass.
    stage.send(get("/big").repeat(3));
    hand(&stage);
    let early = answered(&stage).0;
    assert_eq!(early, [(200, 2)]);
    stage.pass(5 * SECOND);
    hand(&stage);
    assert_eq!(answered(&stage), (vec![], 0));
    stage.unstick();
    assert_eq!(answered(&stage), (vec![(200, 1)], 5));
    stage.send(get("/now"));
    hand(&stage);
    assert_eq!(answered(&stage), (vec![(200, 1)], 0));
}

#[test]
fn an_answer_behind_others_counts_once_all_are_with_the_kernel() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    stage.send(get("/now"));
    hand(&stage);
    assert_eq!(answered(&stage).0, [(200, 1)]);
    stage.pass(SECOND);
    stage.send(get("/now"));
    stage.pass(2 * SECOND);
    hand(&stage);
    assert_eq!(answered(&stage), (vec![], 0));
    stage.unstick();
    assert_eq!(answered(&stage), (vec![(200, 1)], 2));
}

#[test]
fn each_end_has_its_reason() {
    let over = |act: &dyn Fn(&mut Stage)| {
        let mut stage = Stage::new();
        act(&mut stage);
        ended(&stage)
    };
    assert_eq!(over(&|stage| stage.finish_sending()), Closed::Client);
    let asked = "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(over(&|stage| stage.send(asked)), Closed::Client);
    assert_eq!(over(&|stage| stage.pass(KEEP_ALIVE)), Closed::Idle);
    assert_eq!(over(&Stage::reset), Closed::Failed);
    assert_eq!(over(&Stage::drain), Closed::Drain);
    let refused = |stage: &mut Stage| {
        stage.send("nonsense\r\n\r\n");
        stage.finish_sending();
    };
    assert_eq!(over(&refused), Closed::Refused);
    let slow = |stage: &mut Stage| {
        stage.send("GET /now HT");
        stage.pass(KEEP_ALIVE);
        stage.finish_sending();
    };
    assert_eq!(over(&slow), Closed::Deadline);
    let unread = |stage: &mut Stage| {
        stage.wire.stuck.set(true);
        stage.send(get("/big"));
        stage.pass(WRITE);
    };
    assert_eq!(over(&unread), Closed::Deadline);
    let stopped = |stage: &mut Stage| {
        stage.send(post("/later/a", ""));
        stage.drain();
        stage.open("a");
        stage.finish_sending();
    };
    assert_eq!(over(&stopped), Closed::Drain);
}
