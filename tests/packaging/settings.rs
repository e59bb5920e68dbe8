//! Settings of the kernel and of Postgres: each is there, and is taken.

use std::path::Path;
use std::process::Command;

use super::{source, succeeds, text};
use crate::support::cluster::Cluster;

/// The settings of a sysctl.d file (sysctl.d(5)).
fn kernel_settings() -> Vec<(String, String)> {
    let file = text("sysctl.d/60-pinion.conf");
    let lines = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .map(|line| {
            let (key, value) = line.split_once(" = ").expect("KEY = VALUE");
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// Each key is one of this kernel's, and each has its reason right above it.
#[test]
fn the_kernel_has_every_setting_and_each_has_a_reason() {
    let settings = kernel_settings();
    assert!(settings.len() >= 5, "{settings:?}");
    for (key, _) in &settings {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        assert!(Path::new(&path).exists(), "{path}");
    }
    let file = text("sysctl.d/60-pinion.conf");
    let lines: Vec<&str> = file.lines().collect();
    for pair in lines.windows(2) {
        if pair[1].contains(" = ") && !pair[1].starts_with('#') {
            assert!(pair[0].starts_with("# "), "no reason for {}", pair[1]);
        }
    }
}

/// `sysctl` takes the whole file: for real in a network namespace of its own, where it is root's and the
/// settings of networks are; for the others, which are the whole machine's, as far as `--dry-run` goes.
#[test]
fn sysctl_takes_the_file() {
    let path = source("sysctl.d/60-pinion.conf");
    let path = path.to_str().expect("UTF-8");
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a network namespace of its own takes root");
        return;
    }
    for (key, value) in kernel_settings()
        .iter()
        .filter(|(key, _)| key.starts_with("net.ipv4."))
    {
        let script = format!("sysctl -qw '{key}={value}' && sysctl -n '{key}'");
        let taken = succeeds(Command::new("unshare").args(["-n", "sh", "-ec", &script]));
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&taken), words(value), "{key}");
    }
    let said = succeeds(Command::new("sysctl").args(["--dry-run", "-p", path]));
    let said: Vec<&str> = said.lines().collect();
    let expected: Vec<String> = kernel_settings()
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    assert_eq!(said, expected);
}

/// The settings of `scripts/postgresql.conf`, as Postgres itself reads the file.
pub fn postgres_settings() -> Vec<String> {
    let file = text("scripts/postgresql.conf");
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// The machine's own Postgres starts with the file, and takes every setting of it.
#[test]
fn postgres_takes_every_setting() {
    let path = source("scripts/postgresql.conf");
    let include = format!("include '{}'\n", path.display());
    let mut cluster = Cluster::start("", "select 1");
    cluster.configure(&include);
    cluster.stop_fast();
    cluster.launch();
    let settings = postgres_settings();
    assert!(settings.len() > 20, "{settings:?}");
    let told = cluster.sql(&format!(
        "select name, applied, coalesce(error, '') from pg_file_settings where sourcefile = '{}'",
        path.display()
    ));
    let expected: Vec<String> = settings.iter().map(|name| format!("{name}|t|")).collect();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        expected,
        "{}",
        cluster.log()
    );
    for name in &settings {
        let known = cluster.sql(&format!(
            "select sourcefile from pg_settings where name = '{name}'"
        ));
        assert_eq!(Path::new(&known), path, "{name}");
    }
    println!("Postgres {}", cluster.sql("show server_version"));
}
