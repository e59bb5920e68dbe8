//! `scripts/install` and `scripts/uninstall`, into a directory that is no host.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{output, said, source, succeeds};
use crate::support::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pinion");

fn script(name: &str, staging: &Path) -> Command {
    let mut command = Command::new(source(name));
    command.arg("--staging").arg(staging);
    command
}

fn install(staging: &Path) -> Command {
    let mut command = script("scripts/install", staging);
    command.args(["--binary", PROGRAM]);
    command
}

/// Every file with its permissions and its content; directories as well.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let metadata = std::fs::symlink_metadata(&path).expect("it is there");
            let content = match metadata.is_dir() {
                true => Vec::new(),
                false => std::fs::read(&path).expect("its content"),
            };
            let name = path.strip_prefix(root).expect("below the root");
            let mode = metadata.permissions().mode() & 0o7777;
            found.insert(name.display().to_string(), (mode, content));
            if metadata.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

fn files(root: &Path) -> Vec<String> {
    let is_file = |name: &String| root.join(name).is_file();
    tree(root).into_keys().filter(is_file).collect()
}

#[test]
fn files_are_named_from_where_the_caller_is() {
    let directory = TempDir::new();
    std::os::unix::fs::symlink(PROGRAM, directory.path().join("built")).expect("a link");
    for (name, binary) in [
        ("scripts/install", &["--binary", "built"][..]),
        ("scripts/uninstall", &[]),
    ] {
        let mut command = script(name, Path::new("root"));
        succeeds(command.args(binary).current_dir(directory.path()));
        let program = directory.path().join("root/usr/local/bin/pinion");
        assert_eq!(program.exists(), name == "scripts/install");
    }
}

#[test]
fn what_an_older_systemd_needed_goes_with_it() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    succeeds(&mut install(&root));
    let installed = tree(&root);
    let drop_in = root.join("etc/systemd/system/pinion.service.d/before-253.conf");
    std::fs::create_dir_all(drop_in.parent().expect("a directory")).expect("a directory");
    std::fs::copy(source("systemd/before-253.conf"), &drop_in).expect("the drop-in");
    let told = succeeds(install(&root).arg("--dry-run"));
    assert!(told.contains("before-253.conf"), "{told}");
    assert!(drop_in.exists());
    succeeds(&mut install(&root));
    assert_eq!(tree(&root), installed);
}

/// Twice is once; what is changed below /etc stays; and all of it goes again but for that.
#[test]
fn it_can_be_installed_again_and_removed() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    succeeds(&mut install(&root));
    let first = tree(&root);
    for (name, mode) in [
        ("usr/local/bin/pinion", 0o755),
        ("etc/systemd/system/pinion.service", 0o644),
        ("etc/systemd/system/pinion@.service", 0o644),
        ("etc/sysctl.d/60-pinion.conf", 0o644),
        ("etc/pinion/pinion.env", 0o640),
        ("etc/pinion/secrets", 0o700),
        ("usr/local/share/pinion/postgresql.conf", 0o644),
        ("usr/local/share/doc/pinion/operations.md", 0o644),
        ("usr/local/share/doc/pinion/alerts.md", 0o644),
    ] {
        let found = first.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(found.0, mode, "{name}");
    }
    assert_eq!(
        succeeds(&mut install(&root)),
        "",
        "there was something to do"
    );
    assert_eq!(tree(&root), first);

    let settings = root.join("etc/pinion/pinion.env");
    std::fs::write(&settings, "PINION_LISTEN=127.0.0.1:81\n").expect("settings");
    std::fs::write(root.join("etc/pinion/routes.toml"), "[api]\n").expect("routes");
    let told = succeeds(&mut install(&root));
    assert!(told.contains("kept"), "{told}");
    let kept = std::fs::read_to_string(&settings).expect("settings");
    assert_eq!(kept, "PINION_LISTEN=127.0.0.1:81\n");

    succeeds(&mut script("scripts/uninstall", &root));
    assert_eq!(
        files(&root),
        ["etc/pinion/pinion.env", "etc/pinion/routes.toml"]
    );
    succeeds(&mut script("scripts/uninstall", &root));
    let written = root.join("var/log/private/pinion");
    std::fs::create_dir_all(&written).expect("a directory");
    std::fs::write(written.join("dump.hlog"), "x").expect("a dump");
    succeeds(script("scripts/uninstall", &root).arg("--purge"));
    assert_eq!(files(&root), [""; 0]);
    succeeds(script("scripts/uninstall", &root).arg("--purge"));
}

/// Settings that nobody changed follow those of a new version.
#[test]
fn settings_that_are_as_they_were_installed_are_replaced() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    succeeds(&mut install(&root));
    let settings = root.join("etc/pinion/pinion.env");
    let pristine = root.join("usr/local/share/pinion/pinion.env");
    // As a version before this one had them.
    for path in [&settings, &pristine] {
        std::fs::write(path, "# older\n").expect("settings");
    }
    succeeds(&mut install(&root));
    let current = std::fs::read(source("systemd/pinion.env")).expect("settings");
    assert_eq!(std::fs::read(&settings).expect("settings"), current);
    assert!(!root.join("etc/pinion/pinion.env.new").exists());
}

/// With another prefix the units name it; with /usr they are where a distribution has them.
#[test]
fn a_prefix_is_where_the_units_look() {
    for (prefix, unit) in [
        ("/opt/pinion-1.0", "etc/systemd/system/pinion.service"),
        ("/usr", "usr/lib/systemd/system/pinion.service"),
    ] {
        let directory = TempDir::new();
        let root = directory.path().join("root");
        succeeds(install(&root).args(["--prefix", prefix]));
        let unit = std::fs::read_to_string(root.join(unit)).expect("the unit");
        let start = format!("ExecStart={prefix}/bin/pinion serve");
        assert!(unit.lines().any(|line| line == start), "{unit}");
        assert!(!unit.contains("/usr/local"), "{unit}");
        let program = root.join(format!("{}/bin/pinion", &prefix[1..]));
        let version = succeeds(Command::new(program).arg("--version"));
        assert!(version.starts_with("pinion "), "{version}");
        succeeds(script("scripts/uninstall", &root).args(["--prefix", prefix]));
        assert_eq!(files(&root), ["etc/pinion/pinion.env"]);
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    let told = succeeds(install(&root).arg("--dry-run"));
    assert!(told.contains("would install"), "{told}");
    assert!(!root.exists());
    succeeds(&mut install(&root));
    let before = tree(&root);
    let told = succeeds(script("scripts/uninstall", &root).args(["--purge", "--dry-run"]));
    assert!(told.contains("would: rm -rf"), "{told}");
    assert_eq!(tree(&root), before);
}

#[test]
fn what_is_not_understood_is_refused() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    for wrong in [
        &["--prefix"][..],
        &["--prefix", "relative"],
        &["--prefix", "/a b"],
        &["--purge"],
        &["--whatever"],
        &["--binary", "/nowhere/pinion"],
    ] {
        let refused = output(install(&root).args(wrong));
        assert_ne!(refused.status.code(), Some(0), "{wrong:?}");
        assert!(!said(&refused).is_empty());
        assert!(!root.exists(), "{wrong:?}");
    }
    for name in ["scripts/install", "scripts/uninstall"] {
        let help = succeeds(Command::new(source(name)).arg("--help"));
        assert!(help.contains("--staging DIR"), "{help}");
    }
}
