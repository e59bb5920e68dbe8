//! The way to Postgres: a TCP port in front of its unix socket, on which replies can be cut.
//!
//! Bytes pass as they are, so what is spoken through it may as well be TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::random::Random;

/// The port; closed on drop, and every connection with it.
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    socket: PathBuf,
    /// Replies that are still to be cut.
    cuts: AtomicUsize,
    /// Replies that were.
    done: AtomicUsize,
    random: Mutex<Random>,
    closed: AtomicBool,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 for connections to a socket of Postgres.
    pub fn start(socket: PathBuf, random: Random) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            socket,
            cuts: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            random: Mutex::new(random),
            closed: AtomicBool::new(false),
        });
        let accepting = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.closed.load(Ordering::Relaxed) {
                    return;
                }
                // A Postgres that is away closes the connection, as its own port would refuse it.
                let _ = serve(&accepting, client);
            }
        });
        Proxy { address, state }
    }

    /// Lets the next so many replies end in the middle, each with its connection.
    pub fn cut(&self, replies: usize) {
        self.state.cuts.store(replies, Ordering::SeqCst);
    }

    /// Replies that were cut so far.
    pub fn cut_so_far(&self) -> usize {
        self.state.done.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(state: &Arc<State>, client: TcpStream) -> std::io::Result<()> {
    let server = UnixStream::connect(&state.socket)?;
    client.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let state = state.clone();
    std::thread::spawn(move || {
        let _ = reply(&state, &server, &client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn reply(state: &State, mut server: &UnixStream, mut client: &TcpStream) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let count = server.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        if state.is_to_cut() {
            let part = state
                .random
                .lock()
                .expect("nobody panics in it")
                .below(count);
            client.write_all(&bytes[..part])?;
            state.done.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        client.write_all(&bytes[..count])?;
    }
}

impl State {
    fn is_to_cut(&self) -> bool {
        let taken = self
            .cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |cuts| {
                cuts.checked_sub(1)
            });
        taken.is_ok()
    }
}
