//! A Postgres that has TLS, or has not, and what becomes of sessions with it.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use pinion::demo::postgres::{Cluster, Installation, Options, find_binaries};

use crate::support::certificates::{Authority, Issued, Leaf};
use crate::support::{PATIENCE, Signal, TempDir, ended, items, pinion, send_signal};

/// Roles by what the server's rules let them do, and rows to read.
const SCHEMA: &str = concat!(
    items::table!(),
    "create role anyone login;
create role only_tls login;
create role only_plain login;
create role certified login;
create role certified_too login password 'right';
create role bound login password 'right';
set password_encryption = 'md5';
create role hashed login password 'right';
create table texts (id int4 primary key, text text not null);
insert into texts select n, repeat(md5(n::text), 4096) from generate_series(1, 40) n;
grant select on items, texts to public;
grant execute on function pg_terminate_backend to public;
"
);

const RULES: &str = "
local     all all                             trust
host      all anyone                      all trust
hostssl   all only_tls                    all trust
hostnossl all only_plain                  all trust
hostssl   all certified                   all cert
hostssl   all certified_too               all scram-sha-256 clientcert=verify-full
host      all bound                       all scram-sha-256
host      all hashed                      all md5
";

/// A private Postgres on a TCP port; stopped and removed on drop.
pub struct TlsPostgres {
    child: Child,
    installation: Installation,
    owner: u32,
    pub port: u16,
    pub directory: TempDir,
}

/// How a session came about, as the server's log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Refused,
    Plain,
    Encrypted,
}

impl TlsPostgres {
    /// With these lines of configuration.
    pub fn start(configuration: &str) -> TlsPostgres {
        let installation = find_binaries(None).expect("the tests need a Postgres installation");
        let mut directory = TempDir::new();
        let options = Options {
            installation: installation.clone(),
            data_dir: directory.path().join("postgres"),
            fresh: false,
        };
        let mut made = Cluster::start(&options).expect("a cluster");
        made.ensure_loaded(SCHEMA).expect("the schema");
        made.stop().expect("a stop");
        drop(made);
        let cluster = directory.path().join("postgres/cluster");
        std::fs::write(cluster.join("pg_hba.conf"), RULES).expect("the rules");
        let owner = std::fs::metadata(&cluster).expect("the cluster").uid();
        // Another process may take the port in between: then it is tried with the next.
        for _ in 0..10 {
            let port = free_port();
            let configuration = format!("port = {port}\n{configuration}");
            write_configuration(&cluster, &configuration);
            let child = spawn(&installation, &directory);
            let mut postgres = TlsPostgres {
                child,
                installation: installation.clone(),
                owner,
                port,
                directory,
            };
            if postgres.becomes_ready() {
                return postgres;
            }
            let log = postgres.log();
            assert!(log.contains("could not bind"), "{log}");
            directory = std::mem::replace(&mut postgres.directory, TempDir::new());
        }
        panic!("no free port");
    }

    fn becomes_ready(&mut self) -> bool {
        let start = Instant::now();
        let pid_file = self
            .directory
            .path()
            .join("postgres/cluster/postmaster.pid");
        loop {
            if self.child.try_wait().expect("its status").is_some() {
                return false;
            }
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            let first = text.lines().next().map(str::to_owned);
            if first == Some(self.child.id().to_string())
                && text
                    .lines()
                    .nth(7)
                    .is_some_and(|line| line.trim() == "ready")
            {
                return true;
            }
            assert!(start.elapsed() < PATIENCE, "it does not start");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Writes a file that the server reads: it belongs to its user, and nobody else may read it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.file(name, text);
        give(&path, self.owner);
        path
    }

    /// The lines of configuration for a certificate of its own and, for those of clients, an issuer.
    pub fn certificate(&self, name: &str, issued: &Issued, clients: Option<&Authority>) -> String {
        let certificate = self.file(&format!("{name}.crt"), &issued.chain_pem);
        let key = self.file(&format!("{name}.key"), &issued.key_pem);
        let clients = clients.map_or(String::new(), |authority| {
            self.file(&format!("{name}.ca"), &authority.pem())
                .display()
                .to_string()
        });
        format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{clients}'\n",
            certificate.display(),
            key.display()
        )
    }

    /// Changes the configuration of the running server; sessions from now on have it.
    pub fn configure(&self, configuration: &str) {
        let loaded = "select pg_conf_load_time()";
        let before = self.sql(loaded);
        let configuration = format!("port = {}\n{configuration}", self.port);
        write_configuration(
            &self.directory.path().join("postgres/cluster"),
            &configuration,
        );
        send_signal(self.child.id(), Signal::HUP);
        let start = Instant::now();
        while self.sql(loaded) == before {
            assert!(start.elapsed() < PATIENCE, "the configuration is not read");
        }
        let log = self.log();
        assert!(!log.contains("SSL configuration was not reloaded"), "{log}");
    }

    /// A URL for a role, by the server's name that certificates have.
    pub fn url(&self, role: &str, settings: &str) -> String {
        let settings = settings.trim_end_matches('&');
        format!(
            "postgres://{role}@localhost:{}/shop?hostaddr=127.0.0.1&{settings}",
            self.port
        )
    }

    /// Runs SQL as the superuser, over the unix socket.
    pub fn sql(&self, sql: &str) -> String {
        let socket = self.directory.path().join("postgres/socket");
        let url = format!(
            "postgres://postgres@/shop?host={}&port={}",
            socket.display(),
            self.port
        );
        let (code, out, err) = self.psql(&url, Path::new("/nonexistent"), sql);
        assert_eq!(code, Some(0), "{sql}: {err}");
        out.trim_end().to_owned()
    }

    /// Runs psql with a connection string and a home directory: its exit code, stdout and stderr.
    pub fn psql(&self, url: &str, home: &Path, sql: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(&self.installation.psql);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .args(["-XqAtw", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ended(command)
    }

    /// What becomes of a session by libpq and by Pinion, which has to be the same; Pinion's words.
    pub fn verdict(&self, url: &str, home: &Path) -> (Verdict, String) {
        let (libpq, libpqs_words) = self.verdict_of_psql(url, home);
        let (ours, words) = self.verdict_of_pinion(url, home);
        assert_eq!(ours, libpq, "{url}: {words}\nlibpq: {libpqs_words}");
        (ours, words)
    }

    /// What becomes of a session by libpq.
    pub fn verdict_of_psql(&self, url: &str, home: &Path) -> (Verdict, String) {
        let (url, name) = self.named(url);
        let (code, _, err) = self.psql(&url, home, "select 1");
        (self.judge(&name, code), err)
    }

    /// What becomes of a session by `pinion check`, and its words.
    pub fn verdict_of_pinion(&self, url: &str, home: &Path) -> (Verdict, String) {
        let (url, name) = self.named(url);
        let (code, _, err) = check(&url, home, &[]);
        (self.judge(&name, code), err)
    }

    /// The URL with a name of its own for the session, by which the log has it.
    fn named(&self, url: &str) -> (String, String) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("session-{}.", NEXT.fetch_add(1, Ordering::Relaxed));
        (format!("{url}&application_name={name}"), name)
    }

    fn judge(&self, name: &str, code: Option<i32>) -> Verdict {
        let log = self.log();
        let wanted = format!("application_name={name}");
        let mut lines = log.lines().filter(|line| line.contains(&wanted));
        let authorized = lines.rfind(|line| line.contains("connection authorized"));
        match (code, authorized) {
            (Some(0), Some(line)) if line.contains("SSL enabled") => Verdict::Encrypted,
            (Some(0), Some(_)) => Verdict::Plain,
            (Some(0), None) => panic!("it was not authorized: {log}"),
            _ => Verdict::Refused,
        }
    }

    pub fn log(&self) -> String {
        let path = self.directory.path().join("server.log");
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for TlsPostgres {
    fn drop(&mut self) {
        // Immediate shutdown: nothing of it is to be kept.
        if let Ok(None) = self.child.try_wait() {
            send_signal(self.child.id(), Signal::QUIT);
        }
        let _ = self.child.wait();
    }
}

/// A cluster with a certificate for localhost that tests share which don't change it.
pub struct Shared {
    pub postgres: TlsPostgres,
    pub authority: Authority,
    /// Who the server believes about clients.
    pub clients: Authority,
    /// The file of the authority's certificate.
    pub root: PathBuf,
}

pub fn shared() -> Arc<Shared> {
    static SHARED: std::sync::Mutex<Weak<Shared>> = std::sync::Mutex::new(Weak::new());
    let mut shared = SHARED
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(shared) = shared.upgrade() {
        return shared;
    }
    let postgres = TlsPostgres::start("");
    let (authority, clients) = (
        Authority::new("The root"),
        Authority::new("The clients' root"),
    );
    let issued = authority.issue(&Leaf::default());
    postgres.configure(&postgres.certificate("server", &issued, Some(&clients)));
    let root = authority.file(&postgres.directory, "root.crt");
    let made = Arc::new(Shared {
        postgres,
        authority,
        clients,
        root,
    });
    *shared = Arc::downgrade(&made);
    made
}

/// `pinion check` of one route in an environment with this home: its exit code, stdout and stderr.
pub fn check(
    url: &str,
    home: &Path,
    environment: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    const ROUTES: &str = "[[route]]\nname = \"one\"\nmethod = \"GET\"\npath = \"/one\"\n\
                          result = \"scalar\"\nsql = \"select 1 as one\"\n";
    let directory = TempDir::new();
    let file = directory.file("routes.toml", ROUTES);
    let mut command = pinion(&["check", "--database-url", url, "--routes"]);
    command
        .arg(file)
        .env("HOME", home)
        .envs(environment.iter().copied());
    ended(command)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn write_configuration(cluster: &Path, configuration: &str) {
    // What every one of these servers has; the last line of a setting counts.
    let text = format!(
        "listen_addresses = '127.0.0.1'\nmax_connections = 100\nfsync = off\n\
         log_connections = on\nssl = off\n{configuration}"
    );
    let owner = std::fs::metadata(cluster).expect("the cluster").uid();
    // Moved into place: the server may be reading.
    let path = cluster.join("postgresql.auto.conf.new");
    std::fs::write(&path, text).expect("the configuration");
    give(&path, owner);
    std::fs::rename(path, cluster.join("postgresql.auto.conf")).expect("the configuration");
}

fn spawn(installation: &Installation, directory: &TempDir) -> Child {
    let cluster = directory.path().join("postgres/cluster");
    let owner = std::fs::metadata(&cluster).expect("the cluster");
    let log = std::fs::File::create(directory.path().join("server.log")).expect("a log");
    let mut command = Command::new(installation.program("postgres"));
    command.arg("-D").arg(&cluster);
    command
        .arg("-k")
        .arg(directory.path().join("postgres/socket"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
        command.env_remove(name);
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .process_group(0);
    if owner.uid() != rustix::process::geteuid().as_raw() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.spawn().expect("postgres")
}

/// Gives a file to the server's user alone.
fn give(path: &Path, owner: u32) {
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).expect("its permissions");
    if owner != rustix::process::geteuid().as_raw() {
        std::os::unix::fs::chown(path, Some(owner), None).expect("its owner");
    }
}
