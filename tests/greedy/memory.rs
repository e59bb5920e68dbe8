//! What a connection costs: while it is idle, next to nothing, whatever it has done before.

use std::time::Duration;

use super::{Client, PATIENCE, Server, get, process, server, wait_until};

/// Bytes of memory that an idle connection may cost.
const IDLE_BYTES_MAX: usize = 6 * 1024;

/// Waits until the memory that was given back has gone back; what is left.
fn settled_kib(server: &Server) -> usize {
    let mut least = usize::MAX;
    for _ in 0..20 {
        least = least.min(process::resident_kib(server.pid()));
        std::thread::sleep(Duration::from_millis(50));
    }
    least
}

#[test]
fn ten_thousand_idle_connections_cost_only_memory_and_little() {
    process::raise_own_descriptors();
    let (server, _postgres) = server(&["--keep-alive", "10m", "--write-timeout", "1s"]);
    assert_eq!(server.get("/echo/x").status, 200);
    let before = settled_kib(&server);
    let count = 10_000;
    let mut clients: Vec<Client> = (0..count).map(|_| server.client()).collect();
    let request = get("/health");
    assert_eq!(
        server.get("/health").status,
        200,
        "all were accepted before it"
    );
    let silent = settled_kib(&server) - before;
    for part in clients.chunks_mut(100) {
        part.iter_mut().for_each(|client| client.send(&request));
        part.iter_mut()
            .for_each(|client| assert_eq!(client.response().status, 200));
    }
    for part in clients.chunks_mut(100) {
        part.iter_mut()
            .for_each(|client| client.send(get("/echo/x")));
        part.iter_mut()
            .for_each(|client| assert_eq!(client.response().status, 200));
    }
    let used = settled_kib(&server) - before;
    println!("{count} connections: {silent} KiB before a request, {used} KiB after two each");
    for kib in [silent, used] {
        assert!(kib * 1024 <= count * IDLE_BYTES_MAX, "{kib} KiB");
    }
    // They cost no time either: what looks after them costs a small part of a core.
    let cpu = process::cpu_time(server.pid());
    std::thread::sleep(Duration::from_secs(2));
    let busy = process::cpu_time(server.pid()) - cpu;
    assert!(busy < Duration::from_secs(1), "{busy:?} in two seconds");
    // And they are as good as new.
    for client in clients.iter_mut().step_by(500) {
        assert_eq!(client.request("GET", "/health", None).status, 200);
    }
}

/// A body, an answer and a pipeline of a size that buffers grow by; then nothing.
#[test]
fn what_a_connection_needed_is_given_back_when_it_is_idle() {
    let (server, _postgres) = server(&["--keep-alive", "10m", "--max-in-flight", "10000"]);
    let text = "z".repeat(200_000);
    let body = format!(r#"{{"text": "{text}"}}"#);
    let exchange = |client: &mut Client| {
        let response = client.request("POST", "/echo", Some(&body));
        assert_eq!(response.status, 200);
        assert_eq!(response.body.len(), body.len() - 1);
        client.send(get("/echo/x").repeat(32));
        for _ in 0..32 {
            assert_eq!(client.response().status, 200);
        }
    };
    // What the server itself needs for it stays: the spare buffers of the ring among it, and what it measures
    // with, which is handed over each second.
    for _ in 0..3 {
        for _ in 0..50 {
            exchange(&mut server.client());
        }
        std::thread::sleep(Duration::from_millis(1100));
    }
    let before = settled_kib(&server);
    let count = 1000;
    let mut clients: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = server.client();
            exchange(&mut client);
            client
        })
        .collect();
    let mut kib = 0;
    // The allocator gives back what is freed a little later.
    wait_until("the memory is given back", || {
        kib = settled_kib(&server).saturating_sub(before);
        kib * 1024 <= count * IDLE_BYTES_MAX + SLACK
    });
    println!("{count} connections after 200 KB there and back: {kib} KiB");
    assert!(clients.iter_mut().step_by(100).all(|client| {
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        client.request("GET", "/health", None).status == 200
    }));
}

/// What the allocator keeps of what was freed: a hundredth of what the buffers were.
const SLACK: usize = 4 << 20;
