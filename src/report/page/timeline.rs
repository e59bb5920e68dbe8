//! What changed over time. Where nothing was asked there is nothing to draw.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::chart::{self, BOTTOM, HEIGHT, LEFT, RIGHT, Scale, TOP, WIDTH};
use super::{escape, legend};
use crate::report::figures::PARTS;
use crate::report::set::{Point, Route, Set};
use crate::report::text;

/// Between two labels of time, in seconds; past them whole days.
const STEPS: [u64; 16] = [
    1, 5, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
];
const DAY: u64 = 86_400;

/// Labels of time in a plot: each may have eight digits.
const LABELS_MAX: u64 = 4;

/// p50, p99 and p99.9: colour and name.
const LINES: [(&str, &str); 3] = [("s5", "p50"), ("s1", "p99"), ("s3", "p99.9")];

/// Classes of the stages' colours, in the order of `PARTS`.
pub(super) const COLOURS: [&str; 4] = ["s7", "s1", "s0", "s2"];

/// p50, p99 and p99.9.
pub(super) fn percentiles(set: &Set, route: &Route) -> String {
    let points = &route.points;
    let least = points.iter().map(|point| point.percentiles[0]).min();
    let most = points.iter().map(|point| point.percentiles[2]).max();
    let millis = |micros: Option<u64>| micros.unwrap_or(1) as f64 / 1000.0;
    let up = Scale::up_log(millis(least), millis(most));
    let axis = Axis::of(set);
    let mut out = chart::begin("p50, p99 and p99.9 over time", HEIGHT);
    chart::values(&mut out, up);
    axis.draw(&mut out);
    for (index, (class, _)) in LINES.iter().enumerate() {
        let mut line = Vec::new();
        let mut next = 0;
        for point in points {
            if point.index > next {
                line.push(None);
            }
            next = point.index + 1;
            let y = up.place(point.percentiles[index] as f64 / 1000.0);
            line.push(Some((axis.middle(set, point), y)));
        }
        chart::line(&mut out, class, &line);
    }
    for point in points {
        let values = point.percentiles.map(|micros| text::millis(micros as f64));
        let values = LINES
            .iter()
            .zip(values)
            .map(|((_, name), value)| format!("{name} {value} ms"));
        let values: Vec<String> = values.collect();
        axis.hit(&mut out, set, point, &values.join("\n"));
    }
    out.push_str("</svg>\n");
    out.push_str(&legend(&LINES));
    out
}

/// The mean time of each stage, one above the other.
pub(super) fn stages(set: &Set, route: &Route) -> String {
    let sum = |point: &Point| point.parts.iter().sum::<f64>() / 1000.0;
    let most = route.points.iter().map(sum).fold(0.0, f64::max);
    let up = Scale::up(most);
    let axis = Axis::of(set);
    let mut out = chart::begin("Mean time by stage over time", HEIGHT);
    chart::values(&mut out, up);
    axis.draw(&mut out);
    for (index, class) in COLOURS.iter().enumerate() {
        let mut path = String::new();
        for point in &route.points {
            let below: f64 = point.parts[..index].iter().sum();
            let (bottom, top) = (below / 1000.0, (below + point.parts[index]) / 1000.0);
            let (bottom, top) = (up.place(bottom), up.place(top));
            let (left, right) = axis.bounds(set, point);
            if bottom - top >= 0.05 {
                let _ = write!(
                    path,
                    "M{left:.2} {bottom:.1}V{top:.1}H{right:.2}V{bottom:.1}z"
                );
            }
        }
        if !path.is_empty() {
            let _ = writeln!(out, "<path class=\"area {class}\" d=\"{path}\"/>");
        }
    }
    for point in &route.points {
        let parts = PARTS.iter().zip(point.parts);
        let parts =
            parts.map(|(stage, micros)| format!("{} {} ms", stage.name(), text::millis(micros)));
        let parts: Vec<String> = parts.collect();
        axis.hit(&mut out, set, point, &parts.join("\n"));
    }
    out.push_str("</svg>\n");
    out.push_str(&stage_legend());
    out
}

/// The names of the stages.
pub(super) fn stage_legend() -> String {
    let entries: Vec<(&str, &str)> = COLOURS
        .into_iter()
        .zip(PARTS.map(crate::metrics::Stage::name))
        .collect();
    legend(&entries)
}

/// The axis of time, in seconds since 1970.
struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Axis {
    fn of(set: &Set) -> Axis {
        let (from, to) = (seconds(set.from), seconds(set.to));
        Axis {
            scale: Scale::across(from, to),
            from,
            to,
        }
    }

    fn draw(&self, out: &mut String) {
        let span = (self.to - self.from).max(1.0) as u64;
        let step = STEPS.into_iter().find(|&step| span / step < LABELS_MAX);
        let step = step.unwrap_or(span.div_ceil(DAY * (LABELS_MAX - 1)) * DAY);
        let form = match step {
            DAY.. => "%b %-d",
            60.. => "%H:%M",
            _ => "%H:%M:%S",
        };
        let mut tick = (self.from.ceil() as u64).div_ceil(step) * step;
        while tick as f64 <= self.to {
            let time = UNIX_EPOCH + Duration::from_secs(tick);
            let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
            chart::across(
                out,
                self.scale.place(tick as f64),
                &time.strftime(form).to_string(),
            );
            tick += step;
        }
        let (left, right, bottom) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{left} {bottom}H{right}\"/>");
    }

    fn bounds(&self, set: &Set, point: &Point) -> (f64, f64) {
        let start = set.point_start(point);
        let left = self.scale.place(seconds(start));
        let right = self.scale.place(seconds(start + set.point));
        (left, right.max(left + 0.5))
    }

    fn middle(&self, set: &Set, point: &Point) -> f64 {
        let (left, right) = self.bounds(set, point);
        left.midpoint(right)
    }

    /// Where a pointer gets to see the figures of a point.
    fn hit(&self, out: &mut String, set: &Set, point: &Point, words: &str) {
        let (left, right) = self.bounds(set, point);
        let (y, width, height) = (TOP, right - left, HEIGHT - BOTTOM - TOP);
        let when = text::time(set.point_start(point));
        let count = point.count;
        let words = escape(&format!("{when}\n{count} requests\n{words}"));
        let _ = writeln!(
            out,
            "<rect class=\"hit\" x=\"{left:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{height}\">\
             <title>{words}</title></rect>"
        );
    }
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64()
}
