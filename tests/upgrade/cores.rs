//! The new process has more cores than the old one, or fewer.

use std::process::{Command, Stdio};

use crate::support::{TempDir, pinion};
use crate::{Fixture, fixture_of, versions};

/// Sockets that the process listens with on its port.
fn listeners(fixture: &Fixture) -> usize {
    let port = format!(":{:04X} ", fixture.server.address.port());
    let tcp = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let of_port = tcp.lines().filter(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields
            .next()
            .is_some_and(|it| format!("{it} ").ends_with(&port));
        // 0A is TCP_LISTEN.
        local && fields.nth(1) == Some("0A")
    });
    of_port.count()
}

/// A server on all cores that it may use.
fn on_all_cores(command: Command, steer: &str) -> Fixture {
    fixture_of(command, TempDir::new(), &["--steer", steer])
}

/// Says which cores a process may use that is started by this one's main thread from now on.
fn allow(pid: u32, cores: &str) {
    let done = Command::new("taskset")
        .args(["-cp", cores, &pid.to_string()])
        .output()
        .expect("taskset (util-linux)");
    assert!(done.status.success(), "{done:?}");
}

fn cores(fixture: &mut Fixture) -> String {
    let line = fixture.server.wait_for_line("listening on");
    let cores = line.split("cores=").nth(1).expect("their number");
    cores
        .split_whitespace()
        .next()
        .expect("their number")
        .to_owned()
}

#[test]
fn every_socket_is_accepted_from_whatever_the_number_of_cores() {
    if versions::cores() == "0" {
        return; // there is only one number of them
    }
    for steer in ["hash", "ip"] {
        let mut fixture = on_all_cores(pinion(&[]), steer);
        let all: usize = cores(&mut fixture).parse().expect("a number");
        assert_eq!(listeners(&fixture), all);
        for (allowed, serving) in [("0", 1), ("0-1", 2), ("1", 1)] {
            allow(fixture.pid, allowed);
            fixture.upgrade();
            assert_eq!(cores(&mut fixture), serving.to_string());
            assert_eq!(listeners(&fixture), all, "none is closed");
            // The kernel gives connections to all sockets.
            for _ in 0..20 * all {
                assert_eq!(fixture.server.get("/versions/1").status, 200);
            }
        }
        fixture.stop();
    }
}

#[test]
fn cores_that_the_old_one_did_not_have_get_sockets_of_their_own() {
    if versions::cores() == "0" {
        return;
    }
    for steer in ["hash", "ip"] {
        // taskset becomes the program that it starts.
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(pinion(&[]).get_program());
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut fixture = on_all_cores(command, steer);
        assert_eq!(
            (cores(&mut fixture).as_str(), listeners(&fixture)),
            ("1", 1)
        );
        allow(fixture.pid, "0-1");
        fixture.upgrade();
        assert_eq!(
            (cores(&mut fixture).as_str(), listeners(&fixture)),
            ("2", 2)
        );
        for _ in 0..40 {
            assert_eq!(fixture.server.get("/versions/1").status, 200);
        }
        fixture.stop();
    }
}
