//! Clients that write one thing after the other, and know what has to come of it.

use crate::Soak;
use crate::asks::{Ask, Asks};
use crate::schema::OWN_COUNTERS;
use crate::talk::{Manner, connect, round};
use crate::wire::Line;

/// A counter that nobody else increases, and reservations that are made again.
pub fn write_in_sequence(mut asks: Asks<'_>) {
    let soak = asks.soak;
    let number = asks.name.trim_start_matches("writer");
    let counter = number.parse::<usize>().expect("a number") % OWN_COUNTERS;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        for _ in 0..asks.random.between(1, 100) {
            let open = match asks.random.below(3) {
                0 => reserve_twice(soak, &mut asks, &mut line),
                _ => {
                    let ask = asks.increase(counter);
                    one(soak, &mut asks, &mut line, ask)
                }
            };
            if !open || !soak.goes_on() {
                break;
            }
            soak.pause(asks.random.millis(0, 20));
        }
    }
}

/// What the first answer said has to hold for the second one.
fn reserve_twice(soak: &Soak, asks: &mut Asks<'_>, line: &mut Line) -> bool {
    let first = asks.reserve();
    let write = first.write.expect("it writes");
    let token = match write {
        crate::writes::Write::Reserve(token) => token,
        other => unreachable!("{other:?} is no reservation"),
    };
    if !one(soak, asks, line, first) {
        return false;
    }
    let known = soak.writes.is_done(write);
    let again = asks.reserve_again(token, known);
    one(soak, asks, line, again)
}

fn one(soak: &Soak, asks: &mut Asks<'_>, line: &mut Line, ask: Ask) -> bool {
    round(soak, line, &[ask], &mut asks.random, Manner::default())
}

/// Transfers that lock two accounts in either order, so that some are ended as deadlocks.
pub fn transfer(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        for _ in 0..asks.random.between(1, 30) {
            let ask = asks.transfer();
            if !one(soak, &mut asks, &mut line, ask) || !soak.goes_on() {
                break;
            }
            soak.pause(asks.random.millis(0, 30));
        }
    }
}
