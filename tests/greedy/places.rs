//! `--max-connections`: a place is had before a client is accepted, so one too many stays in the
//! kernel's backlog and costs no descriptor, until one leaves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use super::support::{Signal, TempDir, find};
use super::{Client, PATIENCE, descriptors_at_rest, get, process, server};

fn served(client: &mut Client) {
    assert_eq!(client.request("GET", "/health", None).status, 200);
}

#[test]
fn the_last_place_is_taken_and_one_too_many_is_not_accepted() {
    let (server, _postgres) = server(&["--max-connections", "5"]);
    let port = server.address.port();
    let rest = descriptors_at_rest(&server);
    let mut clients: Vec<Client> = (0..5).map(|_| server.client()).collect();
    clients.iter_mut().for_each(served);
    assert_eq!(process::descriptors(server.pid()), rest + 5);
    assert_eq!(process::backlog(port), 0);

    let mut waiting: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = server.client();
            client.send(get("/health"));
            client
        })
        .collect();
    clients.iter_mut().for_each(served); // passes go by
    thread::sleep(Duration::from_millis(200));
    assert_eq!(process::backlog(port), 3, "all of them wait in the kernel");
    assert_eq!(process::descriptors(server.pid()), rest + 5);

    // Each that leaves lets one in, in the order in which they came.
    for left in [2, 1, 0] {
        drop(clients.remove(0));
        let mut next = waiting.remove(0);
        assert_eq!(next.response().status, 200);
        assert_eq!(process::backlog(port), left);
        assert_eq!(process::descriptors(server.pid()), rest + 5);
        clients.push(next);
    }
}

#[test]
fn listeners_of_a_core_share_its_places_in_turn() {
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let flags = [
        "--max-connections",
        "1",
        "--listen",
        "[::1]:0",
        "--listen",
        &unix,
    ];
    let (mut server, _postgres) = server(&flags);
    let other = server.address_in_line("listening on http://[::1]");
    let rest = descriptors_at_rest(&server);
    let request = get("/health").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut holder = server.client();
    served(&mut holder);
    // Far more come to one listener than to the others, and before them.
    let mut crowd: Vec<TcpStream> = (0..40)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    crowd
        .iter_mut()
        .for_each(|one| one.write_all(request.as_bytes()).unwrap());
    let mut lone: Vec<Box<dyn ReadWrite>> = vec![
        Box::new(TcpStream::connect(other).unwrap()),
        Box::new(UnixStream::connect(&path).unwrap()),
    ];
    lone.iter_mut()
        .for_each(|one| one.write_all(request.as_bytes()).unwrap());
    assert_eq!(process::descriptors(server.pid()), rest + 1);
    drop(holder);
    for one in &mut lone {
        let mut answer = Vec::new();
        one.read_to_end(&mut answer).unwrap();
        assert!(find(&answer, b"200 OK").is_some());
    }
    // They did not wait for all of the crowd.
    let left = process::backlog(server.address.port());
    let mut answer = String::new();
    for mut one in crowd {
        one.read_to_string(&mut answer).unwrap();
    }
    assert_eq!(answer.matches("200 OK").count(), 40, "{left} were left");
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Who waits for a place does not hold up the stop.
#[test]
fn a_full_server_stops() {
    let (server, _postgres) = server(&["--max-connections", "1"]);
    let mut holder = server.client();
    served(&mut holder);
    let mut waiting = server.client();
    waiting.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    server.signal(Signal::TERM);
    assert!(holder.is_closed());
    assert!(waiting.is_closed());
    assert_eq!(server.exit().code(), Some(0));
}
