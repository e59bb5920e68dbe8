//! `pinion check` over statements that hide what they do.

use pinion::api::sql::Statement;
use pinion::pg::eligible::judge;
use pinion::pg::statements::{Description, prepare};
use pinion::pg::{connect, url};
use pinion::{api, ring};

use crate::support::{PATIENCE, Postgres, TempDir, ended, pinion};

const SCHEMA: &str = r#"
create type mood as enum ('sad', 'ok');
create table items (id int8 primary key, name text not null, random int4, mood mood);
insert into items select n, 'item ' || n, n % 7, 'ok' from generate_series(1, 5000) n;
create sequence numbers;
analyze items;

-- Volatile, as every function is that doesn't say otherwise.
create function noted(int8) returns bool language plpgsql as 'begin return true; end';
create function noted_in_sql(int8) returns bool language sql as 'select $1 > 0';
create function still(int8) returns bool language plpgsql stable as 'begin return true; end';
create function still_in_sql(int8) returns bool language sql stable as 'select $1 > 0';

create view views as select id, name from items where noted(id);
create view views_of_views as select * from views;
create view limited as select id, name from items order by id limit (random() * 10)::int;
create view listed as select * from (values (1, random()), (2, 0)) as v(id, number);
create view locked as select id, name from items for share;
create view calm as select id, name from items where still(id);
create view counted as select id % 1000 as id, count(*) as number from items group by 1;

create function noted_less(int8, mood) returns bool language plpgsql as 'begin return true; end';
create operator <<< (leftarg = int8, rightarg = mood, function = noted_less);
create function still_less(mood, int8) returns bool language plpgsql immutable as 'begin return true; end';
create operator <<< (leftarg = mood, rightarg = int8, function = still_less);
create function to_mood(int8) returns mood language plpgsql as 'begin return ''ok''; end';
create cast (int8 as mood) with function to_mood(int8);

create table secrets (id int8 primary key);
alter table secrets enable row level security;
create policy noted on secrets using (noted(id));
create table owned (id int8 primary key);
alter table owned enable row level security;
create policy owned on owned using (still(id) and current_user = 'reader');
create role reader login;
grant select on secrets, owned to reader;

create domain pressed as int4 not null;
"#;

/// One route of a file, read-only whatever it does.
fn route(index: usize, sql: &str, more: &str) -> String {
    let statement = Statement::parse(sql).expect("one statement");
    let params = statement.params.iter();
    let params: String = params
        .map(|name| format!("params.{name} = {{ in = \"query\" }}\n"))
        .collect();
    format!(
        "[[route]]\nname = \"r{index}\"\nmethod = \"GET\"\npath = \"/r{index}\"\nresult = \"many\"\n\
         read_only = true\nsql = '''\n{sql}\n'''\n{more}\n{params}\n"
    )
}

/// What `pinion check` says of the batches of each statement.
fn batching(url: &str, statements: &[&str]) -> Vec<String> {
    let routes = statements.iter().enumerate();
    let routes: String = routes.map(|(index, sql)| route(index, sql, "")).collect();
    let (code, out, err) = check(&routes, url);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let heads = out.lines().filter(|line| line.starts_with("GET "));
    let words: Vec<String> = heads
        .map(|head| {
            head.split("many")
                .nth(1)
                .expect("a result")
                .trim()
                .to_owned()
        })
        .collect();
    assert_eq!(words.len(), statements.len(), "{out}");
    words
}

fn check(routes: &str, url: &str) -> (Option<i32>, String, String) {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", routes);
    let mut command = pinion(&["check", "--database-url", url, "--routes"]);
    command.arg(file);
    ended(command)
}

fn all_are(url: &str, words: &str, statements: &[&str]) {
    let found = batching(url, statements);
    let others: Vec<String> = statements
        .iter()
        .zip(&found)
        .filter(|(_, found)| *found != words)
        .map(|(sql, found)| format!("{sql}: {found}"))
        .collect();
    assert!(others.is_empty(), "not {words:?}:\n{}", others.join("\n"));
}

const VOLATILE: &str = "not batched: it calls a volatile function, itself or in a view, a policy, an operator or a cast";

#[test]
fn what_is_volatile_changes_or_locks_is_not_batched_wherever_it_hides() {
    let postgres = Postgres::start(SCHEMA);
    let url = postgres.url();
    all_are(
        &url,
        VOLATILE,
        &[
            "select random() as r from items where id = :id",
            "select id from items where id = :id order by random()",
            "select id from items where id = :id and name < clock_timestamp()::text",
            "select id from items where id = :id limit (random() * 10)::int8",
            "select id from items where id = :id offset (random() * 10)::int8",
            "select sum(id) over (order by id rows (random() * 3)::int8 preceding) as s from items where id = :id",
            "select count(*) filter (where random() > 0.5) as n from items where id = :id",
            "select id, (select random()) as r from items where id = :id",
            "select id from items where id in (select nextval('numbers')) and id = :id",
            "with drawn as (select nextval('numbers') as n) select n from drawn where n > :n",
            "select n from (values (1, random()), (2, 0)) as v(n, r) where n = :n::int4",
            "select nextval('numbers') as n where :n::int8 > 0",
            "select set_config('a.b', :t, false) as t",
            "select pg_advisory_lock(:n) as locked",
            "select pg_sleep(:n::float8) as slept",
            "select id from items where noted(id) and id = :id",
            "select id from items where noted_in_sql(id) and id = :id",
            "select id from items, noted(id) where id = :id",
            "select id from generate_series(1, (random() * :n::int4)::int4) as id",
            "select * from views where id = :id",
            "select * from views_of_views where id = :id",
            "select * from limited where id = :id",
            "select * from listed where id = :n::int4",
            "select id from items where id <<< mood and id = :id",
            "select id from items where mood = id::mood and id = :id",
            // Without parameters as well: whoever waits would get another's value.
            "select random() as r",
            "select * from views",
        ],
    );
    all_are(
        &url,
        "not batched: it locks rows",
        &[
            "select id from items where id = :id for update",
            "select id from (select id from items for key share) as i where id = :id",
            "select * from locked where id = :id",
            "table locked",
        ],
    );
    all_are(
        &url,
        "not batched: it changes data",
        &["with old as (select 1) delete from items returning id"],
    );
    all_are(
        &url,
        "not batched: it reads a sample, another one each time",
        &["select id from items tablesample bernoulli (50) where id = :id"],
    );
    let keyed = "with gone as (delete from items where id = :id returning id) select id from gone";
    let words = &batching(&url, &[keyed])[0];
    assert!(
        words.starts_with("not batched: Postgres: WITH clause containing a data-modifying"),
        "{words}"
    );
    assert_eq!(
        postgres.sql("select count(*), (select last_value from numbers) from items"),
        "5000|1"
    );
}

#[test]
fn policies_count_for_whom_they_hold() {
    let postgres = Postgres::start(SCHEMA);
    let url = format!("{}&user=reader", postgres.url());
    let secret = "select id from secrets where id = :id";
    all_are(&url, VOLATILE, &[secret, "select id from secrets"]);
    all_are(&url, "batched", &["select id from owned where id = :id"]);
    // The owner is above them.
    all_are(&postgres.url(), "batched", &[secret]);
}

#[test]
fn what_lies_outside_of_postgres_is_not_batched() {
    let postgres = Postgres::start("");
    let known = "select count(*) from pg_available_extensions where name = 'file_fdw'";
    if postgres.sql(known) == "0" {
        return; // some distributions keep it in a package of its own
    }
    postgres.sql(
        "create extension file_fdw;
         create server files foreign data wrapper file_fdw;
         create foreign table lines (line text) server files options (filename '/dev/null')",
    );
    all_are(
        &postgres.url(),
        "not batched: it reads what is not Postgres' own table",
        &["select * from lines where line = :line", "table lines"],
    );
}

#[test]
fn what_only_reads_is_batched() {
    let postgres = Postgres::start(SCHEMA);
    let url = postgres.url();
    all_are(
        &url,
        "batched",
        &[
            "select * from items where id = :id",
            // Names of volatile functions that are none here.
            "select random, name as nextval from items where id = :id -- random()",
            "select id, now() as now, current_timestamp as t, current_setting('TimeZone') as z from items where id = :id",
            "select id from items where still(id) and still_in_sql(id) and id = :id",
            "select * from calm where id = :id",
            "select id from items where mood <<< id and id = :id",
            "select n from generate_series(1, :n::int4) as n",
            "select id from items where id > :id order by id limit :n",
            "with one as (select * from items where id = :id) select one.id, i.name from one join items i using (id)",
            "with recursive down as (select :n::int4 as n union all select n - 1 from down where n > 0) select n from down",
            "select :id::mood as mood where :n::int8 > 0",
            "values (:n::int4), (:id::int4)",
        ],
    );
    all_are(
        &url,
        "batched: run once for all",
        &[
            "select count(*) as n from items",
            "select now() as now",
            "table calm",
        ],
    );
}

#[test]
fn what_costs_much_is_batched_only_where_the_file_says_so() {
    let postgres = Postgres::start(SCHEMA);
    let url = postgres.url();
    let dear = "select * from items where name = :t";
    let words = &batching(&url, &[dear])[0];
    assert!(words.starts_with("not batched: one key costs "), "{words}");
    let (code, out, _) = check(&route(0, dear, "batch = true"), &url);
    assert!(code == Some(0) && out.contains("many  batched\n"), "{out}");
    let (_, out, _) = check(&route(0, "select 1 as one", "batch = false"), &url);
    assert!(out.contains("many  not batched: batch = false\n"), "{out}");
    // A view that groups: merged into the join with the keys it would be read as a whole.
    postgres.sql("create index on items ((id % 1000))");
    all_are(&url, "batched", &["select * from counted where id = :id"]);
    // Nothing is read at all, so there is no loop.
    let words = &batching(&url, &["select * from items where id = :id and false"])[0];
    assert!(
        words.starts_with("not batched: Postgres plans a batch as something else"),
        "{words}"
    );
}

#[test]
fn a_route_that_is_to_be_batched_and_can_not_be_is_a_fault() {
    let postgres = Postgres::start(SCHEMA);
    let statements = [
        "select random() as r where :n::int4 > 0",
        "select sum(:n::int4) as n from items",
        "select :n::int4",
        "select id from items where id = any(:n)",
        "select :n::pressed as n",
    ];
    let routes = statements.iter().enumerate();
    let routes: String = routes
        .map(|(index, sql)| route(index, sql, "batch = { max = 9 }"))
        .collect();
    let (code, out, err) = check(&routes, &postgres.url());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for words in [
        "this route can't be batched: it calls a volatile function",
        "this route can't be batched: Postgres: aggregate functions are not allowed in FROM clause",
        "this route can't be batched: column \"int4\" has another name in a batch; name it: … as int4",
        "this route can't be batched: :n is an array",
        "routes.toml:10:9",
        "10 | batch = { max = 9 }",
        "= help: take \"batch\" out, or set it to false",
        "4 faults in ",
    ] {
        assert!(err.contains(words), "{words:?} is not in\n{err}");
    }
    // By themselves they are left as they are.
    let found = batching(&postgres.url(), &statements);
    assert!(
        found[..4]
            .iter()
            .all(|words| words.starts_with("not batched: ")),
        "{found:?}"
    );
}

#[test]
fn a_judgement_leaves_the_connection_as_it_was() {
    let postgres = Postgres::start(SCHEMA);
    let statements = [
        (
            "select id from items where id = :id",
            "Postgres: permission denied for table items",
        ),
        (
            "with old as (select 1) delete from secrets returning id",
            "it changes data",
        ),
        (
            "with gone as (delete from secrets returning id) select id from gone",
            "Postgres: WITH clause containing a data-modifying statement must be at the top level",
        ),
        ("select id from owned where id = :id", "batched"),
    ];
    postgres.sql("grant delete on secrets to reader");
    let url = format!("{}&user=reader", postgres.url());
    let target = url::parse(&url, &|_| None, None).expect("its URL");
    let routes = statements.iter().enumerate();
    let routes: String = routes
        .map(|(index, (sql, _))| route(index, sql, ""))
        .collect();
    let api = api::load("routes.toml", &routes).expect("the routes");
    let statements = statements.map(|(_, words)| words);
    ring::run(None, &ring::Options::default(), |ring| async move {
        let (session, connection) = connect::connect(&ring, &target, PATIENCE).await.unwrap();
        let judgements = async move {
            let client = &session.client;
            for (index, words) in statements.into_iter().enumerate() {
                let Ok(single) = prepare(&api, index, client).await else {
                    panic!("{words}: it does not prepare");
                };
                let Description {
                    parameters,
                    columns,
                    ..
                } = &*single.description;
                let verdict = judge(client, &api.routes[index], parameters, columns).await;
                assert!(verdict.unwrap().words().ends_with(words), "{words}");
                let left = "select current_setting('plan_cache_mode'), count(*), now()::text
                              from pg_prepared_statements where name like 'pinion%'";
                let [first, second] = [
                    client.query_one(left, &[]).await.unwrap(),
                    client.query_one(left, &[]).await.unwrap(),
                ];
                assert_eq!(
                    (first.get(0), first.get(1)),
                    ("auto", 0i64),
                    "after {words}"
                );
                // In one transaction they would be of one time.
                let [first, second]: [&str; 2] = [first.get(2), second.get(2)];
                assert_ne!(first, second, "after {words}");
            }
        };
        futures_util::future::join(judgements, connection)
            .await
            .1
            .unwrap();
    })
    .unwrap();
}
