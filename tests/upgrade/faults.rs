//! An upgrade that can't be leaves all as it was.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::process::{children, signal_all};
use crate::support::{PATIENCE, Signal, TempDir, pinion, send_signal, wait_until};
use crate::{Fixture, KEPT, UPGRADED, command, fixture, fixture_of, has_ended, versions};

#[test]
fn a_new_process_that_does_not_come_up_changes_nothing() {
    let mut fixture = fixture(&[]);
    let mut open = fixture.server.client();
    assert_eq!(open.request("GET", "/versions/1", None).status, 200);
    std::fs::write(&fixture.routes, "nonsense").expect("the routes file");
    fixture.server.forget_log();
    send_signal(fixture.pid, Signal::USR2);
    let line = fixture.server.wait_for_line(KEPT);
    assert!(
        line.contains("the new process has ended (exit status: 1)"),
        "{line}"
    );
    fixture.server.wait_for_line("routes.toml:1:");
    for _ in 0..10 {
        assert_eq!(open.request("GET", "/versions/1", None).status, 200);
        assert_eq!(fixture.server.get("/versions/1").status, 200);
    }
    let (code, _, text) = command(fixture.pid);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("no new process has come up") && text.contains("goes on"),
        "{text}"
    );
    // The next one does.
    drop(open);
    std::fs::write(&fixture.routes, versions::routes(2)).expect("the routes file");
    fixture.upgrade();
    assert_eq!(fixture.server.get("/versions/2").status, 200);
    fixture.stop();
}

#[test]
fn a_stop_ends_both() {
    let mut fixture = fixture(&[]);
    fixture.server.forget_log();
    send_signal(fixture.pid, Signal::USR2);
    fixture.server.wait_for_line("SIGUSR2");
    send_signal(fixture.pid, Signal::TERM);
    fixture.server.wait_for_line("stopped");
    let address = fixture.server.address;
    wait_until("nobody listens any more", || {
        std::net::TcpStream::connect(address).is_err()
    });
    let log = fixture.server.log().join("\n");
    assert!(!log.contains(UPGRADED), "{log}");
}

#[test]
fn one_at_a_time() {
    let mut fixture = fixture(&[]);
    fixture.server.forget_log();
    for _ in 0..5 {
        send_signal(fixture.pid, Signal::USR2);
    }
    let old = fixture.follow_upgrade();
    wait_until("the old one has ended", || has_ended(old));
    let log = fixture.server.log().join("\n");
    assert_eq!(log.matches("beside this process").count(), 1, "{log}");
    assert_eq!(log.matches(UPGRADED).count(), 1, "{log}");
    fixture.stop();
}

#[test]
fn a_process_that_is_stopped_and_goes_on_does_not_lose_the_other() {
    let mut fixture = fixture(&[]);
    fixture.server.forget_log();
    send_signal(fixture.pid, Signal::USR2);
    fixture.server.wait_for_line("SIGUSR2");
    // Whatever waits for a word from the other one is interrupted by this.
    let both = [fixture.pid, successor_of(fixture.pid)];
    while fixture.server.log().iter().all(|it| !it.contains(UPGRADED)) {
        signal_all(&both, Signal::STOP);
        signal_all(&both, Signal::CONT);
        let log = fixture.server.log().join("\n");
        assert!(!log.contains(KEPT), "{log}");
        std::thread::sleep(Duration::from_millis(5));
    }
    wait_until("the old one has ended", || has_ended(both[0]));
    fixture.pid = both[1];
    assert_eq!(fixture.server.get("/versions/1").status, 200);
    fixture.stop();
}

#[test]
fn a_new_process_that_fails_is_soon_followed_by_the_old_one() {
    let mut fixture = fixture(&["--drain-timeout", "10m"]);
    let mut in_flight = fixture.server.client();
    // Accepted, so that it is the old one's.
    assert_eq!(in_flight.request("GET", "/health", None).status, 200);
    in_flight.send("GET /slow/50 HTTP/1.1\r\nHost: a\r\n\r\n");
    let old = fixture.begin_upgrade();
    assert_eq!(fixture.server.get("/versions/1").status, 200);
    assert!(!has_ended(old), "a request is in flight");
    signal_all(&[fixture.pid], Signal::KILL);
    fixture
        .server
        .wait_for_line("the process that serves has failed");
    wait_until("the old one has ended, too", || has_ended(old));
}

#[test]
fn the_command_waits_for_an_upgrade_that_is_under_way() {
    let mut fixture = fixture(&[]);
    send_signal(fixture.pid, Signal::USR2);
    let new = successor_of(fixture.pid);
    let old = std::mem::replace(&mut fixture.pid, new);
    let (code, out, err) = command(old);
    assert_eq!(out, format!("process {new} serves now\n"), "{err}");
    assert_eq!(code, Some(0));
    fixture.stop();
}

#[test]
fn a_program_may_be_called_by_its_version() {
    let directory = TempDir::new();
    let path = directory.path().join("pinion-1.2");
    symlink(pinion(&[]).get_program(), &path).expect("a link");
    let mut command = Command::new(&path);
    command.env("PINION_ADMIN", "off").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut fixture = fixture_of(command, directory, &[]);
    let (code, out, err) = crate::command(fixture.pid);
    assert_eq!(code, Some(0), "{err}");
    let pid = out.split_whitespace().nth(1).expect("a process id");
    fixture.pid = pid.parse().expect("a process id");
    fixture.stop();
}

#[test]
fn a_stop_of_both_leaves_the_old_one_its_time() {
    let mut fixture = fixture(&[]);
    let mut in_flight = fixture.server.client();
    assert_eq!(in_flight.request("GET", "/health", None).status, 200);
    in_flight.send("GET /slow/4 HTTP/1.1\r\nHost: a\r\n\r\n");
    let old = fixture.begin_upgrade();
    signal_all(&[old, fixture.pid], Signal::TERM);
    assert_eq!(in_flight.response().status, 200);
    for pid in [old, fixture.pid] {
        wait_until("both have ended", || has_ended(pid));
    }
}

#[test]
fn a_reload_that_is_asked_for_meanwhile_is_not_lost() {
    let mut fixture = fixture(&[]);
    fixture.server.forget_log();
    send_signal(fixture.pid, Signal::USR2);
    let new = successor_of(fixture.pid);
    // Until the new one has read its files, and waits to be left to serve.
    let told =
        |fixture: &mut Fixture, words| fixture.server.log().iter().any(|it| it.contains(words));
    send_signal(fixture.pid, Signal::STOP);
    while !told(&mut fixture, "listening on") {
        send_signal(fixture.pid, Signal::CONT);
        std::thread::sleep(Duration::from_millis(1));
        send_signal(fixture.pid, Signal::STOP);
        std::thread::sleep(Duration::from_millis(10));
    }
    // Should it have been left to meanwhile, the signal has the further way.
    std::fs::write(&fixture.routes, versions::routes(2)).expect("the routes file");
    send_signal(fixture.pid, Signal::HUP);
    send_signal(fixture.pid, Signal::CONT);
    let old = std::mem::replace(&mut fixture.pid, new);
    fixture.server.wait_for_line(UPGRADED);
    wait_until("the old one has ended", || has_ended(old));
    wait_until("what was written is served", || {
        fixture.server.get("/versions/2").status == 200
    });
    fixture.stop();
}

/// The process that is getting ready beside this one.
fn successor_of(pid: u32) -> u32 {
    let mut found = Vec::new();
    wait_until("there is another one", || {
        found = children(pid);
        !found.is_empty()
    });
    found[0]
}

#[test]
fn one_that_is_asked_for_while_another_fails_is_begun_then() {
    let mut fixture = fixture(&[]);
    fixture.server.forget_log();
    // The first one waits for its routes until there are any.
    std::fs::remove_file(&fixture.routes).expect("the routes file");
    let made = Command::new("mkfifo").arg(&fixture.routes).status();
    assert!(made.expect("mkfifo").success());
    send_signal(fixture.pid, Signal::USR2);
    let writing = std::fs::OpenOptions::new()
        .write(true)
        .open(&fixture.routes);
    let mut writing = writing.expect("a reader");
    send_signal(fixture.pid, Signal::USR2);
    fixture.server.wait_for_line("once more");
    let next = fixture.routes.with_extension("next");
    std::fs::write(&next, versions::routes(2)).expect("a file");
    std::fs::rename(&next, &fixture.routes).expect("its new name");
    writing.write_all(b"nonsense").expect("a reader");
    drop(writing);
    fixture.server.wait_for_line(KEPT);
    let old = fixture.follow_upgrade();
    wait_until("the old one has ended", || has_ended(old));
    assert_eq!(fixture.server.get("/versions/2").status, 200);
    fixture.stop();
}

#[test]
fn the_command_upgrades_what_is_a_server_and_nothing_else() {
    let mut fixture = fixture(&[]);
    let (code, out, text) = command(fixture.pid);
    assert_eq!(code, Some(0), "{text}");
    fixture.server.wait_for_line(UPGRADED);
    let old = fixture.pid;
    let pid = out
        .strip_prefix("process ")
        .and_then(|it| it.split(' ').next());
    fixture.pid = pid.expect("an id").parse().expect("an id");
    assert!(has_ended(old));
    assert_eq!(fixture.server.get("/versions/1").status, 200);
    for pid in [std::process::id(), 1, 0, u32::MAX] {
        let (code, _, text) = command(pid);
        assert_eq!(code, Some(1), "{pid}: {text}");
    }
    fixture.stop();
}

#[test]
fn the_service_manager_is_told_which_process_is_the_service() {
    let directory = TempDir::new();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out");
    let mut command = pinion(&[]);
    command.env("NOTIFY_SOCKET", &path);
    let mut fixture = fixture_of(command, directory, &["--cores", "0"]);
    for _ in 0..2 {
        fixture.upgrade();
        let told = format!("MAINPID={}", fixture.pid);
        // Whatever else it is told.
        let mut message = [0; 512];
        loop {
            let length = manager.recv(&mut message).expect("a message");
            let text = String::from_utf8_lossy(&message[..length]);
            if text.lines().any(|line| line == told) {
                break;
            }
        }
    }
    fixture.stop();
}
