//! Where the time of each route goes: a bar of its stages.

use std::fmt::Write;

use super::chart::{self, WIDTH};
use super::escape;
use super::timeline::{COLOURS, stage_legend};
use crate::report::Row;
use crate::report::figures::{Figures, PARTS};
use crate::report::text;

/// Bars in the plot; more of them would be as long as the table.
const BARS_MAX: usize = 16;

/// Units from one bar to the next.
const PITCH: f64 = 38.0;

/// Letters of a name that have room beside the mean.
const NAME_MAX: usize = 26;

/// The routes that take most of all time, and all together at the end.
pub(super) fn bars(rows: &[&Row]) -> String {
    let time = |row: &&&Row| -> u64 { (row.figures.mean * row.figures.count as f64) as u64 };
    let mut shown: Vec<&&Row> = rows.iter().filter(|row| row.figures.count > 0).collect();
    shown.sort_by_key(|row| (row.route.is_none(), std::cmp::Reverse(time(row))));
    if shown.len() > BARS_MAX {
        shown.drain(BARS_MAX - 1..shown.len() - 1);
    }
    let height = PITCH * shown.len().max(1) as f64;
    let mut out = chart::begin("The share of each stage in the time of each route", height);
    for (index, row) in shown.iter().enumerate() {
        bar(&mut out, row, PITCH * index as f64);
    }
    out.push_str("</svg>\n");
    out.push_str(&stage_legend());
    out
}

fn bar(out: &mut String, row: &Row, top: f64) {
    let mut name = row.name().to_owned();
    if name.chars().count() > NAME_MAX {
        name = name.chars().take(NAME_MAX - 1).chain(['…']).collect();
    }
    let (name, mean) = (escape(&name), text::millis(row.figures.mean));
    let base = top + 14.0;
    let _ = write!(
        out,
        "<text class=\"name\" x=\"0\" y=\"{base}\">{name}</text>"
    );
    let _ = writeln!(
        out,
        "<text x=\"{WIDTH}\" y=\"{base}\" text-anchor=\"end\">mean {mean} ms</text>"
    );
    parts(out, &row.figures, top + 19.0, 11.0, "");
    if let Some(theirs) = &row.against {
        parts(out, theirs, top + 31.0, 3.0, "against: ");
    }
}

fn parts(out: &mut String, figures: &Figures, y: f64, height: f64, prefix: &str) {
    let sum: f64 = figures.parts.iter().sum();
    if sum <= 0.0 {
        return;
    }
    let mut x = 0.0;
    for ((stage, micros), class) in PARTS.iter().zip(figures.parts).zip(COLOURS) {
        let width = WIDTH * micros / sum;
        if width >= 0.1 {
            let words = format!(
                "{prefix}{} {} ms, {}",
                stage.name(),
                text::millis(micros),
                text::percent(micros / sum)
            );
            let _ = write!(
                out,
                "<rect class=\"area {class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\">\
                 <title>{words}</title></rect>"
            );
        }
        x += width;
    }
    out.push('\n');
}
