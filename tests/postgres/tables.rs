//! Tables and types that change under prepared statements.

use std::time::Duration;

use sonic_rs::{JsonContainerTrait, JsonValueTrait};

use crate::fixture::{Load, ROUTES, backends, get, lines, read_route, shared, until, with};
use crate::support::Server;

/// Asks on many connections of the lane at once: all answers, by status and body.
fn ask(server: &Server, target: &str, count: usize) -> Vec<(u16, String)> {
    let mut client = server.client();
    client.send((0..count).map(|_| get(target)).collect::<String>());
    let answers = (0..count).map(|_| client.response());
    answers
        .map(|it| (it.status, it.text().to_owned()))
        .collect()
}

fn all_are(answers: &[(u16, String)], body: &str) {
    for answer in answers {
        assert_eq!(answer, &(200, body.to_owned()));
    }
}

#[test]
fn a_new_column_shows_at_once_and_no_request_fails() {
    let postgres = shared();
    postgres.sql("create table wide (id int primary key, a int); insert into wide values (1, 10)");
    let routes = read_route("wide", "select * from wide where id = :id");
    let server = Server::start(&routes, &postgres.url(), &[]).ready();
    all_are(&ask(&server, "/wide/1", 30), r#"{"id":1,"a":10}"#);
    postgres.sql("alter table wide add column b text default 'new'");
    all_are(&ask(&server, "/wide/1", 30), r#"{"id":1,"a":10,"b":"new"}"#);
    postgres.sql("alter table wide drop column a");
    all_are(&ask(&server, "/wide/1", 30), r#"{"id":1,"b":"new"}"#);
    postgres
        .sql("alter table wide alter column b drop default, alter column b type jsonb using '[1]'");
    all_are(&ask(&server, "/wide/1", 30), r#"{"id":1,"b":[1]}"#);
    postgres.sql("drop table wide");
    assert_eq!(server.get("/wide/1").status, 503);
    postgres
        .sql("create table wide (id int primary key, c bool); insert into wide values (1, true)");
    until("it is back", || server.get("/wide/1").status == 200);
    all_are(&ask(&server, "/wide/1", 30), r#"{"id":1,"c":true}"#);
}

#[test]
fn a_parameter_of_a_new_type_is_learnt_on_every_connection() {
    let postgres = shared();
    postgres
        .sql("create table keyed (id int4 primary key, n text); insert into keyed values (1, 'a')");
    let routes = read_route("keyed", "select id, n from keyed where id = :id");
    let server = Server::start(&routes, &postgres.url(), &[]).ready();
    all_are(&ask(&server, "/keyed/1", 30), r#"{"id":1,"n":"a"}"#);
    postgres.sql(
        "alter table keyed alter column id type int8; insert into keyed values (5000000000, 'b')",
    );
    // What was bound as int4 before the first connection learnt of it is refused, for now.
    let (status, body) = ask(&server, "/keyed/1", 1).remove(0);
    assert!(
        status == 503 || body == r#"{"id":1,"n":"a"}"#,
        "{status} {body}"
    );
    // From then on every connection takes the new type.
    for _ in 0..10 {
        all_are(
            &ask(&server, "/keyed/5000000000", 10),
            r#"{"id":5000000000,"n":"b"}"#,
        );
    }
}

#[test]
fn statements_that_are_deallocated_are_prepared_again() {
    let postgres = shared();
    postgres.sql(
        "create type mood as enum ('happy', 'sad');
         create table people (id int primary key, mood mood);
         insert into people values (1, 'sad');
         create function forget() returns int language plpgsql as $$
         begin execute 'deallocate all'; return 1; end $$",
    );
    let routes = read_route("people", "select id, mood from people where id = :id")
        + &read_route("forget", "select forget() as done")
        + ROUTES;
    let url = with(&postgres.url(), "application_name=forgetful");
    let server = Server::start(&routes, &url, &["--connections-per-core", "2"]).ready();
    for _ in 0..5 {
        assert_eq!(server.get("/forget").status, 200);
        assert_eq!(server.get("/forget").status, 200);
        // The enum makes the driver ask for its type with a statement that is gone, too.
        all_are(&ask(&server, "/people/1", 20), r#"{"id":1,"mood":"sad"}"#);
        assert_eq!(server.get("/items/3").status, 200);
    }
    assert!(server.get("/ready").status == 200);
}

#[test]
fn types_that_are_changed_or_made_again_are_looked_up_again() {
    let postgres = shared();
    let schema = "create type shade as enum ('light', 'dark');
                  create type pair as (x int, y int);
                  create table paints (id int primary key, shade shade, pair pair);
                  insert into paints values (1, 'dark', (1, 2))";
    postgres.sql(schema);
    let routes = "[[route]]\nname = \"paints\"\nmethod = \"GET\"\npath = \"/paints/{shade}\"\n\
                  result = \"one\"\nsql = \"select id, shade, pair from paints where shade = :shade\"\n";
    let server = Server::start(routes, &postgres.url(), &[]).ready();
    let body = r#"{"id":1,"shade":"dark","pair":{"x":1,"y":2}}"#;
    all_are(&ask(&server, "/paints/dark", 20), body);
    postgres.sql("alter type pair add attribute z int");
    let body = r#"{"id":1,"shade":"dark","pair":{"x":1,"y":2,"z":null}}"#;
    all_are(&ask(&server, "/paints/dark", 20), body);
    postgres.sql(&format!(
        "drop table paints; drop type shade; drop type pair; {schema}"
    ));
    let body = r#"{"id":1,"shade":"dark","pair":{"x":1,"y":2}}"#;
    until("the new types are known", || {
        ask(&server, "/paints/dark", 1)[0] == (200, body.to_owned())
    });
    for _ in 0..5 {
        all_are(&ask(&server, "/paints/dark", 10), body);
    }
}

#[test]
fn a_route_without_its_table_comes_back_with_the_table() {
    let postgres = shared();
    postgres.sql("create table fickle (id int primary key); insert into fickle values (1)");
    let routes = read_route("fickle", "select id from fickle where id = :id") + ROUTES;
    let url = with(&postgres.url(), "application_name=fickle");
    let mut server = Server::start(&routes, &url, &[]).ready();
    postgres.sql("drop table fickle");
    // New connections can't prepare it; the other routes are served.
    crate::fixture::terminate(&postgres, "fickle", "all");
    until("the fault shows", || {
        server.get("/ready").text().contains("route fickle")
    });
    let ((), tally) = Load::during(server.address, || {
        let refused = server.get("/fickle/1");
        assert_eq!(refused.status, 503);
        assert_eq!(refused.field("retry-after"), Some("1"));
        std::thread::sleep(Duration::from_secs(2));
    });
    tally.expect(&[200]);
    assert_eq!(
        lines(&mut server, "does not prepare"),
        1,
        "{:?}",
        server.log()
    );
    postgres.sql("create table fickle (id int8 primary key); insert into fickle values (1)");
    let took = until("it is back", || server.get("/fickle/1").status == 200);
    assert!(took < Duration::from_secs(10), "{took:?}");
    all_are(&ask(&server, "/fickle/1", 40), r#"{"id":1}"#);
    assert_eq!(server.get("/ready").status, 200);
    server.wait_for_line("prepares again");
}

#[test]
fn a_locked_table_keeps_no_connection_from_the_other_routes() {
    let postgres = shared();
    postgres.sql("create table locked (id int primary key); insert into locked values (1)");
    let routes = read_route("locked", "select id from locked where id = :id") + ROUTES;
    let url = with(&postgres.url(), "application_name=locked");
    let server = Server::start(&routes, &url, &[]).ready();
    let start = || {
        Server::start(
            &routes,
            &with(&postgres.url(), "application_name=late"),
            &[],
        )
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            postgres.sql("begin; lock table locked; select pg_sleep(7); commit");
        });
        until("it is locked", || {
            postgres.sql(
                "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted \
                 and relation = 'locked'::regclass",
            ) == "1"
        });
        crate::fixture::terminate(&postgres, "locked", "all");
        until("connected", || backends(&postgres, "locked").len() == 4);
        until("served", || server.get("/items/2").status == 200);
        assert_eq!(server.get("/locked/1").status, 504);
        // Nor does it keep a server from starting.
        assert_eq!(start().get("/health").status, 200);
        // What is known of the route still holds: this is no fault of its statement.
        assert!(!server.get("/ready").text().contains("route locked"));
    });
    until("it is back", || server.get("/locked/1").status == 200);
    all_are(&ask(&server, "/locked/1", 40), r#"{"id":1}"#);
}

#[test]
fn a_change_is_prepared_once_on_each_connection_and_nothing_is_left_on_the_server() {
    let postgres = shared();
    // A batched route has a statement for one key and one for several; each is prepared once more
    // to be judged.
    for (batch, held, prepared) in [("batch = false", 1, 1), ("batch = true", 2, 3)] {
        let schema = "drop table if exists busy; create table busy (id int primary key);
                      insert into busy values (1)";
        postgres.sql(schema);
        let routes = read_route("busy", "select * from busy where id = :id")
            + batch
            + &read_route(
                "statements",
                "select count(*)::int4 as n, max(substr(name, 2)::int4) as last \
                 from pg_prepared_statements where statement like '%select * from busy%'",
            )
            + "batch = false\n";
        let flags = ["--connections-per-core", "1"];
        let server = Server::start(&routes, &postgres.url(), &flags).ready();
        // How many the server holds, and the number in the name of the last: the driver counts all
        // that it ever prepares.
        let on_the_server = || {
            let answer = server.get("/statements").json();
            let number = |name: &str| answer[0][name].as_i64().expect("a number");
            (number("n"), number("last"))
        };
        // The other route's own statement, which has these words in it, is the last of the first.
        let (count, mut last) = on_the_server();
        assert_eq!(count, held + 1, "{batch}");
        for round in 0..5 {
            postgres.sql(&format!("alter table busy add column c{round} int"));
            let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
            let text: String = (0..8).map(|_| get("/busy/1")).collect();
            for client in &mut clients {
                client.send(&text);
            }
            for client in &mut clients {
                for _ in 0..8 {
                    let response = client.response();
                    assert_eq!(response.status, 200, "{}", response.text());
                    let row = response.json();
                    assert_eq!(row.as_object().map(|row| row.len()), Some(round + 2));
                }
            }
            last = match round {
                // The numbers of the start are spread over two routes.
                0 if held == 2 => on_the_server().1,
                _ => last + prepared,
            };
            assert_eq!(on_the_server(), (held + 1, last), "{batch}");
        }
    }
}
