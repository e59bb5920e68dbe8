//! SIGHUP: another routes file in the place of the one that is served, without a request that is lost.

mod support;

#[path = "reload/changes.rs"]
mod changes;
#[path = "reload/faults.rs"]
mod faults;
#[path = "reload/flat.rs"]
mod flat;
#[path = "reload/limits.rs"]
mod limits;
#[path = "reload/load.rs"]
mod load;
#[path = "support/versions.rs"]
mod versions;

use std::path::PathBuf;
use std::sync::Arc;

use support::{Postgres, Server, Signal, TempDir, echo, pinion};

/// What the log says when another API is served.
const TAKEN: &str = "the routes file has been loaded again";
/// What it says when all stays as it was.
const KEPT: &str = "the API stays as it was";

/// A server whose routes file can be written again.
struct Fixture {
    server: Server,
    routes: PathBuf,
    postgres: Arc<Postgres>,
}

/// A server on two cores, if the machine has them.
fn fixture(routes: &str, flags: &[&str]) -> Fixture {
    fixture_over(echo::postgres(), routes, flags)
}

fn fixture_over(postgres: Arc<Postgres>, routes: &str, flags: &[&str]) -> Fixture {
    let url = postgres.url();
    fixture_at(postgres, &url, routes, flags)
}

fn fixture_at(postgres: Arc<Postgres>, url: &str, routes: &str, flags: &[&str]) -> Fixture {
    let directory = TempDir::new();
    let file = directory.file("routes.toml", routes);
    let mut command = pinion(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(["--database-url", url, "--cores", versions::cores()]);
    command.arg("--routes").arg(&file).args(flags);
    Fixture {
        server: versions::ready(Server::run(command, directory)),
        routes: file,
        postgres,
    }
}

impl Fixture {
    /// Writes the routes file, and waits for what comes of a reload.
    fn reload(&mut self, routes: &str, line: &str) -> String {
        std::fs::write(&self.routes, routes).expect("the routes file");
        self.server.forget_log();
        self.server.signal(Signal::HUP);
        self.server.wait_for_line(line)
    }
}
