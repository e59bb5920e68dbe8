//! Random bytes, and requests with random damage.

use std::time::Instant;

use crate::asks::Asks;
use crate::ledger::Outcome;
use crate::support::random::Random;
use crate::talk::{connect, connect_bare};
use crate::ways::Way;
use crate::wire::{Broken, Line};

/// What may be answered to anything at all that asks for no slow route: never a 500.
const STATUSES: &[u16] = &[
    100, 200, 204, 400, 401, 404, 405, 408, 413, 414, 415, 417, 422, 431, 501, 505,
];

/// Sends what may or may not be requests, and reads until the end.
pub fn send_noise(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        // Where TLS is expected, noise may come in place of it, and is told so if it looks like HTTP.
        let bare = asks.way == Way::Tls && asks.random.percent(30);
        let line = match bare {
            true => connect_bare(&asks),
            false => connect(&mut asks),
        };
        let Some(mut line) = line else {
            return;
        };
        let bytes = match asks.random.percent(30) {
            true => random_bytes(&mut asks.random),
            false => damaged(&mut asks),
        };
        let from = Instant::now();
        let (first, second) = bytes.split_at(asks.random.between(0, bytes.len()));
        line.send(first);
        line.send(second);
        line.half_close();
        let read = match bare {
            true => read_refusal(&mut line),
            false => read_all(&mut line, || {
                !soak.windows.between(from, Instant::now()).is_empty()
            }),
        };
        if let Err(what) = read {
            let faults = soak.windows.between(from, Instant::now());
            soak.ledger.wrong_exchange(&what, &line, &faults);
        }
        soak.ledger.count(Outcome::Right);
        soak.pause(asks.random.millis(0, 60));
    }
}

/// Takes responses until the server closes, which it has to do after one that says so, and in the end.
fn read_all(line: &mut Line, disturbed: impl Fn() -> bool) -> Result<(), String> {
    loop {
        let response = match line.response(false) {
            Ok(response) => response,
            Err(Broken::Closed) => return Ok(()),
            Err(broken) => return Err(format!("noise: {broken:?}")),
        };
        let excused = [503, 504].contains(&response.status) && disturbed();
        if !STATUSES.contains(&response.status) && !excused {
            return Err(format!("noise was answered {}", response.status));
        }
        if response.field("connection") == Some("close") {
            return match line.rest() {
                Ok(rest) if rest.is_empty() => Ok(()),
                Ok(rest) => Err(format!("{} bytes after the last answer", rest.len())),
                Err(broken) => Err(format!("noise: {broken:?} after the last answer")),
            };
        }
    }
}

/// Takes an alert, a 400 or nothing, and the end.
fn read_refusal(line: &mut Line) -> Result<(), String> {
    /// The type of a record that is one (RFC 8446 §5.1).
    const ALERT: u8 = 21;
    match line.rest() {
        Ok(rest) if rest.is_empty() || rest[0] == ALERT => Ok(()),
        Ok(rest) if rest.starts_with(b"HTTP/1.1 400 ") => Ok(()),
        Ok(rest) => Err(format!("noise was answered {:?}", rest.escape_ascii())),
        Err(broken) => Err(format!("noise: {broken:?}")),
    }
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    let count = random.between(1, 2000);
    match random.percent(50) {
        true => (0..count).map(|_| random.number() as u8).collect(),
        false => {
            let pieces = [
                "GET ",
                "/",
                " HTTP/1.1",
                "\r\n",
                ":",
                " ",
                "Host: a",
                "0",
                "\0",
                "\u{ff}",
            ];
            let pieces: Vec<&str> = (0..count / 5).map(|_| *random.pick(&pieces)).collect();
            pieces.concat().into_bytes()
        }
    }
}

/// Good requests in which a few octets are changed, left out or doubled.
fn damaged(asks: &mut Asks<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..asks.random.between(1, 4) {
        let ask = match asks.random.below(3) {
            0 => asks.health(),
            1 => asks.item(),
            _ => asks.look_up(),
        };
        bytes.extend(ask.bytes);
    }
    for _ in 0..asks.random.between(1, 3) {
        let place = asks.random.below(bytes.len());
        match asks.random.below(4) {
            // One is left to be damaged next.
            0 if bytes.len() > 1 => drop(bytes.remove(place)),
            1 => bytes.insert(place, bytes[place]),
            2 => bytes.truncate(place.max(1)),
            _ => bytes[place] = asks.random.number() as u8,
        }
    }
    bytes
}
