//! What changes with a reload, and when.

use crate::support::{Signal, wait_until};
use crate::{KEPT, TAKEN, fixture, versions};

#[test]
fn what_is_in_flight_ends_under_the_old_and_what_comes_next_is_of_the_new() {
    let mut fixture = fixture(&versions::routes(1), &[]);
    let mut open = fixture.server.client();
    let version = |number: u64| format!("{{\"id\":7,\"version\":{number}}}");
    assert_eq!(open.request("GET", "/items/7", None).text(), version(1));
    let mut slow = fixture.server.client();
    slow.send("GET /slow/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    wait_until("it is in flight", || fixture.postgres.sql(sleeps) == "1");
    fixture.reload(&versions::routes(2), TAKEN);
    wait_until("both cores have it", || {
        (0..10).all(|_| fixture.server.get("/items/7").text() == version(2))
    });
    assert_eq!(open.request("GET", "/items/7", None).text(), version(2));
    assert_eq!(open.request("GET", "/versions/2", None).status, 200);
    assert_eq!(open.request("GET", "/versions/1", None).status, 404);
    assert_eq!(fixture.postgres.sql(sleeps), "1", "it is in flight still");
    let answer = slow.response();
    assert_eq!((answer.status, answer.text()), (200, "{\"version\":1}"));
    assert_eq!(
        slow.request("GET", "/slow/0", None).text(),
        "{\"version\":2}"
    );
}

#[test]
fn guards_come_with_their_routes() {
    let mut fixture = fixture(&versions::routes(1), &[]);
    let ask = "GET /items/7 HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\n\r\n";
    let mut open = fixture.server.client();
    open.send(ask);
    let field = "access-control-allow-origin";
    assert_eq!(open.response().field(field), None);
    let directory = fixture.routes.parent().expect("a directory");
    // printf %s second | sha256sum
    let hash = "16367aacb67a4a017c8da8ab95682ccb390863780f7114dda0a0e0c55644c7c4";
    let keys = directory.join("api-keys");
    std::fs::write(&keys, format!("till:{hash}\n")).expect("a file");
    let tables = format!(
        "[cors]\nallow_origins = [\"https://shop.example\"]\n[auth.api_key]\nhashes_file = \"{}\"\n",
        keys.display()
    );
    let routes = versions::routes(2).replace(
        "path = \"/versions",
        "auth = \"api_key\"\npath = \"/versions",
    );
    fixture.reload(&format!("{tables}{routes}"), TAKEN);
    wait_until("its core has it", || {
        open.send(ask);
        open.response().field(field) == Some("https://shop.example")
    });
    assert_eq!(open.request("GET", "/versions/2", None).status, 401);
    open.send("GET /versions/2 HTTP/1.1\r\nHost: a\r\nX-API-Key: second\r\n\r\n");
    assert_eq!(open.response().status, 200);
}

#[test]
fn many_signals_at_once_are_few_reloads() {
    let mut fixture = fixture(&versions::routes(1), &[]);
    std::fs::write(&fixture.routes, versions::routes(2)).expect("the routes file");
    fixture.server.forget_log();
    for _ in 0..50 {
        fixture.server.signal(Signal::HUP);
    }
    fixture.server.wait_for_line(TAKEN);
    std::fs::write(&fixture.routes, "nonsense").expect("the routes file");
    fixture.server.signal(Signal::HUP);
    fixture.server.wait_for_line(KEPT);
    let log = fixture.server.log();
    let taken = log.iter().filter(|line| line.contains(TAKEN)).count();
    println!("{taken} reloads");
    assert!(taken < 25, "{taken}");
    assert_eq!(fixture.server.get("/versions/2").status, 200);
}
