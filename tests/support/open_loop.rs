//! An open loop: requests are due at a fixed rate whether or not answers come, and each latency counts
//! from when its request was due, so that a server that falls behind can't hide it (a closed loop asks
//! a slow server less). One thread, many connections, on each of them one request at a time.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::PATIENCE;

/// What is asked, and how fast.
pub struct Load<'a> {
    pub address: SocketAddr,
    /// Requests a second.
    pub rate: f64,
    pub time: Duration,
    /// Past them requests wait for an answer to another, which their latency tells.
    pub connections_max: usize,
    /// The target of a request by its number.
    pub target: &'a dyn Fn(u64) -> String,
    /// The whole body of a right answer with 200.
    pub body: &'a dyn Fn(u64) -> String,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// When it was due, from the start of the load.
    pub due: Duration,
    /// From then until it had come.
    pub took: Duration,
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u32>,
}

/// All answers of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answers: Vec<Answer>,
    pub time: Duration,
}

/// Latencies of the answers with one status, in order.
pub struct Latencies(Vec<Duration>);

impl Load<'_> {
    /// Sends all requests and waits for all answers. Panics at a wrong one.
    pub fn run(&self) -> Outcome {
        let start = Instant::now();
        let count = (self.rate * self.time.as_secs_f64()) as u64;
        let mut connections: Vec<Connection> = Vec::new();
        let mut idle: Vec<usize> = Vec::new();
        let mut late: VecDeque<u64> = VecDeque::new();
        let (mut next, mut answers) = (0, Vec::with_capacity(count as usize));
        while answers.len() < count as usize {
            let elapsed = start.elapsed();
            assert!(elapsed < self.time + PATIENCE, "answers are missing");
            while next < count && self.due(next) <= elapsed {
                late.push_back(next);
                next += 1;
            }
            while !late.is_empty() {
                if idle.is_empty() && connections.len() < self.connections_max {
                    idle.push(connections.len());
                    connections.push(Connection::open(self.address));
                }
                let Some(index) = idle.pop() else { break };
                let number = late.pop_front().expect("it is not empty");
                connections[index].ask(number, &(self.target)(number));
            }
            let wait = match next < count {
                true => self.due(next).saturating_sub(start.elapsed()),
                false => Duration::from_millis(100),
            };
            for index in readable(&connections, wait) {
                if let Some((number, response)) = connections[index].read() {
                    answers.push(self.check(number, &response, start));
                    idle.push(index);
                }
            }
        }
        Outcome {
            answers,
            time: self.time,
        }
    }

    fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    fn check(&self, number: u64, response: &[u8], start: Instant) -> Answer {
        let response = std::str::from_utf8(response).expect("it is text");
        let (head, body) = response.split_once("\r\n\r\n").expect("it is whole");
        let status = head["HTTP/1.1 ".len()..][..3].parse().expect("a status");
        if status == 200 {
            assert_eq!(body, (self.body)(number), "another's answer");
        }
        let due = self.due(number);
        Answer {
            due,
            took: start.elapsed() - due,
            status,
            retry_after: field(head, "retry-after").map(|it| it.parse().expect("seconds")),
        }
    }
}

impl Outcome {
    /// Of those that were due in this part of the time.
    pub fn during(&self, part: Range<Duration>) -> Outcome {
        let answers = self.answers.iter().filter(|it| part.contains(&it.due));
        Outcome {
            answers: answers.copied().collect(),
            time: part.end - part.start,
        }
    }

    pub fn of(&self, status: u16) -> Latencies {
        let answers = self.answers.iter();
        let found = answers.filter(|answer| answer.status == status);
        let mut latencies: Vec<Duration> = found.map(|answer| answer.took).collect();
        latencies.sort();
        Latencies(latencies)
    }

    /// Good answers a second.
    pub fn goodput(&self) -> f64 {
        self.of(200).count() as f64 / self.time.as_secs_f64()
    }
}

impl Latencies {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The latency that this share is not over; zero if there is none at all.
    pub fn quantile(&self, share: f64) -> Duration {
        let index = (share * self.count() as f64).ceil() as usize;
        let found = self.0.get(index.saturating_sub(1));
        found.copied().unwrap_or_default()
    }
}

struct Connection {
    stream: TcpStream,
    asked: Option<u64>,
    input: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_nonblocking(true).expect("non-blocking");
        Connection {
            stream,
            asked: None,
            input: Vec::new(),
        }
    }

    fn ask(&mut self, number: u64, target: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        // One short request on an idle connection always finds room.
        self.stream.write_all(request.as_bytes()).expect("room");
        self.asked = Some(number);
    }

    /// The number of a request and its whole response, once it is there.
    fn read(&mut self) -> Option<(u64, Vec<u8>)> {
        let mut piece = [0; 4096];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => panic!("the server closed a connection"),
                Ok(count) => self.input.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let end = super::find(&self.input, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.input[..end]).expect("it is text");
        let length = field(head, "content-length").map_or(0, |it| it.parse().expect("a length"));
        if self.input.len() < end + 4 + length {
            return None;
        }
        let number = self.asked.take().expect("it was asked");
        Some((number, std::mem::take(&mut self.input)))
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.split("\r\n").filter_map(|line| line.split_once(": "));
    fields
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Waits for answers, and tells which connections have some.
fn readable(connections: &[Connection], wait: Duration) -> Vec<usize> {
    let asked: Vec<usize> = (0..connections.len())
        .filter(|index| connections[*index].asked.is_some())
        .collect();
    let mut ready: Vec<PollFd<'_>> = asked
        .iter()
        .map(|index| PollFd::new(&connections[*index].stream, PollFlags::IN))
        .collect();
    let wait = Timespec {
        tv_sec: wait.as_secs() as i64,
        tv_nsec: i64::from(wait.subsec_nanos()),
    };
    poll(&mut ready, Some(&wait)).expect("poll");
    let is_ready = |(index, fd): (usize, &PollFd<'_>)| (!fd.revents().is_empty()).then_some(index);
    asked.into_iter().zip(&ready).filter_map(is_ready).collect()
}
