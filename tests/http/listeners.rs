//! Where the server listens: TCP, IPv6, unix sockets, several at once, on several cores.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{Client, Server, Signal, TempDir, echo, find, pinion};
use super::{in_flight, server, wait_until};

fn ask_unix(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET /echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn assert_serves_unix(path: &Path) {
    let answer = ask_unix(path).unwrap();
    assert!(find(&answer, b"{\"text\":\"x\"}").is_some(), "{answer:?}");
}

/// Starts a server that must not start; what it says.
fn refused(listen: &str) -> String {
    echo::refused(&["--listen", listen])
}

#[test]
fn several_kinds_at_once() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let (mut server, _postgres) = server(&["--listen", "[::1]:0", "--listen", &unix]);
    let address = server.address_in_line("listening on http://[::1]:");
    server.wait_for_line(&format!("listening on {unix}"));
    assert_eq!(server.get("/echo/x").status, 200);
    let response = Client::connect(address).request("GET", "/echo/x", None);
    assert_eq!(response.status, 200);
    assert_serves_unix(&path);
    server.signal(Signal::TERM);
    assert_eq!(server.exit().code(), Some(0));
    assert!(!path.exists(), "the socket's file is cleared away");
}

#[test]
fn a_unix_socket_is_open_to_the_proxy_in_front_whatever_the_umask() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let postgres = echo::postgres();
    let mut command = Command::new("sh");
    // As the unit has it.
    command.args(["-c", "umask 0077 && exec \"$0\" \"$@\""]);
    command.args([pinion(&[]).get_program()]);
    command.args(["serve", "--admin", "off", "--listen", "127.0.0.1:0"]);
    command
        .arg("--listen")
        .arg(format!("unix:{}", path.display()));
    command.args(["--database-url", &postgres.url(), "--routes"]);
    command.arg(directory.routes(echo::ROUTES));
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let _server = Server::run(command, directory).ready();
    assert_serves_unix(&path);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
}

#[test]
fn a_unix_path_is_taken_over_only_from_the_dead() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "stale");
    let (server, _postgres) = server(&["--listen", &unix]);
    assert_serves_unix(&path);
    let fault = refused(&unix);
    assert!(
        fault.contains(&unix) && fault.contains("--listen"),
        "{fault}"
    );
    assert_serves_unix(&path);
    drop(server);

    let file = directory.file("file", "precious");
    let fault = refused(&format!("unix:{}", file.display()));
    assert!(
        fault.contains("no socket") && fault.contains("remove it"),
        "{fault}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_server_that_stops_leaves_the_path_to_its_successor() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let flags = ["--listen", &unix, "--max-in-flight", "1"];
    let (old, _postgres) = server(&flags);
    let mut slow = in_flight(&old, "/slow/4");
    old.signal(Signal::TERM);
    wait_until("the path is given up", || {
        UnixStream::connect(&path).is_err()
    });
    let (new, _postgres) = server(&["--listen", &unix]);
    assert_serves_unix(&path);
    slow.stream.set_nonblocking(true).unwrap();
    assert!(
        slow.stream.peek(&mut [0]).is_err(),
        "the old one is still at it"
    );
    slow.stream.set_nonblocking(false).unwrap();
    assert_eq!(slow.response().status, 200);
    assert_eq!(old.exit().code(), Some(0));
    assert_serves_unix(&path);
    drop(new);
}

#[test]
fn a_taken_port_is_told_in_one_line() {
    let (server, _postgres) = server(&[]);
    // Another pinion, and a stranger.
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [server.address, stranger.local_addr().unwrap()] {
        let fault = refused(&address.to_string());
        assert!(fault.contains(&address.to_string()), "{fault}");
        assert!(fault.contains("--listen"), "names the fix: {fault}");
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn addresses_that_can_not_be_had_are_told_with_the_fix() {
    let directory = TempDir::new();
    let path = |name: &str| format!("unix:{}/{name}", directory.path().display());
    for (listen, fix) in [
        (path("missing/socket"), "its directory has to exist"),
        (path(&"x".repeat(108)), "at most 107 bytes"),
        // TEST-NET-3 (RFC 5737) is nobody's.
        ("203.0.113.5:0".to_owned(), "no interface of this host"),
        ("nowhere".to_owned(), "HOST:PORT or unix:PATH"),
    ] {
        let fault = refused(&listen);
        assert!(fault.contains(fix), "{fault}");
    }
}

#[test]
fn every_core_serves() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return; // nothing to see with one core
    }
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let (server, _postgres) =
        server(&["--cores", "0,1", "--max-in-flight", "2", "--listen", &unix]);
    // Each core has connections to Postgres of its own, which have to be up.
    let mut ready = 0;
    wait_until("both cores are ready", || {
        ready = match server.get("/ready").status {
            200 => ready + 1,
            _ => 0,
        };
        ready == 40
    });
    // One place on each core: while one is taken, that core refuses and the other one does not.
    let mut slow = server.client();
    slow.send("GET /slow/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut served, mut refused) = (0, 0);
    wait_until("both kinds of answers", || {
        match server.get("/echo/x").status {
            200 => served += 1,
            503 => refused += 1,
            status => panic!("{status}"),
        }
        served > 5 && refused > 5
    });
    assert_eq!(slow.response().status, 200);
    // The cores share the one socket of a path.
    for _ in 0..20 {
        assert_serves_unix(&path);
    }
    server.signal(Signal::TERM);
    assert_eq!(server.exit().code(), Some(0));
}
