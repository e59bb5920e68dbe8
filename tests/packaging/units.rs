//! The units, as `systemd-analyze` sees them, and one beside the other.

use std::process::Command;

use super::{output, said, source, succeeds, systemd_release, text};
use crate::support::TempDir;

/// What each release does not know yet and says to ignore: the units go on to say something older, or their
/// drop-in does (`systemd/before-253.conf`).
const LATER: [(u32, &str); 3] = [
    (253, "notify-reload"),
    (254, "'RestartSteps'"),
    (254, "'RestartMaxDelaySec'"),
];

/// `systemd-analyze verify` has no word to say, but for what is younger than it.
#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    let program = env!("CARGO_BIN_EXE_pinion");
    succeeds(
        Command::new(source("scripts/install"))
            .args(["--binary", program, "--staging"])
            .arg(&root),
    );
    let units = root.join("etc/systemd/system");
    for unit in ["pinion.service", "pinion@.service"] {
        // It looks for the program below /, not below the root of the unit.
        let path = units.join(unit);
        let text = std::fs::read_to_string(&path).expect("the unit");
        let here = text.replace("/usr/local/bin/pinion", program);
        let here = here.replace(
            "file:/usr/local",
            &format!("file:{}", root.join("usr/local").display()),
        );
        assert_ne!(text, here, "the program is elsewhere");
        std::fs::write(&path, here).expect("the unit");
        let analyzed = output(Command::new("systemd-analyze").arg("verify").arg(&path));
        let said = said(&analyzed);
        let release = systemd_release();
        let is_younger = |line: &str| {
            let mut later = LATER.iter().filter(|(since, _)| release < *since);
            later.any(|(_, word)| line.contains(word)) && line.contains("ignoring")
        };
        // Units of the machine that it is run on are none of ours.
        let ours: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("pinion") && !is_younger(line))
            .collect();
        assert!(ours.is_empty(), "{unit}: {ours:#?}");
    }
}

/// `systemd-analyze security`: an exposure of 2.0 at the most, where 10 is a service without any confinement.
#[test]
fn the_units_expose_little() {
    for unit in ["systemd/pinion.service", "systemd/pinion@.service"] {
        let judged = succeeds(
            Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
                .arg(source(unit)),
        );
        let exposure = judged
            .lines()
            .find_map(|line| {
                line.split_once("Overall exposure level for ")?
                    .1
                    .split_once(": ")
            })
            .and_then(|(_, level)| level.split_whitespace().next())
            .unwrap_or_else(|| panic!("no level: {judged}"));
        let exposure: f32 = exposure.parse().expect("a number");
        println!("{unit}: {exposure}");
        assert!(exposure <= 2.0, "{judged}");
    }
}

/// Without a word of comment.
fn settings(unit: &str) -> Vec<String> {
    let lines = text(unit);
    let lines = lines
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

/// The template is the unit with the instance's name in it, and nothing that two instances could both want.
#[test]
fn an_instance_is_the_service_with_a_name() {
    let renamed: Vec<String> = settings("systemd/pinion.service")
        .into_iter()
        .flat_map(|line| match line.as_str() {
            "Description=Pinion: Postgres as a JSON API" => vec![format!("{line} (%i)")],
            "Environment=PINION_HISTOGRAM_DIR=%L/pinion" => vec![
                "Environment=PINION_LISTEN=unix:/run/pinion-%i/http.sock".to_owned(),
                "Environment=PINION_ADMIN=unix:/run/pinion-%i/admin.sock".to_owned(),
                format!("{line}-%i"),
            ],
            "User=pinion"
            | "StateDirectory=pinion"
            | "LogsDirectory=pinion"
            | "RuntimeDirectory=pinion" => vec![format!("{line}-%i")],
            // An instance without settings would be the service a second time.
            "EnvironmentFile=-/etc/pinion/pinion.env" => {
                vec!["EnvironmentFile=/etc/pinion/%i/pinion.env".to_owned()]
            }
            _ => vec![line.replace("/etc/pinion/", "/etc/pinion/%i/")],
        })
        .collect();
    assert_eq!(settings("systemd/pinion@.service"), renamed);
}

/// Whatever a line of pinion.env sets is a flag, and no line of it is lost on systemd.
#[test]
fn each_setting_of_the_environment_file_is_a_flag() {
    let help = succeeds(Command::new(env!("CARGO_BIN_EXE_pinion")).args(["serve", "--help"]));
    let file = text("systemd/pinion.env");
    let settings = file
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| name.starts_with("PINION_"));
    let mut count = 0;
    for (name, _) in settings {
        let named = |end: char| help.contains(&format!("[env: {name}{end}"));
        assert!(named('=') || named(']'), "{name}");
        count += 1;
    }
    assert!(count >= 5, "{count}");
}
