//! The id under which a request is known to its client, in the log and to the SQL.

use std::fmt;
use std::time::Duration;

use uuid::Builder;
use uuid::fmt::Hyphenated;

use crate::http::Request;
use crate::random::random;

/// Characters of an id that a client may choose: enough for a UUID, a ULID or a trace id.
const LENGTH_MAX: usize = 64;

/// The `X-Request-ID` of the request if it is well-formed, else one that is made: a UUIDv7 (RFC 9562
/// §5.7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    /// ASCII; zeros behind it.
    text: [u8; LENGTH_MAX],
    length: u8,
}

impl RequestId {
    /// The client's id: 1 to 64 characters of `A-Z a-z 0-9 - _ .`; anything else is as none. `wall` is
    /// the time since 1970.
    pub fn of(request: &Request<'_>, wall: Duration) -> RequestId {
        match request.header("x-request-id") {
            Some(chosen) if is_well_formed(chosen) => RequestId::new(chosen),
            _ => RequestId::made(wall),
        }
    }

    /// An id that is not the client's.
    ///
    /// `Uuid::now_v7` would ask the kernel for random bytes each time, and a refusal, which needs an id
    /// too, has to be cheap.
    pub fn made(wall: Duration) -> RequestId {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&random().to_be_bytes());
        bytes[8..].copy_from_slice(&random().to_be_bytes()[..2]);
        let milliseconds = wall.as_millis() as u64;
        let id = Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid();
        let mut text = [0; LENGTH_MAX];
        id.hyphenated().encode_lower(&mut text);
        RequestId {
            text,
            length: Hyphenated::LENGTH as u8,
        }
    }

    fn new(chosen: &[u8]) -> RequestId {
        let mut text = [0; LENGTH_MAX];
        text[..chosen.len()].copy_from_slice(chosen);
        RequestId {
            text,
            length: chosen.len() as u8,
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("both kinds are ASCII")
    }

    /// The id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn is_well_formed(value: &[u8]) -> bool {
    (1..=LENGTH_MAX).contains(&value.len())
        && value
            .iter()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(octet))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn ids_that_a_client_may_choose() {
        assert!(is_well_formed(b"a"));
        assert!(is_well_formed(b"0190-AZ_z.9"));
        assert!(is_well_formed(&[b'x'; LENGTH_MAX]));
        assert!(!is_well_formed(&[b'x'; LENGTH_MAX + 1]));
        for wrong in [&b""[..], b"a b", b"a\"b", b"a\r\nb", "é".as_bytes()] {
            assert!(!is_well_formed(wrong));
        }
        assert_eq!(
            RequestId::new(&[b'x'; LENGTH_MAX]).as_bytes(),
            [b'x'; LENGTH_MAX]
        );
        assert_eq!(RequestId::new(b"abc").as_str(), "abc");
    }

    #[test]
    fn an_id_is_made_where_there_is_none() {
        let wall = Duration::from_millis(1_766_893_001_958);
        let id = Uuid::parse_str(RequestId::made(wall).as_str()).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(
            id.get_timestamp().unwrap().to_unix(),
            (1_766_893_001, 958_000_000)
        );
        let ids: HashSet<String> = (0..1000)
            .map(|_| RequestId::made(wall).to_string())
            .collect();
        assert_eq!(ids.len(), 1000);
    }
}
