//! The report as one JSON document. Times are in milliseconds, shares and ratios from 0 on; what there is not
//! is null.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::figures::{Figures, PARTS, PERCENTILES, percentiles};
use super::set::{Route, Set};
use super::target::Outcome;
use super::text::ratio;
use super::{Report, Row};
use crate::metrics::Latencies;

pub(super) fn document(report: &Report) -> String {
    let (all, routes): (Vec<&Row>, Vec<&Row>) =
        report.rows.iter().partition(|row| row.route.is_none());
    let document = json!({
        "set": set(&report.set),
        "against": report.against.as_ref().map(set),
        "all": all.first().map(|it| row(it, &report.set.all, &report.set)),
        "routes": routes.iter().map(|it| {
            let none = Route::default();
            let route = report.set.routes.iter().find(|route| route.name == it.name());
            row(it, route.unwrap_or(&none), &report.set)
        }).collect::<Vec<Value>>(),
        "targets": report.targets.iter().map(target).collect::<Vec<Value>>(),
    });
    format!("{document:#}\n")
}

fn set(set: &Set) -> Value {
    json!({
        "from": time(set.from),
        "to": time(set.to),
        "covered_seconds": set.covered.as_secs_f64(),
        "dumps": set.dumps,
        "cores": set.cores,
        "hosts": set.hosts,
    })
}

fn row(row: &Row, route: &Route, set: &Set) -> Value {
    let mut fields = figures(&row.figures);
    fields.insert("stages".to_owned(), stages(&route.latencies));
    if let Some(name) = &row.route {
        fields.insert("route".to_owned(), json!(name));
    }
    let points = route.points.iter().map(|point| {
        let [p50, p99, p999] = point.percentiles.map(|micros| millis(micros as f64));
        json!({
            "from": time(set.point_start(point)),
            "count": point.count,
            "p50_ms": p50,
            "p99_ms": p99,
            "p99.9_ms": p999,
            "stages_ms": parts(&point.parts),
        })
    });
    fields.insert("over_time".to_owned(), points.collect());
    if let Some(theirs) = &row.against {
        fields.insert("against".to_owned(), Value::Object(figures(theirs)));
        fields.insert("ratio".to_owned(), ratios(&row.figures, theirs));
    }
    Value::Object(fields)
}

fn figures(figures: &Figures) -> Map<String, Value> {
    let time = |micros: f64| match figures.count {
        0 => Value::Null,
        _ => json!(millis(micros)),
    };
    let mut fields = Map::new();
    fields.insert("count".to_owned(), json!(figures.count));
    fields.insert("rate".to_owned(), json!(figures.rate));
    fields.insert("mean_ms".to_owned(), time(figures.mean));
    for ((name, _), micros) in PERCENTILES.iter().zip(figures.percentiles) {
        fields.insert(format!("{name}_ms"), time(micros as f64));
    }
    fields.insert("max_ms".to_owned(), time(figures.max as f64));
    let share = figures.postgres_share();
    fields.insert("postgres_share".to_owned(), json!(share));
    fields.insert("stages_ms".to_owned(), parts(&figures.parts));
    fields
}

/// Each stage by itself, of the requests that had it.
fn stages(latencies: &Latencies) -> Value {
    let stages = PARTS.into_iter().filter_map(|stage| {
        let histogram = latencies.of(stage);
        if histogram.is_empty() {
            return None;
        }
        let mut fields = Map::new();
        fields.insert("count".to_owned(), json!(histogram.len()));
        fields.insert("mean_ms".to_owned(), json!(millis(histogram.mean())));
        let values = percentiles(histogram, PERCENTILES.map(|(_, part)| part));
        for ((name, _), micros) in PERCENTILES.iter().zip(values) {
            fields.insert(format!("{name}_ms"), json!(millis(micros as f64)));
        }
        fields.insert("max_ms".to_owned(), json!(millis(histogram.max() as f64)));
        Some((stage.name().to_owned(), Value::Object(fields)))
    });
    Value::Object(stages.collect())
}

/// The mean time of each stage, over all requests: together they are the mean of the total.
fn parts(parts: &[f64; PARTS.len()]) -> Value {
    let named = PARTS.iter().zip(parts);
    let named = named.map(|(stage, micros)| (stage.name().to_owned(), json!(millis(*micros))));
    Value::Object(named.collect())
}

fn ratios(ours: &Figures, theirs: &Figures) -> Value {
    let mut fields = Map::new();
    let mut insert = |name: &str, ours: f64, theirs: f64| {
        fields.insert(name.to_owned(), json!(ratio(ours, theirs)));
    };
    insert("rate", ours.rate.unwrap_or(0.0), theirs.rate.unwrap_or(0.0));
    insert("mean", ours.mean, theirs.mean);
    for (index, (name, _)) in PERCENTILES.iter().enumerate() {
        let [ours, theirs] = [ours, theirs].map(|figures| figures.percentiles[index] as f64);
        insert(name, ours, theirs);
    }
    insert("max", ours.max as f64, theirs.max as f64);
    Value::Object(fields)
}

fn target(outcome: &Outcome) -> Value {
    json!({
        "route": outcome.route,
        "percentile": outcome.percentile,
        "at_most_ms": outcome.at_most.as_secs_f64() * 1000.0,
        "found_ms": outcome.found.map(|micros| millis(micros as f64)),
        "met": outcome.is_met(),
    })
}

fn millis(micros: f64) -> f64 {
    micros / 1000.0
}

/// RFC 3339.
fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
