//! One connection of the admin port: one request, one answer, and the end. Every read and write has a
//! deadline, and nothing is kept that a client sends beyond one head.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Subject;
use super::answer::{self, Answer};
use crate::http::{Envelope, Head, HeadLimits, Method, Parsed, Persistence, Response, imf_fixdate};
use crate::limits;

/// How long a request may take to come, and how long its answer to be read.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long after its answer a client may still send, so that it gets to read it (RFC 9112 §9.6), and how
/// many bytes.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// What both kinds of sockets can do.
pub(super) trait Socket: Read + Write + Send {
    /// For one read.
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()>;
    /// For one write.
    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()>;
    /// Nothing more is written.
    fn end(&self) -> io::Result<()>;
}

macro_rules! socket {
    ($stream:ty) => {
        impl Socket for $stream {
            fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
                <$stream>::set_read_timeout(self, Some(timeout))
            }
            fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
                <$stream>::set_write_timeout(self, Some(timeout))
            }
            fn end(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    };
}

socket!(TcpStream);
socket!(UnixStream);

/// Answers one request. `local`: the address that the connection came to, of TCP.
pub(super) fn serve(
    mut socket: Box<dyn Socket>,
    local: Option<SocketAddr>,
    subject: &Arc<Subject>,
) {
    // A client that goes or is too slow has no answer; there is nobody to tell.
    let _ = try_serve(&mut *socket, local, subject);
}

fn try_serve(
    socket: &mut dyn Socket,
    local: Option<SocketAddr>,
    subject: &Arc<Subject>,
) -> io::Result<()> {
    let limits = HeadLimits {
        head_bytes_max: limits::ADMIN_HEAD_BYTES_MAX,
        ..HeadLimits::default()
    };
    let (mut head, mut input) = (Head::new(), Vec::new());
    let parsed = read_head(socket, &mut head, &mut input, &limits)?;
    let (answer, head_only) = match parsed {
        Err(fault) => (Answer::error(fault.status(), fault.message()), false),
        Ok(()) => {
            let request = head.request(&input);
            let answer = answer::to(&request, local, subject);
            (answer, request.method() == Method::Head)
        }
    };
    let mut out = Vec::new();
    answer.write(head_only, &mut out);
    write_all(socket, &out)?;
    linger(socket)
}

/// Reads until a head is complete, or wrong.
fn read_head(
    socket: &mut dyn Socket,
    head: &mut Head,
    input: &mut Vec<u8>,
    limits: &HeadLimits,
) -> io::Result<Result<(), crate::http::Fault>> {
    let end = Instant::now() + DEADLINE;
    let mut part = [0; 2048];
    loop {
        match head.parse(input, limits) {
            Ok(Parsed::Complete) => return Ok(Ok(())),
            Ok(Parsed::Partial) => {}
            Err(fault) => return Ok(Err(fault)),
        }
        match read(socket, &mut part, end)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(&part[..count]),
        }
    }
}

/// What comes until then. With a time-out, a read is interrupted by a mere stop and go on, too (signal(7)).
fn read(socket: &mut dyn Socket, part: &mut [u8], end: Instant) -> io::Result<usize> {
    loop {
        socket.set_read_timeout(left(end)?)?;
        match socket.read(part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn write_all(socket: &mut dyn Socket, mut bytes: &[u8]) -> io::Result<()> {
    let end = Instant::now() + DEADLINE;
    while !bytes.is_empty() {
        socket.set_write_timeout(left(end)?)?;
        match socket.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Bytes that nobody has read when a socket is closed would reset it under the answer.
fn linger(socket: &mut dyn Socket) -> io::Result<()> {
    socket.end()?;
    let end = Instant::now() + LINGER;
    let mut part = [0; 4096];
    let mut ignored = 0;
    while ignored < LINGER_BYTES_MAX {
        match read(socket, &mut part, end)? {
            0 => break,
            count => ignored += count,
        }
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

impl Answer {
    fn write(&self, head_only: bool, out: &mut Vec<u8>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let envelope = Envelope {
            date: &imf_fixdate(now.unwrap_or_default().as_secs()),
            persistence: Persistence::Close,
            head_only,
        };
        let fields: Vec<(&str, &[u8])> = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        let response = Response {
            status: self.status,
            content_type: self.content_type,
            fields: &fields,
            body: &self.body,
        };
        response.write(&envelope, |_| (), out);
    }
}
