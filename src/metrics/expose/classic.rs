//! OpenMetrics said in the text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Samples are written alike in both. What differs: the older format names a counter as its samples are
//! named, with `_total`, knows no end of file, and would take that line for a comment.

/// The same metrics; what is given was written by `prometheus-client`.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The help comes before the type, which tells what the name is.
    let mut help = None;
    for line in text.lines() {
        if line == "# EOF" {
            break;
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, words)| words);
        } else if let Some((name, kind)) = declared(line) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some(words) = help.take() {
                push(&mut out, &["# HELP ", name, suffix, " ", words]);
            }
            push(&mut out, &["# TYPE ", name, suffix, " ", kind]);
        } else {
            push(&mut out, &[line]);
        }
    }
    out
}

fn declared(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("# TYPE ")?.split_once(' ')
}

fn push(out: &mut String, parts: &[&str]) {
    out.extend(parts.iter().copied());
    out.push('\n');
}
