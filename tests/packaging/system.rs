//! A Debian that is booted: systemd as process 1 of namespaces of its own, over a root that stays as it was.
//! Real units run in it as on a host: their user, their mounts, their filter of system calls.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{output, said, source, succeeds};
use crate::support::{TempDir, process, wait_until};

/// A booted system, ended when this is dropped.
pub struct System {
    nspawn: Child,
    /// Process 1 of it, as it is called here.
    leader: u32,
    directory: TempDir,
}

impl System {
    /// Boots one if PINION_TEST_BOOT asks for it, as it takes two minutes, and four more to make its root the
    /// first time; unless this process is not root's, who alone may.
    pub fn boot() -> Option<System> {
        if std::env::var_os("PINION_TEST_BOOT").is_none() {
            println!("skipped: PINION_TEST_BOOT=1 boots a Debian for it");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            println!("skipped: booting a system takes root");
            return None;
        }
        let root = succeeds(&mut Command::new(source("scripts/system-root")));
        let directory = TempDir::new();
        let log = File::create(directory.path().join("console")).expect("a log");
        let mut command = Command::new("systemd-nspawn");
        command
            .args(["--directory", root.lines().last().expect("its path")])
            // What is written goes into memory; there is no network but a loopback.
            .args(["--volatile=overlay", "--private-network", "--boot", "--quiet"])
            .args(["--register=no", "--link-journal=no"])
            .arg(format!("--machine=pinion-{}", std::process::id()))
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        if !Path::new("/run/systemd/system").exists() {
            command.arg("--keep-unit");
        }
        let nspawn = command
            .spawn()
            .expect("systemd-nspawn (scripts/test installs it)");
        let mut system = System {
            nspawn,
            leader: 0,
            directory,
        };
        system.wait_for_boot();
        Some(system)
    }

    fn wait_for_boot(&mut self) {
        wait_until("it has booted", || {
            let ended = self.nspawn.try_wait().expect("its state");
            assert!(ended.is_none(), "nspawn has ended: {}", self.console());
            self.leader = self.process_1().unwrap_or(0);
            if self.leader == 0 {
                return false;
            }
            let state = said(&self.command("systemctl is-system-running"));
            // A unit of the system that fails in these namespaces is none of ours.
            ["running", "degraded"].contains(&state.as_str())
        });
    }

    /// Process 1, once it has taken the place of those that prepare its namespaces.
    fn process_1(&self) -> Option<u32> {
        let mut children = process::children(self.nspawn.id()).into_iter();
        children.find(|pid| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim_end() == "systemd")
        })
    }

    /// What was said on its console.
    fn console(&self) -> String {
        let text = std::fs::read(self.directory.path().join("console"));
        String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
    }

    /// What a line of shell in it says; it is to succeed.
    pub fn run(&self, line: &str) -> String {
        let output = self.command(line);
        let said = said(&output);
        assert!(
            output.status.success(),
            "{line}: {said}\n{}",
            self.journal()
        );
        said
    }

    /// Runs a line of shell in it.
    pub fn command(&self, line: &str) -> Output {
        let leader = self.leader.to_string();
        output(
            Command::new("nsenter")
                .args(["--all", "--target", &leader, "--", "/usr/bin/env", "-i"])
                .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"])
                .args(["LANG=C.UTF-8", "sh", "-c", line]),
        )
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show --value -p {name} {unit}"))
    }

    /// The main process of a unit, as it is called here.
    pub fn process_of(&self, unit: &str) -> u32 {
        let inside = self.property(unit, "MainPID");
        let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = namespace(&self.leader.to_string()).expect("that of the leader");
        let all = std::fs::read_dir("/proc").expect("/proc");
        let names = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_it = |pid: &String| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
            let status = status.unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let last = ids.and_then(|ids| ids.split_whitespace().last());
            last == Some(inside.as_str()) && namespace(pid).as_ref() == Some(&own)
        };
        let pid = names.into_iter().find(is_it);
        let pid = pid.unwrap_or_else(|| panic!("{unit} has no process {inside}"));
        pid.parse().expect("a number")
    }

    /// The log of the units.
    pub fn journal(&self) -> String {
        said(&self.command("journalctl --no-pager -o cat -n 60 -u 'pinion*'"))
    }

    /// A file or directory of it.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.leader))
    }

    /// Writes a file in it.
    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // With process 1 everything in its namespace ends; nspawn then takes down the mounts.
        let leader = self
            .process_1()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(leader) = leader {
            let _ = kill_process(leader, Signal::KILL);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.nspawn.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.nspawn.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
