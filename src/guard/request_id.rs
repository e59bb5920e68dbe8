//! The id under which a request is known to its client and in the log.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Builder;

use crate::http::Request;
use crate::random::random;

/// Characters of an id that a client may choose: enough for a UUID, a ULID or a trace id.
const LENGTH_MAX: usize = 64;

/// The `X-Request-ID` of the request if it is well-formed, else one that is made when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Option<Box<str>>);

impl RequestId {
    /// The client's id: 1 to 64 characters of `A-Z a-z 0-9 - _ .`; anything else is as none.
    pub fn of(request: &Request<'_>) -> RequestId {
        let chosen = request
            .header("x-request-id")
            .filter(|value| is_well_formed(value))
            .and_then(|value| std::str::from_utf8(value).ok());
        RequestId(chosen.map(Into::into))
    }

    /// An id that is not the client's.
    pub fn new() -> RequestId {
        RequestId(None)
    }

    /// The id as text; one that has to be made is a UUIDv7 (RFC 9562 §5.7).
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(made()),
        }
    }
}

impl Default for RequestId {
    fn default() -> RequestId {
        RequestId::new()
    }
}

/// A UUIDv7. `Uuid::now_v7` would ask the kernel for random bytes each time, and a refusal, which needs an
/// id too, has to be cheap.
fn made() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = now.unwrap_or_default().as_millis() as u64;
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random().to_be_bytes());
    bytes[8..].copy_from_slice(&random().to_be_bytes()[..2]);
    let id = Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid();
    id.to_string()
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
    }

    #[test]
    fn an_id_is_made_where_there_is_none() {
        let text = RequestId::new().text().into_owned();
        let id = Uuid::parse_str(&text).unwrap();
        assert_eq!(id.get_version_num(), 7);
        let (seconds, _) = id.get_timestamp().unwrap().to_unix();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(now.as_secs() - seconds < 100);
        let ids: HashSet<String> = (0..1000)
            .map(|_| RequestId::new().text().into_owned())
            .collect();
        assert_eq!(ids.len(), 1000);
    }
}
