//! A batched route against its twin with `batch = false`: whatever is asked, and in whatever company, the
//! answers are the same.

use std::cell::RefCell;
use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sonic_rs::JsonValueTrait;

use crate::fixture::get;
use crate::gated::batches;
use crate::support::{Client, Postgres, Response, Server};

const SCHEMA: &str = "
create type shade as enum ('light', 'dark');
create table things (
  id int8 primary key, code uuid not null, price numeric, seen timestamptz, shade shade, name text, size int4
);
insert into things
  select n, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, nullif(n % 20, 0) / 4.0,
         '2024-01-01T00:00:00Z'::timestamptz + n * interval '1 hour', (enum_range(null::shade))[1 + n % 2],
         'thing ' || n % 100, case when n % 3 = 0 then 0 else n end
    from generate_series(1, 300) n;
create index on things (name);
create index on things (size);
create unique index on things (code);
analyze things;
create function picky(value int8) returns text language plpgsql stable as $$
begin
  if value % 7 = 0 then
    raise exception 'no sevens: %', value;
  elsif value % 11 = 0 then
    raise exception 'nor elevens' using errcode = '42501';
  end if;
  return 'fine: ' || value;
end $$;
";

/// Name, result, SQL and what else is declared.
const ROUTES: &[(&str, &str, &str, &str)] = &[
    ("pick", "one", "select * from things where id = :id", ""),
    (
        "coded",
        "one",
        "select id, price, seen from things where code = :code",
        "",
    ),
    // Some names have three rows: more than one is a fault of the route.
    (
        "named",
        "one",
        "select id from things where name = :name",
        "",
    ),
    (
        "found",
        "many",
        "select id, name from things where (:name::text is null or name = :name) \
         and (:size::int4 is null or size = :size) order by id limit :limit",
        "params.name = { in = \"query\", nullable = true }\nparams.size = { in = \"query\", nullable = true }",
    ),
    (
        "typed",
        "many",
        "select id, price, seen, shade from things \
         where price >= :price and seen < :seen and shade = :shade and code <> :code order by id limit 3",
        "",
    ),
    // Size 0 has a hundred rows.
    (
        "sized",
        "many",
        "select id, code from things where size = :size order by id",
        "max_rows = 5",
    ),
    ("ratio", "scalar", "select :a::int8 / :b::int8 as ratio", ""),
    ("picky", "scalar", "select picky(:v) as words", ""),
    ("number", "scalar", "select (:t::text)::int4 as number", ""),
    // No row for some, and a NULL for others.
    (
        "price",
        "scalar",
        "select price from things where id = :id",
        "not_found = \"None\"",
    ),
    (
        "all",
        "many",
        "select shade, count(*) as n from things group by 1 order by 1",
        "",
    ),
];

/// Each route twice: batched below `/b`, alone below `/s`.
fn routes() -> String {
    let mut text = String::new();
    for (name, result, sql, more) in ROUTES {
        let statement = pinion::api::sql::Statement::parse(sql).expect("one statement");
        for (place, batch) in [("b", "batch = true"), ("s", "batch = false")] {
            let _ = write!(
                text,
                "[[route]]\nname = \"{place}_{name}\"\nmethod = \"GET\"\npath = \"/{place}/{name}\"\n\
                 result = \"{result}\"\nsql = '''{sql}'''\n{batch}\n{more}\n"
            );
            for param in &statement.params {
                if !more.contains(&format!("params.{param} ")) {
                    let _ = writeln!(text, "params.{param} = {{ in = \"query\" }}");
                }
            }
        }
    }
    text
}

/// A path below `/b` or `/s`, with its query.
fn target() -> impl Strategy<Value = String> {
    let code = || (0..320u32).prop_map(|n| format!("00000000-0000-4000-8000-{n:012}"));
    let encoded = |text: String| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
    // Few, so that equal keys meet.
    let id = || prop_oneof![-2..6i64, 290..310i64, Just(i64::MAX)];
    prop_oneof![
        4 => id().prop_map(|id| format!("pick?id={id}")),
        2 => code().prop_map(|code| format!("coded?code={code}")),
        2 => (0..110u32).prop_map(move |n| encoded(format!("thing {n}"))).prop_map(|name| format!("named?name={name}")),
        3 => (proptest::option::of(0..4u32), proptest::option::of(-1..9i32), 0..4u32).prop_map(|(name, size, limit)| {
            let name = name.map_or(String::new(), |n| format!("&name=thing%20{n}"));
            let size = size.map_or(String::new(), |n| format!("&size={n}"));
            format!("found?limit={limit}{name}{size}")
        }),
        2 => (0..500u32, 1..28u32, any::<bool>(), code()).prop_map(|(price, day, dark, code)| {
            let shade = if dark { "dark" } else { "light" };
            format!("typed?price={}.{:02}&seen=2024-01-{day:02}T03:00:00Z&shade={shade}&code={code}", price / 100, price % 100)
        }),
        3 => (-1..12i32).prop_map(|size| format!("sized?size={size}")),
        2 => (any::<i16>(), -1..3i32).prop_map(|(a, b)| format!("ratio?a={a}&b={b}")),
        3 => (1..15i64).prop_map(|v| format!("picky?v={v}")),
        2 => prop_oneof!["[0-9]{1,12}", "[a-z]{0,2}"].prop_map(|t| format!("number?t={t}")),
        2 => id().prop_map(|id| format!("price?id={id}")),
        1 => Just("all".to_owned()),
        // Never bound.
        1 => Just("pick?id=x".to_owned()),
    ]
}

/// What of an answer must be the same.
fn words(response: &Response) -> (u16, String) {
    let text = response.text().to_owned();
    if response.status < 400 {
        return (response.status, text);
    }
    let body = response.json();
    let id = body["request_id"].as_str().expect("an id");
    (response.status, text.replace(id, ""))
}

#[test]
fn the_answers_are_those_of_the_route_alone() {
    let postgres = Postgres::start(SCHEMA);
    let flags = ["--log", "info,pinion::pg=debug"];
    let server = Server::start(&routes(), &postgres.url(), &flags).ready();
    let statuses = RefCell::new(std::collections::BTreeSet::new());
    let clients: RefCell<Vec<Client>> = RefCell::new((0..5).map(|_| server.client()).collect());
    let mut runner = TestRunner::new(Config::with_cases(80));
    let outcome = runner.run(&vec(target(), 1..150), |targets| {
        let mut clients = clients.borrow_mut();
        let shares: Vec<Vec<&String>> = (0..clients.len())
            .map(|share| targets.iter().skip(share).step_by(5).collect())
            .collect();
        // Both twins of all requests are on their way at a time.
        for (client, share) in clients.iter_mut().zip(&shares) {
            let twins =
                |target: &&String| get(&format!("/b/{target}")) + &get(&format!("/s/{target}"));
            client.send(share.iter().map(twins).collect::<String>());
        }
        for (client, share) in clients.iter_mut().zip(&shares) {
            for target in share {
                let (batched, alone) = (words(&client.response()), words(&client.response()));
                statuses.borrow_mut().insert(alone.0);
                prop_assert_eq!(batched, alone, "{}", target);
            }
        }
        Ok(())
    });
    outcome.unwrap();
    let seen: Vec<u16> = statuses.into_inner().into_iter().collect();
    assert_eq!(seen, [200, 400, 403, 404, 422, 500]);
    let mut server = server;
    for (name, ..) in ROUTES {
        let (_, _, largest) = batches(&mut server, &format!("b_{name}"));
        assert!(largest > 1, "{name}: no two went together");
    }
}
