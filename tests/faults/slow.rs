//! Statements that are slow, that wait for locks and that wait for each other.

use std::time::Duration;

use crate::fixture::{lines, until};
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Load, ROUTES, SCHEMA};

/// Accounts, some to be locked and some to lock each other.
const ACCOUNTS: &str = "
create table accounts (id int primary key, value int not null);
insert into accounts select n, 0 from generate_series(1, 10) n;
create function transfer(a int, b int) returns int language plpgsql as $$
begin
  update accounts set value = value - 1 where id = a;
  perform pg_sleep(0.02);
  update accounts set value = value + 1 where id = b;
  return a;
end $$;
";

const ACCOUNT_ROUTES: &str = r#"
[lane.accounts]
connections = 2

[[route]]
name = "get_account"
method = "GET"
path = "/accounts/{id}"
result = "one"
lane = "accounts"
batch = true
sql = "select id from accounts where id = :id"

[[route]]
name = "plain_account"
method = "GET"
path = "/plain-accounts/{id}"
result = "one"
lane = "accounts"
batch = false
sql = "select id from accounts where id = :id"

[[route]]
name = "transfer"
method = "POST"
path = "/transfers/{from}/{to}"
result = "scalar"
timeout = "10s"
lane = "accounts"
sql = "select transfer(:from, :to)"
"#;

fn start() -> (Cluster, Server) {
    let cluster = Cluster::start("deadlock_timeout = 50ms\n", &format!("{SCHEMA}{ACCOUNTS}"));
    let routes = format!("{ROUTES}{ACCOUNT_ROUTES}");
    let server = Server::start(&routes, &cluster.url(), &[]).ready();
    (cluster, server)
}

#[test]
fn a_lock_that_is_held_stops_its_own_lane_alone_and_is_told_once() {
    let (cluster, mut server) = start();
    let mut keeper = cluster.client();
    let (mut statuses, tally) = Load::during(server.address, || {
        let mut lock = keeper.transaction().expect("a transaction");
        lock.batch_execute("lock table accounts in access exclusive mode")
            .expect("the lock");
        let asking: Vec<_> = (0..4)
            .map(|number| {
                let mut client = server.client();
                std::thread::spawn(move || {
                    let path = if number < 2 {
                        "accounts"
                    } else {
                        "plain-accounts"
                    };
                    let statuses = (0..5).map(|id| {
                        let response = client.request("GET", &format!("/{path}/{}", id + 1), None);
                        response.status
                    });
                    statuses.collect::<Vec<u16>>()
                })
            })
            .collect();
        let statuses = asking
            .into_iter()
            .flat_map(|it| it.join().expect("an answer"));
        let statuses: Vec<u16> = statuses.collect();
        lock.commit().expect("the lock is let go");
        statuses
    });
    statuses.sort_unstable();
    statuses.dedup();
    // Ended by the timeout, or refused a place behind those that wait for it.
    assert!(statuses == [504] || statuses == [503, 504], "{statuses:?}");
    tally.expect(&[200], &[201]);
    tally.check_writes(&cluster);
    until("it is back", || server.get("/accounts/1").status == 200);
    assert_eq!(server.get("/plain-accounts/1").status, 200);
    // At once for each route; how often it came again is told later, or at the stop.
    assert_eq!(
        lines(&mut server, "statement failed route="),
        2,
        "{:?}",
        server.log()
    );
    server.signal(crate::support::Signal::TERM);
    let again = server.wait_for_line("failed again");
    assert!(again.contains("57014"), "{again}");
}

#[test]
fn writes_that_lock_each_other_out_are_done_once_or_not_at_all() {
    let (cluster, mut server) = start();
    let ((done, refused), tally) = Load::during(server.address, || {
        let asking: Vec<_> = (0..4)
            .map(|number| {
                let mut client = server.client();
                std::thread::spawn(move || {
                    let (from, to) = if number % 2 == 0 { (1, 2) } else { (2, 1) };
                    let target = format!("/transfers/{from}/{to}");
                    let statuses =
                        (0..15).map(|_| client.request("POST", &target, Some("")).status);
                    let done = statuses.map(|status| match status {
                        200 => (number % 2 == 0, true),
                        409 => (number % 2 == 0, false),
                        _ => panic!("{status}"),
                    });
                    done.collect::<Vec<(bool, bool)>>()
                })
            })
            .collect();
        let outcomes = asking
            .into_iter()
            .flat_map(|it| it.join().expect("an answer"));
        outcomes.partition::<Vec<_>, _>(|(_, done)| *done)
    });
    println!(
        "{} transfers were done, {} refused",
        done.len(),
        refused.len()
    );
    assert!(!done.is_empty() && !refused.is_empty());
    tally.expect(&[200], &[201]);
    // Each that was confirmed was done once, and no other one.
    let there = done.iter().filter(|(there, _)| *there).count();
    let value = done.len() as i64 - 2 * there as i64;
    let values = cluster.sql("select value from accounts where id in (1, 2) order by id");
    assert_eq!(values, format!("{value}\n{}", -value));
    // A conflict is the client's to know, not the log's.
    assert_eq!(lines(&mut server, " ERROR "), 0, "{:?}", server.log());
}

#[test]
fn statements_over_their_timeout_are_ended_alone_with_others_behind_them() {
    let cluster = Cluster::start("", SCHEMA);
    let nap = "\n[[route]]\nname = \"nap\"\nmethod = \"GET\"\npath = \"/naps/{id}\"\nresult = \"scalar\"\n\
               batch = false\nsql = \"select :id::int4 from pg_sleep(:seconds)\"\n\
               params.seconds = { in = \"query\", default = 5.0 }\n";
    let flags = [
        "--connections-per-core",
        "2",
        "--statement-timeout",
        "300ms",
    ];
    let routes = format!("{ROUTES}{nap}");
    let mut server = Server::start(&routes, &cluster.url(), &flags).ready();
    let (naps, tally) = Load::during(server.address, || {
        let mut client = server.client();
        let naps = (0..8).map(|id| {
            std::thread::sleep(Duration::from_millis(50));
            let nap = client.request("GET", &format!("/naps/{id}"), None);
            assert_eq!(nap.status, 504, "{}", nap.text());
            assert_eq!(nap.field("retry-after"), None);
            let short = client.request("GET", &format!("/naps/{id}?seconds=0"), None);
            assert_eq!((short.status, short.text()), (200, &*id.to_string()));
        });
        naps.count()
    });
    // Whoever is behind one on its connection waits, and gets its own answer; for longer than the
    // timeout of a place, none has to.
    tally.expect(&[200], &[201]);
    tally.check_writes(&cluster);
    assert_eq!(naps, 8);
    assert_eq!(
        lines(&mut server, "statement failed route="),
        1,
        "{:?}",
        server.log()
    );
}
