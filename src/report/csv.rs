//! The report as lines for spreadsheets and scripts: RFC 4180 but for its line ends. Names of routes have
//! nothing in them that would have to be quoted. Times are in milliseconds; what there is not is empty.

use super::figures::{Figures, PERCENTILES};
use super::text::{millis, ratio, times};
use super::{Report, Row};

pub(super) fn lines(report: &Report) -> String {
    let percentiles = PERCENTILES.map(|(name, _)| format!("{name}_ms"));
    let times: Vec<String> = ["mean_ms".to_owned()]
        .into_iter()
        .chain(percentiles)
        .chain(["max_ms".to_owned()])
        .collect();
    let own = ["count".to_owned(), "rate".to_owned()];
    let own: Vec<String> = own
        .into_iter()
        .chain(times.clone())
        .chain(["postgres_share".to_owned()])
        .collect();
    let mut heads = vec!["route".to_owned()];
    heads.extend(own.iter().cloned());
    if report.against.is_some() {
        heads.extend(own.iter().map(|name| format!("against_{name}")));
        let ratios = ["rate".to_owned()].into_iter().chain(times);
        heads.extend(ratios.map(|name| format!("ratio_{}", name.trim_end_matches("_ms"))));
    }
    let mut out = heads.join(",") + "\n";
    for row in &report.rows {
        let mut cells = vec![row.name().to_owned()];
        cells.extend(figures(Some(&row.figures)));
        if report.against.is_some() {
            cells.extend(figures(row.against.as_ref()));
            cells.extend(ratios(row));
        }
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    out
}

fn figures(figures: Option<&Figures>) -> Vec<String> {
    let none = Figures::default();
    let shown = figures.unwrap_or(&none);
    let mut cells = vec![
        figures.map_or(String::new(), |figures| figures.count.to_string()),
        shown
            .rate
            .map_or(String::new(), |rate| format!("{rate:.3}")),
    ];
    cells.extend(times(shown).map(|micros| match shown.count {
        0 => String::new(),
        _ => millis(micros),
    }));
    let share = shown.postgres_share();
    cells.push(share.map_or(String::new(), |share| format!("{share:.4}")));
    cells
}

fn ratios(row: &Row) -> Vec<String> {
    let none = Figures::default();
    let (ours, theirs) = (&row.figures, row.against.as_ref().unwrap_or(&none));
    let rates = (ours.rate.unwrap_or(0.0), theirs.rate.unwrap_or(0.0));
    let pairs = [rates].into_iter().chain(times(ours).zip(times(theirs)));
    pairs
        .map(|(ours, theirs)| ratio(ours, theirs).map_or(String::new(), |it| format!("{it:.4}")))
        .collect()
}
