//! What all plots share: the frame, scales, ticks.

use std::fmt::Write;

/// Units of a plot.
pub(super) const WIDTH: f64 = 400.0;
pub(super) const HEIGHT: f64 = 230.0;
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = 10.0;
pub(super) const TOP: f64 = 10.0;
pub(super) const BOTTOM: f64 = 24.0;

/// Units of a digit of a label on a telephone, where labels are larger; a little more than most fonts have.
const DIGIT: f64 = 7.6;

/// From values to units, straight or by the logarithm.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    is_log: bool,
    start: f64,
    end: f64,
}

impl Scale {
    /// Left to right.
    pub(super) fn across(from: f64, to: f64) -> Scale {
        Scale {
            from,
            to: to.max(from + f64::EPSILON),
            is_log: false,
            start: LEFT,
            end: WIDTH - RIGHT,
        }
    }

    /// Bottom to top, from nothing.
    pub(super) fn up(to: f64) -> Scale {
        Scale {
            from: 0.0,
            to: if to > 0.0 { to * 1.05 } else { 1.0 },
            is_log: false,
            start: HEIGHT - BOTTOM,
            end: TOP,
        }
    }

    /// Bottom to top by the logarithm, between the steps of 1, 2 and 5 around the values.
    pub(super) fn up_log(least: f64, most: f64) -> Scale {
        let least = least.clamp(0.001, 1e6);
        let from = steps(least / 10.0, least).last().copied().unwrap_or(least);
        let most = most.max(from * 1.01);
        let to = steps(most, most * 10.0).first().copied().unwrap_or(most);
        Scale {
            from,
            to: to.max(from * 2.0),
            is_log: true,
            start: HEIGHT - BOTTOM,
            end: TOP,
        }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let part = match self.is_log {
            true => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        };
        self.start + (self.end - self.start) * part.clamp(0.0, 1.0)
    }

    /// The values that have a line and a label, seven at the most or thereabouts.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = steps(self.to / 6.0, self.to)
                .first()
                .copied()
                .unwrap_or(self.to);
            let count = (self.to / step) as u32;
            return (0..=count).map(|index| f64::from(index) * step).collect();
        }
        let all = steps(self.from, self.to);
        let decades: Vec<f64> = all
            .iter()
            .copied()
            .filter(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-9)
            .collect();
        if decades.len() > 2 { decades } else { all }
    }
}

/// 1, 2 and 5 and their tenfolds, from the one to the other.
fn steps(from: f64, to: f64) -> Vec<f64> {
    let decades = (from.log10().floor() as i32 - 1)..=(to.log10().ceil() as i32);
    let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)));
    let near = |tick: &f64| *tick >= from * 0.999_999 && *tick <= to * 1.000_001;
    all.filter(near).collect()
}

/// The start of a plot; `words` say what it shows to those who don't see it.
pub(super) fn begin(words: &str, height: f64) -> String {
    let words = super::escape(words);
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{words}\">\n")
}

/// Lines and labels of milliseconds.
pub(super) fn values(out: &mut String, scale: Scale) {
    let right = WIDTH - RIGHT;
    for tick in scale.ticks() {
        let y = scale.place(tick);
        let _ = write!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let (x, y) = (LEFT - 6.0, y + 4.0);
        let label = number(tick);
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>"
        );
    }
}

/// A line and a label on the horizontal axis. A label that would leave the plot is moved into it.
pub(super) fn across(out: &mut String, x: f64, label: &str) {
    let (top, bottom) = (TOP, HEIGHT - BOTTOM);
    let _ = write!(out, "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>");
    let half = DIGIT * label.len() as f64 / 2.0;
    let (x, anchor) = match x {
        x if x + half > WIDTH => (WIDTH, "end"),
        // Not under the labels of the other axis.
        x if x - half < LEFT - 4.0 => (LEFT - 4.0, "start"),
        x => (x, "middle"),
    };
    let y = HEIGHT - 8.0;
    let _ = writeln!(
        out,
        "<text class=\"tick\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{label}</text>"
    );
}

/// A line through points in units; it is broken where one is missing. A point with no neighbour is a dash.
pub(super) fn line(out: &mut String, class: &str, points: &[Option<(f64, f64)>]) {
    let mut path = String::new();
    let at = |index: usize| points.get(index).copied().flatten();
    for (index, point) in points.iter().enumerate() {
        let Some((x, y)) = point else {
            continue;
        };
        let follows = index > 0 && at(index - 1).is_some();
        let _ = match (follows, at(index + 1)) {
            (true, _) => write!(path, "L{x:.1} {y:.1}"),
            (false, Some(_)) => write!(path, "M{x:.1} {y:.1}"),
            (false, None) => write!(path, "M{:.1} {y:.1}h6", x - 3.0),
        };
    }
    if !path.is_empty() {
        let _ = writeln!(out, "<path class=\"line {class}\" d=\"{path}\"/>");
    }
}

/// A number as short as it can be: `0.05`, `2`, `1000`.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_hold_what_they_are_made_for() {
        for (least, most) in [
            (0.001, 0.001),
            (0.3, 7.0),
            (1.0, 1000.0),
            (59_999.0, 60_000.0),
        ] {
            let scale = Scale::up_log(least, most);
            assert!(scale.from <= least && scale.to >= most, "{least} {most}");
            let ticks = scale.ticks();
            assert!((2..=9).contains(&ticks.len()), "{least} {most} {ticks:?}");
        }
        for most in [0.0, 0.0004, 3.0, 99_999.0] {
            let ticks = Scale::up(most).ticks();
            assert!((2..=8).contains(&ticks.len()), "{most} {ticks:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.05, 2.0, 1000.0, 0.001].map(number);
        assert_eq!(texts, ["0", "0.05", "2", "1000", "0.001"]);
    }
}
