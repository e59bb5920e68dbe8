use std::time::{Duration, Instant};

use super::*;

fn names() -> std::sync::Arc<[String]> {
    Snapshot::names(["get_user", "list_products"].into_iter())
}

fn empty() -> Box<Snapshot> {
    Box::new(Snapshot::empty(3, names(), 4))
}

/// Of a request that took 1 ms to read, waited 2, was with Postgres for 4 and written in 8.
fn timing(first: Instant) -> Timing {
    let millis = |count| first + Duration::from_millis(count);
    Timing {
        first,
        whole: millis(1),
        asked: Some((millis(3), millis(7))),
    }
}

fn record(first: Instant, route: usize, status: u16) -> Record {
    Record {
        route: Some(route),
        status,
        timing: timing(first),
    }
}

#[test]
fn each_part_of_a_request_has_its_time() {
    let recorder = Recorder::new(3, names(), 4);
    let first = Instant::now();
    recorder.record(&record(first, 1, 200), first + Duration::from_millis(15));
    let snapshot = recorder.exchange(empty(), Gauges::default());
    let max = |stage| snapshot.routes[1].latencies.of(stage).max();
    for (stage, micros) in [
        (Stage::Total, 15_000),
        (Stage::Read, 1000),
        (Stage::Wait, 2000),
        (Stage::Postgres, 4000),
        (Stage::Write, 8000),
    ] {
        let histogram = snapshot.routes[1].latencies.of(stage);
        assert_eq!(histogram.len(), 1);
        assert!(histogram.equivalent(max(stage), micros), "{stage:?}");
    }
    assert!(snapshot.routes[0].is_empty());
}

#[test]
fn what_asks_nothing_of_postgres_has_no_time_there() {
    let recorder = Recorder::new(3, names(), 4);
    let first = Instant::now();
    let timing = Timing {
        asked: None,
        ..timing(first)
    };
    let record = Record {
        timing,
        ..record(first, 2, 200)
    };
    recorder.record(&record, first + Duration::from_millis(1));
    let snapshot = recorder.exchange(empty(), Gauges::default());
    let counts = STAGES.map(|stage| snapshot.routes[2].latencies.of(stage).len());
    assert_eq!(counts, [1, 1, 0, 0, 1]);
}

#[test]
fn what_has_only_waited_has_no_time_in_postgres() {
    let recorder = Recorder::new(3, names(), 4);
    let first = Instant::now();
    let given_up = first + Duration::from_millis(9);
    let timing = Timing {
        whole: first,
        asked: Some((given_up, given_up)),
        ..timing(first)
    };
    let record = Record {
        timing,
        ..record(first, 1, 503)
    };
    recorder.record(&record, given_up + Duration::from_millis(1));
    let snapshot = recorder.exchange(empty(), Gauges::default());
    let means = STAGES.map(|stage| snapshot.routes[1].latencies.of(stage).mean());
    let millis = means.map(|micros| (micros / 1000.0).round());
    assert_eq!(millis, [10.0, 0.0, 9.0, 0.0, 1.0]);
    assert!(snapshot.routes[1].latencies.of(Stage::Postgres).is_empty());
}

#[test]
fn answers_of_a_pass_count_each_whether_they_are_alike_or_not() {
    let recorder = Recorder::new(3, names(), 4);
    let first = Instant::now();
    let later = first + Duration::from_millis(1);
    let written = [
        record(first, 0, 200),
        record(first, 0, 200),
        record(later, 0, 200),
        record(later, 0, 404),
        record(later, 1, 404),
        record(later, 0, 404),
    ];
    written.into_iter().for_each(|one| recorder.written(one));
    recorder.handed(first + Duration::from_millis(20));
    let snapshot = recorder.exchange(empty(), Gauges::default());
    let counts = |route: usize| -> Vec<_> { snapshot.routes[route].statuses.iter().collect() };
    assert_eq!(counts(0), [(200, 3), (404, 2)]);
    assert_eq!(counts(1), [(404, 1)]);
    let totals = snapshot.routes[0].latencies.of(Stage::Total);
    let counted = [20_000, 19_000].map(|micros| totals.count_at(micros));
    assert_eq!((totals.len(), counted), (5, [2, 3]));
}

#[test]
fn what_is_written_is_recorded_when_the_kernel_has_it() {
    let recorder = Recorder::new(3, names(), 4);
    let first = Instant::now();
    recorder.written(record(first, 0, 200));
    assert!(recorder.exchange(empty(), Gauges::default()).routes[0].is_empty());
    recorder.handed(first + Duration::from_millis(20));
    recorder.handed(first + Duration::from_millis(30));
    let snapshot = recorder.exchange(empty(), Gauges::default());
    let total = snapshot.routes[0].latencies.of(Stage::Total);
    assert_eq!(total.len(), 1);
    assert!(total.equivalent(total.max(), 20_000));
}

#[test]
fn a_time_outside_the_bounds_counts_as_the_bound() {
    let recorder = Recorder::new(3, names(), 4);
    let first = Instant::now();
    recorder.record(&record(first, 0, 200), first + Duration::from_secs(60));
    recorder.record(&record(first, 0, 200), first + Duration::from_secs(90));
    let nothing = Timing {
        first,
        whole: first,
        asked: None,
    };
    let record = Record {
        route: Some(0),
        status: 200,
        timing: nothing,
    };
    recorder.record(&record, first);
    let snapshot = recorder.exchange(empty(), Gauges::default());
    let total = snapshot.routes[0].latencies.of(Stage::Total);
    assert_eq!((total.min(), total.len()), (1, 3));
    assert!(total.equivalent(total.max(), 60_000_000));
    assert_eq!(total.count_at(60_000_000), 2);
}

#[test]
fn the_ledger_adds_up_and_keeps_what_is_gone() {
    let (recorder, first) = (Recorder::new(3, names(), 4), Instant::now());
    let mut ledger = Ledger::new(&[1, 3]);
    for round in 1..=2u64 {
        recorder.record(&record(first, 0, 200), first + Duration::from_millis(15));
        recorder.record(&record(first, 0, 404), first + Duration::from_millis(15));
        recorder.batch(0, 2);
        recorder.batch(0, 9);
        recorder.shed(1);
        recorder.count(|counters| counters.accepted += 1);
        recorder.closed(Closed::Idle);
        let snapshot = recorder.exchange(empty(), Gauges::default());
        ledger.take(&snapshot, first + Duration::from_secs(round));
        let core = &ledger.cores[1];
        assert_eq!(core.last.len(), 2);
        assert_eq!(core.last[0].1.latencies.of(Stage::Total).len(), 2);
        assert_eq!(
            core.undumped[0].1.latencies.of(Stage::Total).len(),
            2 * round
        );
    }
    let core = &ledger.cores[1];
    assert_eq!(core.last_took, Duration::from_secs(1));
    assert_eq!(
        (
            core.counters.accepted,
            core.counters.closed[Closed::Idle as usize]
        ),
        (2, 2)
    );
    let [user, products, idle @ ..] = &ledger.routes[..] else {
        panic!("{:?}", ledger.routes.len());
    };
    // What nobody has asked for is there, too.
    assert_eq!(idle.len(), Snapshot::BUILT_IN.len());
    assert!(idle.iter().all(|route| route.totals.is_empty()));
    assert_eq!(
        (user.name.as_str(), products.name.as_str()),
        ("get_user", "list_products")
    );
    assert_eq!(
        user.totals.statuses.iter().collect::<Vec<_>>(),
        [(200, 2), (404, 2)]
    );
    // A batch that is larger than any may be counts as the largest.
    assert_eq!(
        user.totals.batches.iter().collect::<Vec<_>>(),
        [(2, 2), (4, 2)]
    );
    assert_eq!(products.totals.sheds, 2);
    assert!(ledger.cores[0].heard.is_none());
}

#[test]
fn what_was_cleared_is_empty() {
    let (recorder, first) = (Recorder::new(3, names(), 4), Instant::now());
    recorder.record(&record(first, 0, 200), first + Duration::from_millis(15));
    recorder.batch(0, 1);
    let mut snapshot = recorder.exchange(empty(), Gauges::default());
    snapshot.clear();
    assert!(snapshot.routes.iter().all(RouteInterval::is_empty));
    assert!(
        STAGES
            .iter()
            .all(|stage| snapshot.routes[0].latencies.of(*stage).is_empty())
    );
}
