//! Which format an Accept field asks for (RFC 9110 §12.5.1).

use super::Format;

const OPENMETRICS: (&str, &str) = ("application", "openmetrics-text");
const PLAIN: (&str, &str) = ("text", "plain");

/// OpenMetrics where it is named and nothing else is wanted more; a range that takes everything asks for what
/// every reader knows.
pub(super) fn wanted(accept: &str) -> Format {
    let openmetrics = quality(accept, OPENMETRICS, true);
    if openmetrics > 0 && openmetrics >= quality(accept, PLAIN, false) {
        Format::OpenMetrics
    } else {
        Format::Classic
    }
}

/// Thousandths of the quality that a type is wanted with: 0 is not at all. `named`: ranges don't count.
fn quality(accept: &str, (kind, subtype): (&str, &str), named: bool) -> u32 {
    let mut found = (0, 0);
    for element in accept.split(',') {
        let mut parts = element.split(';').map(str::trim);
        let (Some((of_kind, of_subtype)), parameters) =
            (parts.next().and_then(|range| range.split_once('/')), parts)
        else {
            continue;
        };
        let is = |written: &str, own: &str| written.eq_ignore_ascii_case(own);
        let precision = match (of_kind, of_subtype) {
            (of_kind, of_subtype) if is(of_kind, kind) && is(of_subtype, subtype) => 3,
            (of_kind, "*") if is(of_kind, kind) => 2,
            ("*", "*") => 1,
            _ => continue,
        };
        if named && precision < 3 {
            continue;
        }
        let mut weight = parameters.filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            is(name.trim(), "q").then(|| value.trim().parse::<f32>().unwrap_or(0.0))
        });
        let quality = (weight.next_back().unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
        // The most precise range counts; of several versions of one type, the best.
        found = found.max((precision, quality));
    }
    found.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_most_is_given() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                          version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for accept in [
            prometheus,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Q=0.5, text/plain;q=0.5",
            "*/*, application/openmetrics-text",
        ] {
            assert_eq!(wanted(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/*",
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.4, text/plain;q=0.5",
            "application/openmetrics-text;q=0.4, text/*",
            "application/openmetrics-text;q=nonsense",
            ",;=,/",
        ] {
            assert_eq!(wanted(accept), Format::Classic, "{accept}");
        }
    }
}
