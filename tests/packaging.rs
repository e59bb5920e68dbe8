//! What is installed on a host: units, kernel settings, settings of Postgres, scripts and the package. Each is
//! asked of the program that it is for: systemd, sysctl, Postgres, dpkg.

mod support;

#[path = "packaging/booted.rs"]
mod booted;
#[path = "packaging/installed.rs"]
mod installed;
#[path = "packaging/settings.rs"]
mod settings;
#[path = "packaging/system.rs"]
mod system;
#[path = "packaging/units.rs"]
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A file of the checkout.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(source(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a program that is to succeed; what it says on either output.
fn succeeds(command: &mut Command) -> String {
    let output = output(command);
    let said = said(&output);
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/test installs it)"))
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}").trim().to_owned()
}

/// The release of systemd on this machine.
fn systemd_release() -> u32 {
    let said = succeeds(Command::new("systemd-analyze").arg("--version"));
    let release = said.split_whitespace().nth(1).expect("systemd NUMBER …");
    release.parse().expect("a number")
}
