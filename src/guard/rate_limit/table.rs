//! The keys of one rate on one core, and the time of each.
//!
//! A table of sets of eight places. A key has two sets, which its bits say, and is in one of them. A
//! place whose time has passed is free, as a key whose time has passed is as good as new: nothing is ever
//! swept, and no request pays for more than a few sets.
//!
//! It grows, to twice its size, when a key finds no place; what it holds moves a few sets at a time, with
//! the decisions that follow. At [`limits::RATE_KEYS_MAX`] places it grows no more. Then
//! [`WhenFull::Evict`] gives a new key the place of that one of the sixteen in its sets that owes least,
//! which is the one about which least is forgotten: who has used much of a burst is not forgotten for
//! those who have used little, however many come. [`WhenFull::Refuse`] forgets nobody, and new keys are not
//! decided on until a place is free.

use std::mem;

use super::gcra::{Decision, Rate};
use crate::limits;

/// Places of a set: three cache lines.
const PLACES: usize = 8;
/// Sets at the start: a thousand keys in 24 KiB.
const SETS_MIN: usize = 128;
/// Sets that move with each decision while the table grows: it has grown after an eighth of them.
const SETS_MOVED: usize = 4;

/// Two halves of a key, and its time in nanoseconds; all zero for a place that was never used.
type Place = [u64; 3];
type Set = [Place; PLACES];

/// See the head of this file.
pub struct Table {
    /// A power of two of them.
    sets: Vec<Set>,
    /// Those of before it grew; the first `moved` have been emptied.
    old: Vec<Set>,
    moved: usize,
    sets_max: usize,
}

/// What is done about a new key for which there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Another one is forgotten.
    Evict,
    /// It is not decided on.
    Refuse,
}

impl Default for Table {
    fn default() -> Table {
        Table::new(limits::RATE_KEYS_MAX)
    }
}

impl Table {
    /// An empty table of at most `keys_max` places, rounded up to a power of two.
    fn new(keys_max: usize) -> Table {
        Table {
            sets: empty(SETS_MIN),
            old: Vec::new(),
            moved: 0,
            sets_max: keys_max.div_ceil(PLACES).next_power_of_two().max(SETS_MIN),
        }
    }

    /// Decides one request of `key`, whose bits have to be random; `None` if the key is new and there is no
    /// place for it.
    pub fn decide(
        &mut self,
        key: u128,
        now: u64,
        rate: &Rate,
        when_full: WhenFull,
    ) -> Option<Decision> {
        self.go_on_growing(now);
        let at = match find(&self.sets, key) {
            Some(at) => at,
            None => {
                let time = self.take_from_old(key);
                let known = time > now;
                let at = self.place(now, key, if known { WhenFull::Evict } else { when_full })?;
                self.sets[at.0][at.1] = entry(key, time);
                at
            }
        };
        let time = &mut self.sets[at.0][at.1][2];
        Some(rate.decide(time, now))
    }

    /// What would be decided of a request of `key`, which stays as it is.
    pub fn foresee(&self, key: u128, now: u64, rate: &Rate) -> Decision {
        let tables = [&self.sets, &self.old].into_iter();
        let time = tables.filter(|sets| !sets.is_empty()).find_map(|sets| {
            let (set, place) = find(sets, key)?;
            Some(sets[set][place][2])
        });
        rate.decide(&mut time.unwrap_or(0), now)
    }

    /// The time of a key that has not moved yet, which has no place any more then; 0 for none.
    fn take_from_old(&mut self, key: u128) -> u64 {
        let found = match self.old.is_empty() {
            true => None,
            false => find(&self.old, key),
        };
        match found {
            Some((set, place)) => mem::take(&mut self.old[set][place])[2],
            None => 0,
        }
    }

    /// A place for a key that is not in the table.
    fn place(&mut self, now: u64, key: u128, when_full: WhenFull) -> Option<(usize, usize)> {
        if let Some(at) = self.room(key, now) {
            return Some(at);
        }
        if self.old.is_empty() && self.sets.len() < self.sets_max {
            self.old = mem::take(&mut self.sets);
            self.sets = empty(self.old.len() * 2);
            self.moved = 0;
            return self.room(key, now);
        }
        match when_full {
            WhenFull::Refuse => None,
            WhenFull::Evict => Some(self.least(key)),
        }
    }

    /// A free place in the sets of a key; it may be made free by moving another key to its other set.
    fn room(&mut self, key: u128, now: u64) -> Option<(usize, usize)> {
        let pair = sets_of(key, self.sets.len());
        let free = pair.map(|set| free_in(&self.sets[set], now));
        // The emptier of the two, so that both fill alike.
        let [first, second] = free.map(|free| free.clone().count());
        let order = if second > first { [1, 0] } else { [0, 1] };
        for index in order {
            if let Some(place) = free_in(&self.sets[pair[index]], now).next() {
                return Some((pair[index], place));
            }
        }
        for set in pair {
            for place in 0..PLACES {
                let moving = self.sets[set][place];
                let [one, other] = sets_of(key_of(&moving), self.sets.len());
                let target = if one == set { other } else { one };
                let free = free_in(&self.sets[target], now).next();
                if let Some(free) = free {
                    self.sets[target][free] = mem::take(&mut self.sets[set][place]);
                    return Some((set, place));
                }
            }
        }
        None
    }

    /// The place in the sets of a key whose key owes least.
    fn least(&self, key: u128) -> (usize, usize) {
        let [first, second] = sets_of(key, self.sets.len());
        let places = (0..PLACES).flat_map(|place| [(first, place), (second, place)]);
        places
            .min_by_key(|&(set, place)| self.sets[set][place][2])
            .unwrap_or((first, 0))
    }

    /// Moves some of what the table held before it grew.
    fn go_on_growing(&mut self, now: u64) {
        if self.old.is_empty() {
            return;
        }
        for _ in 0..SETS_MOVED {
            let Some(set) = self.old.get_mut(self.moved) else {
                self.old = Vec::new();
                return;
            };
            let set = mem::take(set);
            self.moved += 1;
            for place in set.iter().filter(|place| place[2] > now) {
                let key = key_of(place);
                let at = self.room(key, now).unwrap_or_else(|| self.least(key));
                self.sets[at.0][at.1] = *place;
            }
        }
    }
}

/// Sets that hold nothing; the kernel gives memory for those that are written to.
fn empty(sets: usize) -> Vec<Set> {
    vec![[[0; 3]; PLACES]; sets]
}

fn entry(key: u128, time: u64) -> Place {
    [key as u64, (key >> 64) as u64, time]
}

fn key_of(place: &Place) -> u128 {
    u128::from(place[1]) << 64 | u128::from(place[0])
}

/// The two sets of a key among a power of two of them.
fn sets_of(key: u128, sets: usize) -> [usize; 2] {
    let mask = sets - 1;
    [key as usize & mask, (key >> 64) as usize & mask]
}

fn find(sets: &[Set], key: u128) -> Option<(usize, usize)> {
    sets_of(key, sets.len()).into_iter().find_map(|set| {
        let place = sets[set].iter().position(|place| key_of(place) == key)?;
        Some((set, place))
    })
}

fn free_in(set: &Set, now: u64) -> impl Iterator<Item = usize> + Clone + '_ {
    let places = set.iter().enumerate();
    places.filter_map(move |(index, place)| (place[2] <= now).then_some(index))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::{BuildHasher, RandomState};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn per_hour(requests: u64) -> Rate {
        Rate::new(requests, Duration::from_secs(3600), requests).unwrap()
    }

    /// Keys as random as those of clients are.
    fn keys(count: usize) -> Vec<u128> {
        let (low, high) = (RandomState::new(), RandomState::new());
        (0..count)
            .map(|index| u128::from(high.hash_one(index)) << 64 | u128::from(low.hash_one(index)))
            .collect()
    }

    fn admit(table: &mut Table, key: u128, now: u64, rate: &Rate) -> bool {
        let decision = table.decide(key, now, rate, WhenFull::Evict);
        decision.expect("evicting always finds a place").admitted
    }

    #[test]
    fn a_key_has_its_burst_and_no_more() {
        let (mut table, rate) = (Table::default(), per_hour(100));
        for key in keys(50) {
            let admitted = (0..1000).filter(|_| admit(&mut table, key, 7, &rate));
            assert_eq!(admitted.count(), 100);
        }
        assert_eq!(table.sets.len(), SETS_MIN);
    }

    #[test]
    fn nothing_is_forgotten_while_it_grows() {
        let (mut table, rate) = (Table::default(), per_hour(3));
        let keys = keys(200_000);
        for round in 0..5 {
            for key in &keys {
                let admitted = admit(&mut table, *key, 7, &rate);
                assert_eq!(admitted, round < 3);
            }
        }
        assert!(table.old.is_empty());
        // It grew because it was full, not because two sets were.
        assert!(table.sets.len() * PLACES < 3 * keys.len());
    }

    /// Keys over the limit and keys with some of their burst left stay as they are through the others.
    fn flood(table: &mut Table, others: usize) {
        let rate = per_hour(10);
        let keys = keys(1000 + others);
        let (active, others) = keys.split_at(1000);
        let used = |index: usize| if index.is_multiple_of(2) { 10 } else { 2 };
        for (index, key) in active.iter().enumerate() {
            for _ in 0..used(index) {
                assert!(admit(table, *key, 7, &rate));
            }
        }
        for key in others {
            assert!(admit(table, *key, 8, &rate), "new ones are let in");
        }
        for (index, key) in active.iter().enumerate() {
            let left = (0..20).filter(|_| admit(table, *key, 9, &rate));
            assert_eq!(left.count(), 10 - used(index));
        }
    }

    #[test]
    fn a_million_others_do_not_make_it_forget_who_is_active() {
        let mut table = Table::default();
        flood(&mut table, 1_000_000);
        assert!(table.old.is_empty());
        assert_eq!(table.sets.len() * size_of::<Set>(), 24 << 20);
    }

    #[test]
    fn others_than_there_are_places_for_make_it_forget_each_other() {
        let mut table = Table::new(1 << 13);
        flood(&mut table, 100_000);
        assert_eq!(table.sets.len() * PLACES, 1 << 13);
    }

    #[test]
    fn nearly_all_places_are_used() {
        let (mut table, rate) = (Table::new(1 << 16), per_hour(1));
        let keys = keys((1 << 16) * 95 / 100);
        let mut decided = |admitted| {
            let decide = |key: &&u128| {
                let decision = table.decide(**key, 7, &rate, WhenFull::Refuse);
                decision.is_some_and(|decision| decision.admitted == admitted)
            };
            keys.iter().filter(decide).count()
        };
        let placed = decided(true);
        assert!(placed * 1000 > keys.len() * 999, "{placed}");
        assert_eq!(decided(false), placed);
    }

    #[test]
    fn a_full_table_forgets_or_refuses() {
        let rate = per_hour(10);
        for when_full in [WhenFull::Refuse, WhenFull::Evict] {
            let mut table = Table::new(0);
            let places = SETS_MIN * PLACES;
            let undecided = keys(2 * places)
                .iter()
                .filter(|key| table.decide(**key, 7, &rate, when_full).is_none())
                .count();
            assert_eq!(undecided >= places, when_full == WhenFull::Refuse);
            assert_eq!(undecided == 0, when_full == WhenFull::Evict);
            // An hour later all of them are as new.
            for key in keys(places / 2) {
                let decision = table.decide(key, 7 + HOUR, &rate, when_full);
                assert!(decision.is_some_and(|decision| decision.remaining == 9));
            }
            assert_eq!(table.sets.len(), SETS_MIN);
        }
    }

    #[test]
    fn a_key_that_has_its_burst_back_leaves_its_place() {
        let (mut table, rate) = (Table::default(), per_hour(1));
        for (index, key) in keys(200_000).into_iter().enumerate() {
            // A hundred of them at a time.
            assert!(admit(&mut table, key, index as u64 * HOUR / 100, &rate));
        }
        assert_eq!(table.sets.len(), SETS_MIN);
    }

    proptest! {
        #[test]
        fn it_is_a_map_from_keys_to_times(
            steps in proptest::collection::vec((0usize..4000, 0u64..HOUR / 100), 1..6000),
        ) {
            let (mut table, rate) = (Table::default(), per_hour(5));
            let (keys, mut model, mut now) = (keys(4000), HashMap::new(), 0);
            for (index, pause) in steps {
                // Bursts of keys between pauses.
                if pause % 16 == 0 {
                    now += pause;
                }
                let time = model.entry(index).or_insert(0);
                let expected = rate.decide(time, now);
                prop_assert_eq!(table.foresee(keys[index], now, &rate), expected);
                let found = table.decide(keys[index], now, &rate, WhenFull::Refuse);
                prop_assert_eq!(found, Some(expected));
            }
        }
    }
}
