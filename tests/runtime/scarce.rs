//! Queues of the smallest size, and hardly any descriptors.

use std::process::Command;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{PATIENCE, Postgres, Server, TempDir, ended, pinion};

/// Sockets at a time; each has a descriptor here and one in the server.
const SOCKETS_MAX: u64 = 2000;

/// Raises this process's limit of descriptors as far as it goes: how many sockets it can have.
fn sockets() -> u64 {
    let most = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit");
    most.map_or(SOCKETS_MAX, |most| {
        SOCKETS_MAX.min(most.saturating_sub(200))
    })
}

/// Eight entries for two thousand sockets: each pass finds the queue full many times over.
#[test]
fn the_smallest_queue_serves_thousands_of_sockets() {
    let postgres = Postgres::shop();
    // All of them ask at once, which is no overload that is to be refused here.
    let flags = [
        ["--ring-depth", "8"],
        ["--queue-target", "30s"],
        ["--acquire-timeout", "30s"],
        ["--statement-timeout", "30s"],
    ];
    let flags = flags.as_flattened();
    let routes = format!("[lane.default]\nqueue = 4096\n{}", pinion::demo::ROUTES);
    let mut server = Server::start(&routes, &postgres.url(), flags).ready();
    let mut clients: Vec<_> = (0..sockets()).map(|_| server.client()).collect();
    for round in 0..3 {
        let paths = ["/health", "/users/42", "/nowhere"];
        for (n, client) in clients.iter_mut().enumerate() {
            let path = paths[(n + round) % 3];
            client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").repeat(2));
        }
        for (n, client) in clients.iter_mut().enumerate() {
            let status = [200, 200, 404][(n + round) % 3];
            for _ in 0..2 {
                assert_eq!(client.response().status, status, "client {n}");
            }
        }
    }
    drop(clients);
    let descriptors = format!("/proc/{}/fd", server.pid());
    let start = Instant::now();
    while std::fs::read_dir(&descriptors)
        .expect("its descriptors")
        .count()
        > 200
    {
        assert!(start.elapsed() < PATIENCE, "descriptors are left open");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(server.get("/users/42").status, 200);
    let log = server.log();
    assert!(
        !log.iter().any(|line| line.contains("late completion")),
        "{log:?}"
    );
}

/// The binary under a limit, as the shell's `ulimit` takes it.
fn limited(limit: &str, routes: &std::path::Path, url: &str) -> Command {
    let serve = pinion(&["serve"]);
    let mut command = Command::new("sh");
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let line = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    command
        .args(["-c", &line])
        .arg(serve.get_program())
        .arg("serve")
        .arg("--routes")
        .arg(routes)
        .args(["--database-url", url, "--listen", "127.0.0.1:0"])
        .args(["--cores", "0"])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    command
}

/// Descriptors that do not even do for the start: whichever is the one that is missing, it is said in
/// a line and the exit code is 1; a server that does start serves.
#[test]
fn too_few_descriptors_are_said_at_start_up() {
    let postgres = Postgres::shop();
    let directory = TempDir::new();
    let routes = directory.routes(pinion::demo::ROUTES);
    for count in 4..=9 {
        let (code, out, err) = ended(limited(&format!("-n {count}"), &routes, &postgres.url()));
        assert_eq!(code, Some(1), "{count}: {out}{err}");
        assert!(err.to_lowercase().contains("open files"), "{count}: {err}");
        assert!(!err.contains("panicked"), "{count}: {err}");
        assert!(err.trim_end().lines().count() <= 2, "{count}: {err}");
    }
}

/// Locked memory at its bound and a KiB under it.
#[test]
fn locked_memory_is_checked_at_its_bound() {
    let postgres = Postgres::shop();
    let directory = TempDir::new();
    let routes = directory.routes(pinion::demo::ROUTES);
    let (code, _, err) = ended(limited("-l 511", &routes, &postgres.url()));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("may lock only 511 KiB"), "{err}");
    let server = Server::run(limited("-l 512", &routes, &postgres.url()), directory);
    assert_eq!(server.get("/health").status, 200);
}
