//! `docs/upgrade.md`, and how the report is read.

use crate::follow::Reader;
use crate::host::Host;

#[test]
fn a_reload_and_an_upgrade_go_as_they_are_written() {
    let mut host = Host::start();
    let mut book = Reader::of(
        "docs/upgrade.md",
        &[
            ("pid", &host.server.pid().to_string()),
            ("routes", &host.routes.display().to_string()),
            ("database", &host.postgres.url()),
        ],
    );
    book.follow_all(&mut host.server, "Reload");
    book.follow_all(&mut host.server, "Upgrade");
    book.has_followed_all();
    assert_eq!(host.get("/items/1").status, 200);
}

#[test]
fn a_report_is_read_and_a_deploy_is_gated() {
    let mut host = Host::start();
    let section = "Reading the p99 report";
    let mut book = Reader::of_section(
        "docs/operations.md",
        section,
        &[
            ("admin", &format!("http://{}", host.admin)),
            ("pid", &host.server.pid().to_string()),
            ("url", &format!("http://{}/items/1", host.server.address)),
            ("route", "get_item"),
            ("dumps", &host.dumps.display().to_string()),
        ],
    );
    assert_eq!(host.get("/items/1").status, 200);
    book.follow_all(&mut host.server, section);
    book.has_followed_all();
}
