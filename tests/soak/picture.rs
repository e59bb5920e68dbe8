//! The run as one picture: answers, memory and descriptors over time, and when which fault was active.

use std::fmt::Write as _;

use crate::fault::Fault;
use crate::samples::Sample;

/// What the picture shows.
pub struct Picture<'a> {
    pub title: String,
    pub samples: &'a [Sample],
    /// Fault, begin and end in seconds.
    pub faults: &'a [(Fault, f64, f64)],
}

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 20.0;
const PANEL: f64 = 150.0;
const GAP: f64 = 34.0;
const ROW: f64 = 15.0;
const TOP: f64 = 50.0;

/// Points of a curve at the most: one for two pixels.
const POINTS_MAX: usize = 500;

struct Curve {
    label: &'static str,
    colour: &'static str,
    /// Seconds and value.
    points: Vec<(f64, f64)>,
}

impl Picture<'_> {
    pub fn svg(&self) -> String {
        let rows: Vec<Fault> = Fault::ALL
            .into_iter()
            .filter(|row| self.faults.iter().any(|(fault, ..)| fault == row))
            .collect();
        let rows_top = TOP + 3.0 * (PANEL + GAP);
        let height = rows_top + rows.len() as f64 * ROW + 60.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"16\" fill=\"#222\">{}</text>\n",
            self.title
        );
        let curve = |label, colour, value: fn(&Sample) -> f64| Curve {
            label,
            colour,
            points: thinned(self.samples, value),
        };
        let panels = [
            (
                "answers per second",
                vec![
                    curve("right", "#1a7f37", |it| it.right_rate),
                    curve("refused, excused by a fault", "#cf222e", |it| {
                        it.excused_rate
                    }),
                ],
            ),
            (
                "resident memory, MiB",
                vec![curve("pinion", "#0550ae", |it| {
                    it.resident_kib as f64 / 1024.0
                })],
            ),
            (
                "open descriptors",
                vec![curve("pinion", "#8250df", |it| it.descriptors as f64)],
            ),
        ];
        for (index, (title, curves)) in panels.iter().enumerate() {
            let top = TOP + index as f64 * (PANEL + GAP);
            self.shade(&mut svg, top, PANEL);
            self.panel(&mut svg, top, title, curves);
        }
        self.rows(&mut svg, rows_top, &rows);
        svg += "</svg>\n";
        svg
    }

    fn seconds(&self) -> f64 {
        let last = self.samples.last().map_or(1.0, |it| it.at.as_secs_f64());
        last.max(1.0)
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.seconds()).min(1.0)
    }

    /// The faults behind a panel, in a light grey.
    fn shade(&self, svg: &mut String, top: f64, height: f64) {
        for (_, from, until) in self.faults {
            let (left, right) = (self.x(*from), self.x(*until));
            let width = (right - left).max(0.5);
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
                 fill=\"#f0f0f0\"/>"
            );
        }
    }

    fn panel(&self, svg: &mut String, top: f64, title: &str, curves: &[Curve]) {
        let values = curves
            .iter()
            .flat_map(|it| it.points.iter().map(|point| point.1));
        let step = round_step(values.fold(1.0, f64::max) / 4.0);
        let most = values_top(curves, step);
        let bottom = top + PANEL;
        let y = |value: f64| bottom - PANEL * value / most;
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\" fill=\"#222\" font-weight=\"bold\">{title}</text>",
            top - 7.0
        );
        let mut value = 0.0;
        while value <= most + step / 2.0 {
            let (line, text) = (y(value), y(value) + 4.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{line:.1}\" x2=\"{:.1}\" y2=\"{line:.1}\" \
                 stroke=\"#d0d0d0\"/><text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\" \
                 fill=\"#555\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0
            );
            value += step;
        }
        for (index, curve) in curves.iter().enumerate() {
            let points: Vec<String> = curve
                .points
                .iter()
                .map(|(at, value)| format!("{:.1},{:.1}", self.x(*at), y(*value)))
                .collect();
            let colour = curve.colour;
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\" points=\"{}\"/>",
                points.join(" ")
            );
            if curves.len() > 1 {
                let x = LEFT + 150.0 + 70.0 * index as f64;
                let _ = writeln!(
                    svg,
                    "<text x=\"{x}\" y=\"{:.1}\" fill=\"{colour}\">— {}</text>",
                    top - 7.0,
                    curve.label
                );
            }
        }
    }

    /// A row for each fault, and the axis of time below.
    fn rows(&self, svg: &mut String, top: f64, rows: &[Fault]) {
        let bottom = top + rows.len() as f64 * ROW;
        for (index, row) in rows.iter().enumerate() {
            let y = top + index as f64 * ROW;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#222\">{}</text>\
                 <line x1=\"{LEFT}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#eeeeee\"/>",
                LEFT - 6.0,
                y + ROW - 4.0,
                row.name(),
                y + ROW,
                WIDTH - RIGHT,
                y + ROW
            );
            for (_, from, until) in self.faults.iter().filter(|(fault, ..)| fault == row) {
                let left = self.x(*from);
                let width = (self.x(*until) - left).max(1.5);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" \
                     fill=\"#bf8700\"/>",
                    y + 2.5,
                    ROW - 5.0
                );
            }
        }
        let (unit, name) = match self.seconds() {
            seconds if seconds > 600.0 => (60.0, "minutes"),
            _ => (1.0, "seconds"),
        };
        let step = round_step(self.seconds() / unit / 10.0);
        let mut at = 0.0;
        while at * unit <= self.seconds() {
            let x = self.x(at * unit);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{bottom:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" \
                 stroke=\"#555\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
                 fill=\"#555\">{at}</text>",
                bottom + 5.0,
                bottom + 19.0
            );
            at += step;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222\">{name} since the \
             start; bars and grey: a fault, its recovery included</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            bottom + 40.0
        );
    }
}

/// The top of the axis: the highest value, rounded up to a step.
fn values_top(curves: &[Curve], step: f64) -> f64 {
    let values = curves
        .iter()
        .flat_map(|it| it.points.iter().map(|point| point.1));
    (values.fold(1.0, f64::max) / step).ceil() * step
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps.into_iter().find(|step| *step >= least * 0.999);
    step.unwrap_or(10.0 * power).max(1.0)
}

/// At most [`POINTS_MAX`] points, each the mean of what it stands for.
fn thinned(samples: &[Sample], value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let group = samples.len().div_ceil(POINTS_MAX).max(1);
    let mean = |part: &[Sample]| {
        let sum: f64 = part.iter().map(value).sum();
        (part[0].at.as_secs_f64(), sum / part.len() as f64)
    };
    samples.chunks(group).map(mean).collect()
}
