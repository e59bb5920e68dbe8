//! Latency by percentile. The axis is that of HdrHistogram's plots: each step to the right is a tenth of the
//! requests that are left, so that the tail has the room.

use hdrhistogram::Histogram;

use super::chart::{self, Scale};
use super::legend;
use crate::metrics::Stage;
use crate::report::set::{Route, Set};

/// Routes in one plot: as many as there are colours.
const ROUTES_MAX: usize = 8;

/// Steps to the right at the most: 99.9999.
const DECADES_MAX: f64 = 6.0;

/// Points for each halving of the distance to 100 %.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// One line.
struct Line<'a> {
    class: String,
    histogram: &'a Histogram<u64>,
}

/// The routes that were asked most often.
pub(super) fn of_routes(routes: &[&Route], against: Option<&Set>) -> String {
    let mut lines = Vec::new();
    let mut names = Vec::new();
    for (index, route) in routes.iter().take(ROUTES_MAX).enumerate() {
        let theirs = against.map(|set| &set.routes);
        let theirs = theirs.and_then(|all| all.iter().find(|it| it.name == route.name));
        if let Some(theirs) = theirs {
            lines.push(line(format!("against s{index}"), theirs, Stage::Total));
        }
        lines.push(line(format!("s{index}"), route, Stage::Total));
        names.push((format!("s{index}"), route.name.clone()));
    }
    if against.is_some() {
        names.push(("dashed".to_owned(), "against".to_owned()));
    }
    let mut out = plot("Latency by percentile of each route", &lines);
    out.push_str(&named(&names));
    if routes.len() > ROUTES_MAX {
        let rest = routes.len() - ROUTES_MAX;
        out.push_str(&format!("<p>and {rest} that were asked less often</p>\n"));
    }
    out
}

/// One route, and how long Postgres took for it.
pub(super) fn of_route(route: &Route, against: Option<&Route>) -> String {
    let mut names = vec![("s0".to_owned(), "total".to_owned())];
    let mut lines = Vec::new();
    if let Some(against) = against {
        lines.push(line("against s0".to_owned(), against, Stage::Total));
        names.push(("dashed s0".to_owned(), "total, against".to_owned()));
    }
    if !route.latencies.of(Stage::Postgres).is_empty() {
        lines.push(line("s2".to_owned(), route, Stage::Postgres));
        names.push(("s2".to_owned(), "postgres".to_owned()));
    }
    lines.push(line("s0".to_owned(), route, Stage::Total));
    let mut out = plot(&format!("Latency by percentile of {}", route.name), &lines);
    out.push_str(&named(&names));
    out
}

fn named(names: &[(String, String)]) -> String {
    let entries = names
        .iter()
        .map(|(class, name)| (class.as_str(), name.as_str()));
    legend(&entries.collect::<Vec<_>>())
}

fn line(class: String, route: &Route, stage: Stage) -> Line<'_> {
    Line {
        class,
        histogram: route.latencies.of(stage),
    }
}

fn plot(words: &str, lines: &[Line<'_>]) -> String {
    let lines: Vec<&Line<'_>> = lines
        .iter()
        .filter(|line| !line.histogram.is_empty())
        .collect();
    let most =
        |value: fn(&Histogram<u64>) -> u64| lines.iter().map(|line| value(line.histogram)).max();
    let decades = most(Histogram::len).map_or(2.0, |count| (count as f64).log10().ceil());
    let decades = decades.clamp(2.0, DECADES_MAX);
    let least = lines
        .iter()
        .map(|line| line.histogram.min())
        .min()
        .unwrap_or(0);
    let greatest = most(Histogram::max).unwrap_or(1);
    let up = Scale::up_log(least as f64 / 1000.0, greatest as f64 / 1000.0);
    let across = Scale::across(0.0, decades);
    let mut out = chart::begin(words, chart::HEIGHT);
    chart::values(&mut out, up);
    for (quantile, label) in LABELS {
        let decade = distance(quantile);
        if decade <= decades + 1e-6 {
            chart::across(&mut out, across.place(decade), label);
        }
    }
    for line in lines {
        let points: Vec<Option<(f64, f64)>> = line
            .histogram
            .iter_quantiles(TICKS_PER_HALF_DISTANCE)
            .map(|step| {
                // The last request has nobody after it: it is drawn where the one before it would be.
                let last = 1.0 - 1.0 / (line.histogram.len() as f64).max(2.0);
                let quantile = step.quantile_iterated_to().min(last);
                let value = step.value_iterated_to().min(line.histogram.max());
                Some((
                    across.place(distance(quantile)),
                    up.place(value as f64 / 1000.0),
                ))
            })
            .collect();
        chart::line(&mut out, &line.class, &points);
    }
    out.push_str("</svg>\n");
    out
}

const LABELS: [(f64, &str); 8] = [
    (0.0, "0"),
    (0.5, "50"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
    (0.99999, "99.999"),
    (0.999999, "99.9999"),
];

/// How many times only a tenth is left.
fn distance(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}
