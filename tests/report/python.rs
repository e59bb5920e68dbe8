//! The files and the figures beside an independent reader: the Python package hdrhistogram.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::dumps::{Dice, Recorded};
use crate::printed;
use crate::support::TempDir;

/// Where scripts/test puts the package, if the machine has none.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python");

fn python(arguments: &[&Path]) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/read.py");
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .args(arguments)
        .env("PYTHONPATH", PACKAGES)
        .stdin(Stdio::null())
        .output()
        .expect("the tests need python3");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the tests need the Python package hdrhistogram (scripts/test installs it): {words}"
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Dumps of two cores: of one route as many requests as its percentiles are whole ranks of, of the others
/// not.
fn dumps(directory: &Path) -> Vec<PathBuf> {
    let mut dice = Dice(11);
    let mut recorded = Recorded::start(directory, &[0, 1], &["round", "odd", "one"]);
    for minute in 1..=2 {
        for cpu in [0, 1] {
            recorded.core(cpu, |core| {
                for _ in 0..5000 {
                    let parts = [
                        dice.micros(9.0),
                        dice.micros(40.0),
                        dice.micros(700.0),
                        dice.micros(25.0),
                    ];
                    core.request("round", parts);
                }
                for _ in 0..(373 + cpu as u64 * minute) {
                    core.request("odd", [dice.micros(20.0), 2, dice.micros(90_000.0), 7]);
                }
                core.request("/health", [1, 0, 0, dice.micros(6.0)]);
            });
        }
        if minute == 2 {
            recorded.core(1, |core| core.request("one", [1, 1, 61_000_000, 1]));
        }
        recorded.dump(60 * minute);
    }
    let mut logs = Vec::new();
    for dump in std::fs::read_dir(directory).expect("a directory") {
        let dump = dump.expect("an entry").path();
        logs.extend(["core0.hlog", "core1.hlog"].map(|name| dump.join(name)));
    }
    logs.sort();
    logs
}

#[test]
fn figures_are_those_that_python_finds_in_the_same_files() {
    let place = TempDir::new();
    let logs = dumps(place.path());
    let theirs = python(&logs.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let ours = printed([place.path().as_os_str(), "--json".as_ref()]);
    let ours: Value = serde_json::from_str(&ours).expect("JSON");
    let mut compared = 0;
    for route in ours["routes"].as_array().expect("routes") {
        let name = route["route"].as_str().expect("a name");
        let total = [("total", route)].into_iter();
        let stages = route["stages"].as_object().expect("stages");
        for (stage, ours) in total.chain(stages.iter().map(|(stage, it)| (stage.as_str(), it))) {
            let theirs = &theirs["merged"][format!("{name}:{stage}")];
            assert_eq!(ours["count"], theirs["count"], "{name} {stage}");
            let millis = |value: &Value| value.as_f64().expect("µs") / 1000.0;
            for figure in ["p50", "p90", "p99", "p99.9", "p99.99", "max"] {
                let shown = ours[format!("{figure}_ms")].as_f64().expect("ms");
                assert_eq!(
                    shown,
                    millis(&theirs["ranked"][figure]),
                    "{name} {stage} {figure}"
                );
                // Its own percentiles round ranks, which is the same where they are whole.
                if name == "round" {
                    assert_eq!(
                        shown,
                        millis(&theirs["own"][figure]),
                        "{name} {stage} {figure}"
                    );
                }
                compared += 1;
            }
            let mean = ours["mean_ms"].as_f64().expect("ms");
            assert!(
                (mean / millis(&theirs["mean"]) - 1.0).abs() < 1e-9,
                "{name} {stage}"
            );
        }
    }
    // Four routes; one asks nothing of Postgres.
    assert_eq!(compared, (3 * 5 + 3) * 6);
    assert_eq!(theirs["merged"].as_object().expect("tags").len(), 3 * 5 + 3);
}

#[test]
fn its_log_reader_finds_the_times_and_tags_of_each_line() {
    let place = TempDir::new();
    let logs = dumps(place.path());
    let theirs = python(&logs.iter().map(PathBuf::as_path).collect::<Vec<_>>());
    let lines = theirs["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), 4 * (5 + 5 + 3) + 5);
    for (index, line) in lines.iter().enumerate() {
        let minute = if line["file"].as_u64() < Some(2) {
            0.0
        } else {
            60_000.0
        };
        let from = 1_795_338_900_000.0 + minute;
        assert_eq!(line["from_ms"], from, "{index}");
        assert_eq!(line["to_ms"], from + 60_000.0, "{index}");
        // The column of the greatest value is in milliseconds.
        let column = line["column"].as_f64().expect("a number");
        assert_eq!(
            column,
            line["max"].as_f64().expect("µs") / 1000.0,
            "{index}"
        );
    }
}

#[test]
fn the_percentiles_of_a_route_as_text_are_of_the_values_that_python_finds() {
    let place = TempDir::new();
    let logs = dumps(place.path());
    let first: Vec<&Path> = logs[..2].iter().map(PathBuf::as_path).collect();
    let theirs = python(&first);
    let dump = logs[0].parent().expect("a dump");
    let files = [("round", "round"), ("odd", "odd"), ("/health", "+health")];
    for (name, file) in files {
        let path = dump.join(format!("{file}.hgrm"));
        let text = std::fs::read_to_string(path).expect("percentiles");
        let theirs = &theirs["merged"][format!("{name}:total")];
        let count = theirs["count"].as_u64().expect("a count");
        let mut rows = Vec::new();
        for line in text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
        {
            let cells = line
                .split_whitespace()
                .map(|cell| cell.parse().expect("a number"));
            let cells: Vec<f64> = cells.collect();
            let (value, quantile, below) = (cells[0], cells[1], cells[2] as u64);
            let micros = (value * 1000.0).round() as u64;
            assert_eq!(
                theirs["cumulative"][micros.to_string()],
                below,
                "{name}: {line}"
            );
            assert!(
                below as f64 >= quantile * count as f64 - 1e-6,
                "{name}: {line}"
            );
            if quantile < 1.0 {
                assert!(
                    (cells[3] * (1.0 - quantile) - 1.0).abs() < 0.01,
                    "{name}: {line}"
                );
            }
            rows.push((quantile, below));
        }
        assert!(rows.is_sorted(), "{name}: {text}");
        assert_eq!(rows.first().map(|row| row.0), Some(0.0));
        assert_eq!(rows.last(), Some(&(1.0, count)));
        let mean = theirs["mean"].as_f64().expect("µs") / 1000.0;
        let most = theirs["own"]["max"].as_f64().expect("µs") / 1000.0;
        assert!(
            text.contains(&format!("#[Mean    = {mean:12.3}, ")),
            "{name}: {text}"
        );
        let end = format!("#[Max     = {most:12.3}, Total count    = {count:12}]\n");
        assert!(text.contains(&end), "{name}: {text}");
    }
}
