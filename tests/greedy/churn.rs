//! Connections, cancellations and time-outs by the hundred thousand leave nothing behind. A variable
//! sets how many for a longer run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Client, Server, descriptors_at_rest, get, process, server, times};

/// Clients that come and go at the same time.
const THREADS: usize = 8;

/// Runs `one` so many times, by several threads; it is given its number.
fn many(count: usize, one: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for first in 0..THREADS {
            let one = &one;
            scope.spawn(move || (first..count).step_by(THREADS).for_each(one));
        }
    });
}

/// A connection that is reset when it is dropped: it leaves no port behind.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let at_once = Some(Duration::ZERO);
    socket2::SockRef::from(&stream).set_linger(at_once).unwrap();
    stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    stream
}

/// Reads one answer, which has a short body.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut part = [0; 1024];
    let count = stream.read(&mut part).unwrap();
    String::from_utf8_lossy(&part[..count]).into_owned()
}

/// Rounds of the same: what is held at the same time, and so memory, differs from one to the next, but
/// what leaks grows with each.
const ROUNDS: usize = 4;

/// Does it so many times: not every round but the first may leave memory, and none a descriptor.
fn leaves_nothing(server: &Server, name: &str, count: usize, one: impl Fn(usize) + Sync) {
    let count = count / ROUNDS;
    let round = || {
        let start = Instant::now();
        many(count, &one);
        let took = start.elapsed();
        let descriptors = descriptors_at_rest(server);
        let kib = process::resident_kib(server.pid());
        println!("{count} {name} in {took:?}: {kib} KiB, {descriptors} descriptors");
        (descriptors, kib)
    };
    let (descriptors, mut before) = round();
    let mut grown = Vec::new();
    for _ in 1..ROUNDS {
        let (now, kib) = round();
        // One or the other of Postgres' may have been away at the first look; a leak is thousands.
        assert!(
            now < descriptors + 8,
            "{descriptors} descriptors, then {now}"
        );
        grown.push(kib.saturating_sub(before));
        before = kib;
    }
    // What leaks does so in every round. A kilobyte of each of 20000 would be seen, and 100 bytes of
    // each of a million.
    let least = grown.iter().min().expect("several rounds");
    assert!(
        *least < 1024 + count / 16,
        "each round leaves {least} KiB or more: {grown:?}"
    );
    assert_eq!(server.get("/echo/x").status, 200);
}

#[test]
fn clients_that_come_and_go() {
    let (server, _postgres) = server(&[]);
    let close = get("/health").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let count = times("PINION_TEST_CHURN", 100_000);
    leaves_nothing(&server, "connections", count, |number| {
        let mut stream = connect(server.address);
        match number / THREADS % 4 {
            0 => {} // reset at once
            1 => stream.write_all(b"GET /hea").unwrap(),
            2 => {
                stream.write_all(get("/health").as_bytes()).unwrap();
                assert!(read_answer(&mut stream).starts_with("HTTP/1.1 200 OK"));
            }
            _ => {
                stream.write_all(close.as_bytes()).unwrap();
                assert!(read_answer(&mut stream).contains("connection: close"));
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            }
        }
    });
}

#[test]
fn requests_whose_client_goes() {
    let (server, _postgres) = server(&[]);
    let count = times("PINION_TEST_GONE", 20_000);
    leaves_nothing(&server, "abandoned requests", count, |number| {
        let mut stream = connect(server.address);
        let text = get(&format!("/echo/{number}")).repeat(1 + number % 3);
        stream.write_all(text.as_bytes()).unwrap();
    });
}

/// Each takes a connection to Postgres for its cancellation, and another one in place of its own. The
/// server is at rest when the last statement has ended.
#[test]
fn requests_that_are_cancelled() {
    let (server, _postgres) = server(&[]);
    let count = times("PINION_TEST_CANCELLED", 300);
    leaves_nothing(&server, "cancelled requests", count, |_| {
        let mut stream = connect(server.address);
        stream.write_all(get("/cancellable/60").as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(2));
    });
}

#[test]
fn statements_that_take_too_long() {
    let (server, _postgres) = server(&[]);
    let count = times("PINION_TEST_TIMED_OUT", 10_000);
    let requests = get("/hurried/1").repeat(10);
    let timed_out = AtomicUsize::new(0);
    leaves_nothing(&server, "statements in tens", count / 10, |_| {
        let mut stream = connect(server.address);
        stream.write_all(requests.as_bytes()).unwrap();
        let mut answers = String::new();
        // On a machine that is slow some are refused in the queue.
        let of = |answers: &str, status| answers.matches(&format!("HTTP/1.1 {status}")).count();
        while of(&answers, 504) + of(&answers, 503) < 10 {
            answers += &read_answer(&mut stream);
        }
        timed_out.fetch_add(of(&answers, 504), Ordering::Relaxed);
    });
    let timed_out = timed_out.into_inner();
    assert!(timed_out > count / 10, "{timed_out} of {count}");
}

#[test]
fn heads_and_bodies_that_take_too_long() {
    let flags = ["--header-timeout", "1ms", "--body-timeout", "1ms"];
    let (server, _postgres) = server(&flags);
    let count = times("PINION_TEST_LATE", 4_000);
    let body = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{";
    leaves_nothing(&server, "late requests in tens", count / 10, |number| {
        // The server looks every 50 ms whose time is over: many at a time.
        let mut streams: Vec<TcpStream> = (0..10).map(|_| connect(server.address)).collect();
        for stream in &mut streams {
            let part = if number % 2 == 0 { "GET /" } else { body };
            stream.write_all(part.as_bytes()).unwrap();
        }
        for stream in &mut streams {
            assert!(read_answer(stream).starts_with("HTTP/1.1 408"));
        }
    });
}

/// All connections of the lane are taken, so each waits for its acquire time and is refused.
#[test]
fn requests_that_wait_in_vain_for_postgres() {
    let flags = ["--acquire-timeout", "1ms", "--connections-per-core", "1"];
    let (server, _postgres) = server(&flags);
    let count = times("PINION_TEST_WAITING", 4_000);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (address, stop) = (server.address, &stop);
        let ended = Ended(stop);
        for _ in 0..THREADS {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    let status = client.request("GET", "/cancellable/0.5", None).status;
                    assert!(matches!(status, 200 | 503), "{status}");
                }
            });
        }
        leaves_nothing(&server, "requests in tens", count / 10, |_| {
            let mut stream = connect(address);
            let requests = get("/cancellable/0").repeat(10);
            stream.write_all(requests.as_bytes()).unwrap();
            let mut answers = String::new();
            while answers.matches("\"request_id\"").count() + answers.matches("slept").count() < 10
            {
                answers += &read_answer(&mut stream);
            }
        });
        drop(ended);
    });
}

/// Ends the threads of a scope, also when the test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
