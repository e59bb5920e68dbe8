//! Clients that take their time: within the server's, past it, and for ever.

use std::time::{Duration, Instant};

use crate::Soak;
use crate::asks::{Ask, Asks};
use crate::fault::Fault;
use crate::ledger::Outcome;
use crate::talk::{
    Manner, connect, connect_bare, connect_narrow, expect_end, give_up, may_end, round, settle,
};
use crate::wire::{Broken, Line};

/// The times of [`FLAGS`](crate::schema::FLAGS).
const HEAD_AND_BODY_TIME: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const WRITE_TIME: Duration = Duration::from_secs(5);

/// Bytes that come by and by but in time, some of them when they are asked for, and answers that are read
/// by and by.
pub fn trickle(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect_narrow(&mut asks) else {
            return;
        };
        for _ in 0..asks.random.between(1, 5) {
            let ask = match asks.random.below(4) {
                0 => asks.bulky(),
                1 => asks.look_up(),
                2 if !soak.goes_on() || !wait_for_continue(soak, &mut asks, &mut line) => break,
                _ => asks.any_read(),
            };
            let manner = Manner {
                pieces: asks.random.between(2, 40),
                pause_ms_max: 40,
                read_pause_ms: asks.random.below(200),
                ..Manner::default()
            };
            if !round(soak, &mut line, &[ask], &mut asks.random, manner) || !soak.goes_on() {
                break;
            }
        }
    }
}

/// A body that is sent when the server says that it may be (RFC 9110 §10.1.1).
fn wait_for_continue(soak: &Soak, asks: &mut Asks<'_>, line: &mut Line) -> bool {
    let mut ask = asks.look_up();
    let body = ask.bytes.split_off(ask.head_bytes);
    ask.bytes.truncate(ask.head_bytes - 2);
    ask.bytes.extend_from_slice(b"Expect: 100-continue\r\n\r\n");
    line.next_round();
    let from = Instant::now();
    line.send(&ask.bytes);
    let answer = match line.response(false) {
        Ok(response) if response.status == 100 => {
            line.send(&body);
            line.response(false)
        }
        other => other,
    };
    settle(soak, line, &ask, answer, from)
}

/// Heads and bodies that don't come in time: 408 and the end, not before the time is over.
pub fn come_late(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        let mut ask = match asks.random.percent(50) {
            true => asks.look_up(),
            false => asks.item(),
        };
        // What is left out is at least one byte, and at least one is sent.
        let sent = asks.random.between(1, ask.bytes.len() - 1);
        let from = Instant::now();
        line.send(&ask.bytes[..sent]);
        ask.bytes.truncate(sent);
        let answer = line.response(false);
        let took = from.elapsed();
        let late = matches!(&answer, Ok(response) if response.status == 408);
        let faults = soak.windows.between(from, Instant::now());
        if late && !is_early(soak, from, HEAD_AND_BODY_TIME) {
            soak.ledger.count(Outcome::Right);
            expect_end(soak, &mut line, from);
        } else if matches!(answer, Err(Broken::Closed)) && may_end(soak, &line, from) {
            soak.ledger.count(Outcome::Ended);
        } else {
            let what = format!(
                "408 is right: {:?} after {took:?}",
                answer.map(|it| it.status)
            );
            soak.ledger.wrong_exchange(&what, &line, &faults);
        }
        soak.pause(asks.random.millis(0, 500));
    }
}

/// Handshakes that don't go on: the end without a word, not before the time of a head.
pub fn come_late_with_a_handshake(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let from = Instant::now();
        let Some(mut line) = connect_bare(&asks) else {
            return;
        };
        let hello = soak.ways.session(&mut asks.random).hello();
        line.send(&hello[..asks.random.below(hello.len())]);
        expect_end(soak, &mut line, from);
        expect_no_sooner(soak, &line, from, HEAD_AND_BODY_TIME);
    }
}

/// The server may not have ended a connection before that time.
fn expect_no_sooner(soak: &Soak, line: &Line, from: Instant, time: Duration) {
    let took = from.elapsed();
    if is_early(soak, from, time) && !soak.is_draining() {
        let faults = soak.windows.between(from, Instant::now());
        let what = format!("closed after {took:?} already");
        soak.ledger.wrong_exchange(&what, line, &faults);
    }
}

/// Whether a time that began then can't be over. A core counts it from the pass in which it takes a connection or
/// its bytes, and while it stands still that pass is not over.
fn is_early(soak: &Soak, from: Instant, time: Duration) -> bool {
    let until = Instant::now();
    let stood_still = || {
        soak.windows.between(from, until).contains(&Fault::Halt)
            || soak.starvation.touches(from, until)
    };
    until - from < time.mul_f64(0.95) && !stood_still()
}

/// Connections on which nothing is sent any more: closed without a word, not before the time.
pub fn stay_idle(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        if asks.random.percent(50) {
            let ask = asks.item();
            round(soak, &mut line, &[ask], &mut asks.random, Manner::default());
        }
        line.next_round();
        let from = Instant::now();
        expect_end(soak, &mut line, from);
        expect_no_sooner(soak, &line, from, KEEP_ALIVE);
    }
}

/// Large answers that nobody reads, for longer than the server waits, or nearly.
pub fn stop_reading(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect_narrow(&mut asks) else {
            return;
        };
        let batch: Vec<Ask> = (0..asks.random.between(20, 32))
            .map(|_| asks.bulky())
            .collect();
        let from = Instant::now();
        for ask in &batch {
            line.send(&ask.bytes);
        }
        let patient = asks.random.percent(50);
        soak.pause(match patient {
            true => asks.random.millis(200, 1500),
            false => WRITE_TIME + asks.random.millis(500, 2000),
        });
        // From here on it is read at once, and is right as far as it goes.
        for (index, ask) in batch.iter().enumerate() {
            let answer = line.response(ask.head_only);
            let ended = matches!(answer, Err(Broken::Closed | Broken::Cut));
            if ended && from.elapsed() > WRITE_TIME.mul_f64(0.9) {
                batch[index..].iter().for_each(|ask| give_up(soak, ask));
                break;
            }
            if !settle(soak, &mut line, ask, answer, from) {
                break;
            }
        }
    }
}
