//! A TCP proxy in front of Postgres that harms what Postgres sends, as a test tells it to.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{SockAddr, Socket, Type};

use super::find;

/// What becomes of a connection.
#[derive(Clone, Debug)]
pub struct Harm {
    pub when: When,
    pub how: How,
}

/// The moment, on the way from Postgres.
#[derive(Clone, Debug)]
pub enum When {
    /// Once so many bytes have passed.
    After(usize),
    /// Instead of bytes that contain this, after they have passed so many times.
    Saying(&'static [u8], usize),
    /// Within the next bytes that come at a time, once this part of them, in 256ths, has passed.
    Within(u8),
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    /// The connection ends in order.
    Close,
    /// It ends with a reset.
    Reset,
    /// Nothing comes any more, and what the client sends is not read either.
    Silence,
    /// This comes instead of the rest, and the end.
    Garbage(&'static [u8]),
}

/// Carries connections to Postgres until it is dropped. Bytes pass as they are, so what is spoken may as
/// well be TLS.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: SockAddr,
    /// One for each of the next connections that something comes on.
    next: Mutex<VecDeque<Harm>>,
    /// One for each new connection, from its first byte.
    for_new: Mutex<VecDeque<Harm>>,
    /// A byte at a time.
    dribbling: AtomicBool,
    /// Everything is held back, in both directions.
    holding: AtomicBool,
    /// Bytes that have come from Postgres.
    passed: AtomicUsize,
    /// What has come for Postgres, a part for each read, if a test wants to know.
    sent: Mutex<Option<Vec<Vec<u8>>>>,
    ended: AtomicBool,
}

impl Proxy {
    /// In front of a unix socket.
    pub fn start(socket: &Path) -> Proxy {
        Proxy::to(SockAddr::unix(socket).expect("a path"))
    }

    /// In front of any address.
    pub fn to(to: SockAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            to,
            next: Mutex::default(),
            for_new: Mutex::default(),
            dribbling: AtomicBool::new(false),
            holding: AtomicBool::new(false),
            passed: AtomicUsize::new(0),
            sent: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                for client in listener.incoming() {
                    if shared.ended.load(Ordering::Relaxed) {
                        return;
                    }
                    // Where Postgres is away, so is the connection.
                    let _ = carry(client.expect("a connection"), &shared);
                }
            }
        });
        Proxy { address, shared }
    }

    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@{}/postgres?application_name=pinion",
            self.address
        )
    }

    /// Harms the next connection that something comes on.
    pub fn harm(&self, when: When, how: How) {
        self.harm_next([Harm { when, how }]);
    }

    /// Harms connections that something comes on, one each, instead of what was to be done before.
    pub fn harm_next(&self, harms: impl IntoIterator<Item = Harm>) {
        *self.shared.next.lock().expect("no panic") = harms.into_iter().collect();
    }

    /// Whether all harm was done.
    pub fn has_harmed(&self) -> bool {
        self.shared.next.lock().expect("no panic").is_empty()
    }

    /// Harms connections that are still to be opened, one each.
    pub fn harm_new(&self, harms: impl IntoIterator<Item = Harm>) {
        self.shared.for_new.lock().expect("no panic").extend(harms);
    }

    /// New connections that are still to be harmed.
    pub fn harms_left(&self) -> usize {
        self.shared.for_new.lock().expect("no panic").len()
    }

    /// Lets what comes through a byte at a time.
    pub fn dribble(&self, so: bool) {
        self.shared.dribbling.store(so, Ordering::Relaxed);
    }

    /// Holds everything back, or lets it go on.
    pub fn hold(&self, so: bool) {
        self.shared.holding.store(so, Ordering::Relaxed);
    }

    /// What the client has sent since this was last asked, in the parts in which it came. From now on it
    /// is kept.
    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        let mut sent = self.shared.sent.lock().expect("no panic");
        sent.replace(Vec::new()).unwrap_or_default()
    }

    /// Bytes that have come from Postgres so far.
    pub fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.hold(false);
        let _ = TcpStream::connect(self.address); // wakes the listener
    }
}

/// What the two directions of one connection know of each other.
#[derive(Default)]
struct Both {
    /// Nothing passes any more, and nobody is told.
    mute: AtomicBool,
    /// The client's socket is to be let go of by both.
    let_go: AtomicBool,
}

fn carry(client: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    // How soon it is seen that the socket is to be let go of.
    let often = Some(Duration::from_millis(10));
    client.set_read_timeout(often)?;
    let server = Socket::new(shared.to.domain(), Type::STREAM, None)?;
    server.connect(&shared.to)?;
    if shared.to.is_ipv4() || shared.to.is_ipv6() {
        server.set_tcp_nodelay(true)?;
    }
    let both = Arc::<Both>::default();
    std::thread::spawn({
        let (client, server) = (client.try_clone()?, server.try_clone()?);
        let (shared, both) = (shared.clone(), both.clone());
        move || carry_up(client, server, &shared, &both)
    });
    let shared = shared.clone();
    std::thread::spawn(move || carry_down(server, client, &shared, &both));
    Ok(())
}

fn wait_while_held(shared: &Shared) {
    while shared.holding.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn carry_up(mut client: TcpStream, mut server: Socket, shared: &Shared, both: &Both) {
    let mut part = [0; 16 * 1024];
    while !both.let_go.load(Ordering::Relaxed) {
        let count = match client.read(&mut part) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        wait_while_held(shared);
        if let Some(sent) = &mut *shared.sent.lock().expect("no panic") {
            sent.push(part[..count].to_vec());
        }
        let mute = both.mute.load(Ordering::Relaxed);
        if !mute && server.write_all(&part[..count]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn carry_down(mut server: Socket, client: TcpStream, shared: &Shared, both: &Both) {
    let mut harm = shared.for_new.lock().expect("no panic").pop_front();
    let mut part = [0; 16 * 1024];
    while let Ok(count @ 1..) = server.read(&mut part) {
        wait_while_held(shared);
        shared.passed.fetch_add(count, Ordering::Relaxed);
        if harm.is_none() {
            harm = take_next(shared, &part[..count]);
        }
        let whole = match &mut harm {
            Some(Harm {
                when: When::After(left),
                ..
            }) => {
                let whole = count.min(*left);
                *left -= whole;
                whole
            }
            Some(Harm {
                when: When::Within(part),
                ..
            }) => count * usize::from(*part) / 256,
            Some(Harm {
                when: When::Saying(..),
                ..
            }) => 0,
            None => count,
        };
        if !pass(&client, &part[..whole], shared) {
            break;
        }
        if let Some(Harm {
            when: When::After(0) | When::Within(_) | When::Saying(..),
            how,
        }) = harm
        {
            return end(&client, &server, how, both);
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The harm that was waiting for these bytes.
fn take_next(shared: &Shared, bytes: &[u8]) -> Option<Harm> {
    let mut next = shared.next.lock().expect("no panic");
    if let Some(Harm {
        when: When::Saying(words, times),
        ..
    }) = next.front_mut()
    {
        find(bytes, words)?;
        if *times > 0 {
            *times -= 1;
            return None;
        }
    }
    next.pop_front()
}

fn pass(mut client: &TcpStream, bytes: &[u8], shared: &Shared) -> bool {
    if !shared.dribbling.load(Ordering::Relaxed) {
        return client.write_all(bytes).is_ok();
    }
    bytes.iter().all(|byte| {
        std::thread::sleep(Duration::from_micros(20));
        client.write_all(&[*byte]).is_ok()
    })
}

fn end(mut client: &TcpStream, server: &Socket, how: How, both: &Both) {
    match how {
        How::Close => {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
        How::Reset => {
            // The kernel sends it when the socket is closed, which both directions have to do.
            let lingering = socket2::SockRef::from(client).set_linger(Some(Duration::ZERO));
            lingering.expect("no lingering");
            both.let_go.store(true, Ordering::Relaxed);
        }
        How::Silence => both.mute.store(true, Ordering::Relaxed),
        How::Garbage(bytes) => {
            let _ = client.write_all(bytes);
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}
