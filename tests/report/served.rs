//! From requests that are counted to a report, by a real server: nothing is lost and nothing invented.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::printed;
use crate::support::{Server, Signal, TempDir, echo, wait_until};

fn dumps(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_dump = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(pinion::metrics::dump::is_dump_name)
    };
    let mut dumps: Vec<PathBuf> = paths.filter(is_dump).collect();
    dumps.sort();
    dumps
}

fn json(dumps: &Path) -> Value {
    let text = printed([dumps.as_os_str(), "--json".as_ref()]);
    serde_json::from_str(&text).expect("JSON")
}

fn route<'a>(report: &'a Value, name: &str) -> &'a Value {
    let routes = report["routes"].as_array().expect("routes");
    let route = routes.iter().find(|route| route["route"] == name);
    route.unwrap_or_else(|| panic!("{name} is not in {report:#}"))
}

/// Asks on connections of their own, so that both cores have some.
fn ask(server: &Server, echoes: usize, healths: usize, lost: usize) {
    for (count, target, status) in [
        (echoes, "/echo/x", 200),
        (healths, "/health", 200),
        (lost, "/lost", 404),
    ] {
        for _ in 0..count {
            assert_eq!(server.get(target).status, status);
        }
    }
}

#[test]
fn each_request_is_in_one_dump() {
    let place = TempDir::new();
    let directory = place.path().join("histograms");
    let postgres = echo::postgres();
    let flags = [
        "--histogram-dir",
        directory.to_str().expect("UTF-8"),
        "--histogram-interval",
        "0s",
        "--cores",
        "0,1",
    ];
    let server = Server::start(echo::ROUTES, &postgres.url(), &flags);
    // Each core gets ready by itself, and either may answer.
    wait_until("both cores", || {
        (0..30).all(|_| server.get("/ready").status == 200)
    });
    ask(&server, 150, 60, 20);
    assert_eq!(server.get("/slow/0.05").status, 200);
    assert_eq!(
        dumps(&directory),
        Vec::<PathBuf>::new(),
        "none is made unasked"
    );
    server.signal(Signal::USR1);
    wait_until("a dump", || dumps(&directory).len() == 1);
    let first = json(&dumps(&directory)[0]);
    for (name, count) in [
        ("echo", 150),
        ("/health", 60),
        ("(unmatched)", 20),
        ("slow", 1),
    ] {
        assert_eq!(route(&first, name)["count"], count, "{name}");
    }
    assert_eq!(first["set"]["cores"], 2);
    // Where the time went.
    let slow = route(&first, "slow");
    assert!(
        slow["stages"]["postgres"]["p50_ms"].as_f64() >= Some(50.0),
        "{slow:#}"
    );
    assert!(slow["postgres_share"].as_f64() > Some(0.5), "{slow:#}");
    assert_eq!(route(&first, "/health")["stages"]["postgres"], Value::Null);
    // What comes after it is in the next one, which the stop makes.
    ask(&server, 33, 7, 0);
    server.signal(Signal::TERM);
    assert!(server.exit().success());
    let made = dumps(&directory);
    assert_eq!(made.len(), 2);
    let second = json(&made[1]);
    assert_eq!(route(&second, "echo")["count"], 33);
    let both = json(&directory);
    assert_eq!(route(&both, "echo")["count"], 183);
    assert_eq!(route(&both, "/health")["count"], 67);
    assert_eq!(both["set"]["dumps"], 2);
    let names = [
        "core0.hlog",
        "core1.hlog",
        "echo.hgrm",
        "+health.hgrm",
        "+unmatched+.hgrm",
    ];
    for name in names {
        assert!(made[0].join(name).is_file(), "{name}");
    }
}

#[test]
fn dumps_are_made_at_each_interval_and_the_oldest_go() {
    let place = TempDir::new();
    let directory = place.path().join("histograms");
    let postgres = echo::postgres();
    let flags = [
        "--histogram-dir",
        directory.to_str().expect("UTF-8"),
        "--histogram-interval",
        "1s",
        "--histogram-keep",
        "2",
    ];
    let server = Server::start(echo::ROUTES, &postgres.url(), &flags).ready();
    let mut seen = Vec::new();
    wait_until("four dumps", || {
        ask(&server, 1, 0, 0);
        let now = dumps(&directory);
        // Between the new one's name and the old one's end there are three.
        assert!(now.len() <= 3, "{now:?}");
        seen.extend(now);
        seen.sort();
        seen.dedup();
        seen.len() >= 4
    });
    server.signal(Signal::TERM);
    assert!(server.exit().success());
    let last = dumps(&directory);
    assert_eq!(last.len(), 2, "{last:?}");
    assert!(
        last.iter().all(|dump| dump >= &seen[seen.len() - 2]),
        "{last:?} of {seen:?}"
    );
}

#[test]
fn a_directory_that_can_not_be_had_ends_the_start() {
    let place = TempDir::new();
    let file = place.file("file", "");
    let directory = file.join("histograms");
    let mut command = crate::support::pinion(&["serve", "--routes"]);
    command.arg(place.routes(echo::ROUTES));
    command.args([
        "--database-url",
        "postgres://nobody@127.0.0.1:1/none",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.arg("--histogram-dir").arg(&directory);
    let (code, _, err) = crate::support::ended(command);
    assert_eq!(code, Some(1), "{err}");
    let said = format!("--histogram-dir: can't make {}: ", directory.display());
    assert!(err.contains(&said), "{err}");
}
