//! The flags of histogram dumps.

use std::time::Duration;

use super::Error;
use crate::cli::Machine;
use crate::limits;
use crate::metrics::dump::Settings;

/// Dumps of histograms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histograms {
    /// Where, and which are kept.
    pub dumps: Settings,
    /// How often; `None` for only when asked, and at the stop.
    pub interval: Option<Duration>,
}

pub(super) fn from_flags(flags: &Machine) -> Result<Option<Histograms>, Error> {
    let Some(directory) = &flags.histogram_dir else {
        let given = [
            ("--histogram-interval", flags.histogram_interval.is_some()),
            ("--histogram-keep", flags.histogram_keep.is_some()),
            ("--histogram-max-age", flags.histogram_max_age.is_some()),
        ];
        return match given.iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(Error(format!("{name}: needs --histogram-dir"))),
            None => Ok(None),
        };
    };
    let least = limits::HISTOGRAM_INTERVAL_MIN;
    let interval = flags
        .histogram_interval
        .unwrap_or(limits::HISTOGRAM_INTERVAL);
    if !interval.is_zero() && interval < least {
        return Err(Error(
            "--histogram-interval: at least 1s, or 0s for none".to_owned(),
        ));
    }
    let keep = flags.histogram_keep.unwrap_or(limits::HISTOGRAMS_KEPT);
    if !(1..=limits::HISTOGRAMS_KEPT_MAX).contains(&keep) {
        let most = limits::HISTOGRAMS_KEPT_MAX;
        return Err(Error(format!("--histogram-keep: from 1 to {most}")));
    }
    Ok(Some(Histograms {
        dumps: Settings {
            directory: directory.clone(),
            keep,
            age_max: flags.histogram_max_age.unwrap_or(limits::HISTOGRAM_AGE),
        },
        interval: Some(interval).filter(|interval| !interval.is_zero()),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    fn histograms(arguments: &[&str]) -> Option<Histograms> {
        let arguments = [&["--histogram-dir", "/d"], arguments].concat();
        config(&arguments).unwrap().histograms
    }

    #[test]
    fn defaults_are_those_of_limits_and_without_a_directory_there_are_none() {
        assert_eq!(config(&[]).unwrap().histograms, None);
        let made = histograms(&[]).unwrap();
        assert_eq!(made.interval, Some(limits::HISTOGRAM_INTERVAL));
        assert_eq!(made.dumps.keep, limits::HISTOGRAMS_KEPT);
        assert_eq!(made.dumps.age_max, limits::HISTOGRAM_AGE);
    }

    #[test]
    fn each_flag_at_its_bounds() {
        let interval = |text| {
            histograms(&["--histogram-interval", text])
                .unwrap()
                .interval
        };
        assert_eq!(interval("0s"), None);
        assert_eq!(interval("1s"), Some(Duration::from_secs(1)));
        let keep = |text| histograms(&["--histogram-keep", text]).unwrap().dumps.keep;
        assert_eq!((keep("1"), keep("100000")), (1, 100_000));
        let age = histograms(&["--histogram-max-age", "30d"])
            .unwrap()
            .dumps
            .age_max;
        assert_eq!(age, Duration::from_secs(30 * 24 * 3600));
        for (flag, value) in [
            ("--histogram-interval", "999ms"),
            ("--histogram-keep", "0"),
            ("--histogram-keep", "100001"),
        ] {
            let error = config(&["--histogram-dir", "/d", flag, value]).unwrap_err();
            assert!(error.to_string().starts_with(flag), "{error}");
        }
        for flag in [
            "--histogram-interval",
            "--histogram-keep",
            "--histogram-max-age",
        ] {
            let value = if flag == "--histogram-keep" {
                "5"
            } else {
                "5s"
            };
            let error = config(&[flag, value]).unwrap_err().to_string();
            assert_eq!(error, format!("{flag}: needs --histogram-dir"));
        }
    }
}
