//! Sends the rows, all at once, and checks what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use sonic_rs::JsonValueTrait;

use super::support::{PATIENCE, Server, find};
use super::table::{Answer, Row, SMUGGLED};

/// How the bytes of a row are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In one piece. What stays open answers another request afterwards.
    Whole,
    /// Every byte by itself.
    ByteByByte,
    /// With a good request right behind it, which is answered where the connection goes on.
    Followed,
    /// With a good request before it, which is answered first, and one behind it.
    Between,
    /// And then the client ends its side: it still gets its answers.
    HalfClosed,
}

pub const WAYS: &[Way] = &[
    Way::Whole,
    Way::ByteByByte,
    Way::Followed,
    Way::Between,
    Way::HalfClosed,
];

const GOOD: &[u8] = b"GET /echo/good HTTP/1.1\r\nHost: a\r\n\r\n";
const GOOD_ANSWER: Answer = Answer {
    status: 200,
    to_head: false,
    closes: false,
};

/// A response taken apart as strictly as HTTP lets it be written.
struct Response {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

/// One row under way.
struct Exchange<'r> {
    row: &'r Row,
    stream: TcpStream,
    sent: Vec<u8>,
    /// Bytes of `sent` that are gone.
    done: usize,
    expected: Vec<Answer>,
    received: Vec<u8>,
    ended: bool,
    /// Everything that is expected has come, and where the server is to close it has.
    over: bool,
}

/// Runs every row in one way; what was wrong, a line for each.
pub fn run(server: &Server, rows: &[Row], way: Way) -> Vec<String> {
    // What is never complete has no answer as long as the client may go on.
    let runs = |row: &&Row| way == Way::HalfClosed || !row.answers.is_empty();
    let mut exchanges: Vec<Exchange<'_>> = rows
        .iter()
        .filter(runs)
        .map(|row| Exchange::begin(server, row, way))
        .collect();
    let start = Instant::now();
    while exchanges.iter().any(|exchange| !exchange.over) {
        let mut moved = false;
        for exchange in exchanges.iter_mut().filter(|exchange| !exchange.over) {
            if exchange.step(way) {
                exchange.over = exchange.is_over();
                moved = true;
            }
        }
        if !moved {
            if start.elapsed() > PATIENCE * 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let verdict = |exchange: &Exchange<'_>| {
        let Row { section, must, .. } = exchange.row;
        let fault = exchange.verdict(way).err()?;
        let sent = String::from_utf8_lossy(&exchange.sent[..exchange.sent.len().min(300)]);
        Some(format!(
            "{way:?}: RFC {section}, {must}: {fault}\n    sent {sent:?}"
        ))
    };
    exchanges.iter().filter_map(verdict).collect()
}

impl<'r> Exchange<'r> {
    fn begin(server: &Server, row: &'r Row, way: Way) -> Exchange<'r> {
        let closes = row.answers.last().is_some_and(|answer| answer.closes);
        let mut expected = row.answers.clone();
        let mut sent = row.sent.clone();
        if way == Way::Between {
            sent = [GOOD, &sent].concat();
            expected.insert(0, GOOD_ANSWER);
        }
        if matches!(way, Way::Followed | Way::Between) {
            sent.extend_from_slice(if closes { SMUGGLED.as_bytes() } else { GOOD });
        }
        let stays_open = matches!(
            way,
            Way::Whole | Way::Followed | Way::Between | Way::ByteByByte
        );
        if !closes && stays_open {
            expected.push(GOOD_ANSWER);
        }
        let stream = TcpStream::connect(server.address).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_nonblocking(true).expect("it does not wait");
        Exchange {
            row,
            stream,
            sent,
            done: 0,
            expected,
            received: Vec::new(),
            ended: false,
            over: false,
        }
    }

    /// Sends and receives what goes; whether anything did.
    fn step(&mut self, way: Way) -> bool {
        let mut moved = self.receive();
        let left = &self.sent[self.done..];
        if self.ended || left.is_empty() {
            return moved;
        }
        let length = if way == Way::ByteByByte {
            1
        } else {
            left.len()
        };
        match self.stream.write(&left[..length]) {
            Ok(count) => {
                self.done += count;
                moved = true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // It has answered and closed; what it said is still to be read.
            Err(_) => self.done = self.sent.len(),
        }
        if self.done == self.sent.len() {
            self.all_sent(way);
        }
        moved
    }

    /// The client has said what the row is about.
    fn all_sent(&mut self, way: Way) {
        let closes = self.row.answers.last().is_some_and(|answer| answer.closes);
        if way == Way::HalfClosed {
            // A server that has closed already has nothing against it.
            let _ = self.stream.shutdown(Shutdown::Write);
        } else if matches!(way, Way::Whole | Way::ByteByByte)
            && !closes
            && !self.sent.ends_with(GOOD)
        {
            self.sent.extend_from_slice(GOOD);
        }
    }

    fn receive(&mut self) -> bool {
        let mut part = [0; 4096];
        match self.stream.read(&mut part) {
            _ if self.ended => false,
            Ok(0) => {
                self.ended = true;
                true
            }
            Ok(count) => {
                self.received.extend_from_slice(&part[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(_) => {
                self.ended = true;
                true
            }
        }
    }

    fn is_over(&self) -> bool {
        let closes = self.expected.last().is_none_or(|answer| answer.closes);
        // Most bytes of a row are sent before there is anything to be read.
        let may_be = !closes && !self.received.is_empty() && self.done == self.sent.len();
        self.ended
            || (may_be
                && self
                    .responses()
                    .is_ok_and(|found| found.len() >= self.expected.len()))
    }

    /// The responses in what has come; interim ones are left out where they may be.
    fn responses(&self) -> Result<Vec<Response>, String> {
        let mut rest = self.received.as_slice();
        let mut responses = Vec::new();
        while !rest.is_empty() {
            let to_head = self
                .expected
                .get(responses.len())
                .is_some_and(|answer| answer.to_head);
            let (response, after) = take_response(rest, to_head)?;
            rest = after;
            if response.status == 100 {
                let text = String::from_utf8_lossy(&self.row.sent).to_lowercase();
                if !text.contains("expect: 100-continue") || text.contains("http/1.0") {
                    return Err("a 100 that nobody waits for".to_owned());
                }
            } else {
                responses.push(response);
            }
        }
        Ok(responses)
    }

    fn verdict(&self, way: Way) -> Result<(), String> {
        let responses = self.responses()?;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        let expected: Vec<u16> = self.expected.iter().map(|answer| answer.status).collect();
        if statuses != expected {
            let bodies = responses
                .iter()
                .map(|response| String::from_utf8_lossy(&response.body));
            let bodies: Vec<_> = bodies.collect();
            return Err(format!("{statuses:?}, not {expected:?}; {bodies:?}"));
        }
        for (response, answer) in responses.iter().zip(&self.expected) {
            response.check()?;
            if response.says_close() != answer.closes && way != Way::HalfClosed {
                return Err(format!("{}: connection: close, or not", response.status));
            }
        }
        let closes = self.expected.last().is_none_or(|answer| answer.closes);
        if closes && !self.ended {
            return Err("the connection is left open".to_owned());
        }
        let last = usize::from(way == Way::Between) + self.row.answers.len();
        match last.checked_sub(1).map(|last| &responses[last]) {
            Some(response) => response.check_fields(self.row.fields),
            None => Ok(()),
        }
    }
}

/// Takes one response off the front. Lines end with CRLF, a field is `name: value`, and the length is
/// what the Content-Length says.
fn take_response(bytes: &[u8], to_head: bool) -> Result<(Response, &[u8]), String> {
    let cut = || format!("cut off: {:?}", String::from_utf8_lossy(bytes));
    let end = find(bytes, b"\r\n\r\n").ok_or_else(cut)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|fault| fault.to_string())?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split_once(' '));
    let (status, reason) = status.ok_or_else(|| format!("the status line {line:?}"))?;
    if status.len() != 3 || reason.is_empty() {
        return Err(format!("the status line {line:?}"));
    }
    let mut fields = Vec::new();
    for line in lines {
        let field = line
            .split_once(": ")
            .ok_or_else(|| format!("the field line {line:?}"))?;
        fields.push((field.0.to_owned(), field.1.to_owned()));
    }
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, digits)| digits.parse::<usize>());
    let length = length.map_err(|fault| fault.to_string())?;
    let rest = &bytes[end + 4..];
    let length = if to_head { 0 } else { length };
    let (body, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    let response = Response {
        status: status.parse().map_err(|_| cut())?,
        fields,
        body: body.to_vec(),
    };
    Ok((response, rest))
}

impl Response {
    fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }

    /// What holds for every final response of this server.
    fn check(&self) -> Result<(), String> {
        let fault = |what: &str| Err(format!("{what} in {} {:?}", self.status, self.fields));
        for (index, (name, value)) in self.fields.iter().enumerate() {
            let token = |octet: u8| octet.is_ascii_lowercase() || octet == b'-';
            let visible = value.bytes().all(|octet| (0x20..0x7f).contains(&octet));
            if !name.bytes().all(token) || !visible || value.trim() != value {
                return fault("a malformed field"); // 9110 §5.1, §5.5, §5.6.3
            }
            if self.fields[..index].iter().any(|(other, _)| other == name) {
                return fault("a repeated field"); // 9110 §5.3
            }
        }
        if !self.field("date").is_some_and(is_imf_fixdate) {
            return fault("no date"); // 9110 §6.6.1, §5.6.7
        }
        if self.field("transfer-encoding").is_some() || self.field("upgrade").is_some() {
            return fault("a field that nobody asked for"); // 9112 §6.1, 9110 §7.8
        }
        if self.field("content-length").is_none() != (self.status == 204) {
            return fault("a length that is missing or must not be"); // 9110 §8.6
        }
        if self.field("content-type").is_some() != (self.status != 204) {
            return fault("a type that is missing or must not be"); // 9110 §8.3
        }
        if (self.status == 405 || self.status == 204) && self.field("allow") == Some("") {
            return fault("an empty allow"); // 9110 §10.2.1
        }
        if self.status == 405 && self.field("allow").is_none() {
            return fault("no allow"); // 9110 §15.5.6
        }
        if self.status == 503 && self.field("retry-after").is_none() {
            return fault("no retry-after"); // 9110 §15.6.4
        }
        if self.status >= 400 && !self.body.is_empty() && !self.explains_itself() {
            return fault("no explanation"); // 9110 §15.5, §15.6
        }
        Ok(())
    }

    /// The body of an error says its status, what is wrong, and under which id it is logged.
    fn explains_itself(&self) -> bool {
        sonic_rs::from_slice::<sonic_rs::Value>(&self.body).is_ok_and(|body| {
            body["code"].as_u64() == Some(u64::from(self.status))
                && body["error"]
                    .as_str()
                    .is_some_and(|error| !error.is_empty())
                && body["request_id"].as_str() == self.field("x-request-id")
        })
    }

    fn check_fields(&self, fields: &[(&str, &str)]) -> Result<(), String> {
        for &(name, expected) in fields {
            let body = String::from_utf8_lossy(&self.body);
            let value = match name {
                "body" => Some(body.as_ref()),
                _ => self.field(name),
            };
            let right = match expected {
                "" => value.is_none(),
                "*" => value.is_some(),
                _ => value == Some(expected),
            };
            if !right {
                return Err(format!("{name} is {value:?}, not {expected:?}"));
            }
        }
        Ok(())
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn is_imf_fixdate(text: &str) -> bool {
    const SHAPE: &[u8] = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    let fits = |(octet, shape): (u8, &u8)| match shape {
        b'0' => octet.is_ascii_digit(),
        b'a' => octet.is_ascii_lowercase(),
        b'A' => octet.is_ascii_uppercase(),
        other => octet == *other,
    };
    text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(fits)
}
