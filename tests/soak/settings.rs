//! What a run is told by its environment.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A run as it was asked for.
pub struct Settings {
    /// `SOAK_MINUTES`, 3 unless given: from the first client to the last.
    pub duration: Duration,
    /// `SOAK_SEED`, by the clock unless given. Every random decision derives from it.
    pub seed: u64,
    /// `SOAK_OUT`: the directory that gets the picture, the samples and what was wrong.
    pub out: PathBuf,
}

impl Settings {
    pub fn from_environment() -> Settings {
        let minutes: f64 = variable("SOAK_MINUTES").unwrap_or(3.0);
        // Shorter runs have no room for one fault and the rest around it.
        let seconds = (minutes * 60.0).max(20.0);
        let clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.expect("it is past 1970").as_millis() as u64 % 1_000_000_000
        };
        Settings {
            duration: Duration::from_secs_f64(seconds),
            seed: variable("SOAK_SEED").unwrap_or_else(clock),
            out: variable("SOAK_OUT")
                .unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak")),
        }
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    match value.parse() {
        Ok(parsed) => Some(parsed),
        Err(_) => panic!("{name}={value} is not understood"),
    }
}
