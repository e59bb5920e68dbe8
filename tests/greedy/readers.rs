//! Clients that do not read, or hardly: cut off at the write time, for little memory meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::support::Response;
use super::{Client, PATIENCE, Server, descriptors_at_rest, get, process, server, wait_until};

const TIME: Duration = Duration::from_millis(1500);
/// The kernel takes little of an answer, so that what the server does is seen.
const STRICT: [&str; 4] = ["--write-timeout", "1500ms", "--send-buffer", "32k"];

/// A client whose kernel takes little, too.
fn narrow(address: SocketAddr) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::over(stream)
}

/// Reads at a pace until the end; the bytes that came, and whether the connection was reset.
fn read_slowly(client: &mut Client, bytes: usize, pause: Duration) -> (usize, bool) {
    let start = Instant::now();
    let mut part = vec![0; bytes];
    let mut total = 0;
    loop {
        assert!(start.elapsed() < PATIENCE, "it is never cut off: {total}");
        match client.stream.read(&mut part) {
            Ok(0) => return (total, false),
            Ok(count) => total += count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (total, true),
            Err(error) => panic!("{error}"),
        }
        thread::sleep(pause);
    }
}

#[test]
fn one_that_reads_a_little_at_a_time_is_cut_off() {
    let (server, _postgres) = server(&STRICT);
    let large = 20_000_000;
    for requests in [
        get(&format!("/large/{large}")),
        get(&format!("/large/{large}")).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
        get("/health").repeat(100_000),
        get("/rows/900").repeat(100),
    ] {
        let mut client = narrow(server.address);
        let mut writer = client.stream.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let _ = writer.write_all(requests.as_bytes()); // until it is cut off
        });
        let start = Instant::now();
        let (bytes, reset) = read_slowly(&mut client, 1000, Duration::from_millis(20));
        assert!(start.elapsed() >= TIME);
        assert!(bytes < large && reset, "{bytes} bytes, reset: {reset}");
        sender.join().unwrap();
    }
    assert_eq!(server.get("/echo/x").status, 200);
}

/// The kernel need not hold the answer either.
#[test]
fn one_that_reads_nothing_is_cut_off_and_forgotten() {
    let (server, _postgres) = server(&[&STRICT[..], &["--max-in-flight", "3"]].concat());
    let baseline = descriptors_at_rest(&server);
    let mut clients = Vec::new();
    for target in ["/health", "/large/9000000", "/rows/900", "/slow/0.01"] {
        let mut client = narrow(server.address);
        client.stream.set_nonblocking(true).unwrap();
        // As much as goes.
        let requests = get(target).repeat(50_000);
        let _ = client.stream.write(requests.as_bytes());
        client.stream.set_nonblocking(false).unwrap();
        clients.push(client);
        // Others are served meanwhile.
        assert_eq!(server.get("/health").status, 200);
    }
    wait_until("they are cut off", || {
        process::descriptors(server.pid()) <= baseline
    });
    for mut client in clients {
        let (_, reset) = read_slowly(&mut client, 64 * 1024, Duration::ZERO);
        assert!(reset);
    }
    // Each of their requests has given its place back.
    let all: Vec<_> = (0..3).map(|_| in_flight(&server, "/slow/0.2")).collect();
    for mut client in all {
        assert_eq!(client.response().status, 200);
    }
}

fn in_flight(server: &Server, target: &str) -> Client {
    let mut client = server.client();
    client.send(get(target));
    client
}

/// Answers pile up in bytes, not in numbers, and go with their client.
#[test]
fn answers_that_nobody_reads_stay_few() {
    let (server, _postgres) = server(&["--write-timeout", "3s", "--send-buffer", "32k"]);
    let size = 4_000_000;
    let target = format!("/large/{size}");
    // Now it is known what answers the route gives.
    assert_eq!(
        server.get(&target).body.len(),
        size + r#"{"text":""}"#.len()
    );
    let before = process::resident_kib(server.pid());
    let baseline = descriptors_at_rest(&server);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut client = narrow(server.address);
            client.send(get(&target).repeat(32));
            client
        })
        .collect();
    let mut most = 0;
    wait_until("they are cut off", || {
        most = most.max(process::resident_kib(server.pid()));
        process::descriptors(server.pid()) <= baseline
    });
    // One answer that is written and one that is next, for each client, in buffers that grow by
    // doubling; all 32 of all clients were 1 GB.
    let grown = most.saturating_sub(before);
    assert!(grown < 8 * 2 * 2 * size / 1024 + 64 * 1024, "{grown} KiB");
    drop(clients);
}

/// It takes longer than any pause would be allowed to, and less than it has in all.
#[test]
fn one_that_reads_slowly_but_in_time_gets_all() {
    let (server, _postgres) = server(&["--send-buffer", "32k", "--keep-alive", "10s"]);
    let size = 500_000;
    let mut client = narrow(server.address);
    client.send(get(&format!("/large/{size}")).repeat(2));
    let mut first = [0; 20];
    let start = Instant::now();
    for _ in 0..40 {
        client.stream.read_exact(&mut first).unwrap();
        client.put_back(&first);
        thread::sleep(Duration::from_millis(50));
    }
    for _ in 0..2 {
        let response: Response = client.response();
        assert_eq!(response.status, 200);
        assert_eq!(response.body.len(), size + r#"{"text":""}"#.len());
    }
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(client.request("GET", "/health", None).status, 200);
}
