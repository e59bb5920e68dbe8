//! What a reload takes it gives back.

use std::sync::Arc;
use std::time::Duration;

use crate::support::process::{descriptors, resident_kib};
use crate::support::{Postgres, wait_until};
use crate::{Fixture, TAKEN, fixture_over, versions};

/// Connections of others than the one that asks.
const BACKENDS: &str = "select count(*) from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()";

#[test]
fn after_fifty_reloads_all_is_as_it_was() {
    let postgres = Arc::new(Postgres::start(""));
    let mut fixture = fixture_over(postgres, &versions::routes(0), &[]);
    let pid = fixture.server.pid();
    let count = |fixture: &Fixture| (descriptors(pid), fixture.postgres.sql(BACKENDS));
    // The first ones fill caches.
    for version in 1..=5 {
        fixture.reload(&versions::routes(version), TAKEN);
    }
    let mut settled = count(&fixture);
    wait_until("what was opened once more is closed", || {
        let before = std::mem::replace(&mut settled, count(&fixture));
        std::thread::sleep(Duration::from_millis(200));
        before == settled
    });
    let before = resident_kib(pid);
    for version in 6..=55 {
        fixture.reload(&versions::routes(version), TAKEN);
    }
    wait_until("descriptors and connections are those of before", || {
        count(&fixture) == settled
    });
    let after = resident_kib(pid);
    println!("{settled:?}, {before} KiB, then {after} KiB");
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
}
