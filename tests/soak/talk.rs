//! A round of requests on a connection: sent as the manner says, answered in order, each judged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Soak;
use crate::asks::{Ask, Asks};
use crate::judge::{judge, words};
use crate::ledger::Outcome;
use crate::support::Response;
use crate::support::random::Random;
use crate::ways::Way;
use crate::wire::{Broken, Line};
use crate::writes::Fate;

/// A client that leaves the server waiting for longer than this, in the middle of a request, an answer
/// or between two, has itself to thank for the end: the shortest of the server's times are 3 s.
const OWN_DELAY_MAX: Duration = Duration::from_millis(2400);

/// How a round is sent.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// Pieces that the bytes are cut into at random.
    pub pieces: usize,
    /// The longest pause between two pieces, in milliseconds.
    pub pause_ms_max: usize,
    /// The client's side is closed after the last request.
    pub half_close: bool,
    /// A pause before each answer is read, in milliseconds.
    pub read_pause_ms: usize,
}

/// Plays a round; whether the connection may be used for another one.
pub fn round(
    soak: &Soak,
    line: &mut Line,
    asks: &[Ask],
    random: &mut Random,
    manner: Manner,
) -> bool {
    line.next_round();
    let from = Instant::now();
    let bytes: Vec<u8> = asks
        .iter()
        .flat_map(|ask| ask.bytes.iter().copied())
        .collect();
    send_in_pieces(line, &bytes, random, manner);
    if manner.half_close {
        line.half_close();
    }
    for (index, ask) in asks.iter().enumerate() {
        if manner.read_pause_ms > 0 {
            std::thread::sleep(Duration::from_millis(manner.read_pause_ms as u64));
        }
        let answer = line.response(ask.head_only);
        if !settle(soak, line, ask, answer, from) {
            asks[index + 1..].iter().for_each(|ask| give_up(soak, ask));
            return false;
        }
    }
    let ends = manner.half_close || asks.last().is_some_and(|ask| ask.closes);
    if ends {
        expect_end(soak, line, from);
    }
    !ends
}

fn send_in_pieces(line: &mut Line, bytes: &[u8], random: &mut Random, manner: Manner) {
    let start = Instant::now();
    let mut rest = bytes;
    for left in (1..manner.pieces.max(1)).rev() {
        if rest.len() <= left {
            break;
        }
        let (piece, others) = rest.split_at(random.between(1, rest.len() - left));
        // A server that has closed is noticed when the answers are read.
        line.send(piece);
        rest = others;
        let pause = random.millis(0, manner.pause_ms_max);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
    line.send(rest);
    // The server counts from the first byte to the last.
    line.own_delay = line.own_delay.max(start.elapsed());
}

/// Judges what came in answer to a request; whether the next one may be read.
pub fn settle(
    soak: &Soak,
    line: &mut Line,
    ask: &Ask,
    answer: Result<Response, Broken>,
    from: Instant,
) -> bool {
    let until = Instant::now();
    let faults = || soak.windows.between(from, until);
    match answer {
        Ok(response) => match judge(soak, ask, &response, from, until) {
            Ok(verdict) => {
                record(soak, ask, verdict.fate);
                match verdict.outcome {
                    Outcome::Excused => soak.ledger.excuse(words(&response)),
                    outcome => soak.ledger.count(outcome),
                }
                response.field("connection") != Some("close") || ask.closes
            }
            Err(_) if response.status == 408 && was_late(soak, line, from) => {
                give_up(soak, ask);
                false
            }
            Err(what) => {
                // Whatever was said of it, it may have been done.
                record(soak, ask, Fate::Unknown);
                let what = format!("{what} (answer to {})", ask.id);
                soak.ledger.wrong_exchange(&what, line, &faults());
                false
            }
        },
        Err(Broken::Closed | Broken::Cut) if may_end(soak, line, from) => {
            give_up(soak, ask);
            false
        }
        Err(broken) => {
            record(soak, ask, Fate::Unknown);
            let what = format!("{} was not answered: {broken:?}", ask.id);
            soak.ledger.lost_exchange(&what, line, &faults());
            false
        }
    }
}

/// The request was sent, and its answer will not be looked at.
pub fn give_up(soak: &Soak, ask: &Ask) {
    record(soak, ask, Fate::Unknown);
    soak.ledger.count(Outcome::Ended);
}

/// Whether the server may end, at any place, a connection that something was to come on since `from`.
pub fn may_end(soak: &Soak, line: &Line, from: Instant) -> bool {
    soak.is_draining() || was_late(soak, line, from)
}

/// Whether a time may have been over as the client, or the server, did not get to run.
fn was_late(soak: &Soak, line: &Line, from: Instant) -> bool {
    line.own_delay >= OWN_DELAY_MAX || soak.starvation.touches(from, Instant::now())
}

/// The server has to close now, and to say nothing before; but over TLS, that it closes.
pub fn expect_end(soak: &Soak, line: &mut Line, from: Instant) {
    let rest = line.rest();
    let faults = soak.windows.between(from, Instant::now());
    match rest {
        Ok(rest) if rest.is_empty() && line.is_silent && !may_end(soak, line, from) => {
            let what = "the end was not said";
            soak.ledger.wrong_exchange(what, line, &faults);
        }
        Ok(rest) if rest.is_empty() => soak.ledger.count(Outcome::Right),
        Ok(rest) => {
            let what = format!("{} bytes after the last answer", rest.len());
            soak.ledger.wrong_exchange(&what, line, &faults);
        }
        Err(broken) => {
            let what = format!("the connection was not closed: {broken:?}");
            soak.ledger.wrong_exchange(&what, line, &faults);
        }
    }
}

fn record(soak: &Soak, ask: &Ask, fate: Fate) {
    if let Some(write) = ask.write {
        soak.writes.record(write, fate);
    }
}

/// A connection in the way of the client, unless the soak is over or the server does not take it, which is
/// a fault.
pub fn connect(asks: &mut Asks<'_>) -> Option<Line> {
    connected(asks, Line::connect)
}

/// See [`Line::narrow`].
pub fn connect_narrow(asks: &mut Asks<'_>) -> Option<Line> {
    connected(asks, Line::narrow)
}

/// One on which no TLS is spoken, whatever the way.
pub fn connect_bare(asks: &Asks<'_>) -> Option<Line> {
    taken(asks.soak, Line::connect(asks.soak.ways.address(asks.way)))
}

fn connected(
    asks: &mut Asks<'_>,
    connect: impl Fn(SocketAddr) -> std::io::Result<Line>,
) -> Option<Line> {
    let soak = asks.soak;
    loop {
        let from = Instant::now();
        let mut line = taken(soak, connect(soak.ways.address(asks.way)))?;
        if asks.way == Way::Plain {
            return Some(line);
        }
        match line.encrypt(soak.ways.session(&mut asks.random)) {
            Ok(()) => {
                line.session().inspect(|session| soak.ways.count(session));
                return Some(line);
            }
            Err(_) if soak.is_draining() => return None,
            // Of a server that was stopped, too.
            Err(_) if was_late(soak, &line, from) => soak.ledger.count(Outcome::Ended),
            Err(error) => {
                soak.ledger.lost_fact(&format!("no handshake: {error}"));
                return None;
            }
        }
        if !soak.goes_on() {
            return None;
        }
    }
}

fn taken(soak: &Soak, line: std::io::Result<Line>) -> Option<Line> {
    match line {
        Ok(line) => Some(line),
        Err(_) if soak.is_draining() => None,
        Err(error) => {
            soak.ledger.lost_fact(&format!("no connection: {error}"));
            None
        }
    }
}
