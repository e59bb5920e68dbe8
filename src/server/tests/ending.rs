//! How a connection ends: by the client's word, by its going, by an error, by the server's stop.

use super::stage::{Stage, get, post};
use crate::limits::{LINGER, LINGER_BYTES_MAX};

const CLOSE: &str = "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn nothing_is_handled_after_close() {
    let mut stage = Stage::new();
    stage.send(CLOSE.to_owned() + &get("/now"));
    assert_eq!(stage.statuses(), [200]);
    assert!(stage.answers()[0].closes());
    assert_eq!(stage.script.handled.get(), 1);
    let mut stage = Stage::new();
    stage.send("GET /now HTTP/1.0\r\n\r\n");
    assert!(stage.is_over());
    assert!(stage.answers()[0].closes());
}

#[test]
fn close_waits_for_answers_that_come_later() {
    let mut stage = Stage::new();
    stage.send(get("/later/a") + &CLOSE.replace("/now", "/later/b"));
    stage.send(get("/now"));
    stage.open("b");
    assert!(!stage.is_over());
    stage.open("a");
    assert_eq!(stage.bodies(), ["GET /later/a ", "GET /later/b "]);
}

#[test]
fn http_1_0_goes_on_when_it_asks_to() {
    let mut stage = Stage::new();
    stage.send("GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(!stage.is_over());
    assert!(
        stage.answers()[0]
            .head
            .contains("connection: keep-alive\r\n")
    );
}

#[test]
fn a_client_that_has_only_finished_sending_gets_its_answers() {
    let mut stage = Stage::new();
    stage.send(get("/later/a") + &get("/now"));
    stage.finish_sending();
    assert!(!stage.is_over());
    stage.open("a");
    assert_eq!(stage.bodies(), ["GET /later/a ", "GET /now "]);
    assert!(stage.is_over());
    assert_eq!(stage.script.handled.get(), 2);
}

#[test]
fn half_a_request_at_the_end_is_no_request() {
    for part in [
        "",
        "GET /now HTT",
        "POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
    ] {
        let mut stage = Stage::new();
        stage.send(part);
        stage.finish_sending();
        assert!(stage.is_over(), "{part}");
        assert_eq!(stage.script.handled.get(), 0, "{part}");
    }
}

#[test]
fn what_was_begun_for_a_client_that_is_gone_is_still_finished() {
    let mut stage = Stage::new();
    stage.send(get("/later/a") + &get("/later/b") + &get("/panic/c"));
    stage.reset();
    assert_eq!(*stage.script.abandoned.borrow(), ["a", "b", "c"]);
    assert!(!stage.is_over(), "the places are held");
    stage.open("b");
    stage.open("c");
    assert!(!stage.is_over());
    stage.open("a");
    assert!(stage.is_over());
    assert_eq!(*stage.script.finished.borrow(), ["b", "c", "a"]);
    assert!(stage.script.dropped.borrow().is_empty());
    assert_eq!(
        stage.script.abandoned.borrow().len(),
        3,
        "each is told once"
    );
    assert_eq!(stage.read(), "");
}

#[test]
fn a_client_that_goes_is_noticed_whatever_is_waited_for() {
    // After its last request, and with as many requests in flight as there may be.
    let last = CLOSE.replace("/now", "/later/a");
    let full = (0..40).map(|_| get("/later/a")).collect::<String>();
    for requests in [last, full] {
        let mut stage = Stage::new();
        stage.send(&requests);
        stage.reset();
        let abandoned = stage.script.abandoned.borrow().len();
        assert_eq!(abandoned, stage.script.begun.borrow().len());
        stage.open("a");
        assert!(stage.is_over());
        assert_eq!(stage.read(), "");
    }
}

#[test]
fn a_client_that_ends_its_side_is_told_to_the_handler_once() {
    let mut stage = Stage::new();
    stage.send(CLOSE.replace("/now", "/later/a"));
    stage.finish_sending();
    assert_eq!(*stage.script.abandoned.borrow(), ["a"]);
    stage.open("a");
    assert_eq!(stage.statuses(), [200], "it may still be reading");
    assert!(stage.is_over());
    assert_eq!(stage.script.abandoned.borrow().len(), 1);
}

#[test]
fn a_connection_that_fails_while_idle_is_over() {
    for error in [libc::ECONNRESET, libc::ETIMEDOUT] {
        let mut stage = Stage::new();
        stage.send(get("/now"));
        stage.fail(error);
        assert!(stage.is_over());
    }
}

#[test]
fn an_error_can_be_read_while_the_client_still_sends() {
    let mut stage = Stage::new();
    stage.send(post("/now", &"x".repeat(1001)));
    assert_eq!(stage.statuses(), [413]);
    assert!(
        stage.wire.shut.get(),
        "the client sees the end of the answer"
    );
    assert!(
        !stage.is_over(),
        "closing now would reset the connection under it"
    );
    stage.send("more");
    assert!(!stage.is_over());
    stage.finish_sending();
    assert!(stage.is_over());
}

#[test]
fn what_is_ignored_after_an_error_is_bounded_in_bytes_and_time() {
    let bad = "nonsense\r\n";
    let mut stage = Stage::new();
    stage.send(bad);
    stage.send(vec![b'x'; LINGER_BYTES_MAX - bad.len()]);
    assert!(!stage.is_over());
    stage.send("x");
    assert!(stage.is_over());

    let mut stage = Stage::new();
    stage.send(bad);
    for _ in 0..3 {
        stage.pass(LINGER / 4);
        stage.send("x");
    }
    assert!(!stage.is_over());
    stage.pass(LINGER / 4);
    assert!(stage.is_over());
}

#[test]
fn bytes_after_the_last_request_do_not_reset_its_answer() {
    // They arrive before the answer, or while it is being sent.
    let mut stage = Stage::new();
    stage.send(CLOSE.to_owned() + "more");
    assert!(!stage.is_over() && stage.wire.shut.get());
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    stage.send(CLOSE);
    stage.arrive("more");
    stage.unstick();
    assert_eq!(stage.statuses(), [200]);
    assert!(!stage.is_over() && stage.wire.shut.get());
}

#[test]
fn idle_connections_close_when_the_server_stops() {
    let mut stage = Stage::new();
    stage.drain();
    assert!(stage.is_over());
    let mut stage = Stage::new();
    stage.send(get("/now"));
    stage.drain();
    assert!(stage.is_over());
    // Some clients send an empty line after a body; it begins no request.
    let mut stage = Stage::new();
    stage.send(post("/now", "x") + "\r\n");
    stage.drain();
    assert!(stage.is_over());
}

#[test]
fn busy_connections_finish_when_the_server_stops() {
    let mut stage = Stage::new();
    stage.send(get("/later/a") + &get("/later/b"));
    stage.drain();
    assert!(!stage.is_over());
    stage.open("b");
    stage.open("a");
    let closes: Vec<bool> = stage
        .answers()
        .iter()
        .map(super::stage::Answer::closes)
        .collect();
    assert_eq!(closes, [false, true], "the last answer says so");
    // The client may have sent its next request before it read that.
    assert!(stage.wire.shut.get() && !stage.is_over());
    stage.send(get("/now"));
    assert_eq!(stage.script.handled.get(), 2);
    stage.finish_sending();
    assert!(stage.is_over());
}

#[test]
fn a_request_that_has_begun_to_arrive_is_answered_when_the_server_stops() {
    for request in [get("/now"), post("/now", "body")] {
        for cut in 1..request.len() {
            let mut stage = Stage::new();
            stage.send(&request[..cut]);
            stage.drain();
            stage.send(&request[cut..]);
            assert_eq!(stage.statuses(), [200], "{}", &request[..cut]);
            assert!(stage.answers()[0].closes());
        }
    }
}
