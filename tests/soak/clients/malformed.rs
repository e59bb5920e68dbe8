//! Requests whose framing is in doubt, behind good ones.

use crate::allowed::Class;
use crate::asks::{Ask, Asks, Expect};
use crate::guards::Marks;
use crate::talk::{Manner, connect, round};

/// What is sent, and the status that it has to get (RFC 9112, and `http::Fault` for the choices).
const MALFORMED: &[(&str, u16)] = &[
    ("GET /health HTTP/1.1\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\nHost: a\n\n", 400),
    ("GET /health\r\n\r\n", 400),
    ("GET  /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("GET /health#part HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("\r\n\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n1",
        400,
    ),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
        400,
    ),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST /look-up HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    ("BREW /health HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    (
        "GET /health HTTP/1.1\r\nHost: a\r\nExpect: much\r\n\r\n",
        417,
    ),
    (
        "POST /look-up HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n",
        413,
    ),
    ("\u{16}\u{3}\u{1}\u{2}", 400),
];

/// Good requests, a malformed one, and what must not be taken for a request.
pub fn send_malformed(mut asks: Asks<'_>) {
    let soak = asks.soak;
    while soak.goes_on() {
        let Some(mut line) = connect(&mut asks) else {
            return;
        };
        let mut batch: Vec<Ask> = (0..asks.random.below(4)).map(|_| asks.any_read()).collect();
        let (bytes, status) = match asks.random.below(MALFORMED.len() + 3) {
            0 => (field_of(17_000), 431),
            1 => (fields(101), 431),
            2 => (
                format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8192)),
                414,
            ),
            index => {
                let (text, status) = MALFORMED[index - 3];
                (text.to_owned(), status)
            }
        };
        batch.push(malformed(&mut asks, bytes, status));
        let manner = Manner {
            pieces: *asks.random.pick(&[1, 1, 2, 5]),
            pause_ms_max: 2,
            half_close: asks.random.percent(20),
            ..Manner::default()
        };
        round(soak, &mut line, &batch, &mut asks.random, manner);
        soak.pause(asks.random.millis(0, 60));
    }
}

fn malformed(asks: &mut Asks<'_>, bytes: String, status: u16) -> Ask {
    let follower = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(asks.random.below(3));
    Ask {
        bytes: (bytes + &follower).into_bytes(),
        head_bytes: 0,
        head_only: false,
        class: Class::Local,
        expect: Expect::Fault(status),
        closes: true,
        id: "malformed".to_owned(),
        write: None,
        marks: Marks::default(),
    }
}

fn field_of(bytes: usize) -> String {
    format!(
        "GET /health HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(bytes)
    )
}

fn fields(count: usize) -> String {
    format!(
        "GET /health HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(count - 1)
    )
}
