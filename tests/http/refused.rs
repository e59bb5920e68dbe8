//! What is refused while the client still sends, and by a limit of its own (`tests/protocol/` has the rest).

use super::{closes, error_of, server};

/// Sends bytes on a connection of their own; the answer has to be an error that closes.
fn refused(server: &super::Server, bytes: impl AsRef<[u8]>, status: u16) {
    let shown =
        String::from_utf8_lossy(&bytes.as_ref()[..bytes.as_ref().len().min(60)]).into_owned();
    let mut client = server.client();
    client.send(bytes.as_ref());
    let response = client.response();
    assert_eq!(response.status, status, "{shown}");
    error_of(&response, status);
    assert!(closes(&response), "{shown}");
    assert!(client.is_closed(), "{shown}");
}

/// RFC 9112 §9.6: the answer is there to be read, whatever the client still sends.
#[test]
fn an_error_is_read_by_a_client_that_sends_on() {
    let (server, _postgres) = server(&[]);
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, status) in [
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n",
            413,
        ),
        (&format!("{chunked}7a1200\r\n"), 413),
        (&format!("{chunked}7a12000000000000000\r\n"), 400),
        ("POST /", 414),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nX: ", 431),
        ("POST /echo HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417),
        ("BREW /echo HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ] {
        for _ in 0..3 {
            let mut client = server.client();
            client.send(start);
            for _ in 0..80 {
                client.send(vec![b'x'; 100_000]);
            }
            let response = client.response();
            error_of(&response, status);
            assert!(closes(&response));
        }
    }
}

#[test]
fn heads_at_their_bound_and_one_over() {
    let (server, _postgres) = server(&["--max-head-bytes", "256"]);
    let head = |bytes: usize| {
        let start = "GET /health HTTP/1.1\r\nHost: a\r\nX: ";
        let filler = "x".repeat(bytes - start.len() - 4);
        format!("{start}{filler}\r\n\r\n")
    };
    let mut client = server.client();
    client.send(head(256));
    assert_eq!(client.response().status, 200);
    refused(&server, head(257), 431);
}
