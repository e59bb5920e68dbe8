use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::{Closed, Gauges, Ledger, Record, Recorder, Snapshot, Timing};
use super::*;

const STANDING: Standing = Standing {
    ready: true,
    reloaded: false,
    connections_max: 100,
    in_flight_max: 10,
};

fn empty(names: &Arc<[String]>) -> Box<Snapshot> {
    Box::new(Snapshot::empty(3, names.clone(), 128))
}

/// A core that has answered `answers` requests of `get_user`, the slowest after 10 s and the others after
/// 2 ms each.
fn ledger(answers: u32) -> (Mutex<Ledger>, Instant) {
    let names = Snapshot::names(["get_user"].into_iter());
    let recorder = Recorder::new(3, names.clone(), 128);
    let first = Instant::now();
    let millis = |count| first + Duration::from_millis(count);
    for number in 0..answers {
        let timing = Timing {
            first,
            whole: first,
            asked: Some((millis(1), millis(2))),
        };
        let record = Record {
            route: Some(0),
            status: if number == 0 { 504 } else { 200 },
            timing,
        };
        recorder.record(&record, millis(if number == 0 { 10_000 } else { 2 }));
    }
    recorder.batch(0, 1);
    recorder.batch(0, 100);
    recorder.shed(0);
    recorder.closed(Closed::Idle);
    recorder.count(|counters| counters.busy_nanos = 1_500_000_000);
    let gauges = Gauges {
        connections: 7,
        queued: vec![("default".to_owned(), 2)],
        postgres_open: 4,
        ..Gauges::default()
    };
    let mut ledger = Ledger::new(&[1, 3]);
    ledger.take(&recorder.exchange(empty(&names), gauges), first);
    ledger.feel(1, Some(5), first);
    (Mutex::new(ledger), first)
}

fn text(format: Format) -> String {
    let (ledger, first) = ledger(4);
    let families = families(&ledger, &STANDING, first + Duration::from_millis(1500));
    write(families, format)
}

#[test]
fn what_was_counted_is_told_under_its_name() {
    let text = text(Format::Classic);
    for line in [
        "# HELP pinion_requests_total Requests that were answered.",
        "# TYPE pinion_requests_total counter",
        r#"pinion_requests_total{route="get_user",status="200"} 3"#,
        r#"pinion_requests_total{route="get_user",status="504"} 1"#,
        "# TYPE pinion_request_duration_seconds histogram",
        r#"pinion_request_duration_seconds_bucket{le="0.001",route="get_user"} 0"#,
        // The bound itself belongs to its bucket.
        r#"pinion_request_duration_seconds_bucket{le="0.0025",route="get_user"} 3"#,
        r#"pinion_request_duration_seconds_bucket{le="5.0",route="get_user"} 3"#,
        r#"pinion_request_duration_seconds_bucket{le="10.0",route="get_user"} 4"#,
        r#"pinion_request_duration_seconds_bucket{le="+Inf",route="get_user"} 4"#,
        r#"pinion_request_duration_seconds_count{route="get_user"} 4"#,
        r#"pinion_stage_duration_seconds_count{route="get_user",stage="postgres"} 4"#,
        r#"pinion_stage_duration_seconds_sum{route="get_user",stage="postgres"} 0.004"#,
        r#"pinion_requests_shed_total{route="get_user"} 1"#,
        r#"pinion_batch_size_bucket{le="1.0",route="get_user"} 1"#,
        r#"pinion_batch_size_bucket{le="64.0",route="get_user"} 1"#,
        r#"pinion_batch_size_bucket{le="128.0",route="get_user"} 2"#,
        r#"pinion_batch_size_sum{route="get_user"} 101.0"#,
        r#"pinion_connections{core="3"} 7"#,
        r#"pinion_connections_closed_total{reason="idle"} 1"#,
        r#"pinion_queued{lane="default"} 2"#,
        r#"pinion_postgres_connections{core="3",state="open"} 4"#,
        r#"pinion_core_busy_seconds_total{core="3"} 1.5"#,
        r#"pinion_core_heartbeat_lag_seconds{core="3"} 1.5"#,
        "pinion_ready 1",
        "pinion_last_reload_successful 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    // A core without a heartbeat has none that is late.
    assert!(!text.contains(r#"lag_seconds{core="1"}"#), "{text}");
    assert!(!text.contains("# EOF") && text.ends_with('\n'));
}

#[test]
fn a_route_that_nobody_has_asked_for_is_told_of_as_well() {
    let text = text(Format::Classic);
    for line in [
        r#"pinion_requests_total{route="get_user",status="500"} 0"#,
        r#"pinion_requests_total{route="/ready",status="200"} 0"#,
        r#"pinion_requests_shed_total{route="/ready"} 0"#,
        r#"pinion_request_duration_seconds_bucket{le="+Inf",route="/ready"} 0"#,
        r#"pinion_request_duration_seconds_sum{route="/ready"} 0.0"#,
        r#"pinion_request_duration_seconds_count{route="/ready"} 0"#,
    ] {
        let found = text.lines().filter(|found| *found == line).count();
        assert_eq!(found, 1, "{line}\n{text}");
    }
    // Those that it has a number of are told once.
    let twice = r#"pinion_requests_total{route="get_user",status="200"}"#;
    assert_eq!(text.matches(twice).count(), 1, "{text}");
}

#[test]
fn openmetrics_names_a_counter_without_its_suffix_and_has_an_end() {
    let text = text(Format::OpenMetrics);
    for line in [
        "# TYPE pinion_requests counter",
        r#"pinion_requests_total{route="get_user",status="200"} 3"#,
        "pinion_listener_full_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn both_formats_have_the_same_samples() {
    let samples = |format| {
        let text = text(format);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        // What differs from one moment to the next.
        let lines = lines.filter(|line| !line.starts_with("process_"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(samples(Format::Classic), samples(Format::OpenMetrics));
}

#[test]
fn every_route_has_every_bucket_once_and_in_order() {
    let (ledger, now) = ledger(2000);
    for family in families(&ledger, &STANDING, now) {
        for sample in &family.samples {
            if let Value::Buckets { count, buckets, .. } = &sample.value {
                assert!(buckets.is_sorted_by(|one, next| one.0 < next.0));
                assert_eq!(buckets.last().map(|(bound, _)| *bound), Some(f64::INFINITY));
                assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), *count);
            }
        }
    }
}

#[test]
fn the_process_tells_of_itself() {
    let text = text(Format::Classic);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("{name}\n{text}"));
        value.trim().parse::<f64>().expect("a number")
    };
    assert!(value("process_resident_memory_bytes ") > 1e6);
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    assert!(value("process_open_fds ") >= 3.0);
    assert!(value("process_max_fds ") >= value("process_open_fds "));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.expect("after 1970").as_secs_f64() - value("process_start_time_seconds ");
    // The kernel tells its start in whole seconds.
    assert!((-2.0..86400.0).contains(&age), "{age}");
}
