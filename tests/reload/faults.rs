//! A reload that can't be keeps what is served, and says why.

use std::sync::Arc;

use crate::support::process::Frozen;
use crate::support::{Postgres, Signal, wait_until};
use crate::{Fixture, KEPT, TAKEN, fixture, fixture_at, fixture_over, versions};

fn is_served(fixture: &Fixture, version: u64) {
    let answer = fixture.server.get("/items/7");
    assert_eq!(answer.text(), format!("{{\"id\":7,\"version\":{version}}}"));
    let route = format!("/versions/{version}");
    assert_eq!(fixture.server.get(&route).status, 200);
}

#[test]
fn faults_of_the_file_are_all_told_with_their_place() {
    let mut fixture = fixture(&versions::routes(1), &[]);
    let good = versions::routes(2);
    let cases = [
        ("[[route]\n".to_owned(), vec!["routes.toml:1:"]),
        (
            good.replace("result = \"one\"", "result = \"two\""),
            vec!["routes.toml:6:10", "routes.toml:13:10"],
        ),
        // Only Postgres knows that.
        (
            good.replace("select :id", "select nothing, :id")
                .replace("select 2 as", "selekt 2 as"),
            vec!["routes.toml:7:15", "routes.toml:14:8"],
        ),
        (
            format!("[rate_limit.x]\nrequests = 1\nper = \"1s\"\nstore = \"redis\"\n{good}"),
            vec!["--redis-url"],
        ),
    ];
    for (text, places) in cases {
        fixture.reload(&text, KEPT);
        for place in places {
            fixture.server.wait_for_line(place);
        }
        is_served(&fixture, 1);
    }
    std::fs::remove_file(&fixture.routes).expect("the routes file");
    fixture.server.forget_log();
    fixture.server.signal(Signal::HUP);
    fixture.server.wait_for_line("can't read the routes file");
    is_served(&fixture, 1);
    fixture.reload(&good, TAKEN);
    wait_until("both cores have it", || {
        (0..10).all(|_| fixture.server.get("/versions/2").status == 200)
    });
    is_served(&fixture, 2);
}

#[test]
fn without_postgres_all_stays_as_it_was() {
    let mut fixture = fixture_over(Postgres::start("").into(), &versions::routes(1), &[]);
    let postgres = Arc::get_mut(&mut fixture.postgres).expect("nobody else has it");
    postgres.stop();
    let line = fixture.reload(&versions::routes(2), KEPT);
    assert!(line.contains("no connection to Postgres"), "{line}");
    assert_eq!(fixture.server.get("/versions/2").status, 404);
    let postgres = Arc::get_mut(&mut fixture.postgres).expect("nobody else has it");
    postgres.start_again();
    wait_until("it has connected again", || {
        (0..20).all(|_| fixture.server.get("/ready").status == 200)
    });
    is_served(&fixture, 1);
    fixture.reload(&versions::routes(2), TAKEN);
}

#[test]
fn where_postgres_has_no_room_for_a_second_one_the_first_stays() {
    // Each core has a connection of either lane, and one more is for the check.
    let most = 2 * versions::cores().split(',').count() + 1;
    let schema = format!("create role little login connection limit {most}");
    let postgres = Arc::new(Postgres::start(&schema));
    let user = postgres.sql("select current_user");
    let url = postgres.url().replacen(&format!("{user}@"), "little@", 1);
    let flags = ["--connections-per-core", "1"];
    let mut fixture = fixture_at(postgres, &url, &versions::routes(1), &flags);
    let line = fixture.reload(&versions::routes(2), KEPT);
    assert!(line.contains("too many connections for role"), "{line}");
    is_served(&fixture, 1);
    fixture
        .postgres
        .sql("alter role little connection limit -1");
    fixture.reload(&versions::routes(2), TAKEN);
}

#[test]
fn a_stop_does_not_wait_for_a_reload() {
    let postgres = Arc::new(Postgres::start(""));
    let mut fixture = fixture_over(postgres, &versions::routes(1), &[]);
    let frozen = Frozen::freeze(vec![fixture.postgres.server_pid()]);
    fixture.server.forget_log();
    fixture.server.signal(Signal::HUP);
    fixture.server.wait_for_line("SIGHUP");
    fixture.server.signal(Signal::TERM);
    fixture.server.wait_for_line("stopped");
    let Fixture {
        server, postgres, ..
    } = fixture;
    assert_eq!(server.exit().code(), Some(0));
    drop(frozen);
    drop(postgres);
}
