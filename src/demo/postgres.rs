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

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::process::{Pid, Signal};

use super::account::Account;
pub use super::error::Error;
pub use super::installation::{Installation, VERSION_MIN, find_binaries};

/// The superuser of the private cluster, whom the socket directory's mode protects.
const USER: &str = "postgres";

/// The database that holds the shop.
const DATABASE: &str = "shop";

/// Bytes of a socket's path: `sun_path` of unix(7) is 108 with its closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How long a server may take to accept connections: crash recovery replays up to 1 GB of log.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a server may take to stop after each signal: first in order (SIGINT, it writes a
/// checkpoint), then at once (SIGQUIT), then by the kernel (SIGKILL).
const STOP_STEPS: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(30)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// How often a start or a stop is looked after.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

const MARKER: &str = "pinion-demo";
const MARKER_TEXT: &str =
    "This directory belongs to pinion demo, which may delete what is in it.\n";

/// Settings of the private server, each with its reason. The rest is Postgres's default.
///
/// `fsync` and `synchronous_commit` stay on: a reservation that was confirmed must survive a power
/// cut, and the demo's figures are to be those of a database that one may trust.
const SETTINGS: &[(&str, &str)] = &[
    // The unix socket is the only way in, so the machine's other users can't connect.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // Enough for the connections of every core of a large host; each idle one costs about 2 MB.
    ("max_connections", "200"),
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
        let mut command = program(&self.installation, "psql", &self.account);
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

/// The server process of a cluster, as its pid file tells of it.
struct Postmaster {
    cluster: PathBuf,
}

impl Postmaster {
    /// Ends a server that still runs on the cluster. With the lock held, no living Pinion owns it.
    fn end_left_over(&self) -> Result<(), Error> {
        let pid_file = self.cluster.join("postmaster.pid");
        let Some(pid) = self.pid_file().and_then(|text| first_pid(&text)) else {
            return Ok(());
        };
        if self.is_running(pid) {
            tracing::warn!(
                pid = pid.as_raw_pid(),
                "taking over the Postgres of a killed pinion"
            );
            return end(pid, || !self.is_running(pid));
        }
        // Postgres clears a stale pid file by itself, unless its number has meanwhile gone to another
        // process of the same user, which it can't tell from a server.
        fs::remove_file(&pid_file)
            .or_else(absent_is_fine)
            .map_err(Error::file("remove", &pid_file))
    }

    /// The process id of the server if it accepts connections.
    fn ready_pid(&self) -> Option<Pid> {
        // Line 8 of the pid file is the state that pg_ctl waits for as well.
        let text = self.pid_file()?;
        let ready = text.lines().nth(7)?.trim() == "ready";
        first_pid(&text).filter(|_| ready)
    }

    fn pid_file(&self) -> Option<String> {
        fs::read_to_string(self.cluster.join("postmaster.pid")).ok()
    }

    /// Whether `pid` is a living server on this very cluster: a server's working directory is its
    /// data directory. That of a zombie, or of a process whose number was reused, is not.
    fn is_running(&self, pid: Pid) -> bool {
        let directory = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_pid()));
        directory.is_ok_and(|directory| directory == self.cluster)
    }
}

/// What need not be encoded in a value of a URL's query: RFC 3986 §3.4 allows `/` there.
const URL_VALUE: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Makes or recognises the directory and locks it. Returns its path without symbolic links.
fn claim(data_dir: &Path) -> Result<(PathBuf, File), Error> {
    // Another account has to come through where root starts the demo; what is inside is closed.
    let mode = if rustix::process::geteuid().is_root() {
        0o755
    } else {
        0o700
    };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(data_dir)
        .map_err(Error::file("create", data_dir))?;
    let data_dir = data_dir
        .canonicalize()
        .map_err(Error::file("find", data_dir))?;
    let marker = data_dir.join(MARKER);
    if !fs::symlink_metadata(&marker).is_ok_and(|found| found.is_file()) {
        let mut entries = fs::read_dir(&data_dir).map_err(Error::file("read", &data_dir))?;
        if entries.next().is_some() {
            return Err(Error::ForeignDirectory(data_dir));
        }
        fs::write(&marker, MARKER_TEXT).map_err(Error::file("create", &marker))?;
    }
    let path = data_dir.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::file("open", &path))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((data_dir, lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse(data_dir)),
        Err(reason) => Err(Error::file("lock", &path)(reason.into())),
    }
}

/// Deletes what a demo made in its directory, and nothing else that may lie there.
fn wipe(data_dir: &Path) -> Result<(), Error> {
    for name in ["cluster", "cluster.new", "socket"] {
        let path = data_dir.join(name);
        fs::remove_dir_all(&path)
            .or_else(absent_is_fine)
            .map_err(Error::file("remove", &path))?;
    }
    Ok(())
}

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
    let mut command = program(installation, "initdb", account);
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

/// Makes the socket's directory: inside the data directory, or where that is too deep for the
/// kernel's limit, or strange in its name, a short one beside the system's own sockets.
fn make_socket_dir(data_dir: &Path, account: &Account) -> Result<PathBuf, Error> {
    let short = format!(
        "pinion-{:016x}",
        fnv1a(data_dir.as_os_str().as_encoded_bytes())
    );
    let runtime = if account.other {
        None
    } else {
        std::env::var_os("XDG_RUNTIME_DIR")
    };
    let mut places = vec![data_dir.join("socket")];
    places.extend(runtime.map(|runtime| Path::new(&runtime).join(&short)));
    places.extend(account.other.then(|| Path::new("/run").join(&short)));
    places.extend([
        std::env::temp_dir().join(&short),
        Path::new("/tmp").join(&short),
    ]);
    let mut faults = Vec::new();
    for place in places {
        if let Err(fault) = fits_a_socket(&place) {
            faults.push((place, fault));
            continue;
        }
        match make_private_dir(&place, account) {
            Ok(()) => return Ok(place),
            Err(error) => {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                faults.push((place, reason.unwrap_or_else(|| error.to_string())));
            }
        }
    }
    Err(Error::NoSocketDirectory(faults))
}

fn fits_a_socket(directory: &Path) -> Result<(), String> {
    let bytes = directory.as_os_str().as_encoded_bytes();
    let path_bytes = bytes.len() + "/.s.PGSQL.5432".len();
    if path_bytes > SOCKET_PATH_BYTES_MAX {
        return Err(format!(
            "the socket's path would have {path_bytes} bytes, {SOCKET_PATH_BYTES_MAX} are allowed"
        ));
    }
    // unix_socket_directories is a list with separators and quotes of its own.
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    if directory.is_absolute() && bytes.iter().all(plain) {
        Ok(())
    } else {
        Err(String::from(
            "its name has characters that the server's setting may misread",
        ))
    }
}

/// Makes a directory that only `account` (and root) may enter, or takes one that is just so.
fn make_private_dir(path: &Path, account: &Account) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => account.own(path),
        Err(reason) if reason.kind() == io::ErrorKind::AlreadyExists => {
            // In a directory that everyone may write, someone else may have been first.
            let found = fs::symlink_metadata(path).map_err(Error::file("read", path))?;
            if found.is_dir() && found.uid() == account.uid && found.mode() & 0o077 == 0 {
                return Ok(());
            }
            Err(Error::file("use", path)(io::Error::other(
                "it exists, but is not a directory of mode 0700 of ours",
            )))
        }
        Err(reason) => Err(Error::file("create", path)(reason)),
    }
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
    let mut command = program(installation, "postgres", account);
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
        program: installation.program("postgres"),
        source,
    })
}

/// A program of the installation, run by `account`, undisturbed by the caller's environment.
fn program(installation: &Installation, name: &str, account: &Account) -> Command {
    let mut command = Command::new(installation.program(name));
    // PGHOST, PGOPTIONS, PGDATA and their kin are meant for the user's own databases.
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(variable);
        }
    }
    // The other account may not be allowed into the current directory.
    command.env("LC_ALL", "C").current_dir("/");
    account.apply(&mut command);
    command
}

/// Runs a program to its end with `input` on its stdin; returns its stdout, or its stderr as error.
fn run(mut command: Command, input: &str) -> Result<String, Error> {
    let name = PathBuf::from(command.get_program());
    let spawn_fault = |source| Error::Spawn {
        program: name.clone(),
        source,
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(spawn_fault)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // On a thread of its own, because a program that is not being read from may stop reading.
        // One that ends early breaks the pipe; its status tells why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    });
    let output = output.map_err(spawn_fault)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let output = if said.trim().is_empty() {
        output.status.to_string()
    } else {
        said.trim().to_owned()
    };
    Err(Error::Program {
        program: name,
        output,
    })
}

/// Ends a server by ever firmer signals until `is_gone` says that it is.
fn end(pid: Pid, mut is_gone: impl FnMut() -> bool) -> Result<(), Error> {
    for (signal, patience) in STOP_STEPS {
        // A process that has just ended can't be signalled, which is no fault; one that may not be
        // signalled will still be there in the end.
        let _ = rustix::process::kill_process(pid, signal);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if is_gone() {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
    Err(Error::NotStopped(pid.as_raw_pid()))
}

/// The process id in the first line of a pid file. A negative one is of a single-user server.
fn first_pid(text: &str) -> Option<Pid> {
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    if pid > 0 { Pid::from_raw(pid) } else { None }
}

fn absent_is_fine(reason: io::Error) -> io::Result<()> {
    if reason.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(reason)
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// FNV-1a with 64 bits: a name for a text, the same in every version; not against forgery.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_of_107_bytes_fits_and_one_of_108_does_not() {
        let directory =
            |path_bytes: usize| PathBuf::from(format!("/{}", "d".repeat(path_bytes - 15)));
        assert!(fits_a_socket(&directory(107)).is_ok());
        assert!(fits_a_socket(&directory(108)).is_err());
    }

    #[test]
    fn a_directory_that_the_setting_would_misread_is_passed_over() {
        for name in ["/a,b", "/a b", "/a\"b", "relative"] {
            assert!(fits_a_socket(Path::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn pid_files_are_read_and_nonsense_in_them_is_not() {
        assert_eq!(first_pid("4711\n/data\n").map(Pid::as_raw_pid), Some(4711));
        for text in ["", "\n", "0\n", "-4711\n", "x\n", "99999999999\n"] {
            assert_eq!(first_pid(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_failing_program_tells_its_last_words_even_if_it_reads_nothing() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no such luck >&2; exit 3"]);
        let error = run(command, &"x".repeat(1 << 20)).unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh failed: no such luck");
    }

    #[test]
    fn a_hash_is_the_published_one() {
        // Test vectors of draft-eastlake-fnv §"FNV-1a".
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
