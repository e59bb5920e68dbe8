//! A log that nobody reads holds nobody up.

use std::io::{BufRead, BufReader, pipe};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use sonic_rs::JsonValueTrait;

use super::support::process::status_of;
use super::support::{Client, PATIENCE, Signal, TempDir, send_signal};
use super::{json, without_database};

/// A server at a unix socket, whose log is whose business it is; ended on drop.
pub struct Served {
    child: Child,
    socket: PathBuf,
}

impl Served {
    /// Starts it and waits until it answers.
    pub fn start(mut command: Command, socket: &Path) -> Served {
        let child = command.spawn().expect("pinion");
        drop(command); // its end of a pipe
        let served = Served {
            child,
            socket: socket.to_owned(),
        };
        let start = Instant::now();
        while UnixStream::connect(&served.socket).is_err() {
            assert!(start.elapsed() < PATIENCE, "it does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        served
    }

    pub fn client(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(&self.socket).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Client::over(stream)
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(self.child.id(), signal);
    }

    pub fn exit(mut self) -> ExitStatus {
        status_of(&mut self.child, PATIENCE)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for the same so many times, a hundred at a time.
fn ask(client: &mut Client<UnixStream>, count: usize) {
    let part =
        "GET /health HTTP/1.1\r\nHost: a\r\nUser-Agent: a-rather-long-one\r\n\r\n".repeat(100);
    for _ in 0..count / 100 {
        client.send(&part);
        for _ in 0..100 {
            assert_eq!(client.response().status, 200);
        }
    }
}

/// Requests of which 8 MiB of log, and what the pipe and the writer hold, have no place for all.
const TOO_MANY: usize = 40_000;

#[test]
fn a_pipe_that_nobody_reads_stalls_no_request_and_every_line_is_accounted_for() {
    let directory = TempDir::new();
    let socket = directory.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let flags = [
        "--listen",
        &listen,
        "--log-format",
        "json",
        "--access-log",
        "all",
    ];
    let mut command = without_database(&directory, &flags);
    let (reader, writer) = pipe().expect("a pipe");
    command.stderr(writer);
    let server = Served::start(command, &socket);
    let mut client = server.client();
    ask(&mut client, TOO_MANY);
    // Now somebody reads: what was queued, and how much was not.
    let lines = std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines();
        lines
            .map(|line| json(&line.expect("UTF-8")))
            .collect::<Vec<_>>()
    });
    ask(&mut client, 1000);
    server.signal(Signal::TERM);
    assert!(server.exit().success());
    let lines = lines.join().expect("JSON to the last");
    let target = |name| move |line: &&_| value(line, "target") == Some(name);
    let written = lines.iter().filter(target("access")).count();
    let told = lines.iter().filter_map(|line| line["dropped"].as_u64());
    let dropped: u64 = told.sum();
    assert!(dropped > 0 && written > 1000, "{written} and {dropped}");
    // The warnings about Postgres, which is away, had room: only access lines were dropped.
    assert_eq!(written as u64 + dropped, TOO_MANY as u64 + 1000);
    let words = lines.iter().find_map(|line| {
        let message = value(line, "message")?;
        message
            .ends_with(" log lines were dropped")
            .then(|| message.to_owned())
    });
    assert!(words.is_some());
    assert!(
        lines
            .iter()
            .any(|line| value(line, "message") == Some("stopped"))
    );
}

fn value<'a>(line: &'a sonic_rs::Value, key: &str) -> Option<&'a str> {
    line[key].as_str()
}

#[test]
fn a_pipe_that_nobody_ever_reads_does_not_keep_the_server_from_ending() {
    let directory = TempDir::new();
    let socket = directory.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let mut command = without_database(&directory, &["--listen", &listen, "--access-log", "all"]);
    let (reader, writer) = pipe().expect("a pipe");
    command.stderr(writer);
    let server = Served::start(command, &socket);
    ask(&mut server.client(), 2000);
    server.signal(Signal::TERM);
    assert!(server.exit().success());
    drop(reader);
}
