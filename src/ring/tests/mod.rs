//! The ring against real sockets and peers that misbehave: one test for each thing that must
//! never happen (`ARCHITECTURE.md` lists them).

use std::future::{Future, poll_fn, ready};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use super::socket::OUTPUT_BYTES_MAX;
use super::token::{Operation, Token};
use super::*;

mod entries;
mod faults;
mod model;
mod reentry;
pub(super) mod simulated;
mod work;

fn on_ring<T: 'static, F: Future<Output = T> + 'static>(
    options: &Options,
    test: impl FnOnce(Rc<Ring>) -> F,
) -> T {
    run(None, options, test).expect("a ring")
}

fn listen(ring: &Rc<Ring>) -> (Listener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (Listener::adopt(ring, listener), address)
}

async fn accepted(listener: &Listener) -> Option<Stream> {
    let accepted = listener.accept(|| ready(Some(()))).await;
    accepted.map(|(stream, ())| stream)
}

fn linked(ring: &Rc<Ring>) -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (Stream::adopt(ring, ours), peer)
}

async fn fill(stream: &Stream, beyond: usize) -> io::Result<bool> {
    poll_fn(|context| stream.poll_fill(context, beyond)).await
}

async fn drained(stream: &Stream) -> io::Result<()> {
    poll_fn(|context| stream.poll_drain(context, 0)).await
}

async fn until(ring: &Rc<Ring>, what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        ring.sleep(Duration::from_millis(1)).await;
    }
}

/// Sends back all that comes until the peer ends.
async fn echo(stream: Stream) -> io::Result<()> {
    while fill(&stream, 0).await? {
        let bytes = stream.with_input(<[u8]>::to_vec);
        stream.consume(bytes.len());
        stream.write(|output| output.extend_from_slice(&bytes));
        poll_fn(|context| stream.poll_drain(context, OUTPUT_BYTES_MAX)).await?;
    }
    drained(&stream).await
}

fn serve_echo(ring: &Rc<Ring>, listener: Listener) {
    let tasks = ring.clone();
    ring.spawn(async move {
        while let Some(stream) = accepted(&listener).await {
            tasks.spawn(async move {
                let _ = echo(stream).await;
            });
        }
    });
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// (1) Send buffers are the kernel's until their completion: what was written arrives unharmed
/// although the writer goes on writing and the peer reads slowly.
#[test]
fn bytes_in_flight_are_not_touched() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let sent = noise(8 << 20, 7);
        let expected = sent.clone();
        let reader = thread::spawn(move || {
            let mut got = vec![0; expected.len()];
            for part in got.chunks_mut(100_003) {
                peer.read_exact(part).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
            assert!(got == expected, "the bytes differ");
        });
        for part in sent.chunks(30_011) {
            stream.write(|output| output.extend_from_slice(part));
            poll_fn(|context| stream.poll_drain(context, OUTPUT_BYTES_MAX))
                .await
                .unwrap();
        }
        drained(&stream).await.unwrap();
        until(&ring, || reader.is_finished()).await;
        reader.join().unwrap();
    });
}

/// (1) A stream that is dropped with a send in flight keeps its bytes until the kernel is done.
#[test]
fn dropping_a_blocked_sender_frees_it_after_its_completion() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, peer) = linked(&ring);
        stream.write(|output| output.resize(64 << 20, 1));
        ring.sleep(Duration::from_millis(30)).await;
        assert!(
            stream.unsent() > 0,
            "the peer doesn't read, so it can't have gone out"
        );
        assert_eq!(ring.held(), 1);
        drop(stream);
        until(&ring, || ring.held() == 0).await;
        drop(peer);
    });
}

/// (1) Provided buffers go back exactly once: many times their number of messages get through,
/// byte for byte, and all of them are there again afterwards.
#[test]
fn provided_buffers_go_round() {
    let options = Options {
        buffers: 4,
        buffer_bytes: 64,
        ..Options::default()
    };
    on_ring(&options, |ring| async move {
        let (listener, address) = listen(&ring);
        serve_echo(&ring, listener);
        let peers: Vec<_> = (0..8u64)
            .map(|seed| {
                thread::spawn(move || {
                    let mut peer = TcpStream::connect(address).unwrap();
                    for round in 0..200 {
                        let sent = noise(1 + (round * 7) % 300, seed * 1000 + round as u64);
                        peer.write_all(&sent).unwrap();
                        let mut got = vec![0; sent.len()];
                        peer.read_exact(&mut got).unwrap();
                        assert_eq!(got, sent);
                    }
                })
            })
            .collect();
        until(&ring, || peers.iter().all(thread::JoinHandle::is_finished)).await;
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    });
}

/// (2) A late completion does not reach the socket that has the slot and the descriptor now.
#[test]
fn a_late_completion_reaches_nobody() {
    on_ring(&Options::default(), |ring| async move {
        let (first, _peer) = linked(&ring);
        let (slot, generation) = (first.socket().slot, first.socket().generation);
        drop(first);
        until(&ring, || ring.held() == 0).await;
        ring.sleep(Duration::from_millis(5)).await;
        let (second, _peer) = linked(&ring);
        assert_eq!(second.socket().slot, slot, "the slot is used again");
        // A completion under the old token, made by an operation that does nothing.
        let late = Token {
            operation: Operation::Receive,
            generation,
            slot,
        };
        ring.push(
            io_uring::opcode::Nop::new()
                .build()
                .user_data(late.encode()),
        );
        ring.sleep(Duration::from_millis(5)).await;
        assert!(!second.ended(), "a result of 0 would have ended it");
        assert!(ring.held.borrow().find(slot, generation).is_none());
    });
}

/// (2), (3) Descriptors are used again at once, with operations in flight: nobody ever sees bytes
/// of somebody else's connection.
#[test]
fn descriptors_reused_at_once_do_not_mix() {
    on_ring(&Options::default(), |ring| async move {
        let (listener, address) = listen(&ring);
        serve_echo(&ring, listener);
        let peers: Vec<_> = (0..4u8)
            .map(|who| {
                thread::spawn(move || {
                    for round in 0..300u32 {
                        let mut peer = TcpStream::connect(address).unwrap();
                        peer.write_all(&[who; 500]).unwrap();
                        if round % 3 == 0 {
                            continue; // gone without reading: a reset with a send in flight
                        }
                        let mut got = [0; 500];
                        peer.read_exact(&mut got).unwrap();
                        assert_eq!(got, [who; 500]);
                    }
                })
            })
            .collect();
        until(&ring, || peers.iter().all(thread::JoinHandle::is_finished)).await;
        peers.into_iter().for_each(|peer| peer.join().unwrap());
        until(&ring, || ring.held() == 1).await;
    });
}

/// (3) A close waits for the last completion, and then the descriptor really is closed.
#[test]
fn closing_with_a_receive_armed_closes_the_descriptor() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        ring.sleep(Duration::from_millis(5)).await;
        drop(stream);
        assert_eq!(ring.held(), 1, "the receive is still in the kernel");
        until(&ring, || ring.held() == 0).await;
        ring.sleep(Duration::from_millis(5)).await;
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "the peer sees the end");
    });
}

/// (4) A flood fills neither memory nor the kernel: receiving stops at the bound, goes on when the
/// input is drained, and loses nothing.
#[test]
fn a_flood_is_held_at_the_bound() {
    const BOUND: usize = 64 * 1024;
    let options = Options {
        input_bytes_max: BOUND,
        buffers: 64,
        ..Options::default()
    };
    on_ring(&options, |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let sent = noise(16 << 20, 3);
        let expected = sent.clone();
        let writer = thread::spawn(move || peer.write_all(&sent).unwrap());
        until(&ring, || stream.unread() > BOUND).await;
        ring.sleep(Duration::from_millis(100)).await;
        let overshoot = 2 * 64 * 4096; // two passes' worth of buffers
        let held = stream.unread();
        assert!(
            held > BOUND && held <= BOUND + overshoot,
            "{held} bytes are held"
        );
        let mut got = Vec::new();
        while fill(&stream, 0).await.unwrap() {
            assert!(stream.unread() <= BOUND + overshoot);
            stream.with_input(|input| got.extend_from_slice(input));
            stream.consume(stream.unread());
        }
        assert!(got == expected, "the bytes differ");
        writer.join().unwrap();
    });
}

/// (4) Past its output bound a writer waits, and goes on when the peer reads.
#[test]
fn a_writer_waits_for_a_peer_that_does_not_read() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        let mut written = 0usize;
        loop {
            let room = poll_fn(|context| Poll::Ready(stream.poll_drain(context, OUTPUT_BYTES_MAX)));
            if room.await.is_pending() {
                break;
            }
            stream.write(|output| output.resize(output.len() + 64 * 1024, 5));
            written += 64 * 1024;
            ring.sleep(Duration::from_millis(1)).await;
            assert!(written < 256 << 20, "the writer never had to wait");
        }
        assert!(stream.unsent() <= OUTPUT_BYTES_MAX + 64 * 1024);
        let reader = thread::spawn(move || {
            let mut got = vec![0; written];
            peer.read_exact(&mut got).unwrap();
            assert!(got.iter().all(|byte| *byte == 5));
        });
        drained(&stream).await.unwrap();
        until(&ring, || reader.is_finished()).await;
        reader.join().unwrap();
    });
}

/// (5) An exhausted buffer ring loses no socket: one buffer serves many that talk at once.
#[test]
fn one_buffer_serves_all() {
    let options = Options {
        buffers: 1,
        buffer_bytes: 16,
        ..Options::default()
    };
    on_ring(&options, |ring| async move {
        let mut linked: Vec<_> = (0..64).map(|_| linked(&ring)).collect();
        ring.sleep(Duration::from_millis(5)).await;
        for (_, peer) in &mut linked {
            peer.write_all(&[9; 100]).unwrap();
        }
        for (stream, _) in &linked {
            while stream.unread() < 100 {
                assert!(fill(stream, stream.unread()).await.unwrap());
            }
            stream.with_input(|input| assert_eq!(input, [9; 100]));
        }
    });
}

/// (6) A full submission queue and a full completion queue drop nothing.
#[test]
fn full_queues_lose_nothing() {
    let options = Options {
        depth: 2,
        completions: 4,
        ..Options::default()
    };
    on_ring(&options, |ring| async move {
        let mut linked: Vec<_> = (0..100).map(|_| linked(&ring)).collect();
        for round in 0..20u8 {
            for (stream, peer) in &mut linked {
                peer.write_all(&[round; 10]).unwrap();
                stream.write(|output| output.extend_from_slice(&[round; 20]));
            }
            for (stream, peer) in &mut linked {
                while stream.unread() < 10 {
                    assert!(fill(stream, stream.unread()).await.unwrap());
                }
                stream.with_input(|input| assert_eq!(input, [round; 10]));
                stream.consume(10);
                drained(stream).await.unwrap();
                let mut got = [0; 20];
                peer.read_exact(&mut got).unwrap();
                assert_eq!(got, [round; 20]);
            }
        }
    });
}

/// (7) A failing accept backs off instead of spinning, and accepting goes on afterwards.
#[test]
fn accept_errors_back_off() {
    on_ring(&Options::default(), |ring| async move {
        // A socket that does not listen: every accept fails at once.
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        let also = socket.try_clone().unwrap();
        let listener = Listener::adopt(&ring, socket);
        ring.sleep(Duration::from_millis(300)).await;
        let passes = ring.heartbeat.load(Ordering::Relaxed);
        ring.sleep(Duration::from_millis(300)).await;
        let spent = ring.heartbeat.load(Ordering::Relaxed) - passes;
        assert!(spent < 200, "{spent} passes in 300 ms: it spins");
        also.listen(16).unwrap();
        let address = also.local_addr().unwrap().as_socket().unwrap();
        let peer = thread::spawn(move || TcpStream::connect(address).unwrap());
        let stream = accepted(&listener).await.unwrap();
        drop((stream, peer.join().unwrap()));
    });
}

/// Connections that nobody takes stay a bounded number of descriptors; the rest waits its turn.
#[test]
fn accepting_stops_when_nobody_takes() {
    on_ring(&Options::default(), |ring| async move {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        socket.listen(4096).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let listener = Listener::adopt(&ring, socket);
        let peers: Vec<_> = (0..600)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        ring.sleep(Duration::from_millis(50)).await;
        for mut peer in peers {
            let stream = accepted(&listener).await.unwrap();
            peer.write_all(b"x").unwrap();
            drop(stream);
        }
    });
}

#[test]
fn a_reset_is_an_error_not_an_end() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, peer) = linked(&ring);
        socket2::SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        let error = fill(&stream, 0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_half_closed_peer_still_gets_its_answer() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        peer.write_all(b"question").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(fill(&stream, 7).await.unwrap());
        stream.consume(8);
        assert!(!fill(&stream, 0).await.unwrap());
        stream.write(|output| output.extend_from_slice(b"answer"));
        drained(&stream).await.unwrap();
        drop(stream);
        let mut got = String::new();
        let reader = thread::spawn(move || peer.read_to_string(&mut got).map(|_| got));
        until(&ring, || reader.is_finished()).await;
        assert_eq!(reader.join().unwrap().unwrap(), "answer");
    });
}

#[test]
fn a_deadline_ends_a_wait_and_can_be_moved() {
    on_ring(&Options::default(), |ring| async move {
        let (stream, mut peer) = linked(&ring);
        stream.set_deadline(Some(Duration::from_millis(100)));
        let start = Instant::now();
        let error = fill(&stream, 0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(99));
        stream.set_deadline(None);
        peer.write_all(b"late").unwrap();
        assert!(fill(&stream, 3).await.unwrap());
    });
}

#[test]
fn connecting_works_and_a_refusal_is_told() {
    on_ring(&Options::default(), |ring| async move {
        let (listener, address) = listen(&ring);
        serve_echo(&ring, listener);
        let socket =
            || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let stream = Stream::connect(&ring, socket(), address.into())
            .await
            .unwrap();
        stream.write(|output| output.extend_from_slice(b"hello"));
        assert!(fill(&stream, 4).await.unwrap());
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = Stream::connect(&ring, socket(), closed.into())
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn another_thread_wakes_a_core_that_is_blocked() {
    on_ring(&Options::default(), |ring| async move {
        let waker = EventWaker::new().unwrap();
        let event = Event::listen(&ring, &waker);
        for _ in 0..100 {
            let other = waker.clone();
            let thread = thread::spawn(move || other.wake());
            event.woken().await;
            thread.join().unwrap();
        }
        drop(event);
        until(&ring, || ring.held() == 0).await;
    });
}

#[test]
fn an_idle_core_blocks_and_a_chain_of_tasks_does_not_wait_for_it() {
    on_ring(&Options::default(), |ring| async move {
        let passes = ring.heartbeat.load(Ordering::Relaxed);
        ring.sleep(Duration::from_millis(500)).await;
        let idle = ring.heartbeat.load(Ordering::Relaxed) - passes;
        assert!(
            (20..200).contains(&idle),
            "{idle} passes in half a second of idling"
        );
        // Each link wakes the next: the core must not block in between.
        let before = ring.heartbeat.load(Ordering::Relaxed);
        for _ in 0..200 {
            tasks::yield_now().await;
        }
        let passed = ring.heartbeat.load(Ordering::Relaxed) - before;
        assert!(
            passed >= 200 / SETTLE_ROUNDS_MAX as u64 - 1,
            "the sockets starved: {passed}"
        );
    });
}
