//! Rows, tables, connections and servers that change under batches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postgres::NoTls;
use sonic_rs::JsonValueTrait;

use crate::fixture::{Load, ROUTES, SCHEMA, get, read_route, terminate, until, with};
use crate::gated::batches;
use crate::support::{Client, Postgres, Server};

/// The fixture's items in a cluster of the test's own.
const ITEMS: &str = "
create table items (id int4 primary key, name text not null);
insert into items select n, 'item ' || n from generate_series(1, 1000) n;
create table effects (id serial, key text unique);
";

const LOGGED: &[&str] = &["--log", "info,pinion::pg=debug"];

/// Fails unless requests for items went together.
fn were_batched(server: &mut Server) {
    let (count, requests, largest) = batches(server, "get_item");
    assert!(largest > 1 && requests > count, "{count} of {requests}");
}

#[test]
fn every_answer_was_true_at_some_moment() {
    let postgres = Postgres::start(
        "create table pairs (id int4, half text, value int8 not null, primary key (id, half));
         insert into pairs select n, half, 0 from generate_series(1, 5) n, unnest('{a,b}'::text[]) half;",
    );
    let routes = read_route(
        "pairs",
        "select min(value) as least, max(value) as most, count(*) as rows from pairs where id = :id",
    );
    let mut server = Server::start(&routes, &postgres.url(), LOGGED).ready();
    let stop = AtomicBool::new(false);
    let rounds: usize = std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut writer = postgres::Client::connect(&postgres.url(), NoTls).expect("a writer");
            let stop = &stop;
            scope.spawn(move || {
                for id in (1..6).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let change = "update pairs set value = value + 1 where id = $1";
                    writer.execute(change, &[&id]).expect("a change");
                }
            });
        }
        let readers: Vec<_> = (0..6)
            .map(|_| {
                let client = server.client();
                scope.spawn(|| watch(client))
            })
            .collect();
        let rounds = readers.into_iter().map(|it| it.join().expect("a reader"));
        let rounds = rounds.sum();
        stop.store(true, Ordering::Relaxed);
        rounds
    });
    assert!(rounds > 6, "nothing was seen to change");
    let (count, requests, largest) = batches(&mut server, "pairs");
    assert!(largest > 1 && requests > count, "{count} of {requests}");
}

/// Reads the counters again and again: never torn, and never older than in the round before. How often
/// the first was seen to change.
fn watch(mut client: Client) -> usize {
    let mut known: HashMap<i64, i64> = HashMap::new();
    let mut changes = 0;
    for _ in 0..300 {
        let ids = [1, 2, 1, 3, 4, 5, 1, 2];
        let requests: String = ids.iter().map(|id| get(&format!("/pairs/{id}"))).collect();
        client.send(requests);
        let mut seen: HashMap<i64, i64> = HashMap::new();
        for id in ids {
            let response = client.response();
            assert_eq!(response.status, 200, "{}", response.text());
            let pair = response.json();
            assert_eq!(pair["least"], pair["most"], "torn");
            assert_eq!(pair["rows"].as_i64(), Some(2));
            let value = pair["most"].as_i64().expect("a number");
            assert!(known.get(&id).is_none_or(|known| *known <= value), "older");
            let newest = seen.entry(id).or_insert(value);
            *newest = value.max(*newest);
        }
        changes += usize::from(known.get(&1) != seen.get(&1));
        known = seen;
    }
    changes
}

#[test]
fn tables_that_change_under_load_give_no_wrong_answer() {
    let postgres = Postgres::start(ITEMS);
    let mut server = Server::start(ROUTES, &postgres.url(), LOGGED).ready();
    let ((), tally) = Load::during(server.address, || {
        for round in 0..5 {
            postgres.sql(&format!(
                "alter table items add column c{round} text default 'x'"
            ));
            std::thread::sleep(Duration::from_millis(60));
        }
        for round in 0..5 {
            postgres.sql(&format!("alter table items drop column c{round}"));
            std::thread::sleep(Duration::from_millis(60));
        }
    });
    tally.expect(&[200]);
    // What was bound to the old type is refused for a moment.
    let ((), tally) = Load::during(server.address, || {
        for ty in ["int8", "int4", "int8"] {
            postgres.sql(&format!("alter table items alter column id type {ty}"));
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    tally.expect(&[200, 503]);
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..3 {
            postgres.sql("alter table items rename to kept");
            std::thread::sleep(Duration::from_millis(60));
            postgres.sql("drop table if exists items; create table items as table kept");
            postgres.sql("alter table items add primary key (id); drop table kept; analyze items");
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    // There was no such table.
    tally.expect(&[200, 500, 503]);
    until("it is back", || server.get("/items/7").status == 200);
    let ((), tally) = Load::during(server.address, || {
        std::thread::sleep(Duration::from_millis(200));
    });
    tally.expect(&[200]);
    were_batched(&mut server);
}

#[test]
fn a_backend_that_is_cut_under_its_batches_fails_no_read() {
    let postgres = Postgres::start(ITEMS);
    let url = with(&postgres.url(), "application_name=cut");
    let mut server = Server::start(ROUTES, &url, LOGGED).ready();
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..15 {
            terminate(&postgres, "cut", "1");
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    tally.expect(&[200]);
    were_batched(&mut server);
}

#[test]
fn a_postgres_that_was_away_is_asked_in_batches_again() {
    let mut postgres = Postgres::start(SCHEMA);
    let mut server = Server::start(ROUTES, &postgres.url(), LOGGED).ready();
    let load = Load::start(server.address, 4);
    for round in 0..2 {
        std::thread::sleep(Duration::from_millis(200));
        match round {
            0 => postgres.crash(),
            _ => postgres.stop(),
        }
        until("not ready", || server.get("/ready").status == 503);
        postgres.start_again();
        until("ready", || server.get("/ready").status == 200);
    }
    std::thread::sleep(Duration::from_millis(200));
    load.stop().expect(&[200, 503]);
    let ((), tally) = Load::during(server.address, || {
        std::thread::sleep(Duration::from_millis(200));
    });
    tally.expect(&[200]);
    were_batched(&mut server);
}

/// What a server holds of its system: kilobytes of memory, and open files.
fn held(server: &Server) -> (usize, usize) {
    let place = format!("/proc/{}", server.pid());
    let status = std::fs::read_to_string(format!("{place}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes = kilobytes.expect("its memory").parse().expect("a number");
    let files = std::fs::read_dir(format!("{place}/fd")).expect("its files");
    (kilobytes, files.count())
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let postgres = Postgres::start(ITEMS);
    let url = with(&postgres.url(), "application_name=soak");
    let flags = [LOGGED, &["--recycle", "100ms"]].concat();
    let server = Server::start(ROUTES, &url, &flags).ready();
    let load = Load::start(server.address, 3);
    let soak = |rounds: usize| {
        for _ in 0..rounds {
            terminate(&postgres, "soak", "2");
            std::thread::sleep(Duration::from_millis(100));
        }
        held(&server)
    };
    let (before, files_before) = soak(20);
    let (after, files_after) = soak(40);
    load.stop().expect(&[200, 503]);
    println!("{before} kB and {files_before} files, then {after} kB and {files_after} files");
    // A hundred and more connections have gone in between.
    assert!(
        files_after < files_before + 10,
        "{files_before}, then {files_after} files"
    );
    assert!(after < before + 8 * 1024, "{before} kB, then {after} kB");
}

#[test]
fn a_route_whose_batch_is_planned_otherwise_is_told_of_and_runs_alone() {
    let postgres = Postgres::start(ITEMS);
    let routes = read_route("never", "select id from items where id = :id and false")
        + "[[route]]\nname = \"sure\"\nmethod = \"GET\"\npath = \"/sure\"\nresult = \"many\"\n\
           sql = \"select 1 as one where (:id::int4 is null or true)\"\nparams.id = { in = \"query\" }\n";
    let mut server = Server::start(&routes, &postgres.url(), LOGGED).ready();
    server.wait_for_line("Postgres plans a batch as something else");
    let mut client = server.client();
    client.send(
        (0..20)
            .map(|id| get(&format!("/never/{id}")) + &get("/sure?id=1"))
            .collect::<String>(),
    );
    for _ in 0..20 {
        assert_eq!(client.response().status, 404);
        let sure = client.response();
        assert_eq!((sure.status, sure.text()), (200, "[{\"one\":1}]"));
    }
    let log = server.log();
    let told = |route: &str| {
        let is_told = |line: &&String| {
            line.contains(" WARN ") && line.contains(&format!("route=\"{route}\""))
        };
        log.iter().filter(is_told).count()
    };
    assert_eq!(told("never"), 1, "{log:?}");
}
