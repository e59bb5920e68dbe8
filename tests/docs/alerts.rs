//! `docs/alerts.md`: each section under the fault that it is for.

use crate::facts::metrics_named;
use crate::follow::Reader;
use crate::host::{Host, ROUTES};
use crate::support::Signal;
use crate::support::core_thread::StoppedCore;

/// Somebody with a server and the file.
struct Watch {
    host: Host,
    book: Reader,
}

#[test]
fn each_section_shows_what_it_says_under_its_fault() {
    let host = Host::start();
    let [admin, port, pid] = [
        format!("http://{}", host.admin),
        host.server.address.port().to_string(),
        host.server.pid().to_string(),
    ];
    let (routes, dumps) = (host.routes.display(), host.dumps.display());
    let book = Reader::of(
        "docs/alerts.md",
        &[
            ("admin", &admin),
            ("port", &port),
            ("pid", &pid),
            ("routes", &routes.to_string()),
            ("route", "slow"),
            ("database", &host.postgres.url()),
            ("redis", &host.redis.url()),
            ("dumps", &dumps.to_string()),
        ],
    );
    let mut watch = Watch { host, book };
    watch.all_is_well();
    watch.statements_fail();
    watch.requests_pile_up();
    watch.a_table_is_renamed();
    watch.sessions_are_ended();
    watch.postgres_goes_away();
    watch.redis_goes_away();
    watch.a_reload_is_refused();
    watch.a_core_stands_still();
    watch.book.has_followed_all();
    let exposed = watch.host.metrics();
    for (name, file) in metrics_named() {
        let is_told = exposed.lines().any(|line| {
            let rest = line.strip_prefix(&name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        assert!(is_told, "{file}: {name} is not exposed");
    }
}

impl Watch {
    fn follow(&mut self, section: &str, count: usize) {
        self.book.follow(&mut self.host.server, section, count);
    }

    fn follow_all(&mut self, section: &str) {
        self.book.follow_all(&mut self.host.server, section);
    }

    fn all_is_well(&mut self) {
        for number in 1..=20 {
            assert_eq!(self.host.get(&format!("/items/{number}")).status, 200);
        }
        self.follow_all("Looking at a server");
        for section in [
            "PinionDown",
            "PinionRestarting",
            "PinionPanics",
            "PinionCoreBusy",
            "PinionDescriptorsNearLimit",
        ] {
            self.follow_all(section);
        }
        let _client = self.host.ask("/health");
        self.follow_all("PinionConnectionsNearLimit");
    }

    fn statements_fail(&mut self) {
        self.host.answers("/fails", 500);
        self.host.answers("/late", 504);
        self.follow("PinionErrors", 2);
        let _running = self.host.ask("/slow/50");
        self.follow("PinionErrors", 1);
    }

    fn requests_pile_up(&mut self) {
        self.host.answers("/slow/0.1", 200);
        self.follow_all("PinionSlow");
        let _running = [self.host.ask("/slow/50"), self.host.ask("/slow/50")];
        self.follow_all("PinionInFlightNearLimit");
        self.host.answers("/slow/50", 503);
        self.follow_all("PinionShedding");
    }

    fn a_table_is_renamed(&mut self) {
        self.host.postgres.sql("alter table items rename to things");
        self.host.answers("/items/1", 503);
        self.follow("PinionRoutesBroken", 3);
        self.host.postgres.sql("alter table things rename to items");
        self.follow("PinionRoutesBroken", 1);
        self.host.answers("/items/1", 200);
    }

    fn sessions_are_ended(&mut self) {
        self.host.postgres.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pinion'",
        );
        self.host
            .has_counted("pinion_postgres_connections_lost_total");
        self.follow_all("PinionPostgresUnsteady");
    }

    fn postgres_goes_away(&mut self) {
        self.host.answers("/items/1", 200);
        self.host.server.forget_log();
        self.host.postgres.stop();
        self.host.answers("/items/1", 503);
        self.follow("PinionPostgresAway", 2);
        self.follow("PinionNotReady", 1);
        self.host.postgres.start_again();
        self.follow_all("PinionPostgresAway");
        self.follow_all("PinionNotReady");
    }

    fn redis_goes_away(&mut self) {
        self.host.redis.freeze();
        assert_eq!(self.host.get("/limited").status, 200, "it is let pass");
        self.host.redis.kill();
        assert_eq!(self.host.get("/limited").status, 200, "it is let pass");
        self.host
            .has_counted("pinion_rate_limit_store_failures_total");
        self.follow("PinionRateLimitStoreFails", 2);
        self.host.redis.launch();
        self.follow_all("PinionRateLimitStoreFails");
    }

    fn a_reload_is_refused(&mut self) {
        let wrong = ROUTES.replace("from items", "from thimgs");
        std::fs::write(&self.host.routes, wrong).expect("the routes file");
        self.host.server.signal(Signal::HUP);
        self.follow("PinionReloadRefused", 2);
        std::fs::write(&self.host.routes, ROUTES).expect("the routes file");
        self.follow("PinionReloadRefused", 1);
        // What `systemctl reload` sends.
        self.host.server.signal(Signal::HUP);
        self.follow_all("PinionReloadRefused");
    }

    fn a_core_stands_still(&mut self) {
        let stopped = StoppedCore::stop(self.host.server.pid());
        self.follow("PinionCoreStuck", 2);
        drop(stopped);
        self.follow_all("PinionCoreStuck");
    }
}
