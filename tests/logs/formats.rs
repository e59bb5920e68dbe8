//! What a line looks like, for people, for machines, for the journal and on a terminal.

use std::fs::File;
use std::io::{Read, pipe};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use sonic_rs::JsonValueTrait;

use super::support::{Signal, TempDir, echo, ended};
use super::{json, server, stop, without_database};

/// Flags of a start that is told of with a warning and an information, and then fails: somebody has the port.
fn doomed(taken: &TcpListener) -> [String; 2] {
    let address = taken.local_addr().expect("its address");
    ["--listen".to_owned(), address.to_string()]
}

fn taken() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

/// A time of the form `2026-01-02T03:04:05.678901Z`.
fn is_time(word: &str) -> bool {
    let digits: String = word
        .chars()
        .map(|character| {
            if character.is_ascii_digit() {
                '0'
            } else {
                character
            }
        })
        .collect();
    digits == "0000-00-00T00:00:00.000000Z"
}

#[test]
fn lines_for_people_have_time_level_and_words() {
    let (directory, taken) = (TempDir::new(), taken());
    let mut command = without_database(&directory, &[]);
    command.args(doomed(&taken));
    let (code, _, err) = ended(command);
    assert_eq!(code, Some(1));
    let lines: Vec<&str> = err.lines().collect();
    let (last, before) = lines.split_last().expect("lines");
    assert!(
        last.starts_with("error: ") && last.contains("in use"),
        "{err}"
    );
    let levels: Vec<&str> = before
        .iter()
        .map(|line| {
            let (time, rest) = line.split_once(' ').expect("words");
            assert!(is_time(time), "{line}");
            rest.split_whitespace().next().expect("a level")
        })
        .collect();
    assert_eq!(levels, ["WARN", "INFO"], "{err}");
    assert!(
        before[1].contains("  INFO serving Echo routes=5 database="),
        "{err}"
    );
}

#[test]
fn lines_for_machines_are_json_to_the_last() {
    let (directory, taken) = (TempDir::new(), taken());
    let mut command = without_database(&directory, &["--log-format", "json"]);
    command.args(doomed(&taken));
    let (code, _, err) = ended(command);
    assert_eq!(code, Some(1));
    let lines: Vec<_> = err.lines().map(json).collect();
    let levels: Vec<_> = lines
        .iter()
        .map(|line| line["level"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(levels, ["WARN", "INFO", "ERROR"], "{err}");
    assert_eq!(lines[1]["message"].as_str(), Some("serving Echo"));
    assert_eq!(lines[1]["routes"].as_u64(), Some(5));
    let last = lines[2]["message"].as_str().unwrap_or("");
    assert!(
        last.starts_with("error: ") && last.contains("in use"),
        "{err}"
    );
    for line in &lines {
        assert!(is_time(line["timestamp"].as_str().unwrap_or("")), "{err}");
    }
}

/// Runs it with a stderr that is the stream of the journal, or is not, as the variable has it.
fn beside_journal(mut command: Command, is_journal: bool) -> String {
    let (mut reader, writer) = pipe().expect("a pipe");
    let stat = rustix::fs::fstat(&writer).expect("its inode");
    let inode = if is_journal {
        stat.st_ino
    } else {
        stat.st_ino + 1
    };
    command.env("JOURNAL_STREAM", format!("{}:{inode}", stat.st_dev));
    command.stderr(writer);
    let mut child = command.spawn().expect("pinion");
    drop(command); // its end of the pipe
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text in UTF-8");
    child.wait().expect("its end");
    text
}

#[test]
fn the_journal_gets_levels_and_no_times() {
    let (directory, taken) = (TempDir::new(), taken());
    let command = |flags: &[&str]| {
        let mut command = without_database(&directory, flags);
        command.args(doomed(&taken));
        command
    };
    let text = beside_journal(command(&[]), true);
    let lines: Vec<&str> = text.lines().collect();
    let [warning, information, error] = lines[..] else {
        panic!("{text}");
    };
    assert!(warning.starts_with("<4>WARN Postgres is away"), "{text}");
    assert!(information.starts_with("<6>INFO serving Echo "), "{text}");
    assert!(error.starts_with("<3>error: "), "{text}");
    // The variable is of another stream: a service has sent its stderr elsewhere.
    let text = beside_journal(command(&[]), false);
    assert!(
        text.lines().next().is_some_and(|line| is_time(&line[..27])),
        "{text}"
    );
    // Machines read what was written.
    let text = beside_journal(command(&["--log-format", "json"]), true);
    text.lines().for_each(|line| drop(json(line)));
}

#[test]
fn a_terminal_has_colours_unless_they_are_refused() {
    let (directory, taken) = (TempDir::new(), taken());
    let on_terminal = |no_color: Option<&str>| {
        let mut inner = without_database(&directory, &[]);
        inner.args(doomed(&taken));
        let mut line = format!("{:?}", inner.get_program());
        for argument in inner.get_args() {
            line += &format!(" {argument:?}");
        }
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &line, "/dev/null"]);
        terminal.env_remove("JOURNAL_STREAM").env_remove("NO_COLOR");
        if let Some(value) = no_color {
            terminal.env("NO_COLOR", value);
        }
        terminal.stdin(Stdio::null());
        terminal.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (_, out, err) = ended(terminal);
        assert!(out.contains("serving Echo"), "{out} {err}");
        out
    };
    assert!(on_terminal(None).contains("\x1b[33m WARN\x1b[0m"));
    assert!(on_terminal(Some("")).contains("\x1b[33m WARN\x1b[0m"));
    assert!(!on_terminal(Some("1")).contains('\x1b'));
}

#[test]
fn filters_are_by_level_and_module() {
    let postgres = echo::postgres();
    let levels = |filter: &str| {
        let server = server(&postgres, &["--log", filter]);
        assert_eq!(server.get("/divide/x").status, 422);
        let lines = stop(server);
        let has = |level: &str, target: &str| {
            lines.iter().any(|line| {
                let of = line["target"]
                    .as_str()
                    .is_some_and(|it| it.starts_with(target));
                of && line["level"].as_str() == Some(level)
            })
        };
        (has("DEBUG", "pinion::pg"), has("DEBUG", "pinion::server"))
    };
    assert_eq!(levels("info"), (false, false));
    assert_eq!(levels("info,pinion::pg=debug"), (true, false));
    assert!(levels("debug,pinion::pg=trace").0);
}

#[test]
fn a_log_that_is_off_is_silent() {
    let (directory, taken) = (TempDir::new(), taken());
    let mut command = without_database(&directory, &["--log", "off", "--access-log", "all"]);
    command.args(doomed(&taken));
    let (code, _, err) = ended(command);
    // What ends the program is told all the same.
    assert_eq!((code, err.lines().count()), (Some(1), 1), "{err}");
    assert!(err.starts_with("error: "), "{err}");
}

#[test]
fn a_reader_that_has_gone_ends_nothing() {
    let directory = TempDir::new();
    let socket = directory.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let mut command = without_database(&directory, &["--listen", &listen, "--access-log", "all"]);
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    command.stderr(writer);
    let server = super::full::Served::start(command, &socket);
    for _ in 0..100 {
        assert_eq!(server.client().request("GET", "/health", None).status, 200);
    }
    server.signal(Signal::TERM);
    assert!(server.exit().success());
}

/// Standard error may be a file.
#[test]
fn a_file_has_every_line() {
    let directory = TempDir::new();
    let path = directory.path().join("log");
    let socket = directory.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let flags = [
        "--listen",
        &listen,
        "--access-log",
        "all",
        "--log-format",
        "json",
    ];
    let mut command = without_database(&directory, &flags);
    command.stderr(File::create(&path).expect("a file"));
    let server = super::full::Served::start(command, &socket);
    let mut client = server.client();
    for _ in 0..500 {
        assert_eq!(client.request("GET", "/health", None).status, 200);
    }
    server.signal(Signal::TERM);
    assert!(server.exit().success());
    let log = std::fs::read_to_string(&path).expect("the log");
    let access = log
        .lines()
        .map(json)
        .filter(|line| line["target"].as_str() == Some("access"));
    assert_eq!(access.count(), 500);
}
