//! A private Postgres for one test: own data directory, unix socket only, gone afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postgres::{Client, Config, NoTls};
use rustix::process::{Pid, Signal, kill_process};

/// A running Postgres; dropping it, also in a panic, stops it and removes its directory.
pub struct Cluster {
    directory: PathBuf,
    server: Child,
}

impl Cluster {
    /// Makes and starts a cluster; panics with one clear line where that is not possible.
    pub fn start() -> Cluster {
        let binaries = find_binaries().expect(
            "no Postgres found: put initdb in PATH or install one under /usr/lib/postgresql",
        );
        let age = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock past 1970");
        let name = format!(
            "pinion-oracle-{}-{}",
            std::process::id(),
            age.subsec_nanos()
        );
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("temporary directory");
        let owner = unprivileged_user(&directory);
        if let Some((uid, gid)) = owner {
            chown(&directory, Some(uid), Some(gid))
                .expect("directory given to the unprivileged user");
        }
        let data = directory.join("data");
        let mut initdb = command(&binaries.join("initdb"), &directory, owner);
        initdb.args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        let made = initdb
            .arg(&data)
            .stdout(Stdio::null())
            .output()
            .expect("initdb starts");
        if !made.status.success() {
            let _ = fs::remove_dir_all(&directory);
            panic!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let log = fs::File::create(directory.join("log")).expect("log file");
        let mut postgres = command(&binaries.join("postgres"), &directory, owner);
        postgres.arg("-D").arg(&data).arg("-k").arg(&directory);
        postgres.args([
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=20",
        ]);
        let server = postgres
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        Cluster { directory, server }
    }

    /// Connects with the session settings that the server promises to its encoder.
    pub fn connect(&self) -> Client {
        let mut config = Config::new();
        config
            .host_path(&self.directory)
            .user("postgres")
            .dbname("postgres");
        config.options(
            "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c bytea_output=hex",
        );
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match config.connect(NoTls) {
                Ok(client) => return client,
                Err(fault) if Instant::now() > deadline => {
                    let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                    panic!("Postgres did not come up: {fault}\n{log}");
                }
                Err(_) => sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGINT is Postgres' fast shutdown. Its own pid, never a name.
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::INT);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Ok(None) = self.server.try_wait() {
            if Instant::now() > deadline {
                let _ = self.server.kill();
                let _ = self.server.wait();
                break;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The newest of the distribution's directories, then PATH.
fn find_binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    installed.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = installed
        .into_iter()
        .rev()
        .map(|(_, bin)| bin)
        .chain(std::env::split_paths(&path));
    candidates
        .into_iter()
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

/// Postgres refuses to run as root: user and group to run it as, if this is root.
fn unprivileged_user(directory: &Path) -> Option<(u32, u32)> {
    if fs::metadata(directory).expect("own directory").uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let find = |name: &str| {
        let mut fields = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?
            .split(':')
            .skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(
        find("postgres")
            .or_else(|| find("nobody"))
            .expect("a user postgres or nobody to run Postgres as"),
    )
}

fn command(program: &Path, directory: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env("LC_ALL", "C");
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}
