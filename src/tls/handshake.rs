//! From a connected socket to an encrypted one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use rustls::Connection;

use super::turns::{Turn, Turns};
use super::{TlsStream, truncated};
use crate::ring::Stream;

/// Bytes before the payload of a record: type, version, length (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;

/// Bytes of a record's payload at the most (RFC 5246 §6.2.3); longer ones rustls refuses.
const RECORD_BYTES_MAX: usize = (1 << 14) + 2048;

/// Shakes hands over `stream` as the side that `session` is, client or server.
///
/// The stream's deadline is that of the handshake: set it before. An error is the socket's, an
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) or a fault of the protocol in words, whose alert
/// has been sent.
pub async fn handshake(stream: Stream, session: impl Into<Connection>) -> io::Result<TlsStream> {
    shake_hands(stream, session.into(), None).await
}

/// As [`handshake`], each step when it is its turn.
pub async fn handshake_in_turn(
    stream: Stream,
    session: impl Into<Connection>,
    turns: &Turns,
) -> io::Result<TlsStream> {
    shake_hands(stream, session.into(), Some(turns)).await
}

async fn shake_hands(
    stream: Stream,
    session: Connection,
    turns: Option<&Turns>,
) -> io::Result<TlsStream> {
    let stream = TlsStream::new(stream, session);
    let mut is_first = true;
    while stream.is_handshaking() {
        poll_fn(|context| poll_records(&stream, context)).await?;
        let turn = match turns {
            Some(turns) => Some(wait_for_turn(&stream, turns, is_first).await?),
            None => None,
        };
        stream.advance();
        drop(turn);
        is_first = false;
        poll_fn(|context| stream.poll_advanced(context)).await?;
    }
    Ok(stream)
}

/// Waits in the line, and leaves it when the deadline passes or the peer has gone: nothing is
/// computed for those who do not wait for it.
async fn wait_for_turn<'a>(
    stream: &TlsStream,
    turns: &'a Turns,
    is_first: bool,
) -> io::Result<Turn<'a>> {
    let mut turn = pin!(turns.turn());
    poll_fn(|context| {
        match stream.socket().poll_fill(context, usize::MAX) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            // Whoever ends with the first message can't send the next. Later it may be the end of
            // all that there is to say.
            Poll::Ready(Ok(_)) if is_first => {
                return Poll::Ready(Err(truncated("during the TLS handshake")));
            }
            _ => {}
        }
        turn.as_mut().poll(context).map(Ok)
    })
    .await
}

/// Ready when there is something for the session to work at: whole records, as looking at a part of
/// one would be work for each byte that a slow peer sends.
fn poll_records(stream: &TlsStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    let socket = stream.socket();
    loop {
        if socket.with_input(is_whole_record) {
            return Poll::Ready(Ok(()));
        }
        if !ready!(socket.poll_fill(context, socket.unread()))? {
            return Poll::Ready(Err(truncated("during the TLS handshake")));
        }
    }
}

/// Whether `input` begins with a record that has arrived whole, or with none that ever will.
fn is_whole_record(input: &[u8]) -> bool {
    match input {
        [] => false,
        // Change cipher spec, alert, handshake, application data (RFC 8446 §5.1).
        [0x14..=0x17, rest @ ..] => match rest {
            [_, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                length > RECORD_BYTES_MAX || input.len() >= RECORD_HEADER_BYTES + length
            }
            _ => false,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole_record;

    #[test]
    fn records_are_whole_with_their_last_byte() {
        let record = [&[0x16, 3, 1, 1, 2][..], &[0; 258]].concat();
        for length in 0..record.len() {
            assert!(!is_whole_record(&record[..length]), "{length}");
        }
        assert!(is_whole_record(&record));
        assert!(is_whole_record(&[record, vec![0x16]].concat()));
        assert!(is_whole_record(&[0x17, 3, 3, 0, 0]), "empty");
    }

    #[test]
    fn what_never_will_be_a_record_is_not_waited_for() {
        assert!(is_whole_record(b"G"));
        assert!(is_whole_record(&[0x80]), "SSL 2");
        assert!(!is_whole_record(&[0x16, 3, 1, 0x48, 0]));
        assert!(is_whole_record(&[0x16, 3, 1, 0x48, 1]), "too long");
    }
}
