//! Cores, intervals and hosts become one: histograms are merged, percentiles never.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::dumps::Recorded;
use crate::support::TempDir;
use crate::{printed, report};

fn json<'a>(arguments: impl IntoIterator<Item = &'a Path>) -> Value {
    let arguments = arguments.into_iter().map(Path::as_os_str);
    let text = printed(arguments.chain(["--json".as_ref()]));
    serde_json::from_str(&text).expect("JSON")
}

/// Two cores, three minutes: 990 requests of 1 ms, and 10 of 100 ms of which core 1 has all in the last
/// minute.
fn three_minutes(directory: &Path) {
    let mut recorded = Recorded::start(directory, &[0, 1], &["get_user"]);
    for minute in 1..=3 {
        recorded.core(0, |core| core.totals("get_user", vec![1000; 165]));
        recorded.core(1, |core| core.totals("get_user", vec![1000; 165]));
        if minute == 3 {
            recorded.core(1, |core| core.totals("get_user", vec![100_000; 10]));
        }
        recorded.dump(60 * minute);
    }
}

#[test]
fn percentiles_are_of_all_cores_and_intervals_together() {
    let place = TempDir::new();
    three_minutes(place.path());
    let report = json([place.path()]);
    let route = &report["routes"][0];
    assert_eq!(route["route"], "get_user");
    assert_eq!(route["count"], 1000);
    assert_eq!(route["rate"], 1000.0 / 180.0);
    // The 990th of 1000 is still a fast one; any mean of the dumps' own p99 is not.
    assert_eq!(route["p99_ms"], 1.0);
    assert_eq!(route["p99.9_ms"], 100.031);
    assert_eq!(route["max_ms"], 100.031);
    let points: Vec<u64> = route["over_time"]
        .as_array()
        .expect("points")
        .iter()
        .map(|point| point["count"].as_u64().expect("a count"))
        .collect();
    assert_eq!(points, [330, 330, 340]);
    assert_eq!(route["over_time"][1]["p99_ms"], 1.0);
    assert_eq!(route["over_time"][2]["p99_ms"], 100.031);
    assert_eq!(route["over_time"][2]["from"], "2026-11-22T09:17:00.000Z");
    let set = &report["set"];
    assert_eq!(
        (&set["dumps"], &set["cores"], &set["hosts"]),
        (&3.into(), &2.into(), &1.into())
    );
    assert_eq!(set["covered_seconds"], 180.0);
}

#[test]
fn files_dumps_and_directories_are_mixed_and_nothing_counts_twice() {
    let place = TempDir::new();
    three_minutes(place.path());
    let mut dumps: Vec<_> = fs::read_dir(place.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    dumps.sort();
    let count = |paths: &[&Path]| json(paths.iter().copied())["all"]["count"].clone();
    let log = dumps[0].join("core0.hlog");
    assert_eq!(count(&[&log]), 165);
    assert_eq!(count(&[&dumps[0]]), 330);
    assert_eq!(count(&[&log, &dumps[1]]), 495);
    assert_eq!(count(&[&log, &dumps[0], place.path(), &log]), 1000);
    // A link leads to the same; a draft and hidden files are not looked at.
    std::os::unix::fs::symlink(&log, place.path().join("link.hlog")).expect("a link");
    let draft = place.path().join(".tmp-20261122T091500.000Z-1");
    fs::create_dir(&draft).expect("a directory");
    fs::write(draft.join("core0.hlog"), "half of a").expect("a file");
    assert_eq!(
        count(&[place.path(), &place.path().join("link.hlog")]),
        1000
    );
}

#[test]
fn a_copy_is_refused() {
    let place = TempDir::new();
    three_minutes(&place.path().join("dumps"));
    let mut arguments = vec![place.path().join("dumps")];
    let first = fs::read_dir(&arguments[0]).expect("a directory").next();
    let log = first
        .expect("one")
        .expect("an entry")
        .path()
        .join("core0.hlog");
    let copy = place.path().join("copy.hlog");
    fs::copy(log, &copy).expect("a copy");
    arguments.push(copy);
    let run = report(arguments);
    assert_eq!(run.code, 1);
    assert!(
        run.err
            .contains("copy.hlog is of the same core and time as "),
        "{}",
        run.err
    );
}

#[test]
fn hosts_add_up_and_the_time_that_they_share_counts_once() {
    let place = TempDir::new();
    for host in ["a", "b"] {
        let directory = place.path().join(host);
        let mut recorded = Recorded::start(&directory, &[0], &["get_user"]);
        recorded.core(0, |core| core.totals("get_user", vec![1000; 600]));
        let dump = recorded.dump(60).expect("a dump");
        let log = dump.join("core0.hlog");
        let text = fs::read_to_string(&log).expect("a log");
        let (before, after) = text.split_once(" host ").expect("a host");
        let (_, after) = after.split_once(']').expect("its end");
        fs::write(&log, format!("{before} host web-{host}]{after}")).expect("a file");
    }
    let report = json([place.path()]);
    assert_eq!(report["set"]["hosts"], 2);
    assert_eq!(report["set"]["covered_seconds"], 60.0);
    assert_eq!(report["all"]["rate"], 20.0);
}

#[test]
fn idle_time_counts_for_the_rate_and_time_without_a_server_does_not() {
    let place = TempDir::new();
    let mut recorded = Recorded::start(place.path(), &[0], &["get_user"]);
    assert!(recorded.dump(60).is_none());
    assert!(recorded.dump(120).is_none());
    recorded.core(0, |core| core.totals("get_user", vec![1000; 180]));
    recorded.dump(180);
    // The next process begins an hour later.
    let mut recorded = Recorded::starting(place.path(), &[0], &["get_user"], 3600);
    recorded.core(0, |core| core.totals("get_user", vec![1000; 60]));
    recorded.dump(3660);
    let report = json([place.path()]);
    assert_eq!(report["set"]["covered_seconds"], 240.0);
    assert_eq!(report["all"]["rate"], 1.0);
}

#[test]
fn stages_add_up_to_the_total() {
    let place = TempDir::new();
    let mut recorded = Recorded::start(place.path(), &[0], &["get_user"]);
    recorded.core(0, |core| {
        core.request("get_user", [10, 20, 600, 170]);
        core.request("/health", [5, 0, 0, 15]);
    });
    recorded.dump(60);
    let report = json([place.path()]);
    let [health, user] = [0, 1].map(|index| &report["routes"][index]);
    assert_eq!(health["postgres_share"], 0.0);
    assert_eq!(user["postgres_share"], 0.75);
    assert_eq!(user["stages"]["wait"]["max_ms"], 0.02);
    assert_eq!(health["stages"]["wait"], Value::Null);
    let all = &report["all"]["stages_ms"];
    let parts = ["read", "wait", "postgres", "write"].map(|name| all[name].as_f64().expect("ms"));
    assert_eq!(parts, [0.0075, 0.01, 0.3, 0.0925]);
}
