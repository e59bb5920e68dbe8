//! The few messages of a statement's way to Postgres and back (Postgres §55.7), in place: written
//! straight into a socket's output, read where they arrived.

use super::wire::Stage;
use crate::api::Bound;
use crate::error::Failure;

/// Tag and length of a message.
pub(super) const HEADER_BYTES: usize = 5;

/// What follows the parameters of Bind, all results in binary, and the message behind it: Execute of
/// the unnamed portal without a limit of rows.
const TAIL: &[u8] = b"\0\x01\0\x01E\0\0\0\x09\0\0\0\0\0";
const BIND_TAIL_BYTES: usize = 4;

const SYNC: &[u8] = b"S\0\0\0\x04";

/// Bytes that are no message of Postgres's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The tag of the first message in `bytes` and the length of all of it; `None` while that is not
/// known yet.
pub(super) fn header(bytes: &[u8]) -> Result<Option<(u8, usize)>, Malformed> {
    let &[tag, a, b, c, d, ..] = bytes else {
        return Ok(None);
    };
    // It counts itself and not the tag.
    match u32::from_be_bytes([a, b, c, d]) {
        length @ 4..=0x7fff_ffff => Ok(Some((tag, length as usize + 1))),
        _ => Err(Malformed),
    }
}

/// How Bind begins for a prepared statement, up to the number of its parameters: the unnamed portal,
/// all parameters in binary.
pub(super) fn bind_head(statement: &str, parameters: usize) -> Box<[u8]> {
    let mut head = vec![0];
    head.extend_from_slice(statement.as_bytes());
    head.extend_from_slice(b"\0\0\x01\0\x01");
    // The protocol counts in 16 bits, and so has Postgres when it described the statement.
    head.extend_from_slice(&(parameters as u16).to_be_bytes());
    head.into()
}

/// Appends Sync: the end of what is one transaction and is answered as a whole.
pub(super) fn append_sync(out: &mut Vec<u8>) {
    out.extend_from_slice(SYNC);
}

/// Appends Bind and Execute. `parameters` appends each parameter with its length before it.
pub(super) fn append_statement(
    head: &[u8],
    parameters: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(b"B\0\0\0\0");
    out.extend_from_slice(head);
    parameters(out);
    // `Bound` keeps parameters within what a message can hold.
    let length = (out.len() - start - 1 + BIND_TAIL_BYTES) as i32;
    out[start + 1..start + HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(TAIL);
}

/// Appends one parameter; `None` is NULL.
pub(super) fn append_parameter(value: Option<&[u8]>, out: &mut Vec<u8>) {
    match value {
        Some(bytes) => {
            out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
    }
}

/// Appends all parameters of a request.
pub(super) fn append_parameters(bound: &Bound, out: &mut Vec<u8>) {
    for index in 0..bound.values.len() {
        append_parameter(bound.value(index), out);
    }
}

/// The last column of a DataRow that ends with an int8.
pub(super) fn last_int8(body: &[u8]) -> Option<i64> {
    let (rest, value) = body.split_last_chunk::<8>()?;
    let (_, length) = rest.split_last_chunk::<4>()?;
    (u32::from_be_bytes(*length) == 8).then(|| i64::from_be_bytes(*value))
}

/// The columns of a DataRow, from the left; `None` is NULL. Ends early where the row is cut short.
pub(super) fn columns(body: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            rest = after;
            return Some(None);
        };
        let (column, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Some(column))
    })
}

/// What Postgres says when it refuses something (Postgres §55.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// SQLSTATE.
    pub(super) state: String,
    pub(super) message: String,
    /// The function of Postgres that said it.
    routine: String,
    severity: String,
}

impl Refusal {
    /// Reads the body of an ErrorResponse: fields of a tag and a text, each ended by a zero.
    pub(super) fn parse(body: &[u8]) -> Result<Refusal, Malformed> {
        let mut refusal = Refusal::default();
        let mut rest = body;
        while let Some((tag, after)) = rest.split_first().filter(|(tag, _)| **tag != 0) {
            let end = memchr::memchr(0, after).ok_or(Malformed)?;
            let (text, after) = after.split_at(end);
            rest = &after[1..];
            let place = match *tag {
                b'C' => &mut refusal.state,
                b'M' => &mut refusal.message,
                b'R' => &mut refusal.routine,
                b'V' => &mut refusal.severity, // not translated, as S is
                _ => continue,
            };
            *place = String::from_utf8_lossy(text).into_owned();
        }
        match refusal.state.is_empty() {
            true => Err(Malformed),
            false => Ok(refusal),
        }
    }

    /// Whether the session is over with this message. The class of the state doesn't tell: a foreign
    /// table's 08001, or a temporary file over its limit (53400), leave the session as it was.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    /// What it is to the request whose statement was refused.
    pub(super) fn failure(&self) -> Failure {
        Failure::Sql {
            state: self.state.clone(),
            raised: (self.state == "P0001").then(|| self.message.clone()),
        }
    }

    /// Whether the statement ran into its timeout.
    pub(super) fn is_timeout(&self) -> bool {
        self.state == "57014"
    }

    /// Whether it names what there is not, or not of that type (Postgres appendix A, class 42 and 3F000).
    /// 42501, a privilege, is of that class and says nothing of the statement.
    pub(super) fn is_undefined(&self) -> bool {
        self.state.starts_with("42") && self.state != "42501" || self.state == "3F000"
    }

    /// Whether the session may only read.
    pub(super) fn is_read_only(&self) -> bool {
        self.state == "25006"
    }

    /// Whether the connection's prepared statement is gone, or no longer fits the tables and types. What
    /// is found out before anything is run, at `Bind`, is also that it names what is no longer there. What
    /// the settings before it are refused for says nothing of it.
    pub(super) fn is_stale(&self, stage: Stage) -> bool {
        match self.state.as_str() {
            _ if stage == Stage::Settings => false,
            "26000" => true,
            _ if self.is_undefined() => stage == Stage::Bind,
            "0A000" => self.routine == "RevalidateCachedQuery",
            // A parameter's type was dropped and made again. Internal messages are not translated.
            "XX000" => self.message.starts_with("cache lookup failed for type"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use postgres_protocol::IsNull;
    use postgres_protocol::message::frontend;
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))
    }

    proptest! {
        #[test]
        fn a_statement_is_what_the_library_writes(
            name in "[a-z0-9]{1,8}",
            values in proptest::collection::vec(value(), 0..5),
        ) {
            let mut theirs = BytesMut::new();
            let write = |value: &Option<Vec<u8>>, out: &mut BytesMut| {
                Ok(match value {
                    Some(bytes) => {
                        out.extend_from_slice(bytes);
                        IsNull::No
                    }
                    None => IsNull::Yes,
                })
            };
            let bound = frontend::bind("", &name, [1], &values, write, [1], &mut theirs);
            prop_assert!(bound.is_ok());
            frontend::execute("", 0, &mut theirs).unwrap();
            frontend::sync(&mut theirs);

            let mut ours = b"before".to_vec();
            let parameters = |out: &mut Vec<u8>| {
                for value in &values {
                    append_parameter(value.as_deref(), out);
                }
            };
            append_statement(&bind_head(&name, values.len()), parameters, &mut ours);
            append_sync(&mut ours);
            prop_assert_eq!(&ours[6..], &theirs[..]);
        }

        #[test]
        fn a_row_gives_its_columns(values in proptest::collection::vec(value(), 0..5)) {
            let mut row = (values.len() as u16).to_be_bytes().to_vec();
            for value in &values {
                append_parameter(value.as_deref(), &mut row);
            }
            let columns: Vec<_> = columns(&row).map(|it| it.map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(columns, values);
        }

        #[test]
        fn a_row_that_is_cut_short_gives_fewer(cut in 0_usize..18) {
            // Two columns of four bytes: 2 + 4 + 4 + 4 + 4.
            let row = [&[0, 2][..], &[0, 0, 0, 4, 1, 2, 3, 4].repeat(2)].concat();
            let whole = cut.saturating_sub(2) / 8;
            prop_assert_eq!(columns(&row[..cut]).count(), whole);
        }
    }

    fn error(fields: &[(u8, &str)]) -> Vec<u8> {
        let mut body: Vec<u8> = fields
            .iter()
            .flat_map(|(tag, text)| [&[*tag], text.as_bytes(), b"\0"].concat())
            .collect();
        body.push(0);
        body
    }

    #[test]
    fn a_refusal_says_what_it_ends() {
        let fields = [
            (b'S', "FATALE"),
            (b'V', "FATAL"),
            (b'C', "57P01"),
            (b'M', "ende"),
        ];
        let refusal = Refusal::parse(&error(&fields)).unwrap();
        assert!(refusal.ends_connection() && !refusal.is_stale(Stage::Bind));
        assert_eq!((&*refusal.state, &*refusal.message), ("57P01", "ende"));

        let stale = [
            (b'V', "ERROR"),
            (b'C', "0A000"),
            (b'R', "RevalidateCachedQuery"),
        ];
        let refusal = Refusal::parse(&error(&stale)).unwrap();
        assert!(!refusal.ends_connection() && refusal.is_stale(Stage::Execute));
        let refused = Refusal::parse(&error(&stale[..2])).unwrap();
        assert!(!refused.is_stale(Stage::Bind));
        // A table that is gone is one that the statement names, or one of a function that it calls.
        let undefined = Refusal::parse(&error(&[(b'C', "42P01")])).unwrap();
        assert!(undefined.is_stale(Stage::Bind) && !undefined.is_stale(Stage::Execute));
        let gone = Refusal::parse(&error(&[(b'C', "26000")])).unwrap();
        assert!(gone.is_stale(Stage::Bind) && !gone.is_stale(Stage::Settings));
        let forbidden = Refusal::parse(&error(&[(b'C', "42501")])).unwrap();
        assert!(!forbidden.is_stale(Stage::Bind));
    }

    #[test]
    fn a_refusal_that_is_none_is_a_fault() {
        assert_eq!(
            Refusal::parse(&error(&[(b'M', "no state")])),
            Err(Malformed)
        );
        assert_eq!(Refusal::parse(b"C42P01"), Err(Malformed));
        assert_eq!(Refusal::parse(b""), Err(Malformed));
    }

    #[test]
    fn a_header_is_known_from_five_bytes_and_never_shorter_than_itself() {
        assert_eq!(header(b"Z\0\0\0").unwrap(), None);
        assert_eq!(header(b"Z\0\0\0\x05").unwrap(), Some((b'Z', 6)));
        assert_eq!(header(b"Z\0\0\0\x04").unwrap(), Some((b'Z', 5)));
        assert!(header(b"Z\0\0\0\x03").is_err());
        assert!(header(b"Z\xff\xff\xff\xff").is_err());
    }
}
