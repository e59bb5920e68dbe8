//! Servers that answer the question for TLS as no honest Postgres does.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::{check, shared};
use crate::support::PATIENCE;
use crate::support::certificates::{Issued, Leaf};

/// SSLRequest (Postgres §55.2.10).
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Accepts connections, reads what it is asked, and answers the question for TLS with fixed bytes.
struct Fake {
    port: u16,
    accepted: Arc<AtomicUsize>,
    /// What came after its answers.
    told: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Close,
    Wait,
}

impl Fake {
    fn start(answer: &'static [u8], then: Then) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (accepted, told) = (
            Arc::<AtomicUsize>::default(),
            Arc::<Mutex<Vec<u8>>>::default(),
        );
        let (count, heard) = (accepted.clone(), told.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut first = [0; 8];
                stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                match (&stream).read_exact(&mut first) {
                    Ok(()) if first == REQUEST => {}
                    Ok(()) => {
                        // A session without TLS: it is not what this is about.
                        count.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    Err(_) => return, // the end of the test
                }
                count.fetch_add(1, Ordering::SeqCst);
                if (&stream).write_all(answer).is_ok() && then == Then::Wait {
                    let mut rest = Vec::new();
                    let _ = (&stream).read_to_end(&mut rest);
                    heard.lock().expect("nobody panics").extend(rest);
                }
            }
        });
        Fake {
            port,
            accepted,
            told,
            thread: Some(thread),
        }
    }

    fn check(&self, settings: &str) -> (Option<i32>, String) {
        let url = format!(
            "postgres://alice:secret@127.0.0.1:{}/shop?connect_timeout=2&{settings}",
            self.port
        );
        let (code, _, err) = check(&url, Path::new("/nonexistent"), &[]);
        (code, err)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // Wakes the accept; it reads nothing and ends.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn only_one_byte_is_an_answer_and_all_else_ends_the_connection() {
    let injected = b"S\x52\0\0\0\x08\0\0\0\0\x5a\0\0\0\x05I";
    for (answer, then, wanted) in [
        (
            &injected[..],
            Then::Wait,
            "somebody may be tampering with the connection",
        ),
        (
            b"S\x16",
            Then::Wait,
            "somebody may be tampering with the connection",
        ),
        (
            b"E",
            Then::Wait,
            "answered the question for TLS with an error",
        ),
        (
            b"E\0\0\0\x20SFATAL\0",
            Then::Close,
            "answered the question for TLS with an error",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            Then::Close,
            "byte 0x48: is it Postgres?",
        ),
        (b"\0", Then::Wait, "byte 0x00: is it Postgres?"),
        (
            b"",
            Then::Close,
            "closed the connection when it was asked for TLS",
        ),
        (b"", Then::Wait, "no answer within 2s"),
    ] {
        // Where TLS is optional as well: whoever can do this can read what would come.
        for mode in ["prefer", "require"] {
            let fake = Fake::start(answer, then);
            let (code, err) = fake.check(&format!("sslmode={mode}"));
            assert_eq!(code, Some(1), "{mode} {answer:?}: {err}");
            assert!(
                err.contains(wanted) && err.lines().count() == 1,
                "{mode} {answer:?}: {err}"
            );
            assert_eq!(
                fake.accepted.load(Ordering::SeqCst),
                1,
                "{mode} {answer:?}: tried again"
            );
            let told = fake.told.lock().expect("nobody panics").clone();
            assert_eq!(told, b"", "{mode} {answer:?}: something was told");
        }
    }
}

#[test]
fn without_tls_the_session_goes_on_only_where_it_may() {
    let shared = shared();
    let fake = Fake::start(b"N", Then::Wait);
    for mode in [
        "require",
        "verify-ca&sslrootcert=system",
        "verify-full&sslrootcert=system",
    ] {
        let root = shared.root.display().to_string();
        let mode = mode.replace("=system", &format!("={root}"));
        let (code, err) = fake.check(&format!("sslmode={mode}"));
        assert_eq!(code, Some(1), "{mode}: {err}");
        assert!(
            err.contains("the server has no TLS, and sslmode asks for it"),
            "{err}"
        );
    }
    assert_eq!(
        *fake.told.lock().expect("nobody panics"),
        b"",
        "something was told"
    );
    let (_, err) = fake.check("sslmode=prefer");
    assert!(err.contains("no answer within 2s"), "{err}");
    let told = fake.told.lock().expect("nobody panics").clone();
    assert!(
        told.windows(5).any(|part| part == b"alice"),
        "no session was begun"
    );
}

#[test]
fn a_handshake_that_fails_falls_back_only_where_it_may() {
    let wanted = "the peer closed the connection during the TLS handshake";
    let fake = Fake::start(b"S", Then::Close);
    let (_, err) = fake.check("sslmode=require");
    assert!(err.contains(wanted) && err.lines().count() == 1, "{err}");
    assert_eq!(fake.accepted.load(Ordering::SeqCst), 1);
    let fake = Fake::start(b"S", Then::Close);
    let (_, err) = fake.check("sslmode=prefer");
    assert!(
        err.contains(wanted) && err.contains("; without TLS: "),
        "{err}"
    );
    assert_eq!(fake.accepted.load(Ordering::SeqCst), 2);
}

#[test]
fn direct_tls_is_refused_by_servers_that_do_not_know_it() {
    let shared = shared();
    let url = shared
        .postgres
        .url("anyone", "sslmode=require&sslnegotiation=direct");
    let (code, _, err) = check(&url, Path::new("/nonexistent"), &[]);
    assert_eq!(code, Some(1), "{err}");
    assert!(
        err.contains("sslnegotiation=direct needs Postgres 17"),
        "{err}"
    );
}

/// Postgres 17's way in: TLS from the first byte, and its protocol agreed on by ALPN. What comes out
/// goes to a real server.
struct Direct {
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Direct {
    fn start(issued: &Issued, protocol: &[u8], server: u16) -> Direct {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(issued.chain.clone(), issued.key())
            .expect("a certificate");
        if !protocol.is_empty() {
            config.alpn_protocols = vec![protocol.to_vec()];
        }
        let config = Arc::new(config);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let session = ServerConnection::new(config.clone()).expect("a session");
                let ended = relay(StreamOwned::new(session, stream), server);
                if ended.is_err() {
                    return; // the end of the test, or a client that refuses
                }
            }
        });
        Direct {
            port,
            thread: Some(thread),
        }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Passes bytes on both ways until the client ends.
fn relay(mut client: StreamOwned<ServerConnection, TcpStream>, server: u16) -> io::Result<()> {
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    client
        .sock
        .set_read_timeout(Some(Duration::from_millis(2)))?;
    server.set_read_timeout(Some(Duration::from_millis(2)))?;
    let mut buffer = [0; 4096];
    let waits = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        )
    };
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => server.write_all(&buffer[..count])?,
            Err(error) if waits(&error) => {}
            Err(_) => return Ok(()),
        }
        match server.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => client.write_all(&buffer[..count])?,
            Err(error) if waits(&error) => {}
            Err(_) => return Ok(()),
        }
    }
}

#[test]
fn direct_tls_agrees_on_postgress_protocol() {
    let shared = shared();
    let issued = shared.authority.issue(&Leaf::default());
    let root = shared.root.display();
    for (protocol, wanted) in [
        (&b"postgresql"[..], ""),
        (b"", "did not agree on the protocol postgresql"),
        (b"http/1.1", "does not speak Postgres's protocol there"),
    ] {
        let direct = Direct::start(&issued, protocol, shared.postgres.port);
        let settings = format!("sslmode=verify-full&sslnegotiation=direct&sslrootcert={root}");
        let url = shared.postgres.url("anyone", &settings);
        let url = url.replace(&shared.postgres.port.to_string(), &direct.port.to_string());
        let (code, _, err) = check(&url, Path::new("/nonexistent"), &[]);
        assert_eq!(code, Some(i32::from(!wanted.is_empty())), "{err}");
        assert!(err.contains(wanted), "{err}");
    }
}
