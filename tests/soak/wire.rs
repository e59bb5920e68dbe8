//! One connection of a client: raw bytes out and in, all of them remembered until the round is over.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::{PATIENCE, Response, find};
use crate::ways::Session;

/// Bytes of one direction that are remembered for a report.
const REMEMBERED_MAX: usize = 256 * 1024;

/// A connection as a client sees it.
pub struct Line {
    stream: TcpStream,
    /// Of one over TLS.
    session: Option<Session>,
    /// The server has ended without a word, where TLS has one for it.
    pub is_silent: bool,
    /// What was sent in this round.
    pub sent: Vec<u8>,
    /// What was received in this round.
    pub received: Vec<u8>,
    /// Received and not taken yet.
    buffer: Vec<u8>,
    /// When the client last sent something or had something to read: what has passed since is its own
    /// delay, and not the server's.
    last_step: Instant,
    /// The longest such delay of the connection's life.
    pub own_delay: Duration,
}

/// Why there is no response.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// The server closed, or reset, before any byte of it.
    Closed,
    /// The same, in the middle of it.
    Cut,
    /// Nothing came for too long.
    Late,
    /// It is no response.
    Nonsense(String),
}

impl Line {
    pub fn connect(address: SocketAddr) -> std::io::Result<Line> {
        Line::with(address, None)
    }

    /// With a receive buffer so small that a client that does not read is felt.
    pub fn narrow(address: SocketAddr) -> std::io::Result<Line> {
        Line::with(address, Some(8 * 1024))
    }

    fn with(address: SocketAddr, buffer: Option<usize>) -> std::io::Result<Line> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&address.into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Line {
            stream,
            session: None,
            is_silent: false,
            sent: Vec::new(),
            received: Vec::new(),
            buffer: Vec::new(),
            last_step: Instant::now(),
            own_delay: Duration::ZERO,
        })
    }

    /// Shakes hands; from then on all bytes are those inside of TLS. The time that it takes is the client's
    /// own, as far as the server's patience is concerned.
    pub fn encrypt(&mut self, mut session: Session) -> std::io::Result<()> {
        let outcome = session.shake_hands(&self.stream);
        self.note_own_delay();
        outcome?;
        self.session = Some(session);
        Ok(())
    }

    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Forgets what the rounds before have sent and received.
    pub fn next_round(&mut self) {
        self.sent.clear();
        self.received.clear();
    }

    /// False when the server has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.note_own_delay();
        remember(&mut self.sent, bytes);
        let sent = match &mut self.session {
            Some(session) => session.write(&self.stream, bytes),
            None => self.stream.write_all(bytes),
        };
        let sent = sent.is_ok();
        self.last_step = Instant::now();
        sent
    }

    /// No more will be sent.
    pub fn half_close(&mut self) {
        // A server that has closed before has reset the connection.
        if let Some(session) = &mut self.session {
            let _ = session.say_end(&self.stream);
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Leaves with a reset.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The next response.
    pub fn response(&mut self, head_only: bool) -> Result<Response, Broken> {
        loop {
            match parse(&self.buffer, head_only).map_err(Broken::Nonsense)? {
                Some((response, length)) => {
                    self.buffer.drain(..length);
                    return Ok(response);
                }
                None => match self.fill()? {
                    true => {}
                    false if self.buffer.is_empty() => return Err(Broken::Closed),
                    false => return Err(Broken::Cut),
                },
            }
        }
    }

    /// What comes until the server closes.
    pub fn rest(&mut self) -> Result<Vec<u8>, Broken> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The time since the client's last step is its own from here on.
    pub fn note_own_delay(&mut self) {
        self.own_delay = self.own_delay.max(self.last_step.elapsed());
        self.last_step = Instant::now();
    }

    fn fill(&mut self) -> Result<bool, Broken> {
        self.note_own_delay();
        let mut part = vec![0; 64 * 1024];
        let count = match &mut self.session {
            Some(session) => session.read(&self.stream, &mut part),
            None => self.stream.read(&mut part),
        };
        self.last_step = Instant::now();
        match count {
            Ok(count) => {
                remember(&mut self.received, &part[..count]);
                self.buffer.extend_from_slice(&part[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.is_silent = true;
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Broken::Late),
            Err(error) => Err(Broken::Nonsense(format!("reading: {error}"))),
        }
    }
}

fn remember(memory: &mut Vec<u8>, bytes: &[u8]) {
    let room = REMEMBERED_MAX.saturating_sub(memory.len());
    memory.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// One response at the start of `bytes` and its length, or `None` while it is not whole.
pub fn parse(bytes: &[u8], head_only: bool) -> Result<Option<(Response, usize)>, String> {
    const START: &[u8] = b"HTTP/1.1 ";
    if !bytes.starts_with(&START[..START.len().min(bytes.len())]) {
        return Err("it does not begin with HTTP/1.1".to_owned());
    }
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head in UTF-8 is wanted")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.get(9..12).and_then(|text| text.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("a status is missing: {status_line}"))?;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(": ")
            .ok_or_else(|| format!("no field: {line}"))?;
        if fields.iter().any(|(known, _)| known == name) {
            return Err(format!("{name} twice"));
        }
        fields.push((name.to_lowercase(), value.to_owned()));
    }
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let has_content = !matches!(status, 100..=199 | 204 | 304);
    let length: usize = match (length, has_content) {
        (Some((_, value)), true) => value.parse().map_err(|_| format!("length {value}"))?,
        (None, false) => 0,
        (Some(_), false) => return Err("content where there is none".to_owned()),
        (None, true) => return Err("no content-length".to_owned()),
    };
    let length = if head_only { 0 } else { length };
    let body = end + 4;
    if bytes.len() < body + length {
        return Ok(None);
    }
    let response = Response {
        status,
        fields,
        body: bytes[body..body + length].to_vec(),
    };
    Ok(Some((response, body + length)))
}
