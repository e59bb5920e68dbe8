//! Clients that ask all the time and try nothing again: whatever is not the answer that was asked for, an
//! error of the socket among it, is a fault.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::PATIENCE;
use super::random::Random;

/// How one client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On one connection, as long as the server keeps it.
    KeepAlive,
    /// The same, with pauses of up to this many milliseconds.
    Seldom(usize),
    /// On a connection for each request.
    Fresh,
}

/// Where to ask, and how.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    pub tls: Option<Arc<ClientConfig>>,
    pub way: Way,
}

/// Says what is wrong with an answer. It is given the number in `/items/{number}` and the body, and what it
/// last said of an answer on the same connection, 0 at first.
pub type Judge = fn(u64, &str, u64) -> std::result::Result<u64, String>;

/// A load that goes on until it is stopped.
pub struct Steady {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    pub answers: u64,
    pub connections: u64,
    pub faults: Vec<String>,
}

impl Steady {
    pub fn start(places: &[Place], judge: Judge) -> Steady {
        let (stop, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = places.iter().enumerate().map(|(number, place)| {
            let (place, stop, answers) = (place.clone(), stop.clone(), answers.clone());
            std::thread::spawn(move || keep_asking(&place, number as u64, judge, &stop, &answers))
        });
        Steady {
            clients: clients.collect(),
            stop,
            answers,
        }
    }

    /// Waits until so many more answers have come.
    pub fn see(&self, more: u64) {
        let until = self.answers.load(Ordering::Relaxed) + more;
        super::wait_until("answers come", || {
            self.answers.load(Ordering::Relaxed) >= until
                || self.clients.iter().all(|it| it.is_finished())
        });
    }

    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in std::mem::take(&mut self.clients) {
            let tally = client.join().expect("a client does not panic");
            sum.answers += tally.answers;
            sum.connections += tally.connections;
            sum.faults.extend(tally.faults);
        }
        sum
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    /// Fails unless each request was answered as it should.
    pub fn expect_no_fault(&self) {
        println!(
            "{} answers on {} connections",
            self.answers, self.connections
        );
        let faults = &self.faults;
        assert!(
            faults.is_empty(),
            "{}: {:#?}",
            faults.len(),
            &faults[..faults.len().min(8)]
        );
        assert!(self.answers > 0);
    }
}

fn keep_asking(
    place: &Place,
    number: u64,
    judge: Judge,
    stop: &AtomicBool,
    answers: &AtomicU64,
) -> Tally {
    let mut random = Random::stream(number, "steady");
    let mut tally = Tally::default();
    let mut open: Option<(Connection, u64)> = None;
    while !stop.load(Ordering::Relaxed) && tally.faults.len() < 8 {
        let id = random.below(100_000) as u64;
        let mut asked_before = false;
        let mut ask = || -> std::result::Result<bool, String> {
            let (connection, last) = match &mut open {
                Some(open) => {
                    asked_before = true;
                    open
                }
                None => {
                    tally.connections += 1;
                    let made =
                        Connection::open(place).map_err(|error| format!("connecting: {error}"))?;
                    open.insert((made, 0))
                }
            };
            let (status, body, closes) = connection.ask(id).map_err(|error| error.to_string())?;
            if status != 200 {
                return Err(format!("{status}: {body}"));
            }
            *last = judge(id, &body, *last)?;
            Ok(closes)
        };
        match ask() {
            Ok(closes) => {
                tally.answers += 1;
                answers.fetch_add(1, Ordering::Relaxed);
                if closes || place.way == Way::Fresh {
                    open = None;
                }
            }
            Err(fault) => {
                let age = if asked_before { "used" } else { "new" };
                let tls = if place.tls.is_some() { "TLS" } else { "plain" };
                tally
                    .faults
                    .push(format!("{tls}, {:?}, {age}: {fault}", place.way));
                open = None;
            }
        }
        let pause = match place.way {
            Way::Seldom(most) => random.below(most),
            _ => 1 + random.below(3),
        };
        std::thread::sleep(Duration::from_millis(pause as u64));
    }
    tally
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    fn open(place: &Place) -> Result<Connection> {
        let stream = TcpStream::connect(place.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(match &place.tls {
            None => Connection::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let session = ClientConnection::new(config.clone(), name);
                let session = session.map_err(Error::other)?;
                Connection::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        })
    }

    fn stream(&mut self) -> &mut dyn ReadWrite {
        match self {
            Connection::Plain(stream) => stream,
            Connection::Tls(stream) => &mut **stream,
        }
    }

    /// Status, body, and whether the server says that it closes.
    fn ask(&mut self, id: u64) -> Result<(u16, String, bool)> {
        let stream = self.stream();
        write!(
            stream,
            "GET /items/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )?;
        stream.flush()?;
        let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
        loop {
            if let Some(answer) = parse(&bytes) {
                return Ok(answer);
            }
            match stream.read(&mut part)? {
                0 => {
                    let what = format!("the end after {} bytes", bytes.len());
                    return Err(Error::new(ErrorKind::UnexpectedEof, what));
                }
                count => bytes.extend_from_slice(&part[..count]),
            }
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// The answer, if it is there whole.
fn parse(bytes: &[u8]) -> Option<(u16, String, bool)> {
    let head = super::find(bytes, b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head in ASCII");
    let field = |name: &str| {
        let mut lines = text.split("\r\n").filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    };
    let length: usize = field("content-length")?.parse().expect("a length");
    let body = bytes.get(head + 4..head + 4 + length)?;
    assert_eq!(bytes.len(), head + 4 + length, "one answer and no more");
    let status = text[9..12].parse().expect("a status");
    let closes = field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    Some((status, String::from_utf8_lossy(body).into_owned(), closes))
}
