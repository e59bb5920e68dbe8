//! Clients that leave in the middle.

use crate::asks::{Ask, Asks};
use crate::ledger::Outcome;
use crate::talk::{Manner, connect, connect_bare, give_up, round};
use crate::wire::Line;

/// Connections that come and go: with nothing said, half a request, a whole one that nobody waits for.
pub fn come_and_go(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        match asks.random.below(20) {
            0..4 => {}
            4..8 => {
                let ask = asks.item();
                let part = asks.random.below(ask.bytes.len());
                line.send(&ask.bytes[..part]);
            }
            8..12 => {
                let ask = asks.any();
                line.send(&ask.bytes);
                give_up(soak, &ask);
            }
            // Seldom, as what was sent is in flight until it is done, and counts for the bound.
            12 => {
                let batch: Vec<Ask> = (0..30).map(|_| asks.bulky()).collect();
                for ask in &batch {
                    line.send(&ask.bytes);
                    give_up(soak, ask);
                }
            }
            _ => {
                let ask = Asks::last(asks.any());
                round(soak, &mut line, &[ask], &mut asks.random, Manner::default());
            }
        }
        leave(&mut asks, line);
        soak.ledger.count(Outcome::Ended);
        soak.pause(asks.random.millis(0, 30));
    }
}

/// Handshakes that end in the middle: with part of the first message, all of it, or something else.
pub fn leave_handshakes(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect_bare(&asks) else {
            return;
        };
        let mut hello = soak.ways.session(&mut asks.random).hello();
        match asks.random.below(4) {
            0 => hello.truncate(asks.random.below(hello.len())),
            1 => {
                let place = asks.random.below(hello.len());
                hello[place] ^= 1 << asks.random.below(8);
            }
            _ => {}
        }
        line.send(&hello);
        soak.pause(asks.random.millis(0, 20));
        leave(&mut asks, line);
        soak.ledger.count(Outcome::Ended);
        soak.pause(asks.random.millis(0, 100));
    }
}

/// Statements whose clients go away while they run: they are cancelled.
pub fn abandon(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        if asks.random.percent(30) {
            let ask = asks.cancellable("0.01");
            round(soak, &mut line, &[ask], &mut asks.random, Manner::default());
        } else {
            let ask = asks.cancellable("3");
            line.send(&ask.bytes);
            soak.pause(asks.random.millis(0, 200));
            give_up(soak, &ask);
            leave(&mut asks, line);
        }
        soak.pause(asks.random.millis(0, 200));
    }
}

fn leave(asks: &mut Asks<'_>, line: Line) {
    match asks.random.percent(50) {
        true => line.reset(),
        false => drop(line),
    }
}
