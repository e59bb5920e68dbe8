//! Any order of events: what is answered is answered in order, nothing begun is dropped, and every
//! connection ends.

use std::time::Duration;

use proptest::prelude::*;

use super::stage::{Stage, answers};

#[derive(Debug, Clone)]
enum Event {
    /// So many further bytes of the stream arrive.
    Arrive(usize),
    /// The answer of that request becomes ready.
    Open(usize),
    /// The client stops reading, or goes on.
    Stuck(bool),
    Pass(Duration),
    Drain,
    FinishSending,
    Reset,
}

const REQUESTS: usize = 80;

/// Requests of every kind, each with its number.
fn stream() -> String {
    let mut text = String::new();
    for number in 0..REQUESTS {
        text += &match number % 5 {
            0 => format!("GET /now?{number} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"),
            1 | 2 => format!("GET /later/{number} HTTP/1.1\r\nHost: a\r\n\r\n"),
            3 => format!(
                "POST /later/{number} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                 Content-Length: 3\r\n\r\nabc"
            ),
            _ => format!(
                "POST /panic/{number} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n"
            ),
        };
    }
    text
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..2000usize).prop_map(Event::Arrive),
        4 => (0..20usize).prop_map(Event::Arrive),
        12 => (0..REQUESTS).prop_map(Event::Open),
        2 => any::<bool>().prop_map(Event::Stuck),
        2 => (0..8000u64).prop_map(|time| Event::Pass(Duration::from_millis(time))),
        1 => Just(Event::Drain),
        1 => Just(Event::FinishSending),
        1 => Just(Event::Reset),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_order_of_events_ends_well(events in prop::collection::vec(event(), 0..60)) {
        let stream = stream();
        let mut rest = stream.as_str();
        let mut stage = Stage::new();
        let (mut reset, mut finished) = (false, false);
        for event in events {
            match event {
                Event::Arrive(count) if !reset && !finished => {
                    let (now, later) = rest.split_at(count.min(rest.len()));
                    rest = later;
                    stage.send(now);
                }
                Event::Open(number) => stage.open(&number.to_string()),
                Event::Stuck(false) => stage.unstick(),
                Event::Stuck(true) => stage.wire.stuck.set(true),
                Event::Pass(time) => stage.pass(time),
                Event::Drain => stage.drain(),
                Event::FinishSending => {
                    finished = true;
                    stage.finish_sending();
                }
                Event::Reset => {
                    reset = true;
                    stage.reset();
                }
                Event::Arrive(_) => {}
            }
        }
        for number in 0..REQUESTS {
            stage.open(&number.to_string());
        }
        stage.unstick();
        for _ in 0..4 {
            stage.pass(Duration::from_secs(1000));
        }
        prop_assert!(stage.is_over(), "it hangs");
        prop_assert!(stage.script.dropped.borrow().iter().all(|gate| is_panic(gate)));
        in_order(&stage)?;
    }
}

/// A future that panicked gave no answer by itself.
fn is_panic(gate: &str) -> bool {
    gate.parse::<usize>().expect("a number") % 5 == 4
}

/// Statuses are those of the requests in their order, then at most one that ends the connection.
fn in_order(stage: &Stage) -> Result<(), TestCaseError> {
    let answers = answers(stage.read().as_bytes(), &[]);
    let last = answers.len().saturating_sub(1);
    let mut number = 0;
    for (index, answer) in answers.iter().enumerate() {
        match answer.status {
            100 => prop_assert_eq!(number % 5, 3, "a 100 for another request"),
            408 => prop_assert!(index == last && answer.closes()),
            500 => {
                prop_assert_eq!(number % 5, 4);
                number += 1;
            }
            200 => {
                prop_assert!(number % 5 != 4);
                if number % 5 != 0 {
                    let path = format!("/later/{number} ");
                    prop_assert!(answer.body.contains(&path));
                }
                number += 1;
            }
            status => prop_assert!(false, "{}", status),
        }
        prop_assert!(
            index == last || !answer.closes(),
            "something follows the end"
        );
    }
    let lists = [&stage.script.finished, &stage.script.dropped];
    let ended: usize = lists.iter().map(|list| list.borrow().len()).sum();
    prop_assert_eq!(ended, stage.script.begun.borrow().len(), "each ends once");
    let mut abandoned = stage.script.abandoned.borrow().clone();
    abandoned.sort();
    abandoned.dedup();
    prop_assert_eq!(
        abandoned.len(),
        stage.script.abandoned.borrow().len(),
        "told once"
    );
    Ok(())
}
