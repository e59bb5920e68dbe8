//! A route's percentiles as text, the form that HdrHistogram prints and its plotter reads.

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Lines for each halving of the distance to 100 %, as HdrHistogram has them.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// Microseconds of a millisecond, in which the text is.
const MICROS: f64 = 1000.0;

/// The file of a route. Those of the routes file are identifiers; in names that are built in whatever
/// else they have is a `+`, so none is mistaken for a route of the file: `/health` is `+health.hgrm`.
pub(super) fn file_name(route: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = route
        .chars()
        .map(|letter| if plain(letter) { letter } else { '+' });
    // A file system has 255 bytes for a name; who names routes like that has the logs.
    let mut name: String = name.take(200).collect();
    name.push_str(".hgrm");
    name
}

/// The text, in milliseconds.
pub(super) fn text(histogram: &Histogram<u64>) -> String {
    let mut out = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / MICROS;
        let quantile = step.quantile_iterated_to();
        let _ = write!(out, "{value:12.3} {quantile:14.12} {count:10}");
        if quantile < 1.0 {
            let _ = write!(out, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        out.push('\n');
    }
    let millis = |micros: f64| micros / MICROS;
    let (mean, deviation) = (millis(histogram.mean()), millis(histogram.stdev()));
    let max = millis(histogram.max() as f64);
    let _ = writeln!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let _ = writeln!(
        out,
        "#[Max     = {max:12.3}, Total count    = {:12}]",
        histogram.len()
    );
    // Sub-buckets: the least power of two that tells 2 × 10^digits values apart.
    let sub_buckets = (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two();
    let _ = writeln!(
        out,
        "#[Buckets = {:12}, SubBuckets     = {sub_buckets:12}]",
        histogram.buckets()
    );
    out
}
