//! A target that is missed fails the run, so that a deploy can be made to depend on it.

use std::path::Path;

use crate::dumps::Recorded;
use crate::support::TempDir;
use crate::{Run, report};

/// The p99 of get_user is 5 ms, that of list_products 40 ms.
fn dumps(directory: &Path) {
    let mut recorded = Recorded::start(directory, &[0], &["get_user", "list_products"]);
    recorded.core(0, |core| {
        core.totals("get_user", vec![1000; 95]);
        core.totals("get_user", vec![5000; 5]);
        core.totals("list_products", vec![40_000; 10]);
    });
    recorded.dump(60);
}

fn run(place: &TempDir, more: &[&str]) -> Run {
    let arguments = [place.path().as_os_str()].into_iter();
    report(arguments.chain(more.iter().map(AsRef::as_ref)))
}

#[test]
fn each_route_has_to_meet_it() {
    let place = TempDir::new();
    dumps(place.path());
    let run = |more: &[&str]| run(&place, more);
    let met = run(&["--p99", "41ms"]);
    assert_eq!((met.code, met.err.as_str()), (0, ""));
    assert!(
        met.out
            .contains("  met     get_user p99: 5.003 ms, 35.997 ms (87.8 %) under 41 ms\n")
    );
    let missed = run(&["--p99", "20ms"]);
    assert_eq!(missed.code, 1);
    assert_eq!(
        missed.err,
        "error: 1 target missed\n  list_products p99: 40.031 ms, 20.031 ms (100.2 %) over 20 ms\n"
    );
    // The table is printed all the same.
    assert!(
        missed.out.contains("  MISSED  list_products p99: "),
        "{}",
        missed.out
    );
    let both = run(&["--p99", "4ms", "--p50", "1ms"]);
    assert_eq!(both.code, 1);
    assert!(
        both.err.starts_with("error: 3 targets missed\n"),
        "{}",
        both.err
    );
}

#[test]
fn at_its_value_it_is_met_and_a_hair_below_it_is_missed() {
    let place = TempDir::new();
    dumps(place.path());
    let code = |bound: &str| run(&place, &["--route", "get_user", "--p99", bound]).code;
    // 5000 to 5003 µs are one to three digits.
    assert_eq!((code("5003us"), code("5ms"), code("4999us")), (0, 0, 1));
    let met = run(&place, &["--p99", "get_user=5ms"]);
    assert!(
        met.out
            .contains("get_user p99: 5.003 ms, as 5 ms to three digits\n"),
        "{}",
        met.out
    );
}

#[test]
fn a_route_may_have_its_own() {
    let place = TempDir::new();
    dumps(place.path());
    let code = |more: &[&str]| run(&place, more).code;
    assert_eq!(code(&["--p99", "5ms", "--p99", "list_products=50ms"]), 0);
    assert_eq!(code(&["--p99", "5ms", "--p99", "list_products=30ms"]), 1);
    // Of another percentile it says nothing.
    assert_eq!(code(&["--p99", "5ms", "--p99.9", "list_products=50ms"]), 1);
    assert_eq!(
        code(&["--p90", "get_user=1ms", "--p99.99", "get_user=6ms"]),
        0
    );
    assert_eq!(code(&["--p99.99", "get_user=4ms"]), 1);
}

#[test]
fn no_request_is_a_miss() {
    let place = TempDir::new();
    dumps(place.path());
    let absent = run(&place, &["--p99", "delete_user=5ms"]);
    assert_eq!(absent.code, 1);
    let words = "delete_user p99: no request, where 5 ms are asked for\n";
    assert!(absent.err.ends_with(words), "{}", absent.err);
    // Nor is there one of a route that is left out: nothing passes for not having been looked at.
    let left_out = run(
        &place,
        &["--route", "get_user", "--p99", "list_products=1h"],
    );
    assert_eq!(left_out.code, 1);
    assert!(
        left_out.err.contains("list_products p99: no request"),
        "{}",
        left_out.err
    );
    // Nor is there any in what an idle core has.
    let place = TempDir::new();
    let mut recorded = Recorded::start(place.path(), &[0, 1], &["get_user"]);
    recorded.core(0, |core| core.totals("get_user", [1000]));
    let idle = recorded.dump(60).expect("a dump").join("core1.hlog");
    let none = report([idle.as_os_str(), "--p99".as_ref(), "5ms".as_ref()]);
    assert_eq!(none.code, 1);
    assert!(
        none.err.contains("all routes p99: no request"),
        "{}",
        none.err
    );
}

#[test]
fn json_says_it_too() {
    let place = TempDir::new();
    dumps(place.path());
    let missed = run(&place, &["--json", "--p99", "list_products=20ms"]);
    assert_eq!(missed.code, 1);
    let json: serde_json::Value = serde_json::from_str(&missed.out).expect("JSON");
    let target = &json["targets"][0];
    assert_eq!(target["met"], false);
    assert_eq!(
        (&target["at_most_ms"], &target["found_ms"]),
        (&20.0.into(), &40.031.into())
    );
}
