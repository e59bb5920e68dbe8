//! The report as a table for people. Times are in milliseconds.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::figures::{Figures, PERCENTILES};
use super::set::Set;
use super::{Report, Row};
use crate::metrics::empty_histogram;

pub(super) fn table(report: &Report) -> String {
    let mut out = format!("{}\n\n", describe(&report.set));
    let heads = heads(&["route", "count", "rate/s", "mean"], &["postgres"]);
    let rows = report.rows.iter().map(|row| {
        let figures = &row.figures;
        let mut cells = vec![
            row.name().to_owned(),
            figures.count.to_string(),
            figures.rate.map_or("–".to_owned(), rate),
        ];
        cells.extend(times(figures).map(|micros| millis_of(figures, micros)));
        cells.push(figures.postgres_share().map_or("–".to_owned(), percent));
        cells
    });
    columns(&mut out, [heads].into_iter().chain(rows));
    out.push_str("\nTimes in milliseconds, to three digits.");
    if report
        .rows
        .iter()
        .any(|row| is_at_the_bound(row.figures.max))
    {
        out.push_str(" 60 s stand for whatever took longer.");
    }
    out.push('\n');
    if let Some(against) = &report.against {
        compare(&mut out, report, against);
    }
    if !report.targets.is_empty() {
        out.push_str("\nTargets\n");
        for outcome in &report.targets {
            let word = if outcome.is_met() { "met   " } else { "MISSED" };
            let _ = writeln!(out, "  {word}  {outcome}");
        }
    }
    out
}

fn compare(out: &mut String, report: &Report, against: &Set) {
    let _ = write!(
        out,
        "\nAgainst {}\n(its figures, and how many times those the ones above are)\n\n",
        describe(against)
    );
    let heads = heads(&["route", "rate/s", "mean"], &[]);
    let rows = report.rows.iter().map(|row| {
        let mut cells = vec![row.name().to_owned()];
        cells.extend(compared(row).unwrap_or_else(|| vec!["–".to_owned(); heads_compared()]));
        cells
    });
    columns(out, [heads].into_iter().chain(rows));
}

fn heads_compared() -> usize {
    3 + PERCENTILES.len()
}

fn compared(row: &Row) -> Option<Vec<String>> {
    let (ours, theirs) = (&row.figures, row.against.as_ref()?);
    let cell = |text: String, ratio: Option<f64>| match ratio {
        Some(ratio) => format!("{text} ×{ratio:.2}"),
        None => format!("{text}      "),
    };
    let rates = ratio(ours.rate.unwrap_or(0.0), theirs.rate.unwrap_or(0.0));
    let mut cells = vec![cell(theirs.rate.map_or("–".to_owned(), rate), rates)];
    for (ours, theirs_time) in times(ours).zip(times(theirs)) {
        cells.push(cell(
            millis_of(theirs, theirs_time),
            ratio(ours, theirs_time),
        ));
    }
    Some(cells)
}

/// How many times the other one is; `None` where one of them is nothing.
pub(super) fn ratio(ours: f64, theirs: f64) -> Option<f64> {
    (ours > 0.0 && theirs > 0.0).then(|| ours / theirs)
}

/// The mean, the percentiles and the greatest, in microseconds.
pub(super) fn times(figures: &Figures) -> impl Iterator<Item = f64> {
    let percentiles = figures.percentiles.map(|micros| micros as f64);
    [figures.mean]
        .into_iter()
        .chain(percentiles)
        .chain([figures.max as f64])
}

fn heads(before: &[&str], after: &[&str]) -> Vec<String> {
    let names = PERCENTILES.iter().map(|(name, _)| *name).chain(["max"]);
    let all = before
        .iter()
        .copied()
        .chain(names)
        .chain(after.iter().copied());
    all.map(str::to_owned).collect()
}

/// What a set is of.
pub(super) fn describe(set: &Set) -> String {
    let count = |number: usize, word: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {word}{plural}")
    };
    format!(
        "{} to {} UTC, {} of it covered by {} of {} on {}",
        time(set.from),
        time(set.to),
        length(set.covered),
        count(set.dumps, "dump"),
        count(set.cores, "core"),
        count(set.hosts, "host"),
    )
}

/// `2026-11-22 09:15:00`.
pub(super) fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2h 3m 4s`; below ten seconds `4.321s`.
pub(super) fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds < 10 {
        return format!("{:.3}s", length.as_secs_f64());
    }
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    parts.join(" ")
}

/// Of microseconds.
pub(super) fn millis(micros: f64) -> String {
    format!("{:.3}", micros / 1000.0)
}

fn millis_of(figures: &Figures, micros: f64) -> String {
    match figures.count {
        0 => "–".to_owned(),
        _ => millis(micros),
    }
}

pub(super) fn rate(rate: f64) -> String {
    format!("{rate:.1}")
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn is_at_the_bound(micros: u64) -> bool {
    let bound = empty_histogram();
    micros >= bound.lowest_equivalent(bound.high())
}

/// Rows of cells, the first to the left, the others to the right, two spaces between them.
fn columns(out: &mut String, rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match index {
                0 => write!(line, "{cell:width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
