//! `pinion report`: what dumps of histograms say, as a table, a page, JSON or CSV, and whether it keeps to a
//! target.
//!
//! files → logs → one histogram for each route and stage → figures. Histograms are merged, percentiles never
//! are: the p99 of two cores is no mean of theirs.

mod csv;
mod error;
mod figures;
mod files;
mod json;
mod log;
mod page;
mod payload;
mod set;
pub mod target;
mod text;

use std::path::{Path, PathBuf};

use crate::cli;
pub use error::Error;
use figures::{Figures, PERCENTILES};
use set::Set;
use target::{Outcome, Target};

/// What to report on, and how.
#[derive(Debug, Default)]
pub struct Options {
    /// Logs, dumps and directories of them.
    pub dumps: Vec<PathBuf>,
    /// Those that they are compared with.
    pub against: Vec<PathBuf>,
    /// Only these routes; all if there are none.
    pub routes: Vec<String>,
    /// What has to be kept to.
    pub targets: Vec<Target>,
    /// How it is printed.
    pub form: Form,
    /// Where a page goes.
    pub html: Option<PathBuf>,
}

impl From<cli::Report> for Options {
    fn from(flags: cli::Report) -> Options {
        let bounds = [flags.p50, flags.p90, flags.p99, flags.p999, flags.p9999];
        let named = PERCENTILES.iter().zip(bounds);
        let targets = named.flat_map(|(&(percentile, millionths), bounds)| {
            bounds.into_iter().map(move |bound| Target {
                percentile,
                millionths,
                bound,
            })
        });
        Options {
            dumps: flags.dumps,
            against: flags.against,
            routes: flags.route,
            targets: targets.collect(),
            form: match (flags.json, flags.csv) {
                (true, _) => Form::Json,
                (_, true) => Form::Csv,
                _ => Form::Text,
            },
            html: flags.html,
        }
    }
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A table for people.
    #[default]
    Text,
    /// One document.
    Json,
    /// A line for each route.
    Csv,
}

/// What there is to say.
struct Report {
    set: Set,
    rows: Vec<Row>,
    against: Option<Set>,
    targets: Vec<Outcome>,
}

/// A route, or all of them together.
struct Row {
    /// `None` for all of them.
    route: Option<String>,
    figures: Figures,
    /// Of the set that it is compared with, if the route is in it.
    against: Option<Figures>,
}

impl Row {
    fn name(&self) -> &str {
        self.route.as_deref().unwrap_or("all routes")
    }
}

/// Reads the dumps and gives what is to be printed; writes the page, if one is wanted. With it comes
/// which targets were missed, a line each.
pub fn run(options: &Options) -> Result<(String, Vec<String>), Error> {
    let report = Report::of(options)?;
    if let Some(path) = &options.html {
        write(path, &page::html(&report))?;
    }
    let printed = match options.form {
        Form::Text => text::table(&report),
        Form::Json => json::document(&report),
        Form::Csv => csv::lines(&report),
    };
    let missed = report.targets.iter().filter(|outcome| !outcome.is_met());
    Ok((printed, missed.map(ToString::to_string).collect()))
}

impl Report {
    fn of(options: &Options) -> Result<Report, Error> {
        let set = Set::read(&options.dumps, &options.routes)?;
        let against = match options.against.as_slice() {
            [] => None,
            dumps => Some(Set::read(dumps, &options.routes)?),
        };
        for name in &options.routes {
            let is_known = |set: &Set| set.routes.iter().any(|route| route.name == *name);
            if !is_known(&set) && !against.as_ref().is_some_and(is_known) {
                return Err(Error::new(format!(
                    "no request of the route {name} in the dumps"
                )));
            }
        }
        let rows = rows(&set, against.as_ref());
        let targets = target::check(&options.targets, &options.routes, &set);
        Ok(Report {
            set,
            rows,
            against,
            targets,
        })
    }
}

/// A row for each route of the one set or the other, by name, and one for all together.
fn rows(set: &Set, against: Option<&Set>) -> Vec<Row> {
    let of = |set: &Set, name: &str| {
        let route = set.routes.iter().find(|route| route.name == name)?;
        Some(Figures::of(&route.latencies, set.covered))
    };
    let all = |set: &Set| Figures::of(&set.all.latencies, set.covered);
    let sets = [Some(set), against];
    let routes = sets.into_iter().flatten().flat_map(|set| &set.routes);
    let mut names: Vec<&String> = routes.map(|route| &route.name).collect();
    names.sort_unstable();
    names.dedup();
    let mut rows: Vec<Row> = names
        .into_iter()
        .map(|name| Row {
            route: Some(name.clone()),
            figures: of(set, name).unwrap_or_default(),
            against: against.and_then(|against| of(against, name)),
        })
        .collect();
    rows.push(Row {
        route: None,
        figures: all(set),
        against: against.map(all),
    });
    rows
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text)
        .map_err(|error| Error::new(format!("can't write {}: {error}", path.display())))
}
