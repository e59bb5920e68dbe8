//! Answers in the order of their requests, requests in flight together, bounds on both.

use super::stage::{Stage, get, post};
use crate::limits::{PENDING_BYTES_MAX, PIPELINED_MAX};
use crate::server::connection::{BURST_MAX, UNSENT_MAX};

#[test]
fn answers_keep_the_order_of_their_requests() {
    let mut stage = Stage::new();
    stage.send(
        [
            get("/later/a"),
            get("/now"),
            get("/later/b"),
            get("/later/c"),
        ]
        .concat(),
    );
    assert_eq!(
        *stage.script.begun.borrow(),
        ["a", "b", "c"],
        "in flight together"
    );
    stage.open("c");
    stage.open("b");
    assert_eq!(stage.read(), "", "the first answer is not there yet");
    stage.open("a");
    assert_eq!(
        stage.bodies(),
        [
            "GET /later/a ",
            "GET /now ",
            "GET /later/b ",
            "GET /later/c "
        ]
    );
    stage.send(get("/now/again"));
    assert_eq!(stage.answers().len(), 5, "the connection goes on");
}

#[test]
fn so_many_requests_are_in_flight_and_not_one_more() {
    let mut stage = Stage::new();
    let requests: Vec<String> = (0..=PIPELINED_MAX)
        .map(|number| get(&format!("/later/{number}")))
        .collect();
    stage.send(requests.concat());
    assert_eq!(stage.script.begun.borrow().len(), PIPELINED_MAX);
    stage.open("1");
    assert_eq!(
        stage.script.begun.borrow().len(),
        PIPELINED_MAX,
        "an answer that waits for its turn holds its place"
    );
    stage.open("0");
    assert_eq!(stage.script.begun.borrow().len(), PIPELINED_MAX + 1);
    assert_eq!(stage.answers().len(), 2);
}

#[test]
fn a_long_pipeline_lets_other_connections_have_their_turn() {
    let mut stage = Stage::new();
    stage.arrive(get("/now").repeat(BURST_MAX + 1));
    assert!(stage.poll_once());
    assert_eq!(stage.script.handled.get(), BURST_MAX);
    assert!(stage.poll_once(), "it has woken itself");
    assert_eq!(stage.script.handled.get(), BURST_MAX + 1);
    assert!(!stage.poll_once(), "and then it waits");
    stage.settle();
    assert_eq!(stage.answers().len(), BURST_MAX + 1);
}

#[test]
fn a_long_pipeline_gets_one_turn_a_pass() {
    let mut stage = Stage::new();
    stage.step = std::time::Duration::ZERO; // all polls are in one pass
    stage.poll_once();
    stage.arrive(get("/now").repeat(3 * BURST_MAX));
    for _ in 0..5 {
        assert!(stage.poll_once(), "it has woken itself");
        assert_eq!(stage.script.handled.get(), BURST_MAX);
    }
    stage.step = std::time::Duration::from_nanos(1);
    stage.settle();
    assert_eq!(stage.answers().len(), 3 * BURST_MAX);
}

#[test]
fn answers_that_wait_for_their_turn_are_bounded_in_bytes() {
    // Behind one that is not there yet, each of the others has 100,000 bytes.
    let mut stage = Stage::new();
    stage.send(get("/later/a") + &get("/big").repeat(20));
    let bound = PENDING_BYTES_MAX.div_ceil(100_000);
    assert_eq!(stage.script.handled.get(), 1 + bound);
    stage.open("a");
    assert_eq!(stage.answers().len(), 21);
}

#[test]
fn answers_to_come_count_what_is_expected_of_them() {
    let mut stage = Stage::new();
    stage.script.expected.set(PENDING_BYTES_MAX / 2);
    let gates = ["a", "b", "c", "d"];
    stage.send(gates.map(|gate| get(&format!("/later/{gate}"))).concat());
    assert_eq!(*stage.script.begun.borrow(), ["a", "b"]);
    stage.open("b");
    // It is much smaller than it was expected to be.
    assert_eq!(*stage.script.begun.borrow(), ["a", "b", "c"]);
    for gate in gates {
        stage.open(gate);
    }
    assert_eq!(stage.answers().len(), 4);
    // One alone is begun whatever is expected of it.
    stage.script.expected.set(2 * PENDING_BYTES_MAX);
    stage.send(get("/later/e") + &get("/later/f"));
    assert_eq!(stage.script.begun.borrow().len(), 5);
}

#[test]
fn nothing_is_begun_for_a_client_that_does_not_read() {
    let mut stage = Stage::new();
    stage.wire.stuck.set(true);
    stage.send(get("/big").repeat(20));
    let begun = stage.script.handled.get();
    assert_eq!(begun, UNSENT_MAX / 100_000 + 1);
    stage.unstick();
    assert_eq!(stage.answers().len(), 20);
}

#[test]
fn a_panic_is_answered_and_harms_no_other_request() {
    let mut stage = Stage::new();
    let requests = [get("/later/a"), get("/panic"), get("/panic/b"), get("/now")];
    stage.send(requests.concat());
    stage.open("b");
    stage.open("a");
    assert_eq!(stage.statuses(), [200, 500, 500, 200]);
    assert!(stage.bodies()[1].contains("Internal server error"));
    stage.send(post("/now", "x"));
    assert_eq!(stage.statuses(), [200, 500, 500, 200, 200]);
    assert!(!stage.answers().iter().any(super::stage::Answer::closes));
}

/// Whatever it panicked over, at once, over a body or later: a page can read it, and whoever asked knows it
/// by its id.
#[test]
fn a_panic_is_answered_as_the_requests_own() {
    let fields = "Host: a\r\nOrigin: https://shop.example\r\nX-Request-ID: of-the-client\r\n";
    let mut stage = Stage::new();
    for start in [
        format!("GET /panic HTTP/1.1\r\n{fields}\r\n"),
        format!("POST /panic HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\nab"),
        format!("GET /panic/b HTTP/1.1\r\n{fields}\r\n"),
    ] {
        stage.send(start);
    }
    stage.open("b");
    let answers = stage.answers();
    assert_eq!(stage.statuses(), [500, 500, 500]);
    for answer in &answers {
        let body = "{\"error\":\"Internal server error\",\"code\":500,\
                    \"request_id\":\"of-the-client\"}";
        assert_eq!(answer.body, body);
        for line in [
            "x-request-id: of-the-client",
            "access-control-allow-origin: *",
            "vary: origin",
            "x-content-type-options: nosniff",
        ] {
            assert!(
                answer.head.contains(&format!("\r\n{line}\r\n")),
                "{}",
                answer.head
            );
        }
        assert_eq!(answer.head.matches("x-process-time: ").count(), 1);
    }
    // What its guards had added before.
    assert!(answers[2].head.contains("\r\nx-gate: reached\r\n"));
}

/// If the head is what it panics over, the answer does without it.
#[test]
fn a_panic_over_a_panic_is_answered() {
    let mut stage = Stage::new();
    stage.send(get("/panic-again") + &get("/now"));
    assert_eq!(stage.statuses(), [500, 200]);
    assert!(stage.bodies()[0].contains("Internal server error"));
}

#[test]
fn a_panic_over_a_body_is_answered_too() {
    let mut stage = Stage::new();
    let request = post("/panic", "body");
    let (head, body) = request.split_at(request.len() - 2);
    stage.send(head);
    stage.send(body);
    stage.send(get("/now"));
    assert_eq!(stage.statuses(), [500, 200]);
}

#[test]
fn requests_before_a_bad_one_are_answered_first() {
    let mut stage = Stage::new();
    stage.send(
        [
            get("/later/a"),
            get("/now"),
            "GET\n".to_owned(),
            get("/now"),
        ]
        .concat(),
    );
    assert_eq!(stage.read(), "");
    stage.open("a");
    assert_eq!(stage.statuses(), [200, 200, 400]);
    let closes: Vec<bool> = stage
        .answers()
        .iter()
        .map(super::stage::Answer::closes)
        .collect();
    assert_eq!(closes, [false, false, true]);
    assert_eq!(stage.script.handled.get(), 2, "nothing after it is read");
}

#[test]
fn a_100_comes_when_it_is_due() {
    let head = "POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut stage = Stage::new();
    stage.send(head);
    assert_eq!(stage.read(), "HTTP/1.1 100 Continue\r\n\r\n");
    stage.send("h");
    stage.send("i");
    assert_eq!(stage.statuses(), [100, 200]);

    // After the answers to earlier requests, and only once.
    let mut stage = Stage::new();
    stage.send(get("/later/a") + head);
    assert_eq!(stage.read(), "");
    stage.open("a");
    assert_eq!(stage.statuses(), [200, 100]);
    stage.send("hi");
    assert_eq!(stage.bodies(), ["GET /later/a ", "", "POST /now hi"]);

    // Not when the body is there, at once or before its turn.
    let mut stage = Stage::new();
    stage.send(format!("{head}hi"));
    assert_eq!(stage.statuses(), [200]);
    let mut stage = Stage::new();
    stage.send(get("/later/a") + head);
    stage.send("hi");
    stage.open("a");
    assert_eq!(stage.statuses(), [200, 200]);
}

#[test]
fn a_body_that_nobody_wants_is_refused_before_it_is_sent() {
    let missing =
        "POST /missing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    for body in ["", "h", "hi"] {
        let mut stage = Stage::new();
        stage.send(missing.to_owned() + body);
        assert_eq!(stage.statuses(), [404]);
        assert!(stage.answers()[0].closes());
    }
    // Without the question it is the same whether the body comes with the head or later.
    let unasked = missing.replace("Expect: 100-continue\r\n", "");
    for (first, second) in [("", "hi"), ("h", "i"), ("hi", "")] {
        let mut stage = Stage::new();
        stage.send(unasked.clone() + first);
        stage.send(second);
        assert_eq!(stage.bodies(), ["POST /missing hi"]);
        assert!(!stage.answers()[0].closes());
    }
    // Too large by its length: no 100 either.
    let mut stage = Stage::new();
    stage.send(
        "POST /now HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n",
    );
    assert_eq!(stage.statuses(), [413]);
}

#[test]
fn no_answer_to_head_has_a_body() {
    for request in [
        "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n",
        // Refused early, by length, by a fault in the head, by a fault in the body.
        "HEAD /missing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "HEAD /now HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
        "HEAD /now HTTP/1.1\r\n\r\n",
        "HEAD /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
    ] {
        let mut stage = Stage::new();
        stage.send(request);
        let text = stage.read();
        assert!(text.ends_with("\r\n\r\n"), "{request}: {text}");
    }
}
