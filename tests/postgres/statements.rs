//! Statements that fail, take too long or collide, and their neighbours on the same connection.

use std::time::{Duration, Instant};

use crate::fixture::{ROUTES, check, get, shared, sleeping, until, with};
use crate::support::{Client, Server};

const ONE: [&str; 2] = ["--connections-per-core", "1"];

#[test]
fn a_statement_over_its_timeout_harms_no_neighbour() {
    let postgres = shared();
    let server = Server::start(ROUTES, &postgres.url(), &ONE).ready();
    for _ in 0..3 {
        let mut client = server.client();
        let before: String = (1..10).map(|id| get(&format!("/items/{id}"))).collect();
        let after: String = (11..20).map(|id| get(&format!("/items/{id}"))).collect();
        client.send(before + &get("/nap/10?seconds=5") + &after);
        for id in 1..20 {
            let response = client.response();
            let expected = if id == 10 { 504 } else { 200 };
            assert_eq!(response.status, expected, "{}", response.text());
            check(&response, id);
        }
    }
}

#[test]
fn failing_statements_harm_no_neighbour() {
    let postgres = shared();
    let server = Server::start(ROUTES, &postgres.url(), &ONE).ready();
    assert_eq!(server.send("POST", "/effects/twice", "").status, 204);
    let mut client = server.client();
    for round in 0..20 {
        let mut requests = String::new();
        for id in (round + 1..).step_by(3).take(5) {
            requests += &get(&format!("/items/{id}"));
            requests += &get(&format!("/divide/{id}/0"));
            requests += &get(&format!("/divide/{id}/1"));
            requests += "POST /effects/twice HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n";
        }
        client.send(requests);
        for id in (round + 1..).step_by(3).take(5) {
            let item = client.response();
            assert_eq!(item.status, 200);
            check(&item, id);
            assert_eq!(client.response().status, 422, "division by zero");
            let quotient = client.response();
            assert_eq!(quotient.text(), id.to_string());
            let conflict = client.response();
            assert_eq!(conflict.status, 409, "a unique violation");
            assert!(!conflict.text().contains("effects"), "{}", conflict.text());
        }
    }
}

/// A function that fails as often as a sequence says, which no rollback takes back.
const CONFLICTS: &str = "
create sequence tries;
create function conflict(times int, state text) returns int language plpgsql as $$
declare try int := nextval('tries');
begin
  if try <= times then
    raise exception 'a conflict' using errcode = state;
  end if;
  return try;
end $$";

#[test]
fn reads_that_collide_are_run_again_within_bounds_and_writes_are_not() {
    let postgres = shared();
    postgres.sql(CONFLICTS);
    let route = |name: &str, read_only: bool| {
        format!(
            "[[route]]\nname = \"{name}\"\nmethod = \"GET\"\npath = \"/{name}/{{times}}/{{state}}\"\n\
             result = \"scalar\"\nread_only = {read_only}\n\
             sql = \"select conflict(:times, :state)\"\n"
        )
    };
    let routes = route("reads", true) + &route("writes", false);
    let server = Server::start(&routes, &postgres.url(), &[]).ready();
    let tries = |target: &str| {
        postgres.sql("select setval('tries', 1, false)");
        let status = server.get(target).status;
        let last = postgres.sql("select last_value from tries");
        (status, last)
    };
    for state in ["40001", "40P01"] {
        // Three more times, so four conflicts are one too many.
        assert_eq!(tries(&format!("/reads/3/{state}")), (200, "4".to_owned()));
        assert_eq!(tries(&format!("/reads/4/{state}")), (409, "4".to_owned()));
        assert_eq!(tries(&format!("/writes/1/{state}")), (409, "1".to_owned()));
    }
    // An error of class 08 or 53 that a statement raises is not the loss of its connection.
    assert_eq!(tries("/reads/1/08006"), (503, "1".to_owned()));
    assert_eq!(tries("/writes/1/53400"), (500, "1".to_owned()));
    // A function may lack a statement of its own, but what ran before it may be there to stay.
    assert_eq!(tries("/reads/1/26000"), (200, "2".to_owned()));
    assert_eq!(tries("/writes/1/26000"), (500, "1".to_owned()));
    assert_eq!(tries("/reads/0/00000"), (200, "1".to_owned()));
}

#[test]
fn a_real_deadlock_is_told() {
    let postgres = shared();
    postgres.sql(
        "create table accounts (id int primary key, value int);
         insert into accounts values (1, 0), (2, 0);
         create function transfer(a int, b int) returns int language plpgsql as $$
         begin
           update accounts set value = value + 1 where id = a;
           perform pg_sleep(0.3);
           update accounts set value = value + 1 where id = b;
           return a;
         end $$",
    );
    let routes = "[[route]]\nname = \"transfer\"\nmethod = \"POST\"\npath = \"/transfer/{a}/{b}\"\n\
                  result = \"scalar\"\nsql = \"select transfer(:a, :b)\"\n";
    let flags = ["--statement-timeout", "10s", "--connections-per-core", "2"];
    let server = Server::start(routes, &postgres.url(), &flags).ready();
    // On one connection the two would run one after the other.
    let backends = "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and \
                    datname = current_database() and query like '%transfer%'";
    until("both connections", || postgres.sql(backends) == "2");
    let (mut one, mut two) = (server.client(), server.client());
    one.send("POST /transfer/1/2 HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    two.send("POST /transfer/2/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    let mut statuses = [one.response().status, two.response().status];
    statuses.sort();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(postgres.sql("select sum(value) from accounts"), "2");
}

#[test]
fn places_and_the_queue_are_bounded() {
    let postgres = shared();
    // Statements that can be cancelled have a connection for themselves: one runs, three wait.
    let routes = "
[lane.narrow]
connections = 1
queue = 3
[[route]]
name = \"slow\"
method = \"GET\"
path = \"/slow/{id}\"
result = \"one\"
lane = \"narrow\"
timeout = \"20s\"
cancel = true
sql = \"select :id::int4 as id from pg_sleep(:seconds)\"
[route.params]
seconds = { in = \"query\" }
"
    .to_owned();
    let routes = routes + ROUTES;
    let url = with(&postgres.url(), "application_name=narrow");
    let server = Server::start(&routes, &url, &["--acquire-timeout", "1s"]).ready();
    let address = server.address;
    let ask = |id: usize| {
        let mut client = Client::connect(address);
        let response = client.request("GET", &format!("/slow/{id}?seconds=4"), None);
        (id, response, Instant::now())
    };
    let (mut answers, other) = std::thread::scope(|scope| {
        let asked: Vec<_> = (1..=5).map(|id| scope.spawn(move || ask(id))).collect();
        until("one sleeps", || sleeping(&postgres, "narrow").len() == 1);
        assert_eq!(server.get("/items/4").status, 200);
        let other = Instant::now();
        let answers = asked.into_iter().map(|it| it.join().unwrap());
        (answers.collect::<Vec<_>>(), other)
    });
    answers.sort_by_key(|(_, _, at)| *at);
    let (refused, rest) = answers.split_first().expect("five");
    assert_eq!(refused.1.status, 503);
    assert!(
        refused.1.text().contains("Too many"),
        "{}",
        refused.1.text()
    );
    let (first, late) = rest.split_last().expect("four");
    for (_, late, _) in late {
        assert_eq!(late.status, 503);
        assert!(late.text().contains("in time"), "{}", late.text());
        assert_eq!(late.field("retry-after"), Some("1"));
    }
    let (id, first, at) = first;
    assert!(other < *at, "the other lane waited");
    assert_eq!(first.status, 200);
    check(first, *id);
    // Nobody holds the place that those who gave up were waiting for.
    for _ in 0..2 {
        assert_eq!(server.get("/slow/7?seconds=0").status, 200);
    }
}

#[test]
fn a_statement_whose_client_has_gone_is_cancelled_and_its_place_is_free() {
    let postgres = shared();
    let routes = "[[route]]\nname = \"slow\"\nmethod = \"GET\"\npath = \"/slow/{seconds}\"\n\
                  result = \"scalar\"\ncancel = true\ntimeout = \"20s\"\n\
                  sql = \"select 7 from pg_sleep(:seconds)\"\n";
    let url = with(&postgres.url(), "application_name=gone");
    let flags = ["--connections-per-core", "2"];
    let server = Server::start(routes, &url, &flags).ready();
    for _ in 0..3 {
        // Two run, two wait in the queue; all four clients go.
        let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send(get("/slow/15"));
        }
        until("two sleep", || sleeping(&postgres, "gone").len() == 2);
        drop(clients);
        let took = until("none sleeps", || sleeping(&postgres, "gone").is_empty());
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(server.get("/slow/0").text(), "7");
    }
}
