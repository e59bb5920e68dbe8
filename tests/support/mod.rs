//! What the tests at the boundary share: a private Postgres, the real `pinion` binary on a free
//! port, and a client that sends and reads raw bytes. Everything started is stopped on drop, also
//! when a test fails.

#![allow(dead_code)] // each test binary uses its own part of it

pub mod browser;
pub mod certificates;
pub mod cluster;
pub mod core_thread;
pub mod devtools;
pub mod echo;
pub mod handbook;
pub mod items;
pub mod load;
pub mod open_loop;
pub mod png;
pub mod process;
pub mod proxy;
pub mod random;
pub mod redis;
pub mod steady;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{kill_process, kill_process_group};

use pinion::demo::postgres::{Cluster, Options, find_binaries};

/// How long anything in a test may take before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the tokens of the shop are signed with.
pub const SHOP_SECRET: &str = "a secret of the tests alone, for tokens of the shop";

// ---- Directories ----

/// A directory of its own under the system's temporary one, removed on drop. Open to every user,
/// as Postgres runs as another one when root runs the tests.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pinion-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, open).expect("its permissions");
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a routes file, and the secret of the shop's tokens beside it.
    pub fn routes(&self, text: &str) -> PathBuf {
        let secret = self.file("shop-jwt.key", SHOP_SECRET);
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(secret, private).expect("its permissions");
        self.file("routes.toml", text)
    }

    /// Writes a file and tells its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file in the temporary directory");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

// ---- Postgres ----

/// Where tests that run at the same time find one Postgres for all of them.
pub type Shared = Mutex<Weak<Postgres>>;

/// A private Postgres, stopped and removed on drop.
pub struct Postgres {
    /// None while it is stopped.
    cluster: Option<Cluster>,
    url: String,
    psql: PathBuf,
    directory: TempDir,
}

impl Postgres {
    /// A new cluster whose database `shop` was loaded from `schema`.
    pub fn start(schema: &str) -> Postgres {
        let installation = find_binaries(None).expect("the tests need a Postgres installation");
        let mut postgres = Postgres {
            cluster: None,
            url: String::new(),
            psql: installation.psql,
            directory: TempDir::new(),
        };
        postgres.start_again();
        let cluster = postgres.cluster.as_ref().expect("it was started");
        cluster.ensure_loaded(schema).expect("the schema");
        postgres
    }

    /// Starts what was stopped, on the same data.
    pub fn start_again(&mut self) {
        let options = Options {
            installation: find_binaries(None).expect("it was found before"),
            data_dir: self.directory.path().join("postgres"),
            fresh: false,
        };
        let cluster = Cluster::start(&options).expect("a cluster");
        self.url = cluster.url();
        self.cluster = Some(cluster);
    }

    /// The shop's cluster, shared by the tests of one binary that run at the same time.
    pub fn shop() -> Arc<Postgres> {
        static SHARED: Shared = Shared::new(Weak::new());
        Postgres::shared(&SHARED, || Postgres::start(pinion::demo::SCHEMA))
    }

    /// The one in `place`, while any test has it; otherwise a new one.
    pub fn shared(place: &Shared, start: impl FnOnce() -> Postgres) -> Arc<Postgres> {
        // A test that failed while it held the lock leaves nothing half done.
        let mut shared = place
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(postgres) = shared.upgrade() {
            return postgres;
        }
        let postgres = Arc::new(start());
        *shared = Arc::downgrade(&postgres);
        postgres
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        let directory = self.url.split("host=").nth(1).expect("a directory");
        Path::new(directory).join(".s.PGSQL.5432")
    }

    pub fn server_pid(&self) -> u32 {
        let cluster = self.cluster.as_ref().expect("the server runs");
        cluster.server_pid().expect("the server runs")
    }

    /// Runs SQL through psql and gives what it prints, unaligned and without headers.
    pub fn sql(&self, sql: &str) -> String {
        let output = Command::new(&self.psql)
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()])
            .output()
            .expect("psql");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        let path = self.directory.path().join("postgres/postgres.log");
        std::fs::read_to_string(path).expect("its log")
    }

    pub fn stop(&mut self) {
        if let Some(mut cluster) = self.cluster.take() {
            cluster.stop().expect("a stop");
        }
    }

    /// `pg_ctl stop -m immediate`: every backend is gone at once, as after a crash.
    pub fn crash(&mut self) {
        send_signal(self.server_pid(), Signal::QUIT);
        self.stop();
    }
}

// ---- The server ----

/// The real `pinion`, serving on a free port of 127.0.0.1; ended on drop.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    pub address: SocketAddr,
    directory: TempDir,
    /// Shown by its clients.
    token: Option<String>,
}

impl Server {
    /// `pinion serve` of the shop's routes, on core 0 unless `flags` say otherwise. Its clients are of the
    /// tenant globex.
    pub fn shop(postgres: &Postgres, flags: &[&str]) -> Server {
        Server::start(pinion::demo::ROUTES, &postgres.url(), flags).of_tenant("globex")
    }

    /// From now on its clients are of this tenant of the shop.
    pub fn of_tenant(mut self, tenant: &str) -> Server {
        let claims = format!(r#"{{"tenant":"{tenant}","aud":"shop","exp":4102444800}}"#);
        self.token = Some(pinion::demo::tokens::sign(SHOP_SECRET, &claims));
        self
    }

    /// `pinion serve` of a routes file.
    pub fn start(routes: &str, url: &str, flags: &[&str]) -> Server {
        let directory = TempDir::new();
        let file = directory.routes(routes);
        let mut command = pinion(&["serve", "--routes"]);
        command.arg(file).args(["--database-url", url]);
        command.args(["--listen", "127.0.0.1:0"]);
        if !flags.contains(&"--cores") {
            command.args(["--cores", "0"]);
        }
        command.args(flags);
        Server::run(command, directory)
    }

    /// Any command that serves; `directory` lives as long as the server.
    pub fn run(mut command: Command, directory: TempDir) -> Server {
        let mut child = command.spawn().expect("pinion");
        let lines = read_lines(child.stderr.take().expect("it is piped"));
        let mut server = Server {
            child,
            lines,
            log: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            directory,
            token: None,
        };
        server.address = server.address_in_line("listening on http");
        server
    }

    /// Where it listens for http or https, if that was asked for.
    pub fn listens_on(&mut self, scheme: &str) -> SocketAddr {
        self.address_in_line(&format!("listening on {scheme}://"))
    }

    /// Where its admin port is.
    pub fn admin(&mut self) -> SocketAddr {
        self.address_in_line("admin on http://")
    }

    /// The address in the line of the log that has these words.
    pub fn address_in_line(&mut self, words: &str) -> SocketAddr {
        address_in(&self.wait_for_line(words))
    }

    /// Waits until every route can be answered.
    pub fn ready(self) -> Server {
        let start = Instant::now();
        while self.get("/ready").status != 200 {
            assert!(start.elapsed() < PATIENCE, "the server does not get ready");
            std::thread::sleep(Duration::from_millis(10));
        }
        self
    }

    /// Waits for a line of the log that contains `part`.
    pub fn wait_for_line(&mut self, part: &str) -> String {
        if let Some(line) = self.log.iter().find(|line| line.contains(part)) {
            return line.clone();
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {part:?} in the log:\n{}", self.log.join("\n"));
            };
            self.log.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The log so far.
    pub fn log(&mut self) -> &[String] {
        self.log.extend(self.lines.try_iter());
        &self.log
    }

    /// Leaves out of [`Server::wait_for_line`] and [`Server::log`] what has been logged so far.
    pub fn forget_log(&mut self) {
        self.log.extend(self.lines.try_iter());
        self.log.clear();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address).showing(self.token.clone())
    }

    /// One GET on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.client().request("GET", target, None)
    }

    /// One request with a JSON body on a connection of its own.
    pub fn send(&self, method: &str, target: &str, body: &str) -> Response {
        self.client().request(method, target, Some(body))
    }

    /// Sends a signal to the server, by its id.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Waits for the end.
    pub fn exit(mut self) -> ExitStatus {
        process::status_of(&mut self.child, PATIENCE)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.log.extend(self.lines.try_iter());
            eprintln!("the server's log:\n{}", self.log.join("\n"));
        }
    }
}

/// The address of the URL in a line of the log.
fn address_in(line: &str) -> SocketAddr {
    let address = line.split("://").nth(1).expect("an address");
    let end = |character: char| character.is_whitespace() || character == '"';
    let address = address.split(end).next().expect("an address");
    address.parse().expect("an address")
}

/// Sends a signal to one process. (A minimal system has no program for it.)
pub fn send_signal(pid: u32, signal: Signal) {
    kill_process(process::by_id(pid), signal).expect("the process is there");
}

/// Sends a signal to a whole process group, as a terminal does for Ctrl-C.
pub fn send_group_signal(leader: u32, signal: Signal) {
    kill_process_group(process::by_id(leader), signal).expect("the group is there");
}

/// The binary with arguments, its output piped and none of the caller's settings. `TESTED_PINION` puts
/// another build in its place: a released one, or an older one to compare with.
pub fn pinion(arguments: &[&str]) -> Command {
    let built = env!("CARGO_BIN_EXE_pinion").into();
    let mut command = Command::new(std::env::var_os("TESTED_PINION").unwrap_or(built));
    for (name, _) in std::env::vars() {
        if name.starts_with("PINION_") || name.starts_with("PG") {
            command.env_remove(name);
        }
    }
    // The machine of the tests is slow at times. Those that are about it say what is slow.
    command.env("PINION_SLOW_LOG", "0s");
    // Its memory is looked at. Huge pages are resident as a whole, and the kernel makes them up again of pages
    // that were given back.
    command.env("MIMALLOC_ALLOW_THP", "0");
    command
        .args(arguments)
        // Tests run side by side, and its default is one port.
        .env("PINION_ADMIN", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command that is to end by itself: its exit code, stdout and stderr.
pub fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.spawn().expect("pinion");
    let out = child.stdout.take().expect("it is piped");
    let err = child.stderr.take().expect("it is piped");
    let [out, err] = [
        Box::new(out) as Box<dyn Read + Send>,
        Box::new(err) as Box<dyn Read + Send>,
    ]
    .map(|mut pipe| {
        std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("text in UTF-8");
            text
        })
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("its status") {
            break Some(status);
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (out, err) = (
        out.join().expect("its output"),
        err.join().expect("its output"),
    );
    let status = status.unwrap_or_else(|| panic!("it does not end: {err}"));
    (status.code(), out, err)
}

fn read_lines(stderr: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

// ---- The client ----

/// A TCP connection that does not wait for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A connection that sends and reads raw bytes, over TCP unless said otherwise.
pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
    /// Shown with each [`Client::request`].
    token: Option<String>,
}

/// One response as it came.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(connect(address))
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Client<S> {
        Client {
            stream,
            buffer: Vec::new(),
            token: None,
        }
    }

    /// A client that shows a token with each [`Client::request`].
    pub fn showing(mut self, token: Option<String>) -> Client<S> {
        self.token = token;
        self
    }

    /// Bytes that were read past this client, to be looked at by it.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("a write");
    }

    /// One request over this connection, and its response.
    pub fn request(&mut self, method: &str, target: &str, body: Option<&str>) -> Response {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        if let Some(token) = &self.token {
            text += &format!("Authorization: Bearer {token}\r\n");
        }
        if let Some(body) = body {
            let length = body.len();
            text += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        text += "\r\n";
        text += body.unwrap_or("");
        self.send(text);
        match method {
            "HEAD" => self.response_to_head(),
            _ => self.response(),
        }
    }

    /// The next response; the server has to send one.
    pub fn response(&mut self) -> Response {
        self.try_response(false).expect("a response")
    }

    /// The next response, which has no body whatever its length says.
    pub fn response_to_head(&mut self) -> Response {
        self.try_response(true).expect("a response")
    }

    /// The next response, or `None` when the server closes first.
    pub fn try_response(&mut self, head_only: bool) -> Option<Response> {
        let head_length = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill() {
                assert!(
                    self.buffer.is_empty(),
                    "a response was cut: {:?}",
                    self.buffer
                );
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..head_length).collect();
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line");
        assert!(status_line.starts_with("HTTP/1.1 "), "{status_line}");
        let status: u16 = status_line[9..12].parse().expect("a status");
        let fields: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").expect("a field"))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = fields.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let length = if head_only { 0 } else { length };
        while self.buffer.len() < length {
            assert!(self.fill(), "a body was cut");
        }
        let body = self.buffer.drain(..length).collect();
        Some(Response {
            status,
            fields,
            body,
        })
    }

    /// Reads until the server closes; what came that is no response read before.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the server closes without sending more.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill()
    }

    fn fill(&mut self) -> bool {
        let mut part = [0; 16 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&part[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("reading: {error}"),
        }
    }
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} was sent twice");
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub fn json(&self) -> sonic_rs::Value {
        sonic_rs::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Waits for it to be so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
