//! What the handbook names: alerts, metrics, flags, other pages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::handbook::{sections, text};
use crate::support::{ended, pinion};

/// Flags of other programs, each with a word that its line has.
const OF_OTHERS: &[(&str, &str)] = &[
    ("--release", "cargo"),
    ("--quick", "scripts/bench"),
    ("--rounds", "scripts/bench"),
    ("--duration", "scripts/bench"),
    ("--unix-socket", "curl"),
    ("--value", "systemctl"),
    ("--no-pager", "systemctl"),
    ("--now", "systemctl"),
    ("--kill-whom", "systemctl"),
    ("--signal", "systemctl"),
    ("--prefix", "scripts/install"),
    ("--binary", "scripts/install"),
    ("--dry-run", "scripts/install"),
    ("--purge", "scripts/uninstall"),
    ("--owner", "createdb"),
    ("--system", "sysctl"),
];

/// Everything that operators are given to read.
fn pages() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let entries = std::fs::read_dir(directory).expect("docs/");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| format!("docs/{}", name.to_str().expect("UTF-8")));
    let mut pages: Vec<String> = names.chain(["README.md".to_owned()]).collect();
    pages.sort();
    assert!(pages.iter().all(|page| page.ends_with(".md")), "{pages:?}");
    pages
}

/// Names of metrics that a text has, and where.
pub fn metrics_named() -> BTreeMap<String, String> {
    let files = ["systemd/alerts.yml", "systemd/grafana.json"].map(str::to_owned);
    let mut named = BTreeMap::new();
    for file in pages().into_iter().chain(files) {
        let text = text(&file);
        let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        for word in words {
            let rest = ["pinion_", "process_"].map(|prefix| word.strip_prefix(prefix));
            // "pinion_0" is the beginning of a package's name, "pinion_(" of a pattern that grep is given.
            let is_name = |rest: &str| rest.starts_with(|it: char| it.is_ascii_lowercase());
            if rest.into_iter().flatten().any(is_name) {
                named.insert(word.to_owned(), file.clone());
            }
        }
    }
    named
}

/// In their order, each with where it sends its reader.
fn alerts() -> Vec<(String, String)> {
    let text = text("systemd/alerts.yml");
    let value = |key: &'static str| {
        let lines = text.lines().map(str::trim);
        let values = lines.filter_map(move |line| line.strip_prefix(key));
        values.map(|it| it.trim_matches('"').to_owned())
    };
    let names: Vec<String> = value("- alert: ").collect();
    let runbooks: Vec<String> = value("runbook: ").collect();
    assert_eq!(names.len(), runbooks.len(), "an alert without its runbook");
    names.into_iter().zip(runbooks).collect()
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let alerts = alerts();
    assert!(alerts.len() > 10);
    let names: Vec<&String> = alerts.iter().map(|(name, _)| name).collect();
    let sections = sections("docs/alerts.md");
    assert_eq!(sections[0], "Looking at a server");
    assert_eq!(sections[1..].iter().collect::<Vec<_>>(), names);
    for (name, runbook) in &alerts {
        assert_eq!(runbook, &format!("docs/alerts.md#{}", anchor(name)));
    }
}

/// `--name` wherever it stands, with its line.
fn flags_of(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let is_part =
            |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-.".contains(it);
        for word in line.split(|it: char| !is_part(it)) {
            let name = word.strip_prefix("--").unwrap_or("");
            if name.starts_with(|it: char| it.is_ascii_lowercase()) {
                found.push((word.trim_end_matches('.'), line));
            }
        }
    }
    found
}

#[test]
fn every_flag_is_one_of_a_command() {
    let mut known = BTreeSet::new();
    for command in ["", "serve", "demo", "check", "report", "upgrade"] {
        let arguments = [command, "--help"].into_iter().filter(|it| !it.is_empty());
        let arguments: Vec<&str> = arguments.collect();
        let (code, help, err) = ended(pinion(&arguments));
        assert_eq!(code, Some(0), "{err}");
        known.extend(flags_of(&help).into_iter().map(|(flag, _)| flag.to_owned()));
        // An environment variable says the same.
        let variables = help.split("[env: ").skip(1);
        known.extend(variables.map(|rest| {
            let end = rest.find(['=', ']']).expect("its end");
            rest[..end].to_owned()
        }));
    }
    let mut unknown = Vec::new();
    let mut used: BTreeSet<&(&str, &str)> = BTreeSet::new();
    for page in pages() {
        let text = text(&page);
        for (flag, line) in flags_of(&text) {
            let other = OF_OTHERS
                .iter()
                .find(|(other, word)| *other == flag && line.contains(word));
            used.extend(other);
            if !known.contains(flag) && other.is_none() {
                unknown.push(format!("{page}: {flag} in {line}"));
            }
        }
        let words = text.split(|it: char| !it.is_ascii_uppercase() && it != '_');
        let variables = words.filter(|word| word.starts_with("PINION_") && !word.ends_with('_'));
        for variable in variables {
            if !known.contains(variable) {
                unknown.push(format!("{page}: {variable}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    let unused: Vec<_> = OF_OTHERS.iter().filter(|it| !used.contains(it)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let is_kept = |it: &char| it.is_alphanumeric() || " -_".contains(*it);
    let kept = heading.chars().filter(is_kept);
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// A page without what it quotes, which has comments that begin like headings and brackets like links.
fn prose(path: &Path) -> String {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut quoted = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        quoted ^= is_fence;
        !quoted && !is_fence
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn anchors(path: &Path) -> BTreeSet<String> {
    let prose = prose(path);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for page in pages() {
        let path = root.join(&page);
        for part in prose(&path).split("](").skip(1) {
            let target = part.split(')').next().expect("its end");
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let to = match file {
                "" => path.clone(),
                file => path.parent().expect("a directory").join(file),
            };
            assert!(to.exists(), "{page}: {target}");
            let is_there = heading.is_empty() || anchors(&to).contains(heading);
            assert!(is_there, "{page}: no heading {heading} in {}", to.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
