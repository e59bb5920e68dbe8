//! A private Postgres whose settings and life a test decides: stopped in any way, frozen, with a standby.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use pinion::demo::postgres::{Installation, find_binaries};
use postgres::{Client, NoTls};

use super::certificates::Issued;
use super::{PATIENCE, Signal, TempDir, process, send_signal};

/// What a test may lose, and no other way in than the socket. Everything else is Postgres's default.
const SETTINGS: &str = "
listen_addresses = ''
fsync = off
shared_buffers = 16MB
max_connections = 100
hot_standby = on
wal_receiver_timeout = 5s
";

/// A cluster in a directory of its own. Dropping it ends its server at once.
pub struct Cluster {
    directory: TempDir,
    installation: Installation,
    /// Whose the cluster is, as Postgres does not run as root.
    account: Option<(u32, u32)>,
    server: Option<Child>,
    /// Where it listens beside its socket.
    address: Option<SocketAddr>,
}

impl Cluster {
    /// A new one with these lines at the end of its `postgresql.conf`, and `schema` in its database.
    pub fn start(settings: &str, schema: &str) -> Cluster {
        Cluster::make(None, settings, schema)
    }

    /// The same, which also listens on a TCP port of its own and keeps it when it is started again.
    pub fn on_tcp(settings: &str, schema: &str) -> Cluster {
        let address = address_of_its_own();
        let (ip, port) = (address.ip(), address.port());
        let settings = format!("listen_addresses = '{ip}'\nport = {port}\n{settings}");
        Cluster::make(Some(address), &settings, schema)
    }

    fn make(address: Option<SocketAddr>, settings: &str, schema: &str) -> Cluster {
        let mut cluster = Cluster::empty(address);
        let data = cluster.data();
        let made = cluster
            .program("initdb")
            .args(["-N", "-U", "postgres", "--auth=trust", "--locale=C"])
            .args(["--encoding=UTF8", "-D"])
            .arg(&data)
            .output()
            .expect("initdb");
        assert!(made.status.success(), "{made:?}");
        cluster.configure(&format!("{SETTINGS}{settings}"));
        cluster.launch();
        cluster.sql(schema);
        cluster
    }

    /// One that follows `primary`.
    pub fn standby_of(primary: &Cluster) -> Cluster {
        let mut cluster = Cluster::empty(None);
        let data = cluster.data();
        let made = cluster
            .program("pg_basebackup")
            .args(["--no-sync", "-R", "-c", "fast", "-U", "postgres", "-h"])
            .arg(primary.sockets())
            .arg("-D")
            .arg(&data)
            .output()
            .expect("pg_basebackup");
        assert!(made.status.success(), "{made:?}");
        cluster.launch();
        cluster
    }

    fn empty(address: Option<SocketAddr>) -> Cluster {
        let installation = find_binaries(None).expect("the tests need a Postgres installation");
        let root = rustix::process::geteuid().is_root();
        let cluster = Cluster {
            directory: TempDir::new(),
            installation,
            account: root.then(account_of_postgres),
            server: None,
            address,
        };
        for directory in [cluster.data(), cluster.sockets()] {
            std::fs::create_dir(&directory).expect("a directory");
            cluster.give(&directory);
        }
        cluster
    }

    /// Gives a file or directory to the account that the server runs as.
    pub fn give(&self, path: &Path) {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(path, private).expect("its permissions");
        if let Some((uid, gid)) = self.account {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("its owner");
        }
    }

    /// Appends lines to `postgresql.conf`; the last of a setting counts.
    pub fn configure(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let text = std::fs::read_to_string(&path).expect("the settings");
        std::fs::write(&path, text + lines).expect("the settings");
    }

    /// Says who may come in how (`pg_hba.conf`).
    pub fn admit(&self, lines: &str) {
        std::fs::write(self.data().join("pg_hba.conf"), lines).expect("pg_hba.conf");
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn sockets(&self) -> PathBuf {
        self.directory.path().join("sockets")
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.sockets().join(format!(".s.PGSQL.{}", self.port()))
    }

    pub fn url(&self) -> String {
        let (sockets, port) = (self.sockets(), self.port());
        let sockets = sockets.display();
        format!("postgres://postgres@/postgres?host={sockets}&port={port}")
    }

    /// Where one of [`Cluster::on_tcp`] listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens on TCP")
    }

    fn port(&self) -> u16 {
        self.address.map_or(5432, |address| address.port())
    }

    /// Has TLS with this certificate from now on, also when it is started again.
    pub fn encrypt(&self, issued: &Issued) {
        for (name, text) in [
            ("server.crt", &issued.chain_pem),
            ("server.key", &issued.key_pem),
        ] {
            let path = self.data().join(name);
            std::fs::write(&path, text).expect("a file");
            self.give(&path);
        }
        self.configure("ssl = on\n");
        self.reload();
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.installation.program(name));
        command.current_dir("/").stdin(Stdio::null());
        for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(variable);
        }
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts the server; when it was first seen to accept a connection.
    pub fn launch(&mut self) -> Instant {
        assert!(self.server.is_none(), "it runs");
        let log = self.directory.path().join("postgres.log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log);
        let log = log.expect("a log");
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.sockets());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.server = Some(command.process_group(0).spawn().expect("postgres"));
        let start = Instant::now();
        loop {
            match Client::connect(&self.url(), NoTls) {
                Ok(_) => return Instant::now(),
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}: {}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The server's log.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.directory.path().join("postgres.log"));
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").id()
    }

    /// `pg_ctl stop -m immediate`: every backend is gone at once, as after a crash.
    pub fn stop_immediately(&mut self) {
        self.stop(Signal::QUIT);
    }

    /// `pg_ctl stop -m fast`: every session is ended with a word.
    pub fn stop_fast(&mut self) {
        self.stop(Signal::INT);
    }

    fn stop(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        send_signal(server.id(), signal);
        let start = Instant::now();
        while matches!(server.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = server.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Reads the settings again; when that is done in new sessions.
    pub fn reload(&self) {
        self.sql("select pg_reload_conf()");
        std::thread::sleep(Duration::from_millis(100));
    }

    /// The server's processes stand still: those that serve sessions and the one that opens them.
    pub fn freeze(&self) {
        self.signal_all(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        process::signal_all(&self.processes(), signal);
    }

    /// The server's processes, the one that opens sessions first.
    pub fn processes(&self) -> Vec<u32> {
        let pid = self.pid();
        [vec![pid], process::children(pid)].concat()
    }

    pub fn promote(&self) {
        assert_eq!(self.sql("select pg_promote(true, 30)"), "t");
    }

    /// A session of its own.
    pub fn client(&self) -> Client {
        Client::connect(&self.url(), NoTls).expect("a session")
    }

    /// Runs SQL; all rows, one a line, their columns separated by `|`.
    pub fn sql(&self, sql: &str) -> String {
        let messages = self.client().simple_query(sql);
        let messages = messages.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let text = |row: &postgres::SimpleQueryRow| {
            let columns = (0..row.len()).map(|column| row.get(column).unwrap_or(""));
            columns.collect::<Vec<_>>().join("|")
        };
        rows.map(text).collect::<Vec<_>>().join("\n")
    }

    /// The process ids of the sessions of that application name.
    pub fn backends(&self, name: &str) -> Vec<u32> {
        let sql = format!("select pid from pg_stat_activity where application_name = '{name}'");
        let pids = self.sql(&sql);
        let pids = pids.lines().map(|pid| pid.parse().expect("a process id"));
        pids.collect()
    }

    /// Ends sessions of that application name: so many, or `all`. How many were there.
    pub fn terminate(&self, name: &str, limit: &str) -> usize {
        let ended = self.sql(&format!(
            "select pg_terminate_backend(pid) from (select pid from pg_stat_activity \
             where application_name = '{name}' limit {limit}) backends"
        ));
        ended.lines().count()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.thaw();
            self.stop_immediately();
        }
    }
}

/// A free port of a loopback address that is used for nothing else: neither connections of others nor
/// their listeners are on it, so that a server that is away for a while finds it free again.
fn address_of_its_own() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, 64 + number % 64, high, low);
    let listener = TcpListener::bind((ip, 0)).expect("all of 127.0.0.0/8 is this machine");
    listener.local_addr().expect("its address")
}

/// The user and group `postgres`, or `nobody`.
fn account_of_postgres() -> (u32, u32) {
    let accounts = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let find = |wanted: &str| {
        accounts.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let id = |index: usize| fields.get(index)?.parse().ok();
            (fields[0] == wanted).then(|| Some((id(2)?, id(3)?)))?
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("an account for Postgres")
}
