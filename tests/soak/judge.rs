//! Whether an answer is the right one, or one that a fault of the moment excuses.

use std::time::Instant;

use sonic_rs::JsonValueTrait;

use crate::Soak;
use crate::allowed::{Class, OVERLOADED, Refusal, is_allowed};
use crate::asks::{Ask, Expect};
use crate::fault::Fault;
use crate::guards::{self, UNDECIDED};
use crate::ledger::Outcome;
use crate::schema::STOCK;
use crate::support::Response;
use crate::writes::Fate;

/// What an answer means.
pub struct Verdict {
    pub outcome: Outcome,
    /// Of a write.
    pub fate: Fate,
}

/// Judges an answer to what was sent from `from` on and had come whole at `until`; the error says what
/// is wrong with it.
pub fn judge(
    soak: &Soak,
    ask: &Ask,
    response: &Response,
    from: Instant,
    until: Instant,
) -> Result<Verdict, String> {
    let closes = response.field("connection") == Some("close");
    if closes != ask.closes && !(closes && soak.is_draining()) {
        return Err(format!("connection: close is {closes}"));
    }
    if response.field("date").is_none() {
        return Err("no date".to_owned());
    }
    guards::judge(&ask.marks, response)?;
    let undecided = words(response) == UNDECIDED;
    if matches!(ask.expect, Expect::Limited(_)) && !undecided {
        soak.limit.note(from, until, response.status != 429);
    }
    let Err(wrong) = judge_content(soak, ask, response) else {
        let fate = match response.status {
            200..=299 => Fate::Done(told(response)),
            _ => Fate::NotDone,
        };
        return Ok(Verdict {
            outcome: Outcome::Right,
            fate,
        });
    };
    let Some(refusal) = refusal(response) else {
        return Err(wrong);
    };
    // The body of `/ready` lists the reasons.
    if !ask.head_only && ask.class != Class::Ready {
        judge_error(ask, response, "")?;
    }
    let faults = soak.windows.between(from, until);
    // Without a body it is not told which of the two it is.
    let or_overloaded = ask.head_only && refusal == Refusal::Unavailable;
    let excused = |fault| {
        is_allowed(fault, ask.class, refusal)
            || undecided && matches!(fault, Fault::Halt | Fault::Hog)
            || or_overloaded && is_allowed(fault, ask.class, Refusal::Overloaded)
    };
    if !faults.iter().any(|fault| excused(*fault)) && !soak.starvation.touches(from, until) {
        let class = ask.class;
        return Err(format!(
            "{refusal:?} of {class:?} is not allowed now; {wrong}"
        ));
    }
    Ok(Verdict {
        outcome: Outcome::Excused,
        fate: match refusal {
            Refusal::Unknown => Fate::Unknown,
            Refusal::Unavailable | Refusal::Overloaded | Refusal::TimedOut => Fate::NotDone,
        },
    })
}

/// The words of an error, for the statistics.
pub fn words(response: &Response) -> String {
    let json: Option<sonic_rs::Value> = sonic_rs::from_slice(&response.body).ok();
    let words = json.and_then(|json| json["error"].as_str().map(str::to_owned));
    let words = words.as_deref().unwrap_or("/ready");
    format!("{} {words}", response.status)
}

fn refusal(response: &Response) -> Option<Refusal> {
    match (response.status, response.field("retry-after")) {
        (503, Some(_)) if words(response).ends_with(OVERLOADED) => Some(Refusal::Overloaded),
        (503, Some(_)) => Some(Refusal::Unavailable),
        (503, None) => Some(Refusal::Unknown),
        (504, None) => Some(Refusal::TimedOut),
        _ => None,
    }
}

fn judge_content(soak: &Soak, ask: &Ask, response: &Response) -> Result<(), String> {
    let body = &response.body;
    match &ask.expect {
        Expect::Exactly(status, expected) => {
            is_status(response, *status)?;
            match ask.head_only {
                true => Ok(()),
                false => is_body(body, &[expected]),
            }
        }
        Expect::OneOf([one, other]) => {
            is_status(response, 200)?;
            is_body(body, &[one, other])
        }
        Expect::Error(status, words) => {
            is_status(response, *status)?;
            judge_error(ask, response, words)
        }
        Expect::Fault(status) => {
            is_status(response, *status)?;
            judge_error(ask, response, "")
        }
        Expect::Allow(methods) => {
            is_status(response, 204)?;
            match response.field("allow") == Some(methods) {
                true => Ok(()),
                false => Err(format!("{methods} are to be allowed")),
            }
        }
        Expect::Counter { id, least } => {
            is_status(response, 200)?;
            judge_counter(soak, *id, *least, response)
        }
        Expect::ReservedOrNot(token) => match response.status {
            409 => judge_error(ask, response, "Reserved already"),
            _ => {
                is_status(response, 201)?;
                is_body(body, &[format!("{{\"token\":{token}}}").as_bytes()])
            }
        },
        Expect::Stock(sku) => match response.status {
            409 if soak.writes.may_be_sold_out(*sku) => judge_error(ask, response, "Sold out"),
            _ => {
                is_status(response, 200)?;
                let left = number(response, "remaining")?;
                let known = number(response, "sku")? == *sku as i64;
                match known && (0..STOCK[*sku]).contains(&left) {
                    true => Ok(()),
                    false => Err("another stock, or one that can't be".to_owned()),
                }
            }
        },
        Expect::Limited(expected) => match response.status {
            429 if response.field("retry-after").is_some() => {
                judge_error(ask, response, "Too many requests")
            }
            _ => {
                is_status(response, 200)?;
                is_body(body, &[expected])
            }
        },
        Expect::UnlessDeadlock(expected) => match response.status {
            409 => judge_error(
                ask,
                response,
                "Conflict with a concurrent change: try again",
            ),
            _ => {
                is_status(response, 200)?;
                is_body(body, &[expected])
            }
        },
    }
}

/// A counter never falls behind what was told before the request was sent, and is never more than the
/// increases that were asked for.
fn judge_counter(soak: &Soak, id: usize, least: i64, response: &Response) -> Result<(), String> {
    let n = number(response, "n")?;
    let most = soak.writes.begun(id);
    if number(response, "id")? != id as i64 {
        return Err(format!("another counter than {id}"));
    }
    if !(least..=most).contains(&n) {
        return Err(format!("{n} is not from {least} to {most}"));
    }
    soak.writes.tell(id, n);
    Ok(())
}

/// The body that every error has, with these words unless they are empty.
fn judge_error(ask: &Ask, response: &Response, words: &str) -> Result<(), String> {
    let json: sonic_rs::Value =
        sonic_rs::from_slice(&response.body).map_err(|error| format!("the body: {error}"))?;
    let status = json["code"].as_u64();
    let said = json["error"].as_str().unwrap_or_default();
    let id = match ask.expect {
        Expect::Fault(_) => json["request_id"].as_str(),
        _ => Some(ask.id.as_str()),
    };
    if status != Some(u64::from(response.status)) || said.is_empty() {
        return Err("not the body of an error".to_owned());
    }
    if !words.is_empty() && said != words {
        return Err(format!("the error is to be {words:?}"));
    }
    if json["request_id"].as_str() != id || response.field("x-request-id") != id {
        return Err(format!("the id is to be {id:?}"));
    }
    Ok(())
}

fn is_status(response: &Response, status: u16) -> Result<(), String> {
    match response.status == status {
        true => Ok(()),
        false => Err(format!("{} where {status} is right", response.status)),
    }
}

fn is_body(body: &[u8], expected: &[&[u8]]) -> Result<(), String> {
    match expected.contains(&body) {
        true => Ok(()),
        false => {
            let right = expected[0][..expected[0].len().min(200)].escape_ascii();
            Err(format!("the body is to be {right}"))
        }
    }
}

/// The value that an increase told; 0 where there is none.
fn told(response: &Response) -> i64 {
    match response.body.is_empty() {
        true => 0,
        false => number(response, "n").unwrap_or(0),
    }
}

fn number(response: &Response, name: &str) -> Result<i64, String> {
    let json: sonic_rs::Value =
        sonic_rs::from_slice(&response.body).map_err(|error| format!("the body: {error}"))?;
    let number = json.get(name).and_then(|value| value.as_i64());
    number.ok_or_else(|| format!("no {name}"))
}
