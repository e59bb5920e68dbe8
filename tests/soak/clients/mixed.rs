//! Well-behaved clients: requests of every kind, one or many at a time, cut anywhere.

use crate::asks::{Ask, Asks};
use crate::talk::{Manner, connect, round};

/// Rounds of a few requests of every kind, on connections of any length of life.
pub fn pipeline(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        let rounds = asks.random.between(1, 60);
        for left in (0..rounds).rev() {
            let over = left == 0 || !soak.goes_on();
            let most = if asks.random.percent(10) { 32 } else { 8 };
            let count = asks.random.between(1, most);
            let mut batch: Vec<Ask> = (0..count).map(|_| asks.any()).collect();
            let mut manner = Manner {
                pieces: *asks.random.pick(&[1, 1, 1, 2, 3, 10]),
                pause_ms_max: *asks.random.pick(&[0, 0, 5]),
                ..Manner::default()
            };
            match asks.random.below(3) {
                0 if over => manner.half_close = true,
                1 if over => batch = ending(batch),
                _ => {}
            }
            let open = round(soak, &mut line, &batch, &mut asks.random, manner);
            if over || !open {
                break;
            }
            soak.pause(asks.random.millis(0, 25));
        }
    }
}

fn ending(mut batch: Vec<Ask>) -> Vec<Ask> {
    let last = batch.pop().map(Asks::last);
    batch.extend(last);
    batch
}

/// Hundreds of requests at once, far more than are answered at a time.
pub fn pipeline_deeply(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        let count = asks.random.between(100, 400);
        let batch: Vec<Ask> = (0..count).map(|_| asks.any_read()).collect();
        let manner = Manner {
            pieces: asks.random.between(1, 5),
            half_close: asks.random.percent(50),
            ..Manner::default()
        };
        round(soak, &mut line, &batch, &mut asks.random, manner);
        soak.pause(asks.random.millis(200, 900));
    }
}

/// A route that is always past its timeout.
pub fn ask_overdue(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        let batch: Vec<Ask> = (0..asks.random.between(1, 3))
            .map(|_| asks.overdue())
            .collect();
        round(soak, &mut line, &batch, &mut asks.random, Manner::default());
        soak.pause(asks.random.millis(0, 300));
    }
}

/// A route that is asked more often than its limit admits; nobody else does.
pub fn ask_limited(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        for _ in 0..asks.random.between(1, 30) {
            let count = asks.random.between(1, 12);
            let batch: Vec<Ask> = (0..count).map(|_| asks.scarce()).collect();
            let open = round(soak, &mut line, &batch, &mut asks.random, Manner::default());
            if !open || !soak.goes_on() {
                break;
            }
            soak.pause(asks.random.millis(0, 400));
        }
    }
}
