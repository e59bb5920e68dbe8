//! The package on a Debian that is booted for it: installed, configured, started, reloaded, left without a sign of
//! life, restarted, run twice side by side, removed and purged, by the words of `docs/operations.md`.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::system::System;
use super::{source, succeeds};
use crate::support::core_thread::StoppedCore;
use crate::support::handbook::{blocks, matches};
use crate::support::wait_until;

/// The commands of a chapter of `docs/operations.md`: what its blocks of shell say.
fn commands(chapter: &str) -> String {
    let blocks = blocks("docs/operations.md").into_iter();
    let of_it = blocks.filter(|block| block.section == chapter);
    let commands: String = of_it.map(|block| block.commands).collect();
    assert!(!commands.is_empty(), "no commands in {chapter}");
    format!("set -e\n{commands}")
}

/// Smaller rings, where the limits of this machine are below those that the units ask for: without
/// CAP_SYS_RESOURCE nobody may have more locked memory than it started with.
const SMALL: &str = "[Service]\nEnvironment=PINION_MAX_CONNECTIONS=1000\n";

/// A chapter that nobody runs is noticed without a Debian, too.
#[test]
fn each_chapter_with_commands_is_run() {
    for block in blocks("docs/operations.md") {
        let run = format!("commands(\"{}\")", block.section);
        assert!(
            include_str!("booted.rs").contains(&run),
            "nobody runs {run}"
        );
    }
}

#[test]
fn the_package_lives_on_a_host_as_the_handbook_says() {
    let Some(system) = System::boot() else {
        return;
    };
    let package = succeeds(
        Command::new(source("scripts/deb")).args(["--binary", env!("CARGO_BIN_EXE_pinion")]),
    );
    let package = package.lines().last().expect("its path").to_owned();
    std::fs::copy(source(&package), system.path("/root/pinion.deb")).expect("a copy");
    system.run("pg_createcluster 17 main --start");
    for unit in ["pinion.service", "pinion@.service"] {
        let directory = format!("/run/systemd/system/{unit}.d");
        std::fs::create_dir_all(system.path(&directory)).expect("a directory");
        system.write(&format!("{directory}/small.conf"), SMALL);
    }
    install(&system);
    is_confined(&system);
    reloads(&system);
    is_upgraded(&system);
    has_postgres_tuned(&system);
    is_reported_on(&system);
    is_followed(&system);
    listens_below_1024(&system);
    is_started_again_when_a_core_stands_still(&system);
    runs_beside_another(&system);
    goes_without_a_trace(&system);
}

fn install(system: &System) {
    system.run("cd /root && dpkg -i pinion.deb");
    assert_eq!(system.property("pinion", "UnitFileState"), "disabled");
    assert_eq!(system.property("pinion", "ActiveState"), "inactive");
    let sum = |path: &str| system.run(&format!("md5sum < {path}"));
    let packaged = sum("/etc/pinion/pinion.env");
    system.run("echo '# Ours.' >> /etc/pinion/pinion.env");
    assert_ne!(sum("/etc/pinion/pinion.env"), packaged);
    system.run(&format!("cd /root; {}", commands("First start")));
    assert_eq!(system.property("pinion", "UnitFileState"), "enabled");
    assert_eq!(system.property("pinion", "ActiveState"), "active");
    assert_eq!(system.property("pinion", "Type"), "notify-reload");
    let cores = thread::available_parallelism().expect("cores");
    assert_eq!(
        system.property("pinion", "StatusText"),
        format!("serving every route, cores: {cores}")
    );
    assert_eq!(
        system.run("curl -fsS http://127.0.0.1:8080/notes/1"),
        r#"{"note_id":1,"title":"first"}"#
    );
    // Installing it again, as with an upgrade, asks nothing, keeps what was changed and touches nothing that runs.
    let process = system.property("pinion", "MainPID");
    let settings = sum("/etc/pinion/pinion.env");
    system.run("dpkg -i /root/pinion.deb");
    assert_eq!(sum("/etc/pinion/pinion.env"), settings);
    assert_eq!(system.property("pinion", "MainPID"), process);
}

/// As the unit says: nobody's user, no capability, a filter, no page that is written and run.
fn is_confined(system: &System) {
    let pid = system.process_of("pinion");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in {status}"));
        value.trim_start_matches(':').trim().to_owned()
    };
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(value(set), "0000000000000000", "{set}");
    }
    assert_eq!(value("NoNewPrivs"), "1");
    assert_eq!(value("Seccomp"), "2", "a filter");
    let uid: u32 = value("Uid")
        .split_whitespace()
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    assert!((61184..=65519).contains(&uid), "no dynamic user: {uid}");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("its environment");
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("PGPASSFILE=/run/credentials/pinion.service/secret_pgpass"));
    assert!(!environment.contains("from a credential"), "{environment}");
}

fn reloads(system: &System) {
    let process = system.property("pinion", "MainPID");
    system.run(&commands("Reload"));
    assert_eq!(system.property("pinion", "ActiveState"), "active");
    assert_eq!(system.property("pinion", "MainPID"), process);
    assert_eq!(system.property("pinion", "NRestarts"), "0");
}

/// Another process takes over, confined as the first one was, and is the service's from then on.
fn is_upgraded(system: &System) {
    let process = system.property("pinion", "MainPID");
    system.run(&commands("Upgrade"));
    assert_ne!(system.property("pinion", "MainPID"), process);
    assert_eq!(system.property("pinion", "ActiveState"), "active");
    assert_eq!(system.property("pinion", "NRestarts"), "0");
    is_confined(system);
    system.run("curl -fsS http://127.0.0.1:8080/notes/1");
}

/// The handbook's settings of Postgres, and a restart of it that is survived.
fn has_postgres_tuned(system: &System) {
    system.run(&commands("Settings of the host"));
    wait_until("Postgres is there again", || {
        system
            .property("pinion", "StatusText")
            .starts_with("serving every route")
            && system
                .command("curl -fsS http://127.0.0.1:8080/notes/1")
                .status
                .success()
    });
    let taken = "select count(*) filter (where applied), count(*) filter (where not applied or error <> '') \
                 from pg_file_settings where sourcefile like '%/conf.d/pinion.conf'";
    let taken = system.run(&format!("runuser -u postgres -- psql -Atc \"{taken}\""));
    // The one that is set twice counts where it is set last.
    assert_eq!(
        taken,
        format!("{}|1", super::settings::postgres_settings().len())
    );
    let said = system.run(&commands("Capacity plan"));
    let figures: Vec<&str> = said.split_whitespace().collect();
    let figure = |index: usize| figures[index].parse::<u64>().expect("a number");
    assert!(figure(0) >= 100 && figure(2) > 0 && figure(4) > 0, "{said}");
}

fn is_reported_on(system: &System) {
    let said = system.run(&commands("Reading the p99 report"));
    assert!(said.ends_with("keep it"), "{said}");
}

/// What the other pages do with systemd; `tests/docs` runs the rest of them.
fn is_followed(system: &System) {
    for page in ["docs/alerts.md", "docs/upgrade.md"] {
        let mut blocks = blocks(page).into_iter();
        let names = blocks.next().expect("its names").commands;
        for block in blocks.filter(|block| block.is_of_systemd() || block.section == "Upgrade") {
            let process = system.property("pinion", "MainPID");
            let said = system.run(&format!("set -e\n{names}{}", block.commands));
            if block.commands.contains("SIGUSR2") {
                wait_until("another process has taken over", || {
                    system.property("pinion", "MainPID") != process
                });
            }
            // The restart of Postgres has been told of, and whatever this page has done itself.
            let is_told = |pattern: &str| said.lines().any(|line| matches(pattern, line));
            let is_known = page == "docs/upgrade.md" || block.section == "PinionPostgresAway";
            for pattern in block.shown.iter().filter(|_| is_known) {
                assert!(is_told(pattern), "{page}: {pattern} is not in\n{said}");
            }
        }
    }
    system.run("curl -fsS http://127.0.0.1:8080/notes/1");
}

fn listens_below_1024(system: &System) {
    let answer = system.run(&commands("Ports below 1024"));
    assert_eq!(answer, r#"{"note_id":1,"title":"first"}"#);
    system.run("rm -r /etc/systemd/system/pinion.service.d && sed -i '$d' /etc/pinion/pinion.env");
    system.run("systemctl daemon-reload && systemctl restart pinion");
}

fn is_started_again_when_a_core_stands_still(system: &System) {
    system.write(
        "/run/systemd/system/pinion.service.d/hasty.conf",
        "[Service]\nWatchdogSec=2s\n",
    );
    system.run("systemctl daemon-reload && systemctl restart pinion");
    let pid = system.process_of("pinion");
    // It is fed while all is well.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(system.process_of("pinion"), pid);
    let stopped = StoppedCore::stop(pid);
    wait_until("the watchdog barks", || {
        system.journal().contains("Watchdog timeout")
    });
    drop(stopped);
    wait_until("it is started again", || {
        system.property("pinion", "NRestarts") != "0"
            && system.property("pinion", "ActiveState") == "active"
    });
    system.run("curl -fsS http://127.0.0.1:8080/notes/1");
}

/// Two instances beside the service: nothing of theirs collides, and each has its own password.
fn runs_beside_another(system: &System) {
    system.run(&commands("Several APIs on one host"));
    for name in ["shop", "blog"] {
        let unit = format!("pinion@{name}");
        assert_eq!(
            system.property(&unit, "ActiveState"),
            "active",
            "{}",
            system.journal()
        );
        let answer = system.run(&format!(
            "curl -fsS --unix-socket /run/pinion-{name}/http.sock http://{name}/me"
        ));
        assert_eq!(answer, format!("\"{name}\""));
    }
    assert_eq!(system.property("pinion", "ActiveState"), "active");
    // One that is not configured does not start.
    assert!(
        !system
            .command("systemctl start pinion@nobody")
            .status
            .success()
    );
    system.run("systemctl reset-failed 'pinion@nobody.service'; systemctl stop 'pinion@*'");
}

fn goes_without_a_trace(system: &System) {
    system.run("systemctl stop pinion");
    assert_eq!(system.property("pinion", "Result"), "success");
    // What was measured is where the unit lets it be written.
    system.run("ls /var/log/pinion/*/*.hlog");
    system.run("systemctl start pinion && dpkg -r pinion");
    assert!(system.path("/etc/pinion/routes.toml").exists());
    assert!(!system.path("/usr/bin/pinion").exists());
    assert!(
        !system.command("pgrep -x pinion").status.success(),
        "it still runs"
    );
    system.run("dpkg -P pinion");
    let left = system.run("find / -xdev -name '*pinion*' -not -path '/proc/*' -not -path '/root/*' -not -path '/var/log/journal/*'");
    // What the handbook has laid into a directory of Postgres.
    assert_eq!(left, "/etc/postgresql/17/main/conf.d/pinion.conf");
    assert!(!system.path("/etc/pinion").exists());
}
