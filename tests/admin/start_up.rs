use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::support::{Client, Postgres, Server, Signal, TempDir, ended, pinion, wait_until};

/// `pinion serve` of the shop with an admin port.
fn serve(postgres: &Postgres, directory: &TempDir, admin: &str) -> std::process::Command {
    let mut command = pinion(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--cores",
        "0",
        "--routes",
    ]);
    command.arg(directory.routes(pinion::demo::ROUTES)).args([
        "--database-url",
        &postgres.url(),
        "--admin",
        admin,
    ]);
    command
}

fn refused(postgres: &Postgres, admin: &str) -> String {
    let directory = TempDir::new();
    let (code, out, err) = ended(serve(postgres, &directory, admin));
    assert_eq!((code, out.as_str()), (Some(1), ""), "{admin}: {err}");
    let line = err.lines().find(|line| line.starts_with("error: "));
    line.unwrap_or_else(|| panic!("no fault in {err}"))
        .to_owned()
}

#[test]
fn an_address_that_another_has_ends_the_start_with_what_to_do() {
    let postgres = Postgres::shop();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = other.local_addr().expect("its address");
    let line = refused(&postgres, &address.to_string());
    assert!(
        line.contains(&format!("--admin: can't listen on http://{address}")),
        "{line}"
    );
    assert!(
        line.contains("choose another --admin address, or --admin off"),
        "{line}"
    );
    let directory = TempDir::new();
    let path = directory.path().join("admin");
    let _other = UnixListener::bind(&path).expect("a socket");
    let line = refused(&postgres, &format!("unix:{}", path.display()));
    assert!(line.contains("--admin off"), "{line}");
}

#[test]
fn an_address_that_is_none_is_said() {
    let postgres = Postgres::shop();
    for admin in ["9090", "127.0.0.1", "nowhere.invalid:9090", "unix:", "no"] {
        let line = refused(&postgres, admin);
        assert!(line.contains("--admin"), "{line}");
    }
    let line = refused(&postgres, "unix:/nonexistent/admin");
    assert!(line.contains("its directory has to exist"), "{line}");
}

#[test]
fn without_it_nothing_listens() {
    let postgres = Postgres::shop();
    let mut server = Server::shop(&postgres, &["--admin", "off"]).ready();
    assert!(!server.log().iter().any(|line| line.contains("admin on")));
    let threads = format!("/proc/{}/task", server.pid());
    let names = std::fs::read_dir(threads)
        .expect("its threads")
        .map(|task| {
            let path = task.expect("a thread").path().join("comm");
            std::fs::read_to_string(path).unwrap_or_default()
        });
    assert!(!names.into_iter().any(|name| name.starts_with("admin")));
}

#[test]
fn a_unix_socket_is_answered_and_removed_in_the_end() {
    let postgres = Postgres::shop();
    let directory = TempDir::new();
    let path = directory.path().join("admin");
    // Of a server that is gone: nobody listens any more.
    drop(UnixListener::bind(&path).expect("a socket"));
    let command = serve(&postgres, &directory, &format!("unix:{}", path.display()));
    let mut server = Server::run(command, directory);
    server.wait_for_line("admin on unix:");
    let ask = |path: &Path| {
        let stream = UnixStream::connect(path).expect("a connection");
        // Over a path no browser asks: any name will do.
        Client::over(stream).request("GET", "/readyz", None)
    };
    wait_until("it is ready", || ask(&path).status == 200);
    server.signal(Signal::TERM);
    // The directory goes with the server: look before it does.
    wait_until("the socket is gone", || !path.exists());
    assert_eq!(server.exit().code(), Some(0));
}
