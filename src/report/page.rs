//! The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. The
//! plots are SVG, 400 units wide, so that their words can be read on a telephone as well as on a screen.

mod chart;
mod percentiles;
mod stages;
mod timeline;

use std::fmt::Write;

use super::figures::{Figures, PERCENTILES};
use super::set::{Route, Set};
use super::{Report, Row, text};

/// Routes with plots of their own; the page of a hundred would be long and slow. Those asked most often.
const SECTIONS_MAX: usize = 40;

/// Ratios within these bounds are no news.
const ALIKE: std::ops::RangeInclusive<f64> = 0.95..=1.05;

/// The page.
pub(super) fn html(report: &Report) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>Pinion latency report</title>\n<style>\n",
    );
    out.push_str(include_str!("page/style.css"));
    out.push_str("</style>\n</head>\n<body>\n<main>\n");
    head(&mut out, report);
    targets(&mut out, report);
    table(&mut out, report);
    let routes = by_count(&report.set);
    overview(&mut out, report, &routes);
    let against = |name: &str| {
        let routes = report.against.as_ref().map(|set| &set.routes);
        routes?.iter().find(|route| route.name == name)
    };
    for route in routes.iter().take(SECTIONS_MAX) {
        let name = escape(&route.name);
        let _ = write!(out, "<section id=\"route-{name}\">\n<h2>{name}</h2>\n");
        plots(&mut out, &report.set, route, against(&route.name));
        out.push_str("</section>\n");
    }
    if routes.len() > SECTIONS_MAX {
        let _ = writeln!(
            out,
            "<p>The {SECTIONS_MAX} of {} routes that were asked most often have plots of their own; \
             <code>--route</code> shows others.</p>",
            routes.len()
        );
    }
    out.push_str(include_str!("page/footer.html"));
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Text as HTML, in elements and in quoted attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

fn by_count(set: &Set) -> Vec<&Route> {
    let count =
        |route: &&Route| std::cmp::Reverse(Figures::of(&route.latencies, set.covered).count);
    let mut routes: Vec<&Route> = set.routes.iter().collect();
    routes.sort_by_key(count);
    routes
}

fn head(out: &mut String, report: &Report) {
    let set = escape(&text::describe(&report.set));
    let _ = write!(out, "<h1>Pinion latency report</h1>\n<p>{set}</p>\n");
    if let Some(against) = &report.against {
        let set = escape(&text::describe(against));
        let _ = writeln!(out, "<p>Against, dashed and in small print: {set}</p>");
    }
}

fn targets(out: &mut String, report: &Report) {
    if report.targets.is_empty() {
        return;
    }
    out.push_str("<h2>Targets</h2>\n<ul class=\"targets\">\n");
    for outcome in &report.targets {
        let (class, mark) = match outcome.is_met() {
            true => ("met", "✓ met"),
            false => ("missed", "✗ missed"),
        };
        let words = escape(&outcome.to_string());
        let _ = writeln!(out, "<li class=\"{class}\"><b>{mark}</b> {words}</li>");
    }
    out.push_str("</ul>\n");
}

fn table(out: &mut String, report: &Report) {
    out.push_str("<h2>Routes</h2>\n<div class=\"wide\"><table>\n<thead><tr><th>route</th>");
    let names = PERCENTILES.iter().map(|(name, _)| *name);
    let heads = ["requests", "per second", "mean ms"].into_iter();
    for head in heads.chain(names).chain(["max", "Postgres"]) {
        let _ = write!(out, "<th>{head}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let shown = by_count(&report.set);
    let has_plots = |name: &str| {
        shown
            .iter()
            .take(SECTIONS_MAX)
            .any(|route| route.name == name)
    };
    for row in &report.rows {
        let name = escape(row.name());
        let class = if row.route.is_none() {
            " class=\"all\""
        } else {
            ""
        };
        let link = match row.route.as_deref() {
            Some(route) if has_plots(route) => format!("<a href=\"#route-{name}\">{name}</a>"),
            _ => name,
        };
        let _ = write!(out, "<tr{class}><th scope=\"row\">{link}</th>");
        cells(out, row);
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn cells(out: &mut String, row: &Row) {
    let none = Figures::default();
    let (ours, theirs) = (&row.figures, row.against.as_ref().unwrap_or(&none));
    let mut cell = |text: String, ratio: Option<f64>, is_time: bool| {
        let _ = write!(out, "<td>{text}");
        if let Some(ratio) = ratio {
            let class = match ratio {
                _ if ALIKE.contains(&ratio) || !is_time => "alike",
                _ if ratio > 1.0 => "worse",
                _ => "better",
            };
            let _ = write!(out, "<small class=\"{class}\">×{ratio:.2}</small>");
        }
        out.push_str("</td>");
    };
    let dash = || "–".to_owned();
    let counts = text::ratio(ours.count as f64, theirs.count as f64);
    cell(ours.count.to_string(), counts, false);
    let rates = text::ratio(ours.rate.unwrap_or(0.0), theirs.rate.unwrap_or(0.0));
    cell(ours.rate.map_or_else(dash, text::rate), rates, false);
    for (ours_time, theirs_time) in text::times(ours).zip(text::times(theirs)) {
        let shown = match ours.count {
            0 => dash(),
            _ => text::millis(ours_time),
        };
        cell(shown, text::ratio(ours_time, theirs_time), true);
    }
    cell(
        ours.postgres_share().map_or_else(dash, text::percent),
        None,
        false,
    );
}

/// All routes beside each other, and all together.
fn overview(out: &mut String, report: &Report, routes: &[&Route]) {
    out.push_str("<section>\n<h2>All routes</h2>\n<div class=\"plots pairs\">\n");
    let against = report.against.as_ref();
    figure(
        out,
        "Latency by percentile, ms",
        &percentiles::of_routes(routes, against),
    );
    let rows: Vec<&Row> = report.rows.iter().collect();
    figure(out, "Where the time goes", &stages::bars(&rows));
    let all = &report.set.all;
    figure(
        out,
        "All together over time, ms",
        &timeline::percentiles(&report.set, all),
    );
    figure(
        out,
        "Mean time by stage, ms",
        &timeline::stages(&report.set, all),
    );
    out.push_str("</div>\n</section>\n");
}

fn plots(out: &mut String, set: &Set, route: &Route, against: Option<&Route>) {
    out.push_str("<div class=\"plots\">\n");
    figure(
        out,
        "Latency by percentile, ms",
        &percentiles::of_route(route, against),
    );
    figure(
        out,
        "Over time (UTC), ms",
        &timeline::percentiles(set, route),
    );
    figure(out, "Mean time by stage, ms", &timeline::stages(set, route));
    out.push_str("</div>\n");
}

fn figure(out: &mut String, caption: &str, plot: &str) {
    let _ = write!(
        out,
        "<figure>\n<figcaption>{caption}</figcaption>\n{plot}</figure>\n"
    );
}

/// The names of lines and areas, each with the class of its colour.
fn legend(entries: &[(&str, &str)]) -> String {
    let mut out = String::from("<ul class=\"legend\">");
    for (class, name) in entries {
        let name = escape(name);
        let _ = write!(out, "<li><i class=\"{class}\"></i>{name}</li>");
    }
    out.push_str("</ul>\n");
    out
}
