//! What has been asked on one connection and not been answered, in order: Redis answers in the order in
//! which it was asked, so a reply is the first one's in line, whether that still waits for it or not.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use redis::{Cmd, ServerError, Value};

use super::{Unavailable, script, words};
use crate::guard::rate_limit::{Decision, Rate};

/// Times that a decision is asked for: again when Redis did not know the script, once as the script itself
/// and once more because scripts may be flushed between the two.
const ATTEMPTS_MAX: u8 = 3;

/// One decision that somebody waits for, or did.
pub(super) struct Ask {
    rate: Rate,
    key: Vec<u8>,
    pub(super) asked: Instant,
    /// In which pass of the core.
    pub(super) pass: u64,
    /// When it will have waited for long enough.
    pub(super) deadline: Cell<Instant>,
    /// That has been put off, which happens once.
    pub(super) pardoned: Cell<bool>,
    attempts: Cell<u8>,
    outcome: Cell<Option<Result<Decision, Unavailable>>>,
    waker: RefCell<Option<Waker>>,
}

impl Ask {
    /// Asked `asked` in this pass, for whoever waits for `patience`.
    pub(super) fn new(
        rate: &Rate,
        key: Vec<u8>,
        (asked, pass): (Instant, u64),
        patience: Duration,
    ) -> Rc<Ask> {
        Rc::new(Ask {
            rate: *rate,
            key,
            asked,
            pass,
            deadline: Cell::new(asked + patience),
            pardoned: Cell::new(false),
            attempts: Cell::new(0),
            outcome: Cell::new(None),
            waker: RefCell::default(),
        })
    }

    pub(super) fn is_settled(&self) -> bool {
        self.outcome.get().is_some()
    }

    /// What comes first counts. Whoever waits for it is to be woken once nothing is borrowed.
    pub(super) fn settle(&self, outcome: Result<Decision, Unavailable>, woken: &mut Vec<Waker>) {
        if !self.is_settled() {
            self.outcome.set(Some(outcome));
            woken.extend(self.waker.take());
        }
    }

    pub(super) fn poll(&self, waker: &Waker) -> Poll<Result<Decision, Unavailable>> {
        match self.outcome.get() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                self.waker.replace(Some(waker.clone()));
                Poll::Pending
            }
        }
    }
}

/// In which form the script was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    ByHash,
    Whole,
}

/// The line of one connection.
pub(super) struct Pipeline {
    hash: String,
    expected: VecDeque<(Rc<Ask>, Form)>,
    /// Of them those that carry the script itself.
    carrying: usize,
}

/// What comes of a reply.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is settled.
    Settled,
    /// This is to be sent, as the script was not known.
    Again(Cmd),
    /// Redis refused, in its words.
    Refused(String),
    /// It refused, and will refuse everything on this connection.
    Hopeless(String),
    /// It is no reply to what was asked.
    Unexpected,
}

impl Pipeline {
    /// For a session that knows the script by this hash.
    pub(super) fn new(hash: String) -> Pipeline {
        Pipeline {
            hash,
            expected: VecDeque::new(),
            carrying: 0,
        }
    }

    /// Replies that are to come.
    pub(super) fn len(&self) -> usize {
        self.expected.len()
    }

    /// Puts a decision in line; gives the command that asks for it.
    pub(super) fn ask(&mut self, ask: Rc<Ask>) -> Cmd {
        self.send(ask, Form::ByHash)
    }

    fn send(&mut self, ask: Rc<Ask>, form: Form) -> Cmd {
        ask.attempts.set(ask.attempts.get() + 1);
        let command = match form {
            Form::ByHash => script::by_hash(&self.hash, &ask.rate, &ask.key),
            Form::Whole => {
                self.carrying += 1;
                script::whole(&ask.rate, &ask.key)
            }
        };
        self.expected.push_back((ask, form));
        command
    }

    /// Takes the next reply.
    pub(super) fn take(&mut self, reply: &Value, woken: &mut Vec<Waker>) -> Taken {
        let Some((ask, form)) = self.expected.pop_front() else {
            return Taken::Unexpected;
        };
        if form == Form::Whole {
            self.carrying -= 1;
        }
        let error = match reply {
            Value::ServerError(error) => error,
            reply => match script::decision(&ask.rate, reply) {
                Some(decision) => {
                    ask.settle(Ok(decision), woken);
                    return Taken::Settled;
                }
                None => {
                    ask.settle(Err(Unavailable::Lost), woken);
                    return Taken::Unexpected;
                }
            },
        };
        if error.code() == "NOSCRIPT" && ask.attempts.get() < ATTEMPTS_MAX {
            // Nobody waits for it any more, and Redis has done nothing.
            if ask.is_settled() {
                return Taken::Settled;
            }
            // The first of those that find the script gone brings it; the others come after it.
            let form = match self.carrying {
                0 => Form::Whole,
                _ => Form::ByHash,
            };
            return Taken::Again(self.send(ask, form));
        }
        ask.settle(Err(Unavailable::Refused), woken);
        match is_of_the_session(error) {
            true => Taken::Hopeless(words(error)),
            false => Taken::Refused(words(error)),
        }
    }

    /// No more replies will come.
    pub(super) fn end(&mut self, woken: &mut Vec<Waker>) {
        self.carrying = 0;
        for (ask, _) in self.expected.drain(..) {
            ask.settle(Err(Unavailable::Lost), woken);
        }
    }
}

/// Whether the next one will be refused as well until there is another session: the server has become a
/// replica, or has forgotten who we are.
fn is_of_the_session(error: &ServerError) -> bool {
    matches!(
        error.code(),
        "READONLY" | "MASTERDOWN" | "NOAUTH" | "LOADING"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate() -> Rate {
        Rate::new(10, Duration::from_secs(60), 10).expect("a rate")
    }

    fn ask(key: &str) -> Rc<Ask> {
        Ask::new(&rate(), key.into(), (Instant::now(), 0), Duration::ZERO)
    }

    fn admitted() -> Value {
        Value::Array(vec![Value::Int(1), Value::Int(6_000_000), Value::Int(0)])
    }

    fn error(text: &str) -> Value {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).expect("an error")
    }

    fn text(command: &Cmd) -> String {
        String::from_utf8(command.get_packed_command()).expect("text")
    }

    fn is_by_hash(command: &Cmd) -> bool {
        text(command).contains("EVALSHA")
    }

    #[test]
    fn replies_go_to_those_who_asked_in_order_also_when_some_have_gone() {
        let mut pipeline = Pipeline::new("h".to_owned());
        let asks: Vec<_> = (0..5).map(|number| ask(&number.to_string())).collect();
        for ask in &asks {
            assert!(is_by_hash(&pipeline.ask(ask.clone())));
        }
        // These two have waited for long enough.
        asks[0].settle(Err(Unavailable::Late), &mut Vec::new());
        asks[3].settle(Err(Unavailable::Late), &mut Vec::new());
        for (number, owed) in [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)] {
            let reply = Value::Array(vec![Value::Int(1), Value::Int(owed), Value::Int(0)]);
            assert!(matches!(
                pipeline.take(&reply, &mut Vec::new()),
                Taken::Settled
            ));
            let expected = match number {
                0 | 3 => Err(Unavailable::Late),
                _ => Ok(rate().decision(true, owed as u64 * 1000)),
            };
            assert_eq!(asks[number].outcome.get(), Some(expected));
        }
        assert!(matches!(
            pipeline.take(&admitted(), &mut Vec::new()),
            Taken::Unexpected
        ));
    }

    #[test]
    fn of_those_who_find_the_script_gone_one_brings_it() {
        let mut pipeline = Pipeline::new("h".to_owned());
        let asks: Vec<_> = (0..4).map(|number| ask(&number.to_string())).collect();
        for ask in &asks {
            pipeline.ask(ask.clone());
        }
        asks[2].settle(Err(Unavailable::Late), &mut Vec::new());
        let gone = error("NOSCRIPT No matching script. Please use EVAL.");
        let sent: Vec<_> = (0..4)
            .map(|_| pipeline.take(&gone, &mut Vec::new()))
            .collect();
        let [
            Taken::Again(first),
            Taken::Again(second),
            Taken::Settled,
            Taken::Again(fourth),
        ] = &sent[..]
        else {
            panic!("{sent:?}");
        };
        assert!(!is_by_hash(first) && is_by_hash(second) && is_by_hash(fourth));
        assert!(text(first).contains("redis.call"));
        for _ in 0..3 {
            assert!(matches!(
                pipeline.take(&admitted(), &mut Vec::new()),
                Taken::Settled
            ));
        }
        assert_eq!((pipeline.len(), pipeline.carrying), (0, 0));
        for (number, ask) in asks.iter().enumerate() {
            assert_eq!(ask.outcome.get().is_some_and(|it| it.is_ok()), number != 2);
        }
    }

    #[test]
    fn a_script_that_is_never_there_is_given_up() {
        let mut pipeline = Pipeline::new("h".to_owned());
        let ask = ask("k");
        pipeline.ask(ask.clone());
        let gone = error("NOSCRIPT No matching script.");
        for _ in 1..ATTEMPTS_MAX {
            assert!(matches!(
                pipeline.take(&gone, &mut Vec::new()),
                Taken::Again(_)
            ));
        }
        assert!(matches!(
            pipeline.take(&gone, &mut Vec::new()),
            Taken::Refused(_)
        ));
        assert_eq!(ask.outcome.get(), Some(Err(Unavailable::Refused)));
    }

    #[test]
    fn refusals() {
        for (reply, hopeless) in [
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                false,
            ),
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                false,
            ),
            (
                "READONLY You can't write against a read only replica.",
                true,
            ),
            ("NOAUTH Authentication required.", true),
        ] {
            let mut pipeline = Pipeline::new("h".to_owned());
            let ask = ask("k");
            pipeline.ask(ask.clone());
            match pipeline.take(&error(reply), &mut Vec::new()) {
                Taken::Refused(found) => assert!(!hopeless && found == reply, "{found}"),
                Taken::Hopeless(found) => assert!(hopeless && found == reply, "{found}"),
                taken => panic!("{taken:?}"),
            }
            assert_eq!(ask.outcome.get(), Some(Err(Unavailable::Refused)));
        }
    }

    #[test]
    fn at_the_end_nobody_is_left_waiting() {
        let mut pipeline = Pipeline::new("h".to_owned());
        let (one, other) = (ask("a"), ask("b"));
        pipeline.ask(one.clone());
        pipeline.ask(other.clone());
        pipeline.take(&admitted(), &mut Vec::new());
        pipeline.end(&mut Vec::new());
        assert!(one.outcome.get().is_some_and(|it| it.is_ok()));
        assert_eq!(other.outcome.get(), Some(Err(Unavailable::Lost)));
        assert_eq!(pipeline.len(), 0);
    }
}
