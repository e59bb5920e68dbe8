//! Every write that was asked for, what its answer said, and the comparison with the database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::ledger::Ledger;
use crate::schema::{ACCOUNTS, COUNTERS, OWN_COUNTERS, STOCK};
use crate::support::cluster::Cluster;

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// A row with a token that nobody else uses.
    Token(u64),
    /// The same, in a function that fails afterwards: never to be seen.
    RefusedToken(u64),
    /// A counter is one more.
    Increase(usize),
    /// A row with a token, unless it is there.
    Reserve(u64),
    /// A stock is one less, unless it is empty.
    Take(usize),
    /// Two accounts are one more each.
    Transfer(usize, usize),
}

/// What is known of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged; with the number that was told, where one was.
    Done(i64),
    /// Refused in a manner that says so.
    NotDone,
    /// May have been done, once.
    Unknown,
}

/// The record of all writes.
pub struct Writes {
    list: Mutex<Vec<(Write, Fate)>>,
    next_token: AtomicU64,
    /// The highest value of each counter that any answer has told.
    seen: Vec<AtomicI64>,
    /// Increases of each counter that were asked for.
    begun: Vec<AtomicI64>,
    taken: Vec<AtomicI64>,
}

impl Default for Writes {
    fn default() -> Writes {
        let zeros = |count: usize| (0..count).map(|_| AtomicI64::new(0)).collect();
        Writes {
            list: Mutex::default(),
            next_token: AtomicU64::new(1),
            seen: zeros(COUNTERS),
            begun: zeros(COUNTERS),
            taken: zeros(STOCK.len()),
        }
    }
}

impl Writes {
    pub fn token(&self) -> u64 {
        self.next_token.fetch_add(1, Ordering::Relaxed)
    }

    /// A counter that was read or told by now is at least this.
    pub fn seen(&self, counter: usize) -> i64 {
        self.seen[counter].load(Ordering::SeqCst)
    }

    /// A counter can't be more than this by now.
    pub fn begun(&self, counter: usize) -> i64 {
        self.begun[counter].load(Ordering::SeqCst)
    }

    /// An answer told the value of a counter.
    pub fn tell(&self, counter: usize, n: i64) {
        self.seen[counter].fetch_max(n, Ordering::SeqCst);
    }

    /// A write is about to be asked for.
    pub fn begin(&self, write: Write) {
        match write {
            Write::Increase(counter) => self.begun[counter].fetch_add(1, Ordering::SeqCst),
            Write::Take(sku) => self.taken[sku].fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
    }

    /// Whether all of a stock may have been taken by now.
    pub fn may_be_sold_out(&self, sku: usize) -> bool {
        self.taken[sku].load(Ordering::SeqCst) >= STOCK[sku]
    }

    pub fn record(&self, write: Write, fate: Fate) {
        self.list().push((write, fate));
    }

    /// Whether the last answer to a write acknowledged it.
    pub fn is_done(&self, write: Write) -> bool {
        let list = self.list();
        let last = list.iter().rev().find(|(known, _)| *known == write);
        last.is_some_and(|(_, fate)| matches!(fate, Fate::Done(_)))
    }

    /// How many writes there were, and how many were acknowledged.
    pub fn totals(&self) -> (usize, usize) {
        let list = self.list();
        let done = list
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Done(_)));
        (list.len(), done.count())
    }

    /// Compares with the database; returns how many facts were compared.
    pub fn verify(&self, postgres: &Cluster, ledger: &Ledger) -> usize {
        let list = self.list();
        let mut compared = 0;
        for (table, tokens) in [
            (
                "tokens",
                tokens_of(&list, |write| match write {
                    Write::Token(token) | Write::RefusedToken(token) => Some(token),
                    _ => None,
                }),
            ),
            (
                "reservations",
                tokens_of(&list, |write| match write {
                    Write::Reserve(token) => Some(token),
                    _ => None,
                }),
            ),
        ] {
            compared += compare_tokens(table, &tokens, postgres, ledger);
        }
        let counted = |key: &dyn Fn(Write) -> Vec<usize>, keys: usize| {
            let mut counts = vec![Bounds::default(); keys];
            for (write, fate) in list.iter() {
                key(*write).iter().for_each(|&key| counts[key].add(*fate));
            }
            counts
        };
        let increased = |write| match write {
            Write::Increase(counter) => vec![counter],
            _ => vec![],
        };
        let taken = |write| match write {
            Write::Take(sku) => vec![sku],
            _ => vec![],
        };
        let transferred = |write| match write {
            Write::Transfer(source, target) => vec![source, target],
            _ => vec![],
        };
        let sql = "select n from counters order by id";
        compared += compare_counts(
            "counter",
            &counted(&increased, COUNTERS),
            sql,
            postgres,
            ledger,
        );
        let sql = "select i - remaining from stock join unnest(array[20, 200, 1000000, 1000000]) \
                   with ordinality as t(i, o) on sku = o - 1 order by sku";
        compared += compare_counts(
            "stock",
            &counted(&taken, STOCK.len()),
            sql,
            postgres,
            ledger,
        );
        let sql = "select n from accounts order by id";
        compared += compare_counts(
            "account",
            &counted(&transferred, ACCOUNTS),
            sql,
            postgres,
            ledger,
        );
        compared + self.compare_told(&list, ledger)
    }

    /// No two increases of a counter may have been told the same value.
    fn compare_told(&self, list: &[(Write, Fate)], ledger: &Ledger) -> usize {
        let mut told: HashMap<(usize, i64), usize> = HashMap::new();
        for (write, fate) in list {
            if let (Write::Increase(counter), Fate::Done(n)) = (write, fate) {
                *told.entry((*counter, *n)).or_default() += 1;
            }
        }
        for ((counter, n), count) in &told {
            if *count != 1 {
                ledger.wrong_fact(&format!("{count} increases of {counter} were told {n}"));
            }
        }
        told.len()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<(Write, Fate)>> {
        self.list.lock().expect("nobody panics while holding it")
    }
}

/// How often something may have been done.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    least: i64,
    most: i64,
}

impl Bounds {
    fn add(&mut self, fate: Fate) {
        match fate {
            Fate::Done(_) => {
                self.least += 1;
                self.most += 1;
            }
            Fate::Unknown => self.most += 1,
            Fate::NotDone => {}
        }
    }
}

/// What is known of each token. One that was used again, after its outcome was unknown, is still to be
/// there at most once.
fn tokens_of(
    list: &[(Write, Fate)],
    token: impl Fn(Write) -> Option<u64>,
) -> BTreeMap<u64, Bounds> {
    let mut tokens: BTreeMap<u64, Bounds> = BTreeMap::new();
    for (write, fate) in list {
        let Some(token) = token(*write) else { continue };
        let bounds = tokens.entry(token).or_default();
        bounds.add(*fate);
        bounds.most = bounds.most.min(1);
        bounds.least = bounds.least.min(1);
        if matches!(write, Write::RefusedToken(_)) {
            *bounds = Bounds::default();
        }
    }
    tokens
}

fn compare_tokens(
    table: &str,
    tokens: &BTreeMap<u64, Bounds>,
    postgres: &Cluster,
    ledger: &Ledger,
) -> usize {
    let rows = postgres.sql(&format!(
        "select token, count(*) from {table} group by token"
    ));
    let mut found: HashMap<u64, i64> = HashMap::new();
    for row in rows.lines() {
        let (token, count) = row.split_once('|').expect("two columns");
        let token = token.parse().expect("a token");
        found.insert(token, count.parse().expect("a count"));
    }
    for (token, bounds) in tokens {
        let count = found.remove(token).unwrap_or(0);
        judge(&format!("{table}: token {token}"), count, *bounds, ledger);
    }
    for token in found.keys() {
        ledger.wrong_fact(&format!("{table}: token {token} was never sent"));
    }
    tokens.len()
}

fn compare_counts(
    what: &str,
    counts: &[Bounds],
    sql: &str,
    postgres: &Cluster,
    ledger: &Ledger,
) -> usize {
    let rows = postgres.sql(sql);
    let values = rows
        .lines()
        .map(|row| row.parse::<i64>().expect("a number"));
    for (index, (value, bounds)) in values.zip(counts).enumerate() {
        judge(&format!("{what} {index}"), value, *bounds, ledger);
    }
    counts.len()
}

fn judge(what: &str, count: i64, bounds: Bounds, ledger: &Ledger) {
    let Bounds { least, most } = bounds;
    if count < least {
        ledger.lost_fact(&format!(
            "{what}: {least} acknowledged, {count} in the database"
        ));
    } else if count > most {
        ledger.wrong_fact(&format!(
            "{what}: {most} at the most, {count} in the database"
        ));
    }
}

/// The counters that several clients share.
pub fn shared_counters() -> std::ops::Range<usize> {
    OWN_COUNTERS..COUNTERS
}
