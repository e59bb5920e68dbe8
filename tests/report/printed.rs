//! The table, CSV and JSON.

use std::path::Path;

use crate::dumps::{Dice, Recorded};
use crate::support::TempDir;
use crate::{printed, report};

/// 100 requests of 1 to 100 ms of one route in 50 s, and one of `/health`.
fn hundred(directory: &Path, times: u64) {
    let mut recorded = Recorded::start(directory, &[0], &["get_user"]);
    recorded.core(0, |core| {
        core.totals("get_user", (1..=100).map(|millis| millis * 1000 * times));
        core.request("/health", [10, 0, 0, 10]);
    });
    recorded.dump(50);
}

#[test]
fn the_table_has_a_line_for_each_route_and_one_for_all() {
    let place = TempDir::new();
    hundred(place.path(), 1);
    let expected = "\
2026-11-22 09:15:00 to 2026-11-22 09:15:50 UTC, 50s of it covered by 1 dump of 1 core on 1 host

route       count  rate/s    mean     p50     p90     p99    p99.9   p99.99      max  postgres
/health         1     0.0   0.020   0.020   0.020   0.020    0.020    0.020    0.020     0.0 %
get_user      100     2.0  50.504  50.015  90.047  99.007  100.031  100.031  100.031   100.0 %
all routes    101     2.0  50.004  50.015  90.047  99.007  100.031  100.031  100.031   100.0 %

Times in milliseconds, to three digits.
";
    // The means are of the middles of the buckets.
    assert_eq!(printed([place.path()]), expected);
}

#[test]
fn what_took_longer_than_a_minute_is_said_to_stand_for_more() {
    let place = TempDir::new();
    let mut recorded = Recorded::start(place.path(), &[0], &["get_user"]);
    recorded.core(0, |core| core.totals("get_user", [59_000_000]));
    recorded.dump(60);
    assert!(!printed([place.path()]).contains("60 s stand for"));
    recorded.core(0, |core| core.totals("get_user", [90_000_000]));
    recorded.dump(120);
    assert!(printed([place.path()]).contains("60 s stand for whatever took longer."));
}

#[test]
fn csv_has_the_same_figures() {
    let place = TempDir::new();
    hundred(place.path(), 1);
    let text = printed([
        place.path().as_os_str(),
        "--csv".as_ref(),
        "--route".as_ref(),
        "get_user".as_ref(),
    ]);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let heads =
        "route,count,rate,mean_ms,p50_ms,p90_ms,p99_ms,p99.9_ms,p99.99_ms,max_ms,postgres_share";
    assert_eq!(lines[0].join(","), heads);
    assert_eq!(lines[1][..3], ["get_user", "100", "2.000"]);
    assert_eq!(
        lines[1][4..10],
        [
            "50.015", "90.047", "99.007", "100.031", "100.031", "100.031"
        ]
    );
    // Of the routes that were asked for.
    assert_eq!(lines[2][..3], ["all routes", "100", "2.000"]);
    assert_eq!(lines.len(), 3);
}

#[test]
fn two_sets_are_compared() {
    let place = TempDir::new();
    let [now, before] = ["now", "before"].map(|name| place.path().join(name));
    hundred(&now, 3);
    hundred(&before, 1);
    let mut recorded = Recorded::starting(&before, &[0], &["old"], 50);
    recorded.core(0, |core| core.totals("old", [2000]));
    recorded.dump(100);
    let arguments = [now.as_os_str(), "--against".as_ref(), before.as_os_str()];
    let text = printed(arguments);
    let ratios = "0.0 ×2.00   0.020 ×1.00   0.020 ×1.00   0.020 ×1.00   0.020 ×1.00    0.020 ×1.00    0.020 ×1.00    0.020 ×1.00";
    assert!(text.contains(ratios), "{text}");
    assert!(text.contains(" 50.015 ×3.00 "), "{text}");
    let json = printed(arguments.into_iter().chain(["--json".as_ref()]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let [user, old] = [1, 2].map(|index| &json["routes"][index]);
    assert_eq!(user["against"]["p50_ms"], 50.015);
    assert!((user["ratio"]["p50"].as_f64().expect("a ratio") - 3.0).abs() < 0.01);
    // A route that only the other set has.
    assert_eq!((&old["route"], &old["count"]), (&"old".into(), &0.into()));
    assert_eq!(
        (&old["ratio"]["p50"], &old["p50_ms"]),
        (&().into(), &().into())
    );
    let csv = printed(arguments.into_iter().chain(["--csv".as_ref()]));
    let columns = |line: &str| line.split(',').count();
    assert!(
        csv.lines().all(|line| columns(line) == 11 + 10 + 8),
        "{csv}"
    );
}

#[test]
fn usage_faults_and_routes_that_are_not_there() {
    let place = TempDir::new();
    hundred(place.path(), 1);
    let run = |more: &[&str]| {
        let arguments = [place.path().as_os_str()].into_iter();
        report(arguments.chain(more.iter().map(AsRef::as_ref)))
    };
    assert_eq!(report::<&str>([]).code, 2);
    assert_eq!(run(&["--json", "--csv"]).code, 2);
    for wrong in ["5", "x=", "=5ms", "0ms", "get_user=5"] {
        assert_eq!(run(&["--p99", wrong]).code, 2, "{wrong}");
    }
    let unknown = run(&["--route", "get_usr"]);
    assert_eq!(unknown.code, 1);
    assert_eq!(
        unknown.err,
        "error: no request of the route get_usr in the dumps\n"
    );
    let absent = report(["/nowhere"]);
    assert_eq!(absent.code, 1);
    assert!(
        absent.err.starts_with("error: can't read /nowhere: "),
        "{}",
        absent.err
    );
    let empty = TempDir::new();
    let run = report([empty.path()]);
    assert_eq!(run.code, 1);
    assert!(
        run.err.ends_with(": no .hlog file is in it\n"),
        "{}",
        run.err
    );
    let run = report(["/dev/zero"]);
    assert_eq!(
        (run.code, run.err.as_str()),
        (1, "error: /dev/zero: neither a file nor a directory\n")
    );
    let html = format!("--html={}/none/page.html", empty.path().display());
    let run = report([place.path().as_os_str(), html.as_ref()]);
    assert_eq!(run.code, 1);
    assert!(run.err.starts_with("error: can't write "), "{}", run.err);
}

#[test]
fn dumps_without_any_request_make_an_empty_table() {
    let place = TempDir::new();
    let mut recorded = Recorded::start(place.path(), &[0, 1], &["get_user"]);
    recorded.core(0, |core| core.totals("get_user", [1000]));
    let dump = recorded.dump(60).expect("a dump");
    let text = printed([dump.join("core1.hlog")]);
    let last = text.lines().nth(3).expect("a line");
    let cells: Vec<&str> = last.split_whitespace().collect();
    assert_eq!(cells[..4], ["all", "routes", "0", "0.0"]);
    assert!(cells[4..].iter().all(|cell| *cell == "–"), "{text}");
}

#[test]
fn percentiles_are_those_of_the_sorted_values() {
    let place = TempDir::new();
    let mut dice = Dice(3);
    let mut values: Vec<u64> = (0..777)
        .map(|_| dice.micros(40_000.0).min(50_000_000))
        .collect();
    let mut recorded = Recorded::start(place.path(), &[0], &["get_user"]);
    let (all, mut first) = (values.clone(), true);
    for part in all.chunks(200) {
        recorded.core(0, |core| core.totals("get_user", part.iter().copied()));
        if std::mem::take(&mut first) {
            recorded.dump(30);
        }
    }
    recorded.dump(60);
    values.sort_unstable();
    let json = printed([place.path().as_os_str(), "--json".as_ref()]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    for (name, rank) in [
        ("p50", 389),
        ("p90", 700),
        ("p99", 770),
        ("p99.9", 777),
        ("p99.99", 777),
    ] {
        let shown = json["all"][format!("{name}_ms")].as_f64().expect("ms");
        let exact = values[rank - 1] as f64 / 1000.0;
        // The end of the bucket that the value is in.
        let is_so = shown >= exact && shown <= exact * 1.001;
        assert!(is_so, "{name}: {shown} for {exact}");
    }
}
