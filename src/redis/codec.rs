//! Bytes to replies, by the redis crate's parser.

use std::io::{self, Read};

use redis::{Parser, Value};

use crate::limits;

/// Takes bytes as they come and gives replies once they are whole.
pub struct Codec {
    parser: Parser,
    /// Bytes since the last reply that was whole.
    taken: usize,
}

/// What came is not Redis's protocol, or more of it than is ever asked for. Nothing after it can be told
/// apart, so it ends the connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Garbage;

impl Default for Codec {
    fn default() -> Codec {
        Codec::new()
    }
}

impl Codec {
    /// Before the first byte.
    pub fn new() -> Codec {
        Codec {
            parser: Parser::new(),
            taken: 0,
        }
    }

    /// Adds the replies that have become whole with `bytes`.
    pub fn decode(&mut self, bytes: &[u8], replies: &mut Vec<Value>) -> Result<(), Garbage> {
        let mut piece = Piece(bytes);
        loop {
            let before = piece.0.len();
            let parsed = self.parser.parse_value(&mut piece);
            self.taken += before - piece.0.len();
            match parsed {
                Ok(reply) => {
                    self.taken = 0;
                    replies.push(reply);
                }
                // The piece is used up; the parser keeps its place. It also says so of a byte that begins no
                // reply, if that is the last one there: such a byte is passed over.
                Err(error) if error.is_io_error() => break,
                Err(_) => return Err(Garbage),
            }
            // The parser takes bytes ahead, so this is a bound and not an exact measure.
            if self.taken > limits::REDIS_REPLY_BYTES_MAX {
                return Err(Garbage);
            }
        }
        match self.taken > limits::REDIS_REPLY_BYTES_MAX {
            true => Err(Garbage),
            false => Ok(()),
        }
    }
}

/// What has arrived so far, for a reader that has to hear that more will come.
struct Piece<'a>(&'a [u8]);

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.is_empty() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => self.0.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Value>, Garbage> {
        let (mut codec, mut replies) = (Codec::new(), Vec::new());
        for piece in pieces {
            codec.decode(piece, &mut replies)?;
        }
        Ok(replies)
    }

    const REPLIES: &[u8] = b"*3\r\n:1\r\n:1500\r\n:7\r\n+OK\r\n-NOSCRIPT No matching script.\r\n\
                             $4\r\na\r\nb\r\n*3\r\n:0\r\n:0\r\n:0\r\n";

    #[test]
    fn a_reply_that_is_cut_anywhere_is_whole_with_its_last_byte() {
        let whole = decode(&[REPLIES]).expect("replies");
        assert_eq!(whole.len(), 5);
        for cut in 0..=REPLIES.len() {
            let (first, second) = REPLIES.split_at(cut);
            assert_eq!(decode(&[first, second]).as_ref(), Ok(&whole), "{cut}");
        }
        let bytes: Vec<&[u8]> = REPLIES.chunks(1).collect();
        assert_eq!(decode(&bytes), Ok(whole));
    }

    #[test]
    fn nothing_else_is_taken_for_a_reply() {
        for garbage in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            b"\x15\x03\x01\x00\x02\x02\x50",
            b":12x\r\n",
            b"*x\r\n",
            b"$3\r\nabcd\r\n",
        ] {
            assert_eq!(decode(&[garbage]), Err(Garbage), "{garbage:?}");
        }
    }

    #[test]
    fn a_reply_without_an_end_is_not_kept_for_ever() {
        for start in [&b"+"[..], b"$99999999999\r\n", b"*1000000000\r\n"] {
            let (mut codec, mut replies) = (Codec::new(), Vec::new());
            codec.decode(start, &mut replies).expect("a start");
            let mut sent = start.len();
            let piece: &[u8] = if start[0] == b'*' { b"+\r\n" } else { b"aaa" };
            while codec.decode(piece, &mut replies).is_ok() {
                sent += piece.len();
                assert!(sent <= limits::REDIS_REPLY_BYTES_MAX + 8, "{start:?}");
            }
            assert!(sent + piece.len() > limits::REDIS_REPLY_BYTES_MAX);
            assert_eq!(replies, []);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_replies_or_garbage(
            pieces in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![
                    proptest::sample::select(&b"*$:+-%~|>#,(!=_\r\n019 "[..]),
                    any::<u8>(),
                ], 0..40),
                0..6,
            ),
        ) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = decode(&pieces);
        }
    }
}
