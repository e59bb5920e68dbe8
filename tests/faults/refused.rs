//! A Postgres that takes no more sessions: there are too many, the password was changed, the user may not
//! log in, the database has another name.

use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use crate::fixture::{lines, until};
use crate::support::Server;
use crate::support::cluster::Cluster;
use crate::support::load::{Load, ROUTES, SCHEMA};

const USER: &str = "
create role pinion login password 'one';
grant all on all tables in schema public to pinion;
";

fn cluster(settings: &str) -> Cluster {
    let cluster = Cluster::start(settings, SCHEMA);
    cluster.sql(USER);
    cluster.sql("create database other");
    cluster
}

fn url(cluster: &Cluster) -> String {
    cluster.url().replace("postgres@", "pinion:one@")
}

/// Takes every place that is left.
fn take_all(cluster: &Cluster, taken: &mut Vec<Client>) {
    while let Ok(client) = Client::connect(&cluster.url().replace("postgres@", "pinion@"), NoTls) {
        taken.push(client);
    }
}

#[test]
fn a_full_postgres_is_waited_for_and_told_of_once() {
    let cluster = cluster("max_connections = 14\nsuperuser_reserved_connections = 3\n");
    let mut taken = Vec::new();
    take_all(&cluster, &mut taken);
    // At the start: it serves what it can.
    let mut server = Server::start(ROUTES, &url(&cluster), &[]);
    until("the reason", || {
        server.get("/ready").text().contains("53300")
    });
    for _ in 0..20 {
        let refused = server.get("/items/1");
        assert_eq!(
            (refused.status, refused.field("retry-after")),
            (503, Some("1"))
        );
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        lines(&mut server, "no connection to Postgres"),
        1,
        "{:?}",
        server.log()
    );
    taken.clear();
    let mut server = server.ready();
    until("all four", || cluster.backends("pinion").len() == 4);
    server.wait_for_line("connected to Postgres again");

    // On the way back: the ones that are left serve.
    let before = server.log().len();
    let (back, tally) = Load::during(server.address, || {
        until("places are taken from it", || {
            take_all(&cluster, &mut taken);
            if cluster.backends("pinion").len() > 2 {
                cluster.terminate("pinion", "1");
            }
            take_all(&cluster, &mut taken);
            cluster.backends("pinion").len() <= 2
        });
        std::thread::sleep(Duration::from_secs(1));
        taken.clear();
        let back = Instant::now();
        until("all four", || cluster.backends("pinion").len() == 4);
        back
    });
    tally.expect(&[200], &[201, 503]);
    tally.check_writes(&cluster);
    tally.check_recovery(back);
    let told = server.log()[before..]
        .iter()
        .filter(|line| line.contains("53300"));
    // "Too many", and "the last ones are reserved".
    assert!((1..=2).contains(&told.count()), "{:?}", server.log());
}

#[test]
fn new_sessions_that_are_refused_are_tried_again_until_they_are_let_in() {
    let cluster = cluster("");
    cluster.admit("local all postgres trust\nlocal all pinion scram-sha-256\n");
    cluster.reload();
    let mut server = Server::start(ROUTES, &url(&cluster), &[]).ready();
    let refusals = [
        (
            "alter role pinion password 'two'",
            "alter role pinion password 'one'",
            "28P01",
        ),
        (
            "alter role pinion nologin",
            "alter role pinion login",
            "28000",
        ),
        (
            "alter role pinion rename to other",
            "alter role other rename to pinion; alter role pinion password 'one'",
            "28P01",
        ),
        (
            "alter database postgres rename to renamed",
            "alter database renamed rename to postgres",
            "3D000",
        ),
    ];
    for (change, mend, state) in refusals {
        let renames = change.contains("database");
        let load = Load::start(server.address);
        std::thread::sleep(Duration::from_millis(200));
        let before = server.log().len();
        if !renames {
            cluster.sql(change);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(
                server.log().len(),
                before,
                "sessions go on: {:?}",
                server.log()
            );
        }
        let elsewhere = cluster.url().replace("/postgres?", "/other?");
        let mut elsewhere = Client::connect(&elsewhere, NoTls).expect("a session");
        let mut run = |sql: &str| elsewhere.batch_execute(sql);
        let end_all =
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'postgres'";
        if renames {
            // No new session is faster than that.
            run("alter database postgres allow_connections false").expect("it is closed");
            until("nobody uses it", || {
                run(end_all).expect("they are ended");
                run(change).is_ok()
            });
            run("alter database renamed allow_connections true").expect("it is open");
        }
        until("it is refused", || {
            run(end_all).expect("they are ended");
            std::thread::sleep(Duration::from_millis(100));
            let ready = server.get("/ready");
            ready.status == 503 && ready.text().contains(state)
        });
        std::thread::sleep(Duration::from_millis(1500));
        let refused = server.get("/items/1");
        assert_eq!(
            (refused.status, refused.field("retry-after")),
            (503, Some("1"))
        );
        run(mend).expect("it is put right");
        let back = Instant::now();
        until("ready", || server.get("/ready").status == 200);
        std::thread::sleep(Duration::from_millis(300));
        let tally = load.stop();
        tally.expect(&[200, 503], &[201, 503]);
        tally.check_writes(&cluster);
        tally.check_recovery(back);
        let told = server.log()[before..]
            .iter()
            .filter(|line| line.contains(state));
        // Once while there are others, and once more when the last one has gone.
        let told = told.count();
        assert!((1..=2).contains(&told), "{told}: {:?}", server.log());
        until("all four", || cluster.backends("pinion").len() == 4);
    }
}
