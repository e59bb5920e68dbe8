//! Turns on a real ring, and a session over real sockets against rustls's own client.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::limits::HANDSHAKE_TIME_PER_PASS;
use crate::ring::{Options, Ring, Stream, run};

const PATIENCE: Duration = Duration::from_secs(30);

type Peer = rustls::StreamOwned<ClientConnection, TcpStream>;

fn on_ring<T: 'static, F: Future<Output = T> + 'static>(test: impl FnOnce(Rc<Ring>) -> F) -> T {
    run(None, &Options::default(), test).expect("a ring")
}

/// Takes turns with steps of `each`, eight at once; the passes in which they were, in order.
fn passes_of_turns(each: Duration) -> Vec<u64> {
    on_ring(move |ring| async move {
        let turns = Rc::new(Turns::new(&ring));
        let order: Rc<RefCell<Vec<(usize, u64)>>> = Rc::default();
        let done = Rc::new(Cell::new(0));
        for number in 0..8 {
            let (turns, order, done) = (turns.clone(), order.clone(), done.clone());
            let heartbeat = ring.heartbeat();
            ring.spawn(async move {
                let turn = turns.turn().await;
                let pass = heartbeat.load(Ordering::Relaxed);
                order.borrow_mut().push((number, pass));
                let start = Instant::now();
                while start.elapsed() < each {}
                drop(turn);
                done.set(done.get() + 1);
            });
        }
        while done.get() < 8 {
            ring.sleep(Duration::from_millis(1)).await;
        }
        let order = order.take();
        let numbers: Vec<usize> = order.iter().map(|(number, _)| *number).collect();
        assert_eq!(
            numbers,
            [0, 1, 2, 3, 4, 5, 6, 7],
            "first come, first served"
        );
        order.iter().map(|(_, pass)| *pass).collect()
    })
}

#[test]
fn a_pass_has_one_expensive_step_and_the_next_one_none() {
    let passes = passes_of_turns(HANDSHAKE_TIME_PER_PASS);
    assert!(
        passes.windows(2).all(|pair| pair[0] + 1 < pair[1]),
        "{passes:?}"
    );
}

#[test]
fn cheap_steps_share_a_pass() {
    // A machine that takes the thread away in between makes them expensive, but not each time.
    let shared = (0..100).any(|_| {
        let passes = passes_of_turns(Duration::ZERO);
        passes.windows(2).any(|pair| pair[0] == pair[1])
    });
    assert!(shared);
}

#[test]
fn who_leaves_the_line_lets_the_next_one_go() {
    on_ring(|ring| async move {
        let turns = Rc::new(Turns::new(&ring));
        let first = turns.turn().await;
        let mut waits = Box::pin(turns.turn());
        let mut next = Box::pin(turns.turn());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        assert!(next.as_mut().poll(&mut context).is_pending());
        drop(waits);
        assert!(
            next.as_mut().poll(&mut context).is_pending(),
            "the first one is at it"
        );
        drop(first);
        drop(next.await);
    });
}

/// Both sides' settings for the name `localhost`.
fn settings() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// One connection: ours as a server on the ring, and a thread that does what `peer` says.
fn with_peer<T: Send + 'static, F: Future<Output = ()> + 'static>(
    peer: impl FnOnce(Peer) -> T + Send + 'static,
    ours: impl FnOnce(TlsStream) -> F + 'static,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (server, client) = settings();
    let thread: JoinHandle<T> = thread::spawn(move || {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(client, name).unwrap();
        let mut peer_stream = Peer::new(session, socket);
        while peer_stream.conn.is_handshaking() {
            peer_stream.conn.complete_io(&mut peer_stream.sock).unwrap();
        }
        peer(peer_stream)
    });
    let (socket, _) = listener.accept().unwrap();
    on_ring(move |ring| async move {
        let stream = Stream::adopt(&ring, socket);
        stream.set_deadline(Some(PATIENCE));
        let session = ServerConnection::new(server).unwrap();
        ours(handshake(stream, session).await.unwrap()).await;
    });
    thread.join().unwrap()
}

async fn fill(stream: &TlsStream, beyond: usize) -> io::Result<bool> {
    std::future::poll_fn(|context| stream.poll_fill(context, beyond)).await
}

async fn drain(stream: &TlsStream, left: usize) -> io::Result<()> {
    std::future::poll_fn(|context| stream.poll_drain(context, left)).await
}

#[test]
fn bytes_go_both_ways_and_both_ends_are_told() {
    let answer = with_peer(
        |mut peer| {
            peer.write_all(&vec![7; 300_000]).unwrap();
            peer.conn.send_close_notify();
            peer.flush().unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).unwrap(); // fails without close_notify
            answer
        },
        |stream| async move {
            let mut read = 0;
            while fill(&stream, 0).await.unwrap() {
                assert!(stream.with_input(|input| input.iter().all(|octet| *octet == 7)));
                read += stream.unread();
                stream.consume(stream.unread());
            }
            assert_eq!(read, 300_000);
            stream.write(|output| output.resize(3_000_000, 8));
            stream.close_notify();
            drain(&stream, 0).await.unwrap();
        },
    );
    assert_eq!(answer, vec![8; 3_000_000]);
}

#[test]
fn an_end_without_a_word_is_an_error() {
    let silent = |mut peer: Peer| {
        peer.sock.shutdown(Shutdown::Write).unwrap();
        // Closed with something unread, such as the tickets, the socket would be reset.
        peer.sock.read_to_end(&mut Vec::new()).unwrap();
    };
    with_peer(silent, |stream| async move {
        let error = fill(&stream, 0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("without the end"), "{error}");
    });
}

#[test]
fn what_nobody_reads_stays_encrypted() {
    let taken = with_peer(
        |mut peer| {
            peer.conn.set_buffer_limit(None);
            let mut taken = 0;
            peer.sock
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            while taken < 200 << 20 && peer.write_all(&[0; 16384]).is_ok() {
                taken += 16384;
            }
            taken
        },
        |stream| async move {
            let bound = stream.socket().input_bytes_max();
            // As a connection waits that does not want more: only for the end.
            std::future::poll_fn(|context| match stream.poll_fill(context, usize::MAX) {
                Poll::Pending if stream.socket().unread() > bound => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
                Poll::Ready(outcome) => panic!("{outcome:?}"),
            })
            .await;
            assert!(stream.unread() > bound && stream.unread() <= bound + 16384);
        },
    );
    assert!(taken < 200 << 20, "the peer had to wait");
}

#[test]
fn what_is_written_between_two_polls_shares_a_record() {
    let (now, later) = with_peer(
        |mut peer| {
            let mut record = |length: usize| {
                let mut buffer = vec![0; 1000];
                let mut count = peer.read(&mut buffer).unwrap();
                let first = count;
                while count < length {
                    count += peer.read(&mut buffer).unwrap();
                }
                first
            };
            (record(20), record(20))
        },
        |stream| async move {
            // One byte a record, then twenty.
            for _ in 0..20 {
                stream.write(|output| output.push(b'x'));
            }
            let alone = stream.socket().unsent();
            drain(&stream, 0).await.unwrap();
            for _ in 0..20 {
                stream.write_later(|output| output.push(b'x'));
            }
            assert_eq!((stream.unsent(), stream.socket().unsent()), (20, 0));
            let _ = std::future::poll_fn(|context| {
                let _ = stream.poll_fill(context, 0);
                Poll::Ready(())
            })
            .await;
            assert!(stream.socket().unsent() < alone / 5);
            drain(&stream, 0).await.unwrap();
            assert!(!fill(&stream, 0).await.is_ok_and(|more| more));
        },
    );
    assert!(now >= 1 && later == 20, "{now} {later}");
}
