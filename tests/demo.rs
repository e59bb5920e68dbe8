//! `pinion demo` as a newcomer runs it: one command, Ctrl-C, and what is left after a crash.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::process::status_of;
use support::{PATIENCE, Server, Signal, TempDir, ended, pinion, send_group_signal};

#[test]
fn it_serves_and_ctrl_c_leaves_nothing_behind() {
    let scratch = TempDir::new();
    let mut demo = demo(scratch.path(), &[]);
    let line = demo.wait_for_line("postgres: ");
    let url = line
        .strip_prefix("postgres: ")
        .expect("at the start of a line")
        .to_owned();
    let line = demo.wait_for_line("token for acme: ");
    let token = line.strip_prefix("token for acme: ").expect("a token");
    let demo = demo.ready();
    assert_eq!(demo.get("/users/42").status, 200);
    assert_eq!(demo.get("/api/v1/agents").status, 401);
    let mut client = demo.client().showing(Some(token.to_owned()));
    let agents = client.request("GET", "/api/v1/agents", None);
    assert_eq!(agents.status, 200);
    assert!(agents.text().contains("acme") && !agents.text().contains("globex"));
    let postmaster = postmaster(scratch.path()).expect("Postgres runs");
    // The printed address is of use as it is, beside the demo.
    let routes = scratch.file("own.toml", "[[route]]\nname = \"n\"\nmethod = \"GET\"\npath = \"/n\"\nresult = \"one\"\nsql = 'select count(*) as users from users'\n");
    let mut check = pinion(&["check", "--database-url", &url, "--routes"]);
    check.arg(&routes);
    let (code, out, err) = ended(check);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("users"), "{out}");

    // A second one on the same directory is told so.
    let (code, _, err) = ended(command(scratch.path(), &[]));
    assert_eq!(code, Some(1));
    assert!(
        err.contains("another pinion demo is running") && err.contains("--data-dir"),
        "{err}"
    );

    // A change survives an orderly stop.
    assert_eq!(
        demo.send("POST", "/inventory/SKU-00100/reserve", "{\"quantity\":1}")
            .status,
        200
    );
    demo.signal(Signal::INT);
    assert_eq!(demo.exit().code(), Some(0));
    assert!(!alive(postmaster), "Postgres was left behind");
    let again = self::demo(scratch.path(), &[]).ready();
    assert!(
        again
            .get("/inventory/SKU-00100")
            .text()
            .contains("\"on_hand\":99")
    );
    again.signal(Signal::TERM);
    assert_eq!(again.exit().code(), Some(0));
}

#[test]
fn after_a_crash_the_next_one_takes_over() {
    let scratch = TempDir::new();
    let crashed = demo(scratch.path(), &[]).ready();
    assert_eq!(
        crashed
            .send("POST", "/inventory/SKU-00100/reserve", "{\"quantity\":1}")
            .status,
        200
    );
    let left_over = postmaster(scratch.path()).expect("Postgres runs");
    crashed.signal(Signal::KILL);
    assert_eq!(crashed.exit().code(), None);
    assert!(
        alive(left_over),
        "the test is about a server that was left over"
    );

    let next = demo(scratch.path(), &[]).ready();
    assert!(!alive(left_over));
    assert!(
        next.get("/inventory/SKU-00100")
            .text()
            .contains("\"on_hand\":99")
    );
    next.signal(Signal::KILL);
    assert_eq!(next.exit().code(), None);

    // And starts over if it is told to.
    let fresh = demo(scratch.path(), &["--fresh"]).ready();
    assert!(
        fresh
            .get("/inventory/SKU-00100")
            .text()
            .contains("\"on_hand\":100")
    );
    let postmaster = postmaster(scratch.path()).expect("Postgres runs");
    fresh.signal(Signal::INT);
    assert_eq!(fresh.exit().code(), Some(0));
    assert!(!alive(postmaster));
}

#[test]
fn ctrl_c_before_it_serves_leaves_nothing_behind() {
    let scratch = TempDir::new();
    let mut command = command(scratch.path(), &[]);
    // As at a terminal, where Ctrl-C reaches the whole group: initdb and psql, too.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().expect("pinion");
    let start = Instant::now();
    // Postgres is there and the shop is not yet: the data takes a second or more to load.
    let postmaster = loop {
        match postmaster(scratch.path()) {
            Some(pid) => break pid,
            None => assert!(start.elapsed() < PATIENCE, "Postgres does not start"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    send_group_signal(child.id(), Signal::INT);
    assert_eq!(status_of(&mut child, 2 * PATIENCE).code(), Some(0));
    assert!(!alive(postmaster), "Postgres was left behind");
}

#[test]
fn it_prints_the_shop_and_touches_nothing() {
    for (flags, parts) in [
        (&["--print-routes"][..], vec![pinion::demo::ROUTES]),
        (&["--print-schema"], vec![pinion::demo::SCHEMA]),
        (
            &["--print-routes", "--print-schema"],
            vec![pinion::demo::ROUTES, pinion::demo::SCHEMA],
        ),
    ] {
        let scratch = TempDir::new();
        let mut command = command(scratch.path(), &[]);
        command.args(flags);
        let (code, out, err) = ended(command);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out == parts.concat(), "{flags:?}");
        assert!(!data_dir(scratch.path()).exists());
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let scratch = TempDir::new();
    let mut command = command(scratch.path(), &["--print-routes"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command.stdout(writer);
    let output = command.output().expect("pinion");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn each_fault_of_a_directory_is_one_line_with_its_reason() {
    let scratch = TempDir::new();
    let file = scratch.file("file", "not a directory");
    for (place, words) in [
        (file.to_str().unwrap(), "File exists"),
        ("/proc/pinion", "No such file or directory"),
        (scratch.path().to_str().unwrap(), "--data-dir"),
    ] {
        let (code, _, err) = ended(pinion(&[
            "demo",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            place,
        ]));
        assert_eq!(code, Some(1), "{err}");
        assert!(
            err.starts_with("error: ") && err.contains(words) && err.lines().count() == 1,
            "{err}"
        );
    }
    let empty = scratch.path().to_str().unwrap();
    let (code, _, err) = ended(pinion(&[
        "demo",
        "--postgres",
        empty,
        "--data-dir",
        "/proc/pinion",
    ]));
    assert_eq!(code, Some(1));
    assert!(err.contains("--postgres BIN_DIR"), "{err}");
}

/// A demo that serves; its data lies under `scratch`, which outlives it.
fn demo(scratch: &Path, flags: &[&str]) -> Server {
    Server::run(command(scratch, flags), TempDir::new())
}

fn command(scratch: &Path, flags: &[&str]) -> Command {
    let mut command = pinion(&["demo", "--listen", "127.0.0.1:0", "--cores", "0"]);
    command.arg("--data-dir").arg(data_dir(scratch)).args(flags);
    command
}

fn data_dir(scratch: &Path) -> std::path::PathBuf {
    scratch.join("demo")
}

/// The process id in the cluster's pid file, once its server accepts connections.
fn postmaster(scratch: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data_dir(scratch).join("cluster/postmaster.pid")).ok()?;
    text.contains("ready")
        .then(|| text.lines().next()?.parse().ok())?
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie that nobody has waited for is dead, too.
    !stat.is_empty() && !stat.contains(") Z ")
}
