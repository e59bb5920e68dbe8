//! Three tenants hammer one core through one connection, pipelined, while everything goes wrong that can.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use pinion::error::Failure;
use pinion::pg::execute::Running;
use serde_json::Value;

use crate::fixture::{Core, SCHEMA, Who, api, json, on_one_connection};
use crate::support::Postgres;
use crate::support::random::Random;

const WORKERS: usize = 40;
const REQUESTS: usize = 60;

/// What was heard, by route and outcome, and what was written.
#[derive(Default)]
struct Heard {
    outcomes: BTreeMap<String, usize>,
    /// The keys of notes with how often each may be there.
    notes: BTreeMap<String, &'static [usize]>,
}

#[test]
fn no_tenant_ever_gets_or_writes_anothers_row() {
    let postgres = Postgres::start(SCHEMA);
    let url = format!("{}&user=app&application_name=hammered", postgres.url());
    let heard = Rc::<RefCell<Heard>>::default();
    let trouble = Trouble::start(&postgres);
    on_one_connection(api(&["agent", "auditor"]), &url, {
        let heard = heard.clone();
        |core| async move {
            let tenants = [
                Who::new("t0", "agent"),
                Who::new("t1", "agent"),
                Who::new("t2", "agent"),
                Who::new("t1", "auditor"),
            ];
            let workers = (0..WORKERS).map(|worker| {
                let random = Random::stream(7, &format!("worker {worker}"));
                work(&core, worker, &tenants, random, &heard)
            });
            join_all(workers).await;
        }
    });
    let ended = trouble.end();
    let heard = heard.take();
    let notes = postgres.sql(
        "select key, count(*), bool_and(key like tenant || '-%' and writer = 'agent') from notes group by key",
    );
    let written: BTreeMap<&str, usize> = notes
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            assert_eq!(fields[2], "t", "somebody else's note: {line}");
            (fields[0], fields[1].parse().expect("a number"))
        })
        .collect();
    for (key, allowed) in &heard.notes {
        let count = written.get(key.as_str()).copied().unwrap_or(0);
        assert!(
            allowed.contains(&count),
            "{key} is there {count} times, not {allowed:?}"
        );
    }
    assert!(written.keys().all(|key| heard.notes.contains_key(*key)));
    // It was a hammering, and there was trouble of every kind.
    let outcomes = &heard.outcomes;
    let count = |words: &str| outcomes.get(words).copied().unwrap_or(0);
    for words in [
        "agents ok",
        "agent ok",
        "nested ok",
        "told ok",
        "note ok",
        "public ok",
        "public_agents ok",
        "divide 22012",
        "divide_batched 22012",
        "nap 57014",
        "cancellable_nap 57014",
    ] {
        assert!(count(words) > 0, "no {words}: {outcomes:#?}");
    }
    assert!(ended > 2, "{ended} connections were ended");
}

async fn work(
    core: &Core,
    worker: usize,
    tenants: &[Who],
    mut random: Random,
    heard: &RefCell<Heard>,
) {
    for number in 0..REQUESTS {
        let mut who = random.pick(tenants).clone();
        who.id = format!("{worker}-{number}");
        if random.percent(30) {
            // As it is once a token is no longer cached: the same claims in another place.
            who.identity = Who::new(&who.tenant, &who.role).identity;
        }
        let (route, outcome) = one(core, &who, &mut random, heard).await;
        let words = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(Failure::Sql { state, .. }) => state,
            Err(failure) => format!("{failure:?}"),
        };
        let mut heard = heard.borrow_mut();
        *heard
            .outcomes
            .entry(format!("{route} {words}"))
            .or_default() += 1;
    }
}

/// One request, whose answer has to be its tenant's.
async fn one(
    core: &Core,
    who: &Who,
    random: &mut Random,
    heard: &RefCell<Heard>,
) -> (&'static str, Result<(), Failure>) {
    let sees_all = who.role == "auditor";
    let is_own =
        |row: &Value| row["role"] == *who.role && (sees_all || row["tenant"] == *who.tenant);
    let own = |body: String| assert!(is_own(&json(&body)), "{body} for {}", who.tenant);
    match random.below(100) {
        0..45 => {
            let route = *random.pick(&["agents", "agents", "nested"]);
            let answer = core.ask(route, "", who).await.map(|body| {
                let rows = json(&body);
                let rows = rows.as_array().expect("a list");
                assert!(rows.iter().all(is_own), "{route} of {}: {body}", who.tenant);
                assert_eq!(rows.len(), if sees_all { 90 } else { 30 }, "{route}");
            });
            (route, answer)
        }
        45..65 => {
            let id = random.between(1, 90);
            let there = sees_all || format!("t{}", id % 3) == who.tenant;
            let answer = core.ask("agent", &id.to_string(), who).await;
            let answer = answer.map(|body| match there {
                true => own(body),
                false => assert_eq!(body, "", "of another tenant than {}", who.tenant),
            });
            ("agent", answer)
        }
        65..72 => {
            let answer = core.ask("told", "", who).await.map(|body| {
                let told = json(&body);
                assert_eq!(told["claims"], *who.identity.claims_text(), "{body}");
                assert_eq!(
                    (&told["id"], &told["role"]),
                    (&(*who.id).into(), &(*who.role).into())
                );
            });
            ("told", answer)
        }
        72..84 => ("note", note(core, who, heard).await),
        84..90 => {
            let route = *random.pick(&["divide", "divide_batched"]);
            let by = random.pick(&["0", "1"]);
            let is_agent = who.role == "agent";
            let answer = core
                .ask(route, by, who)
                .await
                .map(|body| match body.is_empty() {
                    // The agent that it looks for is of one tenant.
                    true => assert!(is_agent && route == "divide_batched"),
                    false => own(body),
                });
            (route, answer)
        }
        90 => ("nap", core.ask("nap", "0.6", who).await.map(own)),
        91..94 => {
            let running = Running::default();
            let pause = random.millis(1, 60);
            let napping = core.ask_running("cancellable_nap", "0.05", who, Some(&running));
            let cancelling = async {
                core.ring.sleep(pause).await;
                core.database.cancel(&running);
            };
            let (answer, ()) = futures_util::future::join(napping, cancelling).await;
            ("cancellable_nap", answer.map(own))
        }
        94..98 => {
            let answer = core.ask("public", "", who).await;
            let answer = answer.map(|body| assert_eq!(body, r#"{"claims":"","role":"app"}"#));
            ("public", answer)
        }
        _ => {
            let answer = core.ask("public_agents", "", who).await;
            let answer = answer.map(|body| assert_eq!(body, r#"{"count":90,"role":"app"}"#));
            ("public_agents", answer)
        }
    }
}

/// A write, and how often it may be there afterwards.
async fn note(core: &Core, who: &Who, heard: &RefCell<Heard>) -> Result<(), Failure> {
    let key = format!("{}-{}", who.tenant, who.id);
    let answer = core.ask("note", &key, who).await;
    let allowed: &[usize] = match &answer {
        Ok(body) => {
            let written = format!(r#"{{"tenant":"{}","role":"agent"}}"#, who.tenant);
            assert_eq!(*body, written);
            &[1]
        }
        Err(Failure::OutcomeUnknown) => &[0, 1],
        Err(_) => &[0],
    };
    heard.borrow_mut().notes.insert(key, allowed);
    answer.map(|_| ())
}

/// Changes the tables, and ends connections.
struct Trouble {
    ended: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<usize>>,
}

const CHANGES: &[&str] = &[
    "alter table agents add column extra int4",
    "begin; drop policy own on agents;
     create policy own on agents to agent using (tenant = tenant()); commit",
    "alter table agents drop column extra",
    "alter table agents alter column id type int8",
    "create or replace function tenant() returns text language sql stable as
     $$ select nullif(current_setting('request.jwt.claims', true), '')::json ->> 'tenant' $$",
    "alter table agents alter column id type int4",
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'hammered'",
];

impl Trouble {
    fn start(postgres: &Postgres) -> Trouble {
        let ended = Arc::<AtomicBool>::default();
        let url = postgres.url();
        let thread = std::thread::spawn({
            let ended = ended.clone();
            move || {
                let mut sql = postgres::Client::connect(&url, postgres::NoTls).expect("a session");
                let mut terminated = 0;
                for change in CHANGES.iter().cycle() {
                    if ended.load(Ordering::Relaxed) {
                        return terminated;
                    }
                    let messages = sql.simple_query(change).unwrap_or_else(|error| {
                        panic!("{change}: {error:?}");
                    });
                    let rows = messages
                        .iter()
                        .filter(|message| matches!(message, postgres::SimpleQueryMessage::Row(_)));
                    terminated += rows.count();
                    std::thread::sleep(Duration::from_millis(60));
                }
                unreachable!("a cycle has no end")
            }
        });
        Trouble {
            ended,
            thread: Some(thread),
        }
    }

    /// How many connections were ended.
    fn end(mut self) -> usize {
        self.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is ended once");
        thread.join().expect("trouble without trouble")
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
