//! How long each thing may take, and what comes when it takes longer.

use std::time::Duration;

use super::script::{BODY, HEADER, KEEP_ALIVE, WRITE};
use super::stage::{Stage, get, post};

const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn each_wait_has_its_own_time() {
    let mut stage = Stage::new();
    assert_eq!(stage.deadline(), Some(KEEP_ALIVE));
    stage.send("POST /la");
    assert_eq!(stage.deadline(), Some(HEADER));
    stage.send("ter/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(stage.deadline(), Some(BODY));
    stage.send("hi");
    assert_eq!(stage.deadline(), None, "Postgres has its own time");
    stage.open("a");
    assert_eq!(
        stage.deadline(),
        Some(WRITE),
        "nobody looks when it is sent"
    );
    stage.pass(WRITE);
    let left = stage.deadline().expect("the connection is idle");
    assert!(KEEP_ALIVE - WRITE - left < MOMENT, "{left:?}");
    stage.wire.stuck.set(true);
    stage.send(get("/big").repeat(3));
    assert_eq!(stage.deadline(), Some(WRITE));
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let mut stage = Stage::new();
    stage.pass(KEEP_ALIVE - MOMENT);
    stage.send(get("/now"));
    let answer = stage.read();
    stage.pass(KEEP_ALIVE - MOMENT);
    assert!(!stage.is_over(), "each request gives the whole time again");
    stage.pass(MOMENT);
    assert!(stage.is_over());
    assert_eq!(stage.read(), answer);
}

#[test]
fn an_empty_line_after_a_request_leaves_the_connection_idle() {
    let mut stage = Stage::new();
    stage.send(post("/now", "x"));
    stage.pass(KEEP_ALIVE - MOMENT);
    stage.send("\r\n");
    assert!(!stage.is_over());
    stage.pass(MOMENT);
    assert_eq!(stage.statuses(), [200], "nobody has asked for a 408");
    assert!(stage.is_over());
}

#[test]
fn a_head_by_single_bytes_runs_into_its_time() {
    let mut stage = Stage::new();
    let request = get("/now");
    let step = HEADER / 10;
    for byte in request.bytes().take(10) {
        assert!(stage.statuses().is_empty());
        stage.send([byte]);
        stage.pass(step);
    }
    assert_eq!(stage.statuses(), [408]);
    assert!(stage.answers()[0].closes());
    stage.finish_sending();
    assert!(stage.is_over());
}

#[test]
fn a_body_by_single_bytes_runs_into_its_time() {
    for head in [
        "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
        "POST /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n",
    ] {
        let mut stage = Stage::new();
        stage.send(head);
        for _ in 0..9 {
            stage.send("x");
            stage.pass(BODY / 10);
        }
        assert!(stage.statuses().is_empty());
        stage.pass(BODY / 10);
        assert_eq!(stage.statuses(), [408]);
        assert_eq!(stage.script.handled.get(), 0);
    }
}

#[test]
fn answers_to_come_are_given_before_a_408() {
    let mut stage = Stage::new();
    stage.send(get("/later/a") + "GET /n");
    assert_eq!(stage.deadline(), Some(HEADER));
    stage.pass(HEADER);
    assert_eq!(stage.read(), "");
    stage.open("a");
    assert_eq!(stage.statuses(), [200, 408]);
}

#[test]
fn a_body_that_waits_for_its_100_is_not_late() {
    let mut stage = Stage::new();
    let head = "POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stage.send(get("/later/a") + head);
    stage.pass(2 * BODY);
    stage.open("a");
    assert_eq!(stage.statuses(), [200, 100]);
    assert_eq!(stage.deadline(), Some(BODY), "its time begins with the 100");
    stage.send("hi");
    assert_eq!(stage.statuses(), [200, 100, 200]);
}

#[test]
fn an_answer_may_take_its_time() {
    let mut stage = Stage::new();
    stage.send(get("/later/a"));
    stage.pass(100 * KEEP_ALIVE);
    stage.open("a");
    assert_eq!(stage.statuses(), [200]);
    assert!(!stage.is_over());
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    // With a long pipeline, and with one last answer.
    let close = "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned();
    for requests in [get("/big").repeat(10), close] {
        let mut stage = Stage::new();
        stage.wire.stuck.set(true);
        stage.send(requests);
        stage.pass(WRITE - MOMENT);
        assert!(!stage.is_over());
        stage.pass(MOMENT);
        assert!(stage.is_over());
        assert_eq!(stage.read(), "");
    }
}

#[test]
fn one_that_does_not_read_one_answer_is_cut_off_while_it_is_idle() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    stage.send(get("/big"));
    stage.pass(WRITE - MOMENT);
    assert!(!stage.is_over());
    stage.pass(MOMENT);
    assert!(stage.is_over());
    assert!(stage.wire.resets.get(), "the kernel need not go on");
}

#[test]
fn reading_a_little_at_a_time_gives_no_more_time() {
    for requests in [get("/big"), get("/big").repeat(10)] {
        let mut stage = Stage::new();
        stage.wire.stuck.set(true);
        stage.send(requests);
        let handled = stage.script.handled.get();
        for _ in 0..9 {
            stage.take(10_000);
            stage.pass(WRITE / 10);
            // Nor is anything begun that could keep the output from ever being empty.
            assert_eq!(stage.script.handled.get(), handled);
            assert!(!stage.is_over());
        }
        stage.pass(WRITE / 10);
        assert!(stage.is_over());
    }
}

#[test]
fn a_slow_reader_of_many_answers_is_served_as_long_as_it_reads() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    // One answer a second, read at half that pace until it waits: never empty, never much.
    let answer = 100_000;
    stage.send(get("/big"));
    let mut asked = 1;
    for second in 0..200 {
        stage.pass(WRITE / 30);
        if second % 4 == 0 {
            stage.send(get("/big"));
            asked += 1;
        }
        let unsent = stage.unsent();
        stage.take(unsent.min(answer / 2));
        assert!(!stage.is_over(), "second {second}");
    }
    stage.unstick();
    assert_eq!(stage.answers().len(), asked);
    assert!(!stage.is_over());
}

#[test]
fn one_that_does_not_read_is_cut_off_whatever_else_is_waited_for() {
    // An answer to its last request, as many answers as there may be, and its own end.
    let last = get("/big") + "GET /later/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let full = get("/big") + &get("/later/a").repeat(32);
    let half = get("/big") + &get("/later/a");
    for requests in [last, full, half.clone()] {
        let mut stage = Stage::new();
        stage.wire.stuck.set(true);
        stage.send(&requests);
        if requests == half {
            stage.finish_sending();
        }
        stage.pass(WRITE - MOMENT);
        assert!(!stage.wire.resets.get());
        stage.pass(MOMENT);
        assert!(stage.wire.resets.get(), "{requests}");
        assert!(!stage.script.abandoned.borrow().is_empty());
        stage.open("a");
        assert!(stage.is_over());
    }
}

#[test]
fn a_time_that_has_begun_is_not_begun_again() {
    let mut stage = Stage::new();
    stage.send(get("/later/a") + "GET /n");
    stage.pass(HEADER / 2);
    stage.send("o");
    // An answer, and output that is not read for a moment, change nothing.
    stage.wire.stuck.set(true);
    stage.open("a");
    stage.pass(HEADER / 2 - MOMENT);
    stage.unstick();
    assert_eq!(stage.statuses(), [200]);
    stage.pass(MOMENT);
    assert_eq!(stage.statuses(), [200, 408]);
}

#[test]
fn time_in_which_nothing_is_read_is_not_the_clients() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    stage.send(get("/later/a") + "GET /n");
    stage.pass(HEADER / 2);
    stage.open("a");
    stage.send("ow HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + &get("/big").repeat(3) + "GET /n");
    stage.pass(WRITE - MOMENT);
    stage.unstick();
    stage.pass(HEADER - MOMENT);
    assert_eq!(stage.statuses(), [200; 5]);
    stage.pass(MOMENT);
    assert_eq!(stage.statuses(), [200, 200, 200, 200, 200, 408]);
}

#[test]
fn what_is_in_flight_for_a_client_that_is_cut_off_is_finished() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    stage.send(get("/big").repeat(2) + &get("/later/a") + &get("/big"));
    // The third answer is held up by the second last: only two are unsent, so it waits for more.
    stage.send(get("/later/b"));
    stage.open("a");
    stage.pass(WRITE);
    assert!(!stage.is_over());
    assert_eq!(*stage.script.abandoned.borrow(), ["b"]);
    stage.open("b");
    assert!(stage.is_over());
    assert_eq!(*stage.script.finished.borrow(), ["a", "b"]);
}
