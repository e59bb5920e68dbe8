//! A private Postgres cluster: made, started, filled and stopped by this process.
//!
//! Its directory holds
//!
//! ```text
//! pinion-demo    the marker: only a directory that has it is ever changed
//! lock           held, by flock(2), for as long as a pinion uses the directory
//! cluster/       the Postgres data directory
//! socket/        the only way in: mode 0700, no TCP
//! postgres.log   what the server of this run says; postgres.log.1 is the run before
//! ```
//!
//! The server is a child in a process group of its own, so that Ctrl-C at the terminal reaches only
//! Pinion, which then stops the server in order. A Pinion that is killed leaves its server behind;
//! the next start finds it by its pid file and takes the cluster over.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::account::Account;
use super::directory::{absent_is_fine, claim, fnv1a, make_private_dir, make_socket_dir, wipe};
pub use super::error::Error;
pub use super::installation::{Installation, VERSION_MIN, find_binaries};
use super::process::{POLL_INTERVAL, Postmaster, end, program, run};

/// The superuser of the private cluster, whom the socket directory's mode protects.
const USER: &str = "postgres";

/// The database that holds the shop.
const DATABASE: &str = "shop";

/// How long a server may take to accept connections: crash recovery replays up to 1 GB of log.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of the private server, each with its reason. The rest is Postgres's default.
///
/// `fsync` and `synchronous_commit` stay on: a reservation that was confirmed must survive a power
/// cut, and the demo's figures are to be those of a database that one may trust.
const SETTINGS: &[(&str, &str)] = &[
    // The unix socket is the only way in, so the machine's other users can't connect.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // Enough for the connections of every core of a large host, some six each; a place that is not
    // taken costs 20 KB of the locks' table.
    ("max_connections", "1000"),
    // Several times the shop's size, so that reads never leave memory; taken only as it is used.
    ("shared_buffers", "256MB"),
    // Nothing replicates from a demo: minimal logging makes the first load faster and no less safe.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    // The shop's statements run for microseconds; compiling one that the planner misjudged takes
    // a thousand times as long.
    ("jit", "off"),
    // The same rows and the same log on every machine.
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// What [`Cluster::start`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The programs, as [`find_binaries`] found them.
    pub installation: Installation,
    /// The cluster's directory; made when it does not exist. It must be empty or a demo's.
    pub data_dir: PathBuf,
    /// Delete an existing cluster and start over.
    pub fresh: bool,
}

/// A running private Postgres. Dropping it stops the server, as [`Cluster::stop`] does.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    account: Account,
    data_dir: PathBuf,
    socket_dir: PathBuf,
    server: Option<Child>,
    /// Held until the server has stopped; the kernel releases it when this process dies.
    _lock: File,
}

impl Cluster {
    /// Makes the cluster if there is none, ends a server that a killed Pinion left on it, starts
    /// a server and waits until it accepts connections.
    ///
    /// A left-over server is stopped in order and started again instead of being adopted: so it is
    /// of this installation, with these settings, and a child that this process can wait for.
    /// Started by root, the server runs as the cluster's owner, at first `postgres` or `nobody`.
    pub fn start(options: &Options) -> Result<Cluster, Error> {
        let (data_dir, lock) = claim(&options.data_dir)?;
        let cluster = data_dir.join("cluster");
        let postmaster = Postmaster {
            cluster: cluster.clone(),
        };
        postmaster.end_left_over()?;
        if options.fresh {
            wipe(&data_dir)?;
        }
        let account = Account::choose(&cluster)?;
        account.reaches(&data_dir)?;
        if !cluster.join("PG_VERSION").exists() {
            create_cluster(&options.installation, &account, &data_dir)?;
        }
        check_version(&options.installation, &cluster)?;
        let socket_dir = make_socket_dir(&data_dir, &account)?;
        let mut started = Cluster {
            server: Some(spawn_server(
                &options.installation,
                &account,
                &data_dir,
                &socket_dir,
            )?),
            installation: options.installation.clone(),
            account,
            data_dir,
            socket_dir,
            _lock: lock,
        };
        started.wait_until_ready(&postmaster)?;
        Ok(started)
    }

    /// The database's address, with the socket's directory percent-encoded where it must be.
    pub fn url(&self) -> String {
        let directory = self.socket_dir.as_os_str().as_encoded_bytes();
        let directory = percent_encoding::percent_encode(directory, URL_VALUE);
        format!("postgres://{USER}@/{DATABASE}?host={directory}")
    }

    /// The process id of the server; `None` once it has been stopped.
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Creates the database and runs the script `sql` in it, in one transaction, by psql.
    ///
    /// Does nothing when this very script was loaded before, and fails when another one was: what
    /// users did with the demo is not thrown away unasked. Returns whether it loaded.
    pub fn ensure_loaded(&self, sql: &str) -> Result<bool, Error> {
        // The mark is the comment of the database: it is written in the transaction of the load, and
        // the shop that users read as an example stays free of a table for it.
        let mark = format!("pinion demo, schema {:016x}", fnv1a(sql.as_bytes()));
        let question = format!(
            "select coalesce(shobj_description(oid, 'pg_database'), '') \
             from pg_database where datname = '{DATABASE}'"
        );
        let known = self.psql("postgres", &["-At", "-c", &question], "")?;
        match known.strip_suffix('\n') {
            Some(known) if known == mark => return Ok(false),
            Some("") => {} // created, but the load did not come to its end
            Some(_) => return Err(Error::SchemaChanged(self.data_dir.clone())),
            None => {
                self.psql(
                    "postgres",
                    &["-c", &format!("create database {DATABASE}")],
                    "",
                )?;
            }
        }
        let script = format!("{sql}\n;comment on database {DATABASE} is '{mark}';\n");
        self.psql(DATABASE, &["--single-transaction", "-f", "-"], &script)?;
        // Marks the new rows as visible to everyone now, which the first readers would do otherwise.
        self.psql(DATABASE, &["-c", "vacuum"], "")?;
        Ok(true)
    }

    /// Stops the server in order: its clients are disconnected and all is written to disk.
    ///
    /// A server that does not stop in time is ended ever more firmly, SIGKILL at last. A second call
    /// does nothing.
    pub fn stop(&mut self) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let pid = Pid::from_child(&server);
        // The error of a wait means that the child is not ours to wait for any more: it is gone.
        let ended = end(pid, || !matches!(server.try_wait(), Ok(None)));
        if !self.socket_dir.starts_with(&self.data_dir) {
            // Nothing is to stay behind among the system's sockets; if it does, the next start uses it.
            let _ = fs::remove_dir(&self.socket_dir);
        }
        ended
    }

    fn wait_until_ready(&mut self, postmaster: &Postmaster) -> Result<(), Error> {
        let log = self.data_dir.join("postgres.log");
        let not_ready = |what: String| Error::NotReady {
            what,
            tail: tail(&log),
            log: log.clone(),
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while let Some(server) = self.server.as_mut() {
            if let Ok(Some(status)) = server.try_wait() {
                self.server = None;
                return Err(not_ready(format!("the server ended with {status}")));
            }
            if postmaster.ready_pid() == Some(Pid::from_child(server)) {
                break;
            }
            if Instant::now() > deadline {
                self.stop()?;
                return Err(not_ready(format!(
                    "not ready after {} s",
                    START_TIMEOUT.as_secs()
                )));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Runs psql with `arguments` and `input`, and returns what it printed on stdout.
    fn psql(&self, database: &str, arguments: &[&str], input: &str) -> Result<String, Error> {
        let mut command = program(&self.installation.psql, &self.account);
        command.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            USER,
            "-d",
            database,
        ]);
        command.arg("-h").arg(&self.socket_dir).args(arguments);
        run(command, input)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the demo's Postgres could not be stopped");
        }
    }
}

/// What need not be encoded in a value of a URL's query: RFC 3986 §3.4 allows `/` there.
const URL_VALUE: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Runs initdb beside the cluster's place and moves the result there, so that a cluster is either
/// whole or absent, also after a power cut.
fn create_cluster(
    installation: &Installation,
    account: &Account,
    data_dir: &Path,
) -> Result<(), Error> {
    let unfinished = data_dir.join("cluster.new");
    fs::remove_dir_all(&unfinished)
        .or_else(absent_is_fine)
        .map_err(Error::file("remove", &unfinished))?;
    make_private_dir(&unfinished, account)?;
    let mut command = program(&installation.program("initdb"), account);
    // Byte order of text and English messages on every machine, whatever its locales. Everyone who
    // reaches the socket is trusted, and only the owner and root do.
    command.args([
        "--encoding=UTF8",
        "--locale=C",
        "--auth=trust",
        "--no-instructions",
        "-U",
        USER,
    ]);
    command.arg("-D").arg(&unfinished);
    run(command, "")?;
    let cluster = data_dir.join("cluster");
    fs::rename(&unfinished, &cluster).map_err(Error::file("rename", &unfinished))?;
    File::open(data_dir)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::file("sync", data_dir))
}

fn check_version(installation: &Installation, cluster: &Path) -> Result<(), Error> {
    let path = cluster.join("PG_VERSION");
    let found = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
    if found.trim() == installation.version.0.to_string() {
        return Ok(());
    }
    Err(Error::Version {
        path: cluster.to_owned(),
        cluster: found.trim().to_owned(),
        installation: installation.version.0,
    })
}

fn spawn_server(
    installation: &Installation,
    account: &Account,
    data_dir: &Path,
    socket_dir: &Path,
) -> Result<Child, Error> {
    // No server runs on the cluster, so what lies in its private socket directory is stale.
    for name in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
        let path = socket_dir.join(name);
        fs::remove_file(&path)
            .or_else(absent_is_fine)
            .map_err(Error::file("remove", &path))?;
    }
    let log_path = data_dir.join("postgres.log");
    // One run back is kept for whoever looks for the reason of a crash; a missing one is no fault.
    let _ = fs::rename(&log_path, data_dir.join("postgres.log.1"));
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(Error::file("create", &log_path))?;
    let log_too = log.try_clone().map_err(Error::file("open", &log_path))?;
    let server = installation.program("postgres");
    let mut command = program(&server, account);
    command
        .arg("-D")
        .arg(data_dir.join("cluster"))
        .args(["-p", "5432", "-k"])
        .arg(socket_dir);
    for (name, value) in SETTINGS {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        .process_group(0);
    command.spawn().map_err(|source| Error::Spawn {
        program: server,
        source,
    })
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api, config, limits, pg::lane};

    #[test]
    fn a_host_of_128_cores_has_connections_enough() {
        let settings = config::Postgres {
            connections: limits::CONNECTIONS_PER_CORE,
            statement_timeout: limits::STATEMENT_TIMEOUT,
            acquire_timeout: Duration::from_secs(1),
            queue_target: limits::QUEUE_TARGET,
            recycle: Duration::ZERO,
        };
        let api = api::load("shop.toml", crate::demo::ROUTES).expect("the shop");
        let groups = lane::groups(&api, &settings);
        let of_core: usize = groups.iter().map(|group| group.connections).sum();
        let known = |name| SETTINGS.iter().find(|(known, _)| *known == name);
        let (_, most) = known("max_connections").expect("it is set");
        // Some are the superuser's, some are psql's.
        let most = most.parse::<usize>().expect("a number") - 20;
        assert!(of_core * 128 <= most, "{of_core} a core");
    }
}
