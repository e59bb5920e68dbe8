//! Logs in the order of time become one histogram for each route and stage, and points in time.
//!
//! Only one point is open at a time: what it had is reduced to a few figures when the next one begins, so
//! memory does not grow with the number of dumps.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::{Point, Route};
use crate::limits;
use crate::metrics::{Latencies, Stage};
use crate::report::figures::{Figures, percentiles};

/// p50, p99, p99.9 of a point, in millionths.
const OVER_TIME: [u64; 3] = [500_000, 990_000, 999_000];

#[derive(Default)]
pub(super) struct Merge {
    routes: BTreeMap<String, Open>,
    points: Vec<Point>,
    /// Of the point that is open.
    index: u64,
}

/// A route that more may come of.
#[derive(Default)]
struct Open {
    sum: Latencies,
    /// Of the point that is open.
    now: Latencies,
    points: Vec<Point>,
}

impl Merge {
    /// What follows belongs to this point, which is none before the last.
    pub(super) fn turn_to(&mut self, index: u64) {
        if index != self.index {
            self.close();
            self.index = index;
        }
    }

    /// Adds a histogram.
    pub(super) fn add(
        &mut self,
        name: &str,
        stage: Stage,
        histogram: &Histogram<u64>,
    ) -> Result<(), String> {
        if !self.routes.contains_key(name) {
            if self.routes.len() == limits::REPORT_ROUTES_MAX {
                return Err("there are more routes than a report can have".to_owned());
            }
            self.routes.insert(name.to_owned(), Open::default());
        }
        let Some(route) = self.routes.get_mut(name) else {
            return Ok(());
        };
        let added = route.now.add_stage(stage, histogram);
        added.map_err(|error| format!("its histogram can't be added: {error}"))
    }

    /// All routes together, and each by name.
    pub(super) fn finish(mut self) -> (Route, Vec<Route>) {
        self.close();
        let routes: Vec<Route> = self
            .routes
            .into_iter()
            .map(|(name, route)| Route {
                name,
                latencies: route.sum,
                points: route.points,
            })
            .collect();
        let mut all = Route {
            points: self.points,
            ..Route::default()
        };
        for route in &routes {
            all.latencies.add(&route.latencies);
        }
        (all, routes)
    }

    fn close(&mut self) {
        let mut all = Latencies::default();
        for route in self.routes.values_mut() {
            route.points.extend(point(self.index, &route.now));
            all.add(&route.now);
            route.sum.add(&route.now);
            route.now.clear();
        }
        self.points.extend(point(self.index, &all));
    }
}

fn point(index: u64, latencies: &Latencies) -> Option<Point> {
    let figures = Figures::of(latencies, Duration::ZERO);
    (figures.count > 0).then(|| Point {
        index,
        count: figures.count,
        percentiles: percentiles(latencies.of(Stage::Total), OVER_TIME),
        parts: figures.parts,
    })
}
