//! The times of the clients that belong to one core, by rule.
//!
//! A rule is known by a number that no other one ever gets while the server runs. Where another API declares
//! a rule of the same name and rate, the rule has the same number, and its clients their times. All cores know
//! an API's rules before any of them asks another one by their numbers: see `server/reload.rs`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::Outcome;
use crate::guard::rate_limit::{Rate, Rule, Table, WhenFull};
use crate::ring::Ring;

/// The numbers of the rules of one API.
#[derive(Clone, Default)]
pub struct Numbers {
    rules: Vec<(String, Rate, usize)>,
    /// No rule has this one yet.
    next: usize,
}

/// See the head of this file.
pub(super) struct Ledger {
    ring: Rc<Ring>,
    /// By number.
    rules: RefCell<HashMap<usize, Rc<Counted>>>,
    beginning: Instant,
}

/// One rule.
pub(super) struct Counted {
    pub(super) number: usize,
    rate: Rate,
    when_full: Cell<WhenFull>,
    table: RefCell<Table>,
}

impl Numbers {
    /// Those of the rules of an API that is to take the place of one with these, or may not come to that.
    pub fn of_next(&mut self, rules: &[Rule]) -> Numbers {
        let numbered = rules.iter().map(|rule| {
            let is_same =
                |known: &&(String, Rate, usize)| known.0 == rule.name && known.1 == rule.rate;
            let number = match self.rules.iter().find(is_same) {
                Some(known) => known.2,
                None => {
                    self.next += 1;
                    self.next - 1
                }
            };
            (rule.name.clone(), rule.rate, number)
        });
        let rules = numbered.collect();
        Numbers {
            rules,
            next: self.next,
        }
    }
}

impl Ledger {
    /// Without any rule.
    pub(super) fn new(ring: &Rc<Ring>, beginning: Instant) -> Ledger {
        Ledger {
            ring: ring.clone(),
            rules: RefCell::default(),
            beginning,
        }
    }

    /// Begins to decide by these rules, and forgets those by which nobody here does any more.
    pub(super) fn take_on(&self, declared: &[Rule], numbers: &Numbers) -> Vec<Rc<Counted>> {
        let mut rules = self.rules.borrow_mut();
        rules.retain(|_, counted| Rc::strong_count(counted) > 1);
        let taken = declared.iter().zip(&numbers.rules).map(|(rule, numbered)| {
            let number = numbered.2;
            let counted = rules.entry(number).or_insert_with(|| {
                Rc::new(Counted {
                    number,
                    rate: rule.rate,
                    when_full: Cell::new(rule.when_full()),
                    table: RefCell::default(),
                })
            });
            counted.when_full.set(rule.when_full());
            counted.clone()
        });
        taken.collect()
    }

    /// Decides one request of a client that belongs to this core; not if it does not know the rule, which can
    /// only be one of an API that it has long ceased to serve.
    pub(super) fn decide(&self, number: usize, key: u128) -> Outcome {
        let counted = self.rules.borrow().get(&number).cloned();
        self.decide_by(&*counted?, key)
    }

    /// The same, as of the present pass.
    pub(super) fn decide_by(&self, counted: &Counted, key: u128) -> Outcome {
        let mut table = counted.table.borrow_mut();
        table.decide(key, self.now(), &counted.rate, counted.when_full.get())
    }

    /// Whether it would admit one.
    pub(super) fn foresee(&self, counted: &Counted, key: u128) -> bool {
        let table = counted.table.borrow();
        table.foresee(key, self.now(), &counted.rate).admitted
    }

    /// The pass, in nanoseconds since the beginning.
    fn now(&self) -> u64 {
        let since = self.ring.now().saturating_duration_since(self.beginning);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::rate_limit::{Key, OnStoreFailure, Store};

    fn rule(name: &str, requests: u64) -> Rule {
        let per = Duration::from_secs(60);
        let rate = Rate::new(requests, per, requests).unwrap();
        let (key, store) = (Key::Ip, Store::Local);
        Rule::new(
            name,
            (requests, per),
            rate,
            key,
            store,
            OnStoreFailure::Allow,
        )
    }

    fn numbers(numbers: &Numbers) -> Vec<usize> {
        numbers.rules.iter().map(|rule| rule.2).collect()
    }

    #[test]
    fn a_rule_keeps_its_number_as_long_as_it_stays_as_it_is() {
        let mut first = Numbers::default().of_next(&[rule("a", 1), rule("b", 2)]);
        assert_eq!(numbers(&first), [0, 1]);
        // What does not come to be served uses up its numbers all the same.
        let abandoned = first.of_next(&[rule("b", 2), rule("d", 1)]);
        assert_eq!(numbers(&abandoned), [1, 2]);
        let mut second = first.of_next(&[rule("c", 1), rule("b", 2), rule("a", 9)]);
        assert_eq!(numbers(&second), [3, 1, 4]);
        // What comes back is another one.
        assert_eq!(numbers(&second.of_next(&[rule("a", 1)])), [5]);
    }
}
