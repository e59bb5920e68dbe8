//! The protocol, section by section: raw bytes over a socket to the real binary, and what comes back.
//!
//! `framing.rs` is the table for RFC 9112, `semantics.rs` for RFC 9110, `texts.rs` for RFC 3986 and RFC
//! 8259, `limits.rs` for each limit at its value and one over; `elsewhere.rs` lists what binds others.
//! `table.rs` says how a row is written. `exchange.rs` sends every row in every way of [`WAYS`], all rows
//! at once, and checks of each response what holds for all of them. `order.rs` and `values.rs` are about
//! what takes more than one exchange, and what a value must never do to Postgres.

mod support;

#[path = "protocol/elsewhere.rs"]
mod elsewhere;
#[path = "protocol/exchange.rs"]
mod exchange;
#[path = "protocol/framing.rs"]
mod framing;
#[path = "protocol/limits.rs"]
mod limits;
#[path = "protocol/order.rs"]
mod order;
#[path = "protocol/semantics.rs"]
mod semantics;
#[path = "protocol/table.rs"]
mod table;
#[path = "protocol/texts.rs"]
mod texts;
#[path = "protocol/values.rs"]
mod values;

use std::sync::{Arc, Weak};

use exchange::WAYS;
use support::{Postgres, Server, Shared};

/// What a request must not reach that stands behind a fault of framing.
const SCHEMA: &str = "create table hits (tag text not null);
    create table notes (id int8 primary key, note text not null);
    insert into notes values (1, 'first');";

const ROUTES: &str = r#"
[lane.slow]
connections = 2

[[route]]
name = "echo"
method = "GET"
path = "/echo/{text}"
result = "one"
sql = "select :text::text as text, :query::text as query, :header::text as header"
[route.params]
query = { in = "query", nullable = true }
header = { in = "header", name = "X-Value", nullable = true }

[[route]]
name = "post_echo"
method = "POST"
path = "/echo"
result = "one"
sql = "select :text::text as text"
[route.params]
text = { in = "body" }

[[route]]
name = "document"
method = "POST"
path = "/document"
result = "scalar"
sql = "select :document::jsonb"
[route.params]
document = { in = "body", whole = true }

[[route]]
name = "hit"
method = "POST"
path = "/hit/{tag}"
result = "exec"
sql = "insert into hits select :tag"

[[route]]
name = "hits"
method = "GET"
path = "/hits/{tag}"
result = "scalar"
sql = "select count(*) from hits where tag = :tag"

[[route]]
name = "slow_hit"
method = "POST"
path = "/slow/hit/{tag}"
result = "exec"
lane = "slow"
sql = "insert into hits select :tag from pg_sleep(0.3)"

[[route]]
name = "slow"
method = "GET"
path = "/slow/{seconds}"
result = "scalar"
lane = "slow"
sql = "select 'slept' from pg_sleep(:seconds)"

[[route]]
name = "get_note"
method = "GET"
path = "/notes/{id}"
result = "one"
sql = "select note from notes where id = :id"

[[route]]
name = "put_note"
method = "PUT"
path = "/notes/{id}"
result = "exec"
sql = "update notes set note = :note where id = :id"
[route.params]
note = { in = "body" }

[[route]]
name = "created"
method = "PATCH"
path = "/notes/{id}"
result = "one"
status = 201
sql = "select note from notes where id = :id"
"#;

/// A server over these routes with room for 200 bytes of body, and the Postgres that it needs. Time is no
/// part of the table: a loaded machine may take long over the bytes of a head.
fn server() -> (Server, Arc<Postgres>) {
    static SHARED: Shared = Shared::new(Weak::new());
    let postgres = Postgres::shared(&SHARED, || Postgres::start(SCHEMA));
    let flags = [
        ["--max-body-bytes", "200"],
        ["--header-timeout", "120s"],
        ["--body-timeout", "120s"],
        ["--statement-timeout", "60s"],
    ];
    let server = Server::start(ROUTES, &postgres.url(), flags.as_flattened()).ready();
    (server, postgres)
}

#[test]
fn every_row_in_every_way() {
    let (mut server, postgres) = server();
    let rows = [
        framing::rows(),
        semantics::rows(),
        texts::rows(),
        limits::rows(),
    ]
    .concat();
    assert!(rows.len() > 300, "{} rows", rows.len());
    let mut faults = Vec::new();
    for way in WAYS {
        faults.extend(exchange::run(&server, &rows, *way));
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert_eq!(
        postgres.sql("select count(*) from hits where tag = 'smuggled'"),
        "0"
    );
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
    assert_eq!(server.get("/health").status, 200);
}

/// A row that no fault could break would be no test: none is there twice, and each says its section.
#[test]
fn the_table_is_in_order() {
    let rows = [
        framing::rows(),
        semantics::rows(),
        texts::rows(),
        limits::rows(),
    ]
    .concat();
    for (index, row) in rows.iter().enumerate() {
        let section = row.section.split_once(" §");
        let known = |rfc| ["9110", "9112", "3986", "8259", "6585", "9113"].contains(&rfc);
        assert!(
            section.is_some_and(|(rfc, _)| known(rfc)),
            "{}",
            row.section
        );
        let twice = rows[..index].iter().find(|other| other.sent == row.sent);
        assert!(twice.is_none(), "twice: {row:?}");
    }
    for (section, reason) in elsewhere::SECTIONS {
        assert!(section.contains(" §") && !reason.is_empty(), "{section}");
    }
}
