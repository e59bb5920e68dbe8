//! Tables, types and functions that change under prepared statements.

use std::time::{Duration, Instant};

use crate::fixture::{get, lines, read_route, until, with};
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Load, ROUTES, SCHEMA};

#[test]
fn a_table_that_goes_takes_its_routes_along_and_brings_them_back() {
    let cluster = Cluster::start("", SCHEMA);
    let mut server = Server::start(ROUTES, &cluster.url(), &[]).ready();
    let mut changer = cluster.client();
    let changes = [
        (
            "alter table items rename to kept",
            "alter table kept rename to items",
        ),
        (
            "create table kept as table items; drop table items",
            "alter table kept add primary key (id); analyze kept; alter table kept rename to items",
        ),
        (
            "alter table items rename name to title",
            "alter table items rename title to name",
        ),
        (
            "create schema away; alter table items set schema away",
            "alter table away.items set schema public",
        ),
    ];
    for (go, come_back) in changes {
        let before = server.log().len();
        let load = Load::start(server.address);
        std::thread::sleep(Duration::from_millis(200));
        changer.batch_execute(go).expect("it goes");
        until("the routes are refused", || {
            server.get("/ready").text().matches("route ").count() == 3
        });
        std::thread::sleep(Duration::from_millis(500));
        changer.batch_execute(come_back).expect("it comes back");
        let back = Instant::now();
        until("ready", || server.get("/ready").status == 200);
        std::thread::sleep(Duration::from_millis(300));
        let tally = load.stop();
        // Reads were refused before anything was run; writes, to another table, went on.
        tally.expect(&[200, 503], &[201]);
        assert!(tally.statuses("item").contains_key(&503), "{go}");
        tally.check_recovery(back);
        tally.check_writes(&cluster);
        let told = &server.log()[before..];
        let gone = told.iter().filter(|line| line.contains("does not prepare"));
        let back = told.iter().filter(|line| line.contains("prepares again"));
        assert_eq!((gone.count(), back.count()), (3, 3), "{go}: {told:?}");
        assert_eq!(told.len(), 6, "{go}: {told:?}");
    }
}

#[test]
fn columns_that_change_their_type_fail_no_request() {
    let cluster = Cluster::start("", SCHEMA);
    let mut server = Server::start(ROUTES, &cluster.url(), &[]).ready();
    let mut changer = cluster.client();
    let changes = [
        "alter table items alter column name type varchar(40)",
        "alter table items add column more int",
        // Types of parameters, too: what was bound to the old one is run all the same.
        "alter table items alter column id type int8",
        "alter table effects alter column key type varchar(20)",
        "alter table items alter column id type int4",
        "alter table items drop column more",
        "alter table items alter column name type text",
    ];
    let ((), tally) = Load::during(server.address, || {
        for change in changes {
            changer.batch_execute(change).expect("a change");
            std::thread::sleep(Duration::from_millis(150));
        }
    });
    tally.expect(&[200], &[201]);
    tally.check_writes(&cluster);
    assert_eq!(lines(&mut server, " WARN "), 0, "{:?}", server.log());
    assert_eq!(lines(&mut server, " ERROR "), 0, "{:?}", server.log());
    // On a server that is not busy, the very first request.
    for ty in ["int8", "int4"] {
        changer
            .batch_execute(&format!("alter table items alter column id type {ty}"))
            .expect("a change");
        for path in ["items", "plain", "lists"] {
            let answer = server.get(&format!("/{path}/7"));
            assert_eq!(answer.status, 200, "{path} {ty}: {}", answer.text());
        }
    }
}

#[test]
fn statements_that_are_forgotten_under_load_fail_no_request() {
    let cluster = Cluster::start("", &format!("{SCHEMA}{FORGET}"));
    let routes = format!(
        "{ROUTES}{}",
        read_route("forget", "select forget() as done")
    );
    let server = Server::start(&routes, &cluster.url(), &[]).ready();
    let ((), tally) = Load::during(server.address, || {
        for _ in 0..10 {
            assert_eq!(server.get("/forget").status, 200);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    tally.expect(&[200], &[201]);
    tally.check_writes(&cluster);
}

/// A session's own statements, all of them.
const FORGET: &str = "
create function forget() returns int language plpgsql as $$
begin execute 'deallocate all'; return 1; end $$;
";

#[test]
fn a_label_that_is_added_is_known_soon_after_it_is_first_refused() {
    let schema = "create type mood as enum ('glad', 'sad');
                  create table moods (id int primary key, mood mood);
                  insert into moods values (1, 'glad'), (2, 'sad')";
    let cluster = Cluster::start("", schema);
    let routes = "[[route]]\nname = \"moods\"\nmethod = \"GET\"\npath = \"/moods/{mood}\"\n\
                  result = \"many\"\nsql = \"select id, mood from moods where mood = :mood\"\n";
    let mut server = Server::start(routes, &cluster.url(), &[]).ready();
    assert_eq!(
        server.get("/moods/sad").text(),
        "[{\"id\":2,\"mood\":\"sad\"}]"
    );
    assert_eq!(server.get("/moods/bored").status, 422);
    cluster.sql("alter type mood add value 'bored'");
    until("it is known", || server.get("/moods/bored").text() == "[]");
    cluster.sql("insert into moods values (3, 'bored')");
    let mut client = server.client();
    client.send((0..40).map(|_| get("/moods/bored")).collect::<String>());
    for _ in 0..40 {
        assert_eq!(client.response().text(), "[{\"id\":3,\"mood\":\"bored\"}]");
    }
    // Wrong ones are refused as ever, and are no reason to prepare the statement for each of them.
    let prepared = "select count(*) from pg_stat_activity where query like '%pg_enum%'";
    println!("{} sessions looked labels up last", cluster.sql(prepared));
    for _ in 0..50 {
        assert_eq!(server.get("/moods/angry").status, 422);
    }
    assert_eq!(lines(&mut server, " ERROR "), 0, "{:?}", server.log());
}

#[test]
fn a_function_that_turns_volatile_is_batched_no_more_once_connections_are_renewed() {
    let cluster = Cluster::start("", &format!("{SCHEMA}{}", tell("stable")));
    let routes = format!(
        "{ROUTES}{}batch = true\n",
        read_route(
            "told",
            "select id, tell(id) as name from items where id = :id"
        )
    );
    let flags = ["--recycle", "2s", "--connections-per-core", "2"];
    let log = ["--log", "info,pinion::pg=debug"];
    let flags = [&log[..], &flags[..]].concat();
    let mut server = Server::start(&routes, &cluster.url(), &flags).ready();
    server.wait_for_line("batched route=\"told\"");
    cluster.sql(&tell("volatile"));
    // Of which Postgres tells nobody: the next connection that is opened finds out.
    server.wait_for_line("it calls a volatile function");
    let mut client = server.client();
    client.send(
        (1..30)
            .map(|id| get(&format!("/told/{id}")))
            .collect::<String>(),
    );
    for id in 1..30 {
        let expected = format!("{{\"id\":{id},\"name\":\"item {id}\"}}");
        assert_eq!(client.response().text(), expected);
    }
    let calls = cluster.sql("select count(distinct xid) from calls");
    assert_eq!(calls, "29", "each in a transaction of its own");
}

/// The function that a route calls; once it is volatile it leaves a trace.
fn tell(volatility: &str) -> String {
    let trace = match volatility {
        "volatile" => "insert into calls values (txid_current());",
        _ => "",
    };
    format!(
        "create table if not exists calls (xid int8);
         create or replace function tell(id int) returns text language plpgsql {volatility} as \
         $$ begin {trace} return 'item ' || id; end $$;"
    )
}

#[test]
fn a_search_path_that_changes_shows_in_new_sessions() {
    let schema = "create schema one; create schema two;
                  create table one.places (id int); insert into one.places values (1);
                  create table two.places (id int); insert into two.places values (2);
                  create role walker login; grant usage on schema one, two to walker;
                  grant select on one.places, two.places to walker;
                  alter role walker set search_path = one";
    let cluster = Cluster::start("", schema);
    let routes = read_route("places", "select id from places");
    let url = cluster.url().replace("postgres@", "walker@");
    let server = Server::start(&routes, &with(&url, "application_name=walker"), &[]).ready();
    assert_eq!(server.get("/places").text(), "[{\"id\":1}]");
    cluster.sql("alter role walker set search_path = two");
    for _ in 0..10 {
        assert_eq!(server.get("/places").text(), "[{\"id\":1}]");
    }
    cluster.terminate("walker", "all");
    until("new sessions", || cluster.backends("walker").len() == 4);
    for _ in 0..10 {
        assert_eq!(server.get("/places").text(), "[{\"id\":2}]");
    }
    // A table that is moved is another thing: the statements in use are looked at again at once.
    cluster.sql("drop table two.places; alter table one.places set schema two");
    until("the table that is there now", || {
        server.get("/places").text() == "[{\"id\":1}]"
    });
}
