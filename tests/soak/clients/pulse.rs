//! `/health`, at all times.

use std::time::Instant;

use crate::asks::Asks;
use crate::fault::Fault;
use crate::talk::{Manner, connect, round};

/// Asks for `/health` all the time, on one connection that is replaced now and then.
pub fn ask_health(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        for number in 0..asks.random.between(1, 200) {
            let ask = asks.health();
            let from = Instant::now();
            if !round(soak, &mut line, &[ask], &mut asks.random, Manner::default()) {
                break;
            }
            // A new connection may wait for its turn. A server that does not run, or shares its cores,
            // answers later.
            let faults = soak.windows.between(from, Instant::now());
            let is_slow = |fault: &Fault| [Fault::Halt, Fault::Hog].contains(fault);
            if number > 0 && !faults.iter().any(is_slow) {
                soak.ledger.note_health(from.elapsed());
            }
            soak.pause(asks.random.millis(5, 40));
            if !soak.goes_on() {
                break;
            }
        }
    }
}
