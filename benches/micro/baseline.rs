//! Instruction counts in a file.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

/// The counts of one run, and what they depend on beside the code.
pub struct Baseline {
    rustc: String,
    machine: String,
    /// Instructions per iteration by the name of the case.
    pub counts: BTreeMap<String, u64>,
}

impl Baseline {
    /// Without counts, for the compiler and the processor here.
    pub fn of_this_machine() -> Baseline {
        let version = Command::new("rustc").arg("--version").output();
        let version =
            version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        Baseline {
            rustc: version.unwrap_or_else(|_| "unknown".to_owned()),
            machine: env::consts::ARCH.to_owned(),
            counts: BTreeMap::new(),
        }
    }

    pub fn read(path: &Path) -> Result<Baseline, String> {
        let fault = |fault: &dyn ToString| format!("{}: {}", path.display(), fault.to_string());
        let bytes = fs::read(path).map_err(|found| fault(&found))?;
        let file: Value = sonic_rs::from_slice(&bytes).map_err(|found| fault(&found))?;
        let text = |key: &str| file.get(key).as_str().unwrap_or("unknown").to_owned();
        let counts = file.get("instructions");
        let counts = counts
            .as_object()
            .ok_or_else(|| fault(&"no instructions"))?;
        Ok(Baseline {
            rustc: text("rustc"),
            machine: text("machine"),
            counts: counts
                .iter()
                .filter_map(|(name, count)| Some((name.to_owned(), count.as_u64()?)))
                .collect(),
        })
    }

    /// One case a line, so that a difference between two files can be read.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(name, count)| format!("    \"{name}\": {count}"))
            .collect();
        let text = format!(
            "{{\n  \"rustc\": \"{}\",\n  \"machine\": \"{}\",\n  \"instructions\": {{\n{}\n  }}\n}}\n",
            self.rustc,
            self.machine,
            counts.join(",\n")
        );
        fs::write(path, text).map_err(|fault| format!("{}: {fault}", path.display()))
    }

    /// Warns that counts differ for another reason than the code.
    pub fn say_what_differs(&self, before: &Baseline) {
        for (here, there) in [
            (&self.rustc, &before.rustc),
            (&self.machine, &before.machine),
        ] {
            if here != there {
                println!(
                    "note: the baseline is of {there}, this is {here}; counts differ for that alone"
                );
            }
        }
    }

    /// By how many percent a count is above this baseline's.
    pub fn change(&self, name: &str, count: u64) -> Option<f64> {
        let before = *self.counts.get(name)?;
        Some((count as f64 / before as f64 - 1.0) * 100.0)
    }

    pub fn names_missing_in(&self, other: &Baseline) -> Vec<&str> {
        let names = self.counts.keys().map(String::as_str);
        names
            .filter(|&name| !other.counts.contains_key(name))
            .collect()
    }
}
