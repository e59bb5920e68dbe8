//! What the service manager hears: the real binary with a real notify socket, as sd_notify(3) has it.

mod support;

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use support::core_thread::StoppedCore;
use support::{Client, PATIENCE, Postgres, Server, Signal, TempDir, pinion};

/// The manager's end: messages as lists of assignments.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _directory: TempDir,
}

impl Manager {
    fn at_path() -> Manager {
        let directory = TempDir::new();
        let path = directory.path().join("notify");
        Manager::of(
            UnixDatagram::bind(&path),
            path.display().to_string(),
            directory,
        )
    }

    fn at_abstract_name() -> Manager {
        let name = format!("pinion-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address);
        Manager::of(socket, format!("@{name}"), TempDir::new())
    }

    fn of(socket: std::io::Result<UnixDatagram>, name: String, directory: TempDir) -> Manager {
        Manager {
            socket: socket.expect("a socket"),
            name,
            _directory: directory,
        }
    }

    /// `pinion serve` of the shop as its service.
    fn starts(&self, url: &str, flags: &[&str], environment: &[(&str, &str)]) -> Server {
        let directory = TempDir::new();
        let routes = directory.routes(pinion::demo::ROUTES);
        let mut command = pinion(&["serve", "--routes"]);
        command.arg(routes).args(["--database-url", url]);
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        command.env("NOTIFY_SOCKET", &self.name);
        command.envs(environment.iter().copied());
        Server::run(command, directory)
    }

    /// The next message, unless none comes for so long.
    fn hears_within(&self, patience: Duration) -> Option<Vec<String>> {
        let mut buffer = [0; 4096];
        self.socket
            .set_read_timeout(Some(patience))
            .expect("a timeout");
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                let text = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
                Some(text.lines().map(str::to_owned).collect())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message with this assignment.
    fn hears(&self, wanted: &str) -> Vec<String> {
        self.hears_where(wanted, |line| line == wanted)
    }

    fn hears_where(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while Instant::now() < end {
            let left = end
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            let Some(message) = self.hears_within(left) else {
                break;
            };
            if message.iter().any(|line| is_it(line)) {
                return message;
            }
            heard.push(message);
        }
        panic!("{what} was not said, but {heard:?}");
    }

    /// Forgets what waits.
    fn forget(&self) {
        while self.hears_within(Duration::from_millis(1)).is_some() {}
    }
}

fn value<'a>(message: &'a [String], name: &str) -> &'a str {
    let values = message.iter().filter_map(|line| line.strip_prefix(name));
    let mut values = values.filter_map(|rest| rest.strip_prefix('='));
    let first = values.next();
    first.unwrap_or_else(|| panic!("no {name} in {message:?}"))
}

fn monotonic_micros() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    let now = Duration::from(now.expect("the clock"));
    now.as_micros()
}

fn watchdog(time: Duration) -> String {
    time.as_micros().to_string()
}

/// Whoever is told that the start is over need not ask again.
#[test]
fn the_admin_port_says_that_it_is_ready_when_the_manager_was_told_so() {
    let (postgres, manager) = (Postgres::shop(), Manager::at_path());
    let mut server = manager.starts(&postgres.url(), &["--admin", "127.0.0.1:0"], &[]);
    let mut admin = Client::connect(server.admin());
    manager.hears("READY=1");
    admin.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let ready = admin.response();
    assert_eq!(ready.status, 200, "{}", ready.text());
}

/// From start to stop, in the order of systemd.service(5): nothing before every route can be answered, a
/// reload between RELOADING and READY, and a drain that may take its time.
#[test]
fn a_life_is_told_as_it_goes() {
    let (postgres, manager) = (Postgres::shop(), Manager::at_path());
    let flags = ["--cores", "0", "--drain-timeout", "150s"];
    let server = manager.starts(&postgres.url(), &flags, &[]);
    let first = manager.hears_within(PATIENCE).expect("a message");
    assert_eq!(first[0], "READY=1", "{first:?}");
    assert_eq!(value(&first, "STATUS"), "serving every route, cores: 1");
    assert_eq!(server.get("/ready").status, 200);
    let before = monotonic_micros();
    server.signal(Signal::HUP);
    let reloading = manager.hears_within(PATIENCE).expect("a message");
    assert_eq!(reloading[0], "RELOADING=1", "{reloading:?}");
    let at: u128 = value(&reloading, "MONOTONIC_USEC").parse().expect("a time");
    assert!((before..=monotonic_micros()).contains(&at), "{at}");
    let reloaded = manager.hears_within(PATIENCE).expect("a message");
    assert_eq!(reloaded[0], "READY=1", "{reloaded:?}");
    server.signal(Signal::TERM);
    let stopping = manager.hears_within(PATIENCE).expect("a message");
    assert_eq!(stopping[0], "STOPPING=1", "{stopping:?}");
    assert!(value(&stopping, "STATUS").starts_with("stopping"));
    let extended: u64 = value(&stopping, "EXTEND_TIMEOUT_USEC")
        .parse()
        .expect("a time");
    assert!(
        (150_000_000..180_000_000).contains(&extended),
        "{stopping:?}"
    );
    assert_eq!(server.exit().code(), Some(0));
    // There was no watchdog to feed.
    assert_eq!(manager.hears_within(Duration::from_millis(1)), None);
}

#[test]
fn an_abstract_socket_is_one_as_well() {
    let (postgres, manager) = (Postgres::shop(), Manager::at_abstract_name());
    let _server = manager.starts(&postgres.url(), &["--cores", "0"], &[]);
    assert_eq!(manager.hears("READY=1")[0], "READY=1");
}

/// A server without its Postgres is started all the same; the status says so until it is there.
#[test]
fn the_status_tells_that_postgres_is_away_and_that_it_is_back() {
    let mut postgres = Postgres::start(pinion::demo::SCHEMA);
    let url = postgres.url();
    postgres.stop();
    let manager = Manager::at_path();
    let server = manager.starts(&url, &["--cores", "0"], &[]);
    let ready = manager.hears("READY=1");
    let status = value(&ready, "STATUS");
    assert!(
        status.starts_with("serving, cores: 1, but not every route: "),
        "{status}"
    );
    assert_eq!(server.get("/health").status, 200);
    postgres.start_again();
    manager.hears("STATUS=serving every route, cores: 1");
    assert_eq!(server.get("/ready").status, 200);
    postgres.stop();
    manager.hears_where("that Postgres is away", |line| {
        line.starts_with("STATUS=serving, cores: 1, but not")
    });
}

/// One core of all that stands still is enough.
#[test]
fn the_watchdog_is_fed_only_while_every_core_goes_on() {
    let (postgres, manager) = (Postgres::shop(), Manager::at_path());
    let timeout = Duration::from_secs(1);
    let cores = core_affinity::get_core_ids().expect("the CPUs of this process");
    let environment = [("WATCHDOG_USEC", &*watchdog(timeout))];
    let mut server = manager.starts(&postgres.url(), &[], &environment);
    manager.hears("READY=1");
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    let stopped = StoppedCore::stop(server.pid());
    server.wait_for_line("a core is stuck");
    manager.forget();
    let end = Instant::now() + 2 * timeout;
    while Instant::now() < end {
        if let Some(message) = manager.hears_within(timeout / 10) {
            assert!(!message.contains(&"WATCHDOG=1".to_owned()), "{message:?}");
        }
    }
    drop(stopped);
    server.wait_for_line("the core that was stuck goes on");
    manager.hears("WATCHDOG=1");
    println!("{} cores, one of them stopped", cores.len());
}

/// News that come all the time do not keep the control thread from looking at the cores.
#[test]
fn reloads_without_end_do_not_starve_the_watchdog() {
    let (postgres, manager) = (Postgres::shop(), Manager::at_path());
    let environment = [("WATCHDOG_USEC", &*watchdog(Duration::from_secs(1)))];
    let server = manager.starts(&postgres.url(), &["--cores", "0"], &environment);
    manager.hears("READY=1");
    let mut fed = 0;
    let end = Instant::now() + PATIENCE;
    while fed < 3 {
        assert!(Instant::now() < end, "it was fed {fed} times");
        server.signal(Signal::HUP);
        while let Some(message) = manager.hears_within(Duration::from_millis(5)) {
            fed += u32::from(message.contains(&"WATCHDOG=1".to_owned()));
        }
    }
}

/// WATCHDOG_PID names who is meant; a socket that can't be used is no reason not to serve.
#[test]
fn what_is_not_meant_for_it_or_can_not_be_used_is_left_alone() {
    let (postgres, manager) = (Postgres::shop(), Manager::at_path());
    let environment = [("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")];
    let server = manager.starts(&postgres.url(), &["--cores", "0"], &environment);
    manager.hears("READY=1");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(manager.hears_within(Duration::from_millis(200)), None);
    drop(server);
    for name in ["nowhere", "/nowhere/notify", "@pinion-nobody-listens"] {
        let wrong = [("NOTIFY_SOCKET", name)];
        let mut server = manager.starts(&postgres.url(), &["--cores", "0"], &wrong);
        server.wait_for_line("service manager");
        assert_eq!(server.get("/health").status, 200, "{name}");
    }
}
