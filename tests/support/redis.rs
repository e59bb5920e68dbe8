//! A private Redis (or Valkey) whose settings and life a test decides.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Connection, ConnectionLike, Value};

use super::{PATIENCE, Signal, TempDir, send_signal, wait_until};

/// Ports that are tried: somebody else may take one between its choice and its use.
const PORTS_TRIED: usize = 5;

/// A server in a directory of its own, on a free port of 127.0.0.1 and a unix socket. Dropping it ends it.
pub struct Redis {
    directory: TempDir,
    settings: Vec<String>,
    port: u16,
    tls_port: Option<u16>,
    server: Option<Child>,
}

impl Redis {
    /// One that keeps nothing on disk, with these settings, each the name and the value: `appendonly yes`.
    pub fn start(settings: &[&str]) -> Redis {
        let mut redis = Redis::stopped(settings);
        redis.launch();
        redis
    }

    /// One that speaks TLS on a port of its own as well.
    pub fn start_with_tls(settings: &[&str]) -> Redis {
        let mut redis = Redis::stopped(settings);
        redis.tls_port = Some(free_port());
        redis.launch();
        redis
    }

    /// One that is yet to be started.
    pub fn stopped(settings: &[&str]) -> Redis {
        Redis {
            directory: TempDir::new(),
            settings: settings.iter().map(ToString::to_string).collect(),
            port: free_port(),
            tls_port: None,
            server: None,
        }
    }

    /// Starts it on what it has on disk. Its ports may be others than before, if somebody has taken those.
    pub fn launch(&mut self) {
        for attempt in 1.. {
            if self.try_launch() {
                return;
            }
            let log = self.log();
            let taken = log.contains("in use") && attempt < PORTS_TRIED;
            assert!(taken, "Redis does not start: {log}");
            self.port = free_port();
            self.tls_port = self.tls_port.map(|_| free_port());
        }
    }

    fn try_launch(&mut self) -> bool {
        assert!(self.server.is_none(), "it runs");
        let directory = self.directory.path();
        let mut text = format!(
            "bind 127.0.0.1\nport {}\nunixsocket {}\ndir {}\nlogfile {}\nsave \"\"\n",
            self.port,
            self.socket().display(),
            directory.display(),
            directory.join("redis.log").display(),
        );
        if let Some(port) = self.tls_port {
            text += &format!("tls-port {port}\n");
        }
        for line in &self.settings {
            text += &format!("{line}\n");
        }
        let file = self.directory.file("redis.conf", &text);
        let mut command = Command::new(program());
        command.arg(file).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = command.spawn().expect("Redis");
        let start = Instant::now();
        // What still loads its data answers as well.
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            if server.try_wait().expect("its status").is_some() {
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "Redis does not start");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.server = Some(server);
        true
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// By its unix socket: nobody else can take that while it is stopped.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("it speaks TLS")
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    pub fn log(&self) -> String {
        let log = std::fs::read(self.directory.path().join("redis.log"));
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    /// A session of its own, over the unix socket.
    pub fn client(&self) -> Connection {
        self.client_with("")
    }

    /// The same with what stands behind the question mark of its URL.
    pub fn client_with(&self, query: &str) -> Connection {
        let url = format!("redis+unix://{}{query}", self.socket().display());
        let client = redis::Client::open(url).expect("a URL");
        client.get_connection().expect("a session")
    }

    /// Runs one command, written as words.
    pub fn command(&self, words: &str) -> Value {
        run(&mut self.client(), words)
    }

    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").id()
    }

    /// It stands still from now on: not only has it been told to.
    pub fn freeze(&self) {
        send_signal(self.pid(), Signal::STOP);
        // A thread at work stops when it next comes by the kernel.
        wait_until("Redis to stand still", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("threads");
            tasks.flatten().all(|task| {
                let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                let state = stat
                    .rsplit_once(") ")
                    .map(|(_, rest)| rest.starts_with('T'));
                state.unwrap_or(true) // it has ended
            })
        });
    }

    pub fn thaw(&self) {
        send_signal(self.pid(), Signal::CONT);
    }

    /// Without a word to anybody.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        // It would look as if it were there.
        let _ = std::fs::remove_file(self.socket());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs one command, written as words; it has to succeed.
pub fn run(connection: &mut impl ConnectionLike, words: &str) -> Value {
    let mut words_of = words.split_whitespace();
    let mut command = redis::cmd(words_of.next().expect("a command"));
    words_of.for_each(|word| {
        command.arg(word);
    });
    let outcome = command.query(connection);
    outcome.unwrap_or_else(|error| panic!("{words}: {error}"))
}

/// The first of the two that is installed.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["redis-server", "valkey-server"];
    let found = names.iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|program: &PathBuf| Path::exists(program))
    });
    found.expect("the tests need redis-server or valkey-server")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}
