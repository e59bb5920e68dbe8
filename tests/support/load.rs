//! A load of every kind of request, each answer of which is checked: that it is the answer to this
//! request, that a refusal is told as declared, and in the end that each write was done as often as its
//! answer says.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pinion::limits;
use sonic_rs::JsonValueTrait;

use super::cluster::Cluster;
use super::{Client, PATIENCE, Response, items};

/// The tables that are asked. Nothing keeps a key from being written twice, so that it would show.
pub const SCHEMA: &str = concat!(
    items::table!(),
    "create table effects (key text not null);
"
);

/// The routes that are asked: each kind of statement, in batches and alone.
pub const ROUTES: &str = concat!(
    items::route!(),
    r#"
[[route]]
name = "plain_item"
method = "GET"
path = "/plain/{id}"
result = "one"
batch = false
sql = "select id, name from items where id = :id"

[[route]]
name = "list_items"
method = "GET"
path = "/lists/{id}"
result = "many"
sql = "select id, name from items where id >= :id and id < :id + 5 order by id"

[[route]]
name = "add_effect"
method = "POST"
path = "/effects/{key}"
result = "one"
status = 201
sql = "insert into effects (key) values (:key) returning key"
"#
);

/// Rows of a list.
const LISTED: usize = 5;

/// Keys that are asked for, so that a list is whole.
const IDS: usize = 990;

/// How long a load goes on at the most.
const LONGEST: Duration = Duration::from_secs(90);

/// One request of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By itself or with company.
    Item(usize),
    /// Always by itself.
    Plain(usize),
    List(usize),
    Write(String),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub ask: Ask,
    pub status: u16,
    /// The answer says that it may be tried again.
    pub again: bool,
    pub asked: Instant,
    pub answered: Instant,
}

impl Ask {
    fn text(&self) -> String {
        let (method, target) = match self {
            Ask::Item(id) => ("GET", format!("/items/{id}")),
            Ask::Plain(id) => ("GET", format!("/plain/{id}")),
            Ask::List(id) => ("GET", format!("/lists/{id}")),
            Ask::Write(key) => ("POST", format!("/effects/{key}")),
        };
        format!("{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
    }

    /// What is to be told apart: what each kind of request goes through.
    pub fn kind(&self) -> &'static str {
        match self {
            Ask::Item(_) => "item",
            Ask::Plain(_) => "plain",
            Ask::List(_) => "list",
            Ask::Write(_) => "write",
        }
    }

    /// Fails unless the answer is one to this request.
    pub fn check(&self, response: &Response) {
        let item = |id: usize| format!("{{\"id\":{id},\"name\":\"item {id}\"}}");
        let (done, body) = match self {
            Ask::Item(id) | Ask::Plain(id) => (200, item(*id)),
            Ask::List(id) => {
                let items: Vec<String> = (*id..id + LISTED).map(item).collect();
                (200, format!("[{}]", items.join(",")))
            }
            Ask::Write(key) => (201, format!("{{\"key\":\"{key}\"}}")),
        };
        if response.status == done {
            return assert_eq!(response.text(), body, "the answer to {self:?}");
        }
        let told = response.json();
        let told = |name: &str| told.get(name).cloned().unwrap_or_default();
        assert!(response.status >= 400, "{self:?}: {}", response.text());
        assert_eq!(
            told("code").as_u64(),
            Some(response.status.into()),
            "{self:?}"
        );
        assert!(
            told("error")
                .as_str()
                .is_some_and(|words| !words.is_empty()),
            "{self:?}"
        );
        assert!(
            told("request_id").as_str().is_some_and(|id| id.len() >= 16),
            "{self:?}"
        );
        let again = response.field("retry-after");
        let seconds = again.map(|seconds| seconds.parse::<u32>().expect("seconds"));
        let in_time = 1..=limits::RETRY_AFTER_MAX;
        assert!(seconds.is_none_or(|it| in_time.contains(&it)), "{self:?}");
        // Only of a write may it be unsafe, and then the words say why.
        match (self, response.status) {
            (Ask::Write(_), 503) if again.is_none() => {
                assert!(response.text().contains("not known"), "{}", response.text());
            }
            (_, status) => assert_eq!(again.is_some(), status == 503, "{self:?} {status}"),
        }
    }
}

/// Asks on one connection, all at once, and checks the answers.
pub fn ask(client: &mut Client, asks: Vec<Ask>) -> Vec<Seen> {
    let asked = Instant::now();
    client.send(asks.iter().map(Ask::text).collect::<String>());
    let answers = asks.into_iter().map(|ask| {
        let response = client.response();
        ask.check(&response);
        Seen {
            again: response.field("retry-after").is_some(),
            status: response.status,
            ask,
            asked,
            answered: Instant::now(),
        }
    });
    answers.collect()
}

/// A key that no other write has.
pub fn unique_key() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("w{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Clients that ask all the time.
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Seen>>>,
    pulse: JoinHandle<Vec<(Instant, Duration)>>,
}

impl Load {
    /// Five clients: two of mixed requests, and one each of batched ones, of lone ones and of writes.
    pub fn start(address: SocketAddr) -> Load {
        let stop = Arc::<AtomicBool>::default();
        let clients = (0..5).map(|number| {
            let stop = stop.clone();
            std::thread::spawn(move || keep_asking(address, number, &stop))
        });
        let clients = clients.collect();
        let pulse = std::thread::spawn({
            let stop = stop.clone();
            move || take_pulse(address, &stop)
        });
        Load {
            stop,
            clients,
            pulse,
        }
    }

    /// Does `work` under load, and a little more afterwards.
    pub fn during<T>(address: SocketAddr, work: impl FnOnce() -> T) -> (T, Tally) {
        let load = Load::start(address);
        std::thread::sleep(Duration::from_millis(200));
        let value = work();
        std::thread::sleep(Duration::from_millis(300));
        (value, load.stop())
    }

    /// Ends the load. Fails when an answer was wrong, cut or never came.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        let seen = clients.flat_map(|client| client.join().expect("every answer is right"));
        Tally {
            seen: seen.collect(),
            pulse: self.pulse.join().expect("the server's health"),
        }
    }
}

fn keep_asking(address: SocketAddr, number: usize, stop: &AtomicBool) -> Vec<Seen> {
    let mut client = Client::connect(address);
    let mut seen = Vec::new();
    let start = Instant::now();
    let mut next = number * 131;
    while !stop.load(Ordering::Relaxed) && start.elapsed() < LONGEST {
        next += 31;
        let id = |step: usize| (next + step * 7) % IDS + 1;
        let asks = match number {
            0 | 1 => vec![
                Ask::Item(id(0)),
                Ask::List(id(1)),
                Ask::Write(unique_key()),
                Ask::Item(id(2)),
                Ask::Plain(id(3)),
                Ask::Item(id(0)),
            ],
            2 => (0..8).map(|step| Ask::Item(id(step))).collect(),
            3 => vec![Ask::Plain(id(0))],
            _ => vec![Ask::Write(unique_key())],
        };
        seen.extend(ask(&mut client, asks));
        std::thread::sleep(Duration::from_millis(2));
    }
    seen
}

/// How long the server takes for what needs no database, all the time: what the machine allows.
fn take_pulse(address: SocketAddr, stop: &AtomicBool) -> Vec<(Instant, Duration)> {
    let mut client = Client::connect(address);
    let mut pulse = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        assert_eq!(client.request("GET", "/health", None).status, 200);
        pulse.push((asked, asked.elapsed()));
        std::thread::sleep(Duration::from_millis(10));
    }
    pulse
}

/// What a load saw.
pub struct Tally {
    pub seen: Vec<Seen>,
    pulse: Vec<(Instant, Duration)>,
}

impl Tally {
    /// How many answers of each status a kind of request had.
    pub fn statuses(&self, kind: &str) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| seen.ask.kind() == kind) {
            *statuses.entry(seen.status).or_default() += 1;
        }
        statuses
    }

    /// Fails unless reads and writes had only these statuses, and each kind of request some successes.
    pub fn expect(&self, reads: &[u16], writes: &[u16]) {
        for kind in ["item", "plain", "list", "write"] {
            let statuses = self.statuses(kind);
            let allowed = if kind == "write" { writes } else { reads };
            let strange = statuses.keys().find(|status| !allowed.contains(status));
            assert_eq!(strange, None, "{kind}: {statuses:?}");
            let done = statuses.get(&200).or(statuses.get(&201));
            assert!(done.is_some(), "{kind}: {statuses:?}");
        }
        let kinds = ["item", "plain", "list", "write"].map(|kind| self.statuses(kind));
        println!(
            "items, plain, lists, writes: {kinds:?}, slowest {:?}",
            self.slowest()
        );
    }

    /// The longest wait for an answer.
    pub fn slowest(&self) -> Duration {
        let waits = self.seen.iter().map(|seen| seen.answered - seen.asked);
        waits.max().unwrap_or_default()
    }

    /// Fails unless the table has each write that was confirmed once, each that may be tried again
    /// not at all, and each other at most once.
    pub fn check_writes(&self, cluster: &Cluster) {
        let rows = cluster.sql("select key from effects");
        let mut times: HashMap<&str, usize> = HashMap::new();
        for key in rows.lines() {
            *times.entry(key).or_default() += 1;
        }
        let mut unknown = 0;
        for seen in &self.seen {
            let Ask::Write(key) = &seen.ask else { continue };
            let times = times.remove(key.as_str()).unwrap_or(0);
            match seen.status {
                201 => assert_eq!(times, 1, "{key} was confirmed"),
                503 if !seen.again => {
                    unknown += 1;
                    assert!(times <= 1, "{key} was written {times} times");
                }
                status => assert_eq!(times, 0, "{key} was refused with {status}"),
            }
        }
        println!("{unknown} writes whose outcome was not told");
    }

    /// Fails unless every kind of request succeeded within a second of `back`, give or take what the
    /// machine was seen to take for nothing at that time.
    pub fn check_recovery(&self, back: Instant) {
        let pulse = self.pulse.iter();
        let near = pulse.filter(|(at, took)| *at + *took >= back && *at < back + PATIENCE / 10);
        let slowest = near.map(|(_, took)| *took).max().unwrap_or_default();
        let allowed = Duration::from_millis(1250) + slowest * 20;
        for kind in ["item", "plain", "list", "write"] {
            let done = |seen: &&Seen| {
                seen.ask.kind() == kind && seen.answered >= back && seen.status < 300
            };
            let first = self
                .seen
                .iter()
                .filter(done)
                .map(|seen| seen.answered)
                .min();
            let took = first.expect("it recovers") - back;
            println!("{kind}: {took:?} after Postgres was back (allowed {allowed:?})");
            assert!(took <= allowed, "{kind}: {took:?}, allowed {allowed:?}");
        }
    }
}
