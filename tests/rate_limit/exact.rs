//! N that are admitted are N.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::support::{Client, PATIENCE, Server, Signal, TempDir, wait_until};
use crate::{get, has_two_cores, server};

const CONNECTIONS: usize = 8;
/// Requests of each connection; 4000 of them are for 1000 places.
const REQUESTS: usize = 500;

/// How many of the requests of all connections are served; the others are refused by their limit.
fn served<S: Read + Write + Send>(
    connect: impl Fn(usize) -> Client<S> + Sync,
    request: impl Fn(usize) -> String + Sync,
) -> usize {
    served_of(REQUESTS, connect, request)
}

/// The same of so many requests of each, which go out 25 at a time.
fn served_of<S: Read + Write + Send>(
    requests: usize,
    connect: impl Fn(usize) -> Client<S> + Sync,
    request: impl Fn(usize) -> String + Sync,
) -> usize {
    let one = |connection: usize| {
        let (mut client, mut served) = (connect(connection), 0);
        for _ in 0..requests / 25 {
            client.send(request(connection).repeat(25));
            for _ in 0..25 {
                match client.response().status {
                    200 => served += 1,
                    429 => {}
                    status => panic!("{status}"),
                }
            }
        }
        served
    };
    let one = &one;
    std::thread::scope(|scope| {
        let connections = (0..CONNECTIONS).map(|index| scope.spawn(move || one(index)));
        let connections: Vec<_> = connections.collect();
        let served = connections
            .into_iter()
            .map(|one| one.join().expect("no panic"));
        served.sum()
    })
}

fn request(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A connection from an address of this host.
fn from(source: &str, server: SocketAddr) -> Client {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).expect("a socket");
    let source = SocketAddr::new(source.parse().expect("an address"), 0);
    socket
        .bind(&source.into())
        .expect("an address of this host");
    socket.connect(&server.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    Client::over(stream)
}

/// Stops a server, and tells where it has decided: on the core that had the request, or on another
/// one that was asked.
fn decided(mut server: Server) -> (u64, u64) {
    server.signal(Signal::TERM);
    server.wait_for_line("stopped");
    let mut sums = (0, 0);
    for line in server
        .log()
        .iter()
        .filter(|line| line.contains("rate limits decided"))
    {
        let count = |name: &str| {
            let value = line.split(name).nth(1).expect("a count");
            let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().expect("a number")
        };
        assert_eq!(count("undecided="), 0, "{line}");
        sums = (sums.0 + count("here="), sums.1 + count("asked="));
    }
    sums
}

const TOTAL: u64 = (CONNECTIONS * REQUESTS) as u64;

#[test]
fn one_address_on_two_cores() {
    if !has_two_cores() {
        return; // nothing to see with one core
    }
    let (server, _postgres) = server("", 2, &[]);
    let address = server.address;
    let by_ip = |_| request("/by_ip/1", "");
    let served = served_of(1250, |_| Client::connect(address), by_ip);
    assert_eq!(served, 1000);
    let (here, asked) = decided(server);
    assert_eq!(here + asked, 10_000);
    assert!(here > 0 && asked > 0, "{here} {asked}");
}

#[test]
fn an_address_that_is_steered_to_its_core() {
    if !has_two_cores() {
        return;
    }
    let (mut server, _postgres) = server("", 2, &["--steer", "ip", "--listen", "[::1]:0"]);
    let address = server.address;
    // Some on each core, each with a limit of its own.
    for source in [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
        "127.0.0.5",
    ] {
        let served = served(|_| from(source, address), |_| request("/by_ip/1", ""));
        assert_eq!(served, 1000, "{source}");
    }
    let line = server.wait_for_line("listening on http://[::1]");
    let text = line
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    let address = text.and_then(|text| text.parse().ok()).expect("an address");
    let served = served(|_| from("::1", address), |_| request("/by_ip/1", ""));
    assert_eq!(served, 1000);
    assert_eq!(decided(server), (6 * TOTAL, 0));
}

#[test]
fn a_value_of_a_field() {
    let cores = if has_two_cores() { 2 } else { 1 };
    for steer in ["ip", "cpu", "hash"] {
        let (server, _postgres) = server("", cores, &["--steer", steer]);
        let address = server.address;
        // Four clients, over two routes that share the limit.
        let served = served(
            |_| Client::connect(address),
            |connection| {
                let target = ["/by_key/1", "/by_key_too/1"][connection % 2];
                request(target, &format!("x-key: {}\r\n", connection / 2 % 2))
            },
        );
        assert_eq!(served, 2000, "{steer}");
        let (here, asked) = decided(server);
        assert_eq!(here + asked, TOTAL);
    }
}

#[test]
fn a_route_as_a_whole() {
    let cores = if has_two_cores() { 2 } else { 1 };
    let (server, _postgres) = server("", cores, &[]);
    let address = server.address;
    let sources = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let served = served(
        |connection| from(sources[connection % 4], address),
        |connection| {
            // Each route has its own count, though the rule is the same.
            let target = ["/together/1", "/together_too/1"][connection / 4];
            request(target, "")
        },
    );
    assert_eq!(served, 2000);
}

#[test]
fn a_client_behind_a_trusted_proxy() {
    let cores = if has_two_cores() { 2 } else { 1 };
    let tables = "[proxy]\ntrusted = [\"127.0.0.1\", \"unix\"]\n";
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let (server, _postgres) = server(tables, cores, &["--steer", "ip", "--listen", &unix]);
    let address = server.address;
    let forwarded = |client: &str| request("/by_ip/1", &format!("x-forwarded-for: {client}\r\n"));
    // Over TCP and over the socket that the cores share; and the address by itself.
    for client in ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3"] {
        let over_tcp = served(|_| Client::connect(address), |_| forwarded(client));
        assert_eq!(over_tcp, 1000, "{client}");
        let connect = |_| {
            let stream = UnixStream::connect(&path).expect("the socket");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            Client::over(stream)
        };
        assert_eq!(served(connect, |_| forwarded(client)), 0, "{client}");
    }
    // A host of IPv6 is its network.
    let host = |connection| forwarded(&format!("2001:db8::{connection}:1"));
    assert_eq!(served(|_| Client::connect(address), host), 1000);
    let other = forwarded("2001:db8:0:1::1");
    assert_eq!(
        served(|_| Client::connect(address), |_| other.clone()),
        1000
    );
}

#[test]
fn local_processes_are_one_client() {
    let cores = if has_two_cores() { 2 } else { 1 };
    let directory = TempDir::new();
    let path = directory.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let (server, _postgres) = server("", cores, &["--listen", &unix]);
    let connect = |_| {
        let stream = UnixStream::connect(&path).expect("the socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Client::over(stream)
    };
    assert_eq!(served(connect, |_| request("/by_ip/1", "")), 1000);
    // Those over TCP are others.
    assert_eq!(server.get("/by_ip/1").status, 200);
}

#[test]
fn who_is_over_a_limit_is_not_forgotten_for_those_who_come() {
    let (server, _postgres) = server("", 1, &[]);
    let mut active = server.client();
    for _ in 0..2 {
        assert_eq!(
            get(&mut active, "/bursts/1", "x-key: active\r\n").status,
            200
        );
    }
    assert_eq!(
        get(&mut active, "/bursts/1", "x-key: active\r\n").status,
        429
    );
    // What is refused after its limit has been asked counts all the same, and needs no database.
    let mut others = server.client();
    for round in 0..1000 {
        let requests =
            (0..25).map(|index| request("/bursts/x", &format!("x-key: {round}.{index}\r\n")));
        others.send(requests.collect::<String>());
        for _ in 0..25 {
            assert_eq!(others.response().status, 422);
        }
    }
    assert_eq!(
        get(&mut active, "/bursts/1", "x-key: active\r\n").status,
        429
    );
    assert_eq!(get(&mut others, "/bursts/1", "x-key: 0.0\r\n").status, 200);
    assert_eq!(get(&mut others, "/bursts/1", "x-key: 0.0\r\n").status, 429);
}

#[test]
fn a_server_that_stops_decides_to_the_end() {
    if !has_two_cores() {
        return;
    }
    let (server, _postgres) = server("", 2, &["--steer", "ip"]);
    // All on one core: the other one has nothing to do any more when the server stops, but owns some.
    let mut clients: Vec<Client> = (0..12).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(format!(
            "GET /by_key/1 HTTP/1.1\r\nHost: a\r\nx-key: {index}\r\n"
        ));
    }
    // Answered after those lines have been read.
    assert_eq!(server.get("/health").status, 200);
    server.signal(Signal::TERM);
    wait_until("nobody listens any more", || {
        TcpStream::connect(server.address).is_err()
    });
    std::thread::sleep(Duration::from_millis(100));
    for mut client in clients {
        client.send("\r\n");
        let response = client.response();
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(
            response
                .field("ratelimit")
                .is_some_and(|value| value.contains(";r=999;"))
        );
    }
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn what_was_used_comes_back() {
    let (server, _postgres) = server("", 1, &[]);
    let mut client = server.client();
    for _ in 0..2 {
        let refused = loop {
            let response = get(&mut client, "/each_second/1", "");
            if response.status == 429 {
                break response;
            }
        };
        assert_eq!(refused.field("retry-after"), Some("1"));
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(get(&mut client, "/each_second/1", "").status, 200);
    }
}
