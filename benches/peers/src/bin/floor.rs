//! The floor that every figure is given against: what the kernel alone costs for one request.
//!
//! One thread per core, edge-triggered epoll, one `recv` and one `send` per request. It looks for the blank
//! line that ends a request head and answers each one with the same bytes, so it knows no methods,
//! no paths and no bodies. A server that does real work on top cannot be cheaper than this by much
//! unless it enters the kernel less often.
//!
//! Pipelined requests are answered together, a head may arrive in pieces, and a peer that does not
//! read costs one counter and no memory.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use clap::Parser;
use pinion_bench_peers::arguments::Arguments;

/// Bytes that one `recv` takes at the most.
const RECEIVE_BYTES: usize = 16 * 1024;

/// Answers that one `send` carries at the most; pipelining clients rarely go deeper.
const ANSWERS_PER_SEND: usize = 64;

/// Events that one `epoll_wait` returns at the most.
const EVENTS_MAX: usize = 1024;

const END_OF_HEAD: [u8; 4] = *b"\r\n\r\n";

#[derive(Parser)]
#[command(about = "A bare epoll loop with a fixed answer, the floor of scripts/bench")]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
    /// Bytes of one answer, head and body together: those of the server that is compared
    #[arg(long, value_name = "N", default_value_t = 123)]
    answer_bytes: usize,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> io::Result<()> {
    let answer = answer(cli.answer_bytes)?;
    cli.arguments
        .run_workers(move |arguments| serve(&arguments.listener()?, &answer))
}

/// The fixed answer, made exactly `bytes` long by spaces after a field value, which mean nothing
/// (RFC 9110 §5.5). The date stands still: keeping it right is work that the floor leaves out.
fn answer(bytes: usize) -> io::Result<Vec<u8>> {
    const START: &str = "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 18:50:00 GMT\r\n\
                         content-length: 15\r\ncontent-type: application/json";
    const END: &str = "\r\n\r\n{\"status\":\"ok\"}";
    let least = START.len() + END.len();
    let Some(padding) = bytes.checked_sub(least) else {
        return Err(io::Error::other(format!(
            "--answer-bytes {bytes}: at least {least}"
        )));
    };
    Ok([START, &" ".repeat(padding), END].concat().into_bytes())
}

fn serve(listener: &TcpListener, answer: &[u8]) -> io::Result<()> {
    let epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), libc::EPOLLIN)?;
    let answers = answer.repeat(ANSWERS_PER_SEND);
    let mut connections: Vec<Option<Connection>> = Vec::new(); // by descriptor
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
    let mut received = vec![0; RECEIVE_BYTES];
    loop {
        // Each descriptor stands at most once in one batch and is closed only on its own event, so
        // no event of a batch can reach a connection that was accepted later in that batch.
        for event in epoll.wait(&mut events)? {
            let fd = event.u64 as RawFd;
            if fd == listener.as_raw_fd() {
                accept_all(listener, &epoll, &mut connections)?;
            } else if let Some(slot) = connections.get_mut(fd as usize)
                && let Some(connection) = slot
                && let Err(_gone) = connection.advance(&mut received, answer.len(), &answers)
            {
                *slot = None; // closes the socket, which also takes it out of the epoll set
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let fd = stream.as_raw_fd();
                epoll.add(fd, libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET)?;
                let slot = fd as usize; // descriptors are never negative
                if connections.len() <= slot {
                    connections.resize_with(slot + 1, || None);
                }
                connections[slot] = Some(Connection {
                    stream,
                    matched: 0,
                    owed: 0,
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// Bytes of `END_OF_HEAD` that the input so far ends with; less than its length.
    matched: usize,
    /// Bytes of answers still to send. The last of them ends an answer, so this also says at which
    /// byte of an answer the next send starts.
    owed: usize,
}

impl Connection {
    /// Takes what has arrived and answers it; an error means that the connection is over.
    fn advance(
        &mut self,
        received: &mut [u8],
        answer_len: usize,
        answers: &[u8],
    ) -> io::Result<()> {
        loop {
            let count = match self.stream.read(received) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            self.owed += self.heads_ended(&received[..count]) * answer_len;
            self.send(answer_len, answers)?;
            // A short read has emptied the socket: what comes later raises a new edge.
            if count < received.len() {
                return Ok(());
            }
        }
    }

    /// The number of request heads that end within `bytes`.
    fn heads_ended(&mut self, bytes: &[u8]) -> usize {
        let mut ended = 0;
        for &byte in bytes {
            if byte == END_OF_HEAD[self.matched] {
                self.matched += 1;
            } else {
                self.matched = usize::from(byte == b'\r');
            }
            if self.matched == END_OF_HEAD.len() {
                self.matched = 0;
                ended += 1;
            }
        }
        ended
    }

    fn send(&mut self, answer_len: usize, answers: &[u8]) -> io::Result<()> {
        while self.owed > 0 {
            let start = (answer_len - self.owed % answer_len) % answer_len;
            let end = answers.len().min(start + self.owed);
            match self.stream.write(&answers[start..end]) {
                Ok(count) => self.owed -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor and nobody else knows it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn add(&self, fd: RawFd, interest: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest as u32,
            u64: fd as u64,
        };
        // SAFETY: `event` is live for the whole call, which only reads it.
        let result =
            unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Blocks until something happened; the events are copies, so their buffer is free at once.
    fn wait<'a>(
        &self,
        events: &'a mut [libc::epoll_event; EVENTS_MAX],
    ) -> io::Result<&'a [libc::epoll_event]> {
        const WITHOUT_LIMIT: libc::c_int = -1;
        let (fd, max) = (self.0.as_raw_fd(), EVENTS_MAX as libc::c_int);
        // SAFETY: the kernel writes at most `max` events, which is the length of the array, and it
        // keeps no pointer past the call.
        let count = unsafe { libc::epoll_wait(fd, events.as_mut_ptr(), max, WITHOUT_LIMIT) };
        match usize::try_from(count) {
            Ok(count) => Ok(&events[..count]),
            Err(_) if io::Error::last_os_error().kind() == ErrorKind::Interrupted => Ok(&[]),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Connection {
            stream,
            matched: 0,
            owed: 0,
        }
    }

    #[test]
    fn a_head_is_found_wherever_it_is_cut() {
        let input = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /\r\r\n\r\n";
        for cut in 0..=input.len() {
            let mut connection = connection();
            let (first, second) = input.split_at(cut);
            assert_eq!(
                connection.heads_ended(first) + connection.heads_ended(second),
                2,
                "{cut}"
            );
        }
    }

    #[test]
    fn a_lone_line_end_ends_no_head() {
        assert_eq!(
            connection().heads_ended(b"GET / HTTP/1.1\r\nhost: a\r\n\n\r\n\r"),
            0
        );
    }

    #[test]
    fn an_answer_has_the_bytes_that_were_asked_for() {
        for bytes in [123, 124, 300] {
            let answer = answer(bytes).unwrap();
            assert_eq!(answer.len(), bytes);
            assert!(answer.ends_with(b"\r\n\r\n{\"status\":\"ok\"}"));
        }
        for bytes in [0, 122] {
            assert!(answer(bytes).is_err(), "{bytes}");
        }
    }
}
