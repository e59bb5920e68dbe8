//! Servers that no Redis would be.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use pinion::redis::Unavailable;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::fixture::{LONG, at_once, on_core, per_hour, settings, until, up, with_ca};
use crate::support::certificates::{Authority, Leaf};
use crate::support::{PATIENCE, TempDir};

/// What a Redis answers to the beginning of a session: SETNAME, LOAD and the first decision.
const BEGINNING: &[u8] = b"+OK\r\n$40\r\n0123456789abcdef0123456789abcdef01234567\r\n\
                           *3\r\n:1\r\n:1\r\n:0\r\n";

/// The end of what it answers that to.
const PROBE_END: &str = "pinion:probe\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n0\r\n$1\r\n0\r\n";

const ADMITTED: &[u8] = b"*3\r\n:1\r\n:7\r\n:0\r\n";

/// One that gives each connection to `serve`, with its number, one after the other.
fn fake(mut serve: impl FnMut(usize, TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            serve(number, stream);
        }
    });
    format!("redis://{address}")
}

/// Reads what begins a session, to the last byte of it, and answers it.
fn begin(stream: &mut (impl Read + Write)) {
    let mut text = String::new();
    while !text.ends_with(PROBE_END) {
        let part = read(stream);
        assert!(!part.is_empty(), "the client went away: {text}");
        text += &part;
    }
    stream.write_all(BEGINNING).expect("a write");
}

/// What one look brings; nothing at the end.
fn read(stream: &mut impl Read) -> String {
    let mut part = vec![0; 1 << 18];
    let count = stream.read(&mut part).unwrap_or(0);
    String::from_utf8_lossy(&part[..count]).into_owned()
}

/// Says the last words and waits until the client has gone.
fn end(stream: &mut TcpStream, words: &[u8]) {
    let _ = stream.write_all(words);
    let _ = stream.shutdown(Shutdown::Write);
    while !read(stream).is_empty() {}
}

/// A session is never begun on garbage, whatever it is, and nobody waits for it.
#[test]
fn garbage_at_the_beginning() {
    const ANSWERS: [&[u8]; 8] = [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"+OK\r\n+OK\r\n+OK\r\n",
        b"+OK\r\n$4\r\nhash\r\n*3\r\n:1\r\n:1\r\n:0\r\n",
        b"+OK\r\n$40\r\n0123456789abcdef0123456789abcdef01234567\r\n:1\r\n",
        b"-ERR unknown\r\n-ERR unknown\r\n-ERR unknown\r\n",
        // One more than was asked for.
        b"+OK\r\n$40\r\n0123456789abcdef0123456789abcdef01234567\r\n*3\r\n:1\r\n:1\r\n:0\r\n+OK\r\n",
        b"",
    ];
    let seen = Arc::new(AtomicUsize::new(0));
    let url = fake({
        let seen = seen.clone();
        move |number, mut stream| {
            read(&mut stream);
            end(&mut stream, ANSWERS[number % ANSWERS.len()]);
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    on_core(settings(&url, LONG), |ring, store| async move {
        until(&ring, "all of them to be seen", || {
            let outcome = at_once(store.decide(&per_hour(1), b"n"));
            assert_eq!(outcome, Some(Err(Unavailable::Down)));
            seen.load(Ordering::Relaxed) >= ANSWERS.len()
        })
        .await;
    });
}

/// A reply that is cut in the middle, or is none, ends the session; who waits is told so, and the next
/// session is as good as any.
#[test]
fn a_session_that_goes_wrong_is_ended_and_another_one_begun() {
    const ENDINGS: [&[u8]; 7] = [
        b"*3\r\n:1\r\n:7\r",
        b"*2\r\n:1\r\n:7\r\n",
        b"!!!\r\n",
        b"$-1\r\n",
        // An answer, and one that nobody has asked for.
        b"*3\r\n:1\r\n:7\r\n:0\r\n*3\r\n:1\r\n:7\r\n:0\r\n",
        b"",
        ADMITTED,
    ];
    let url = fake(move |number, mut stream| {
        begin(&mut stream);
        assert!(read(&mut stream).contains("EVALSHA"));
        end(&mut stream, ENDINGS[number % ENDINGS.len()]);
    });
    on_core(settings(&url, LONG), |ring, store| async move {
        for number in 0..ENDINGS.len() {
            up(&ring, &store).await;
            let outcome = store.decide(&per_hour(10), b"n").await;
            match number {
                4 | 6 => assert!(outcome.is_ok_and(|it| it.reset == Duration::from_micros(7))),
                _ => assert_eq!(outcome, Err(Unavailable::Lost), "{number}"),
            }
            until(&ring, "the end of the session", || !store.is_up()).await;
        }
    });
}

/// However many ask in one pass, Redis is written to once: all of it is there with the first look.
#[test]
fn one_pass_is_one_write() {
    const TOGETHER: usize = 50;
    const ROUNDS: usize = 30;
    let (sender, looks) = channel::<Vec<usize>>();
    let (go, rounds) = mpsc::sync_channel::<()>(0);
    let url = fake(move |_, mut stream| {
        begin(&mut stream);
        for _ in 0..ROUNDS {
            let mut parts = Vec::new();
            while parts.iter().sum::<usize>() < TOGETHER {
                let part = read(&mut stream);
                assert!(!part.is_empty(), "the client went away");
                parts.push(part.matches("EVALSHA").count());
            }
            let _ = sender.send(parts);
            let answers = ADMITTED.repeat(TOGETHER);
            stream.write_all(&answers).expect("a write");
        }
        let _ = rounds.recv();
    });
    on_core(settings(&url, LONG), |ring, store| async move {
        up(&ring, &store).await;
        for _ in 0..ROUNDS {
            let names = (0..TOGETHER).map(|number| format!("n{number}"));
            let all: Vec<_> = names
                .map(|name| store.decide(&per_hour(10), name.as_bytes()))
                .collect();
            for deciding in all {
                assert!(deciding.await.is_ok());
            }
        }
    });
    drop(go);
    let looks: Vec<_> = looks.iter().take(ROUNDS).collect();
    assert_eq!(looks, vec![vec![TOGETHER]; ROUNDS]);
}

/// Answers that come a byte at a time are answers, and each is that of who asked.
#[test]
fn a_slow_writer() {
    let url = fake(|_, mut stream| {
        begin(&mut stream);
        stream.set_nodelay(true).expect("no delay");
        let mut asked = 0;
        while asked < 3 {
            asked += read(&mut stream).matches("EVALSHA").count();
        }
        for owed in [1, 2, 3] {
            for byte in format!("*3\r\n:0\r\n:{owed}00\r\n:0\r\n").bytes() {
                stream.write_all(&[byte]).expect("a write");
                thread::sleep(Duration::from_millis(1));
            }
        }
        read(&mut stream);
    });
    on_core(settings(&url, LONG), |ring, store| async move {
        up(&ring, &store).await;
        let all = [b"a", b"b", b"c"].map(|name| store.decide(&per_hour(1), name));
        for (deciding, owed) in all.into_iter().zip([100, 200, 300]) {
            let decision = deciding.await.expect("a decision");
            assert!(!decision.admitted);
            assert_eq!(decision.reset, Duration::from_micros(owed));
        }
    });
}

/// What is asked while others wait goes out with its pass, encrypted or not.
#[test]
fn over_tls_nobody_waits_for_the_answer_of_another() {
    let (directory, authority) = (TempDir::new(), Authority::new("Of Redis"));
    let ca = authority.file(&directory, "ca.crt");
    let issued = authority.issue(&Leaf::default());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(issued.chain.clone(), issued.key())
        .expect("a certificate");
    let config = Arc::new(config);
    let asked = Arc::new(AtomicUsize::new(0));
    let url = fake({
        let asked = asked.clone();
        move |_, stream| {
            let session = ServerConnection::new(config.clone()).expect("a session");
            let mut stream = StreamOwned::new(session, stream);
            begin(&mut stream);
            while asked.load(Ordering::Relaxed) < 3 {
                let part = read(&mut stream);
                assert!(!part.is_empty(), "the client went away");
                asked.fetch_add(part.matches("EVALSHA").count(), Ordering::Relaxed);
            }
            stream.write_all(&ADMITTED.repeat(3)).expect("a write");
            read(&mut stream);
        }
    });
    let url = url.replace("redis://127.0.0.1", "rediss://localhost");
    let settings = with_ca(settings(&url, LONG), &ca);
    on_core(settings, |ring, store| async move {
        up(&ring, &store).await;
        let mut all = Vec::new();
        for number in 1..=3 {
            all.push(store.decide(&per_hour(10), b"n"));
            until(&ring, "the question to be there", || {
                asked.load(Ordering::Relaxed) == number
            })
            .await;
        }
        for deciding in all {
            assert!(deciding.await.is_ok());
        }
    });
}
