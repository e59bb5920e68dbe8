//! More than the server takes: requests past `--max-in-flight`, connections past `--max-connections`.

use std::time::Duration;

use crate::Soak;
use crate::asks::{Ask, Asks};
use crate::talk::{Manner, connect, round, settle};
use crate::wire::Line;

/// Connections of a burst, each with as many requests as the server answers at a time: 2,560 together,
/// where 1,200 may be in flight, and far fewer in the slow lane.
const BURST_CONNECTIONS: usize = 80;
const BURST_REQUESTS: usize = 32;

/// Connections of a crowd: a sixth more than the bound of 600.
const CROWD: usize = 700;

/// Bursts of requests past the bound of a lane's queue or of all that may be in flight, until the time is
/// over; each is answered, or refused at once.
pub fn overload(soak: &Soak, asks: &mut Asks<'_>, lasts: Duration) {
    let start = std::time::Instant::now();
    while start.elapsed() < lasts && soak.goes_on() {
        let mut lines: Vec<(Line, Vec<Ask>)> = Vec::new();
        let patient = asks.random.percent(50);
        let from = std::time::Instant::now();
        for _ in 0..BURST_CONNECTIONS {
            let Some(mut line) = connect(asks) else {
                break;
            };
            let nap = |asks: &mut Asks<'_>| match patient {
                true => asks.patient_nap(),
                false => asks.nap(),
            };
            let batch: Vec<Ask> = (0..BURST_REQUESTS).map(|_| nap(asks)).collect();
            let bytes: Vec<u8> = batch.iter().flat_map(|ask| ask.bytes.clone()).collect();
            line.send(&bytes);
            lines.push((line, batch));
        }
        for (mut line, batch) in lines {
            for ask in &batch {
                let answer = line.response(false);
                if !settle(soak, &mut line, ask, answer, from) {
                    break;
                }
            }
        }
    }
}

/// Connections that do nothing, past the bound. The last ones wait until there is room.
pub fn crowd(soak: &Soak, asks: &mut Asks<'_>, lasts: Duration) {
    let mut lines: Vec<Line> = (0..CROWD).map_while(|_| connect(asks)).collect();
    soak.pause(lasts);
    // Half of them leave, and the others have their turn.
    lines.drain(..CROWD.min(lines.len()) / 2);
    for line in lines.iter_mut().rev().step_by(10) {
        let ask = asks.health();
        if !round(soak, line, &[ask], &mut asks.random, Manner::default()) {
            return;
        }
    }
}
