//! The response writer: status line, fields and body in one go into the output buffer.

use super::date::DATE_BYTES;
use super::syntax::{field_value_end, is_field_value, token_end};
use crate::json::write_string;

/// What a response says about the connection (RFC 9112 §9.3, §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Stays open, as HTTP/1.1 does by itself: nothing is said.
    Implied,
    /// Stays open, and an HTTP/1.0 client has to be told.
    KeepAlive,
    /// Closes after this response.
    Close,
}

/// What a response needs to know of its connection and request.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// The current second as IMF-fixdate, from [`imf_fixdate`](super::imf_fixdate).
    pub date: &'a [u8; DATE_BYTES],
    /// From [`Head::persistence`](super::Head::persistence), or `Close` after a fault.
    pub persistence: Persistence,
    /// Whether the request was HEAD: every field of the response to GET, but not its body
    /// (RFC 9110 §9.3.2).
    pub head_only: bool,
}

/// One final response.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// Status code, 200 to 999.
    pub status: u16,
    /// Content-Type; empty for none.
    pub content_type: &'a str,
    /// Further fields, names in lower case by convention. Not those that the writer sends itself.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// The body; ignored where the status allows none (204, 304).
    pub body: &'a [u8],
}

impl Response<'_> {
    /// Appends the whole response to `out`; `append_lines` appends field lines of its own, which are well
    /// formed and none of those that the writer sends itself.
    pub fn write(
        &self,
        envelope: &Envelope<'_>,
        append_lines: impl FnOnce(&mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        write_head(self, self.body.len(), envelope, append_lines, out);
        if !envelope.head_only && allows_content(self.status) {
            out.extend_from_slice(self.body);
        }
    }
}

/// Appends status line and fields for a body of `content_length` bytes, which the caller appends
/// after it (unless the request was HEAD). `response.body` is not looked at.
pub fn write_head(
    response: &Response<'_>,
    content_length: usize,
    envelope: &Envelope<'_>,
    append_lines: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    debug_assert!((200..=999).contains(&response.status));
    debug_assert!(!response.fields.iter().any(|(name, _)| is_own_field(name)));
    out.reserve(HEAD_BYTES_TYPICAL + content_length);
    append_status_line(response.status, out);
    if allows_content(response.status) {
        match response.content_type {
            "" => {}
            // Nearly every response; there is nothing in it to be checked.
            JSON => out.extend_from_slice(b"content-type: application/json\r\n"),
            other => append_field("content-type", other.as_bytes(), out),
        }
        out.extend_from_slice(b"content-length: ");
        append_number(content_length, out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(envelope.date);
    out.extend_from_slice(match envelope.persistence {
        Persistence::Implied => b"\r\n",
        Persistence::KeepAlive => b"\r\nconnection: keep-alive\r\n",
        Persistence::Close => b"\r\nconnection: close\r\n",
    });
    for (name, value) in response.fields {
        append_field(name, value, out);
    }
    append_lines(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the interim response that asks for the body (RFC 9110 §15.2.1).
pub fn continue_100(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Content-Type of everything that this server says itself.
pub const JSON: &str = "application/json";

/// The body of an error response.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBody<'a> {
    /// What is wrong, for the reader.
    pub error: &'a str,
    /// The status code again.
    pub code: u16,
    /// The id under which the request is logged.
    pub request_id: &'a str,
    /// What is wrong in particular: a JSON array, already encoded.
    pub details: Option<&'a [u8]>,
}

impl ErrorBody<'_> {
    /// Appends `{"error": …, "code": …, "request_id": …}`, with `"details"` where there are any.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"error\":");
        write_string(self.error, out);
        out.extend_from_slice(b",\"code\":");
        append_number(self.code, out);
        out.extend_from_slice(b",\"request_id\":");
        write_string(self.request_id, out);
        if let Some(details) = self.details {
            out.extend_from_slice(b",\"details\":");
            out.extend_from_slice(details);
        }
        out.push(b'}');
    }
}

/// Room for status line and fields of nearly every response, so that the buffer grows once.
const HEAD_BYTES_TYPICAL: usize = 768;

/// Whether a response of that status has content and says how long it is (RFC 9110 §6.4.1, §8.6).
fn allows_content(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

/// Fields of which the writer sends exactly one itself: a second would reframe the response.
fn is_own_field(name: &str) -> bool {
    [
        "content-length",
        "transfer-encoding",
        "connection",
        "content-type",
        "date",
    ]
    .iter()
    .any(|own| own.eq_ignore_ascii_case(name))
}

/// Appends a field line that ends where it should whatever `value` holds: an octet that no value
/// may have, CR and LF above all, becomes a space (RFC 9110 §5.5). A name that is no token can't be
/// mended, so its field is left out.
fn append_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    if name.is_empty() || token_end(name.as_bytes(), 0) < name.len() {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if field_value_end(value, 0) == value.len() {
        out.extend_from_slice(value);
    } else {
        out.extend(
            value
                .iter()
                .map(|&octet| if is_field_value(octet) { octet } else { b' ' }),
        );
    }
    out.extend_from_slice(b"\r\n");
}

fn append_number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn append_status_line(status: u16, out: &mut Vec<u8>) {
    let line: &[u8] = match status {
        200 => b"HTTP/1.1 200 OK\r\n",
        201 => b"HTTP/1.1 201 Created\r\n",
        202 => b"HTTP/1.1 202 Accepted\r\n",
        204 => b"HTTP/1.1 204 No Content\r\n",
        301 => b"HTTP/1.1 301 Moved Permanently\r\n",
        302 => b"HTTP/1.1 302 Found\r\n",
        303 => b"HTTP/1.1 303 See Other\r\n",
        304 => b"HTTP/1.1 304 Not Modified\r\n",
        307 => b"HTTP/1.1 307 Temporary Redirect\r\n",
        308 => b"HTTP/1.1 308 Permanent Redirect\r\n",
        400 => b"HTTP/1.1 400 Bad Request\r\n",
        401 => b"HTTP/1.1 401 Unauthorized\r\n",
        403 => b"HTTP/1.1 403 Forbidden\r\n",
        404 => b"HTTP/1.1 404 Not Found\r\n",
        405 => b"HTTP/1.1 405 Method Not Allowed\r\n",
        406 => b"HTTP/1.1 406 Not Acceptable\r\n",
        408 => b"HTTP/1.1 408 Request Timeout\r\n",
        409 => b"HTTP/1.1 409 Conflict\r\n",
        410 => b"HTTP/1.1 410 Gone\r\n",
        412 => b"HTTP/1.1 412 Precondition Failed\r\n",
        413 => b"HTTP/1.1 413 Content Too Large\r\n",
        414 => b"HTTP/1.1 414 URI Too Long\r\n",
        415 => b"HTTP/1.1 415 Unsupported Media Type\r\n",
        417 => b"HTTP/1.1 417 Expectation Failed\r\n",
        421 => b"HTTP/1.1 421 Misdirected Request\r\n",
        422 => b"HTTP/1.1 422 Unprocessable Content\r\n",
        429 => b"HTTP/1.1 429 Too Many Requests\r\n",
        431 => b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        500 => b"HTTP/1.1 500 Internal Server Error\r\n",
        501 => b"HTTP/1.1 501 Not Implemented\r\n",
        502 => b"HTTP/1.1 502 Bad Gateway\r\n",
        503 => b"HTTP/1.1 503 Service Unavailable\r\n",
        504 => b"HTTP/1.1 504 Gateway Timeout\r\n",
        505 => b"HTTP/1.1 505 HTTP Version Not Supported\r\n",
        _ => return append_bare_status_line(status, out),
    };
    out.extend_from_slice(line);
}

/// A status code that a route declares and no table knows: the reason is empty (RFC 9112 §4).
#[cold]
fn append_bare_status_line(status: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    append_number(status, out);
    out.extend_from_slice(b" \r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::imf_fixdate;
    use proptest::prelude::*;

    fn written(response: &Response<'_>, persistence: Persistence, head_only: bool) -> String {
        let date = imf_fixdate(784_111_777);
        let mut out = b"before|".to_vec();
        response.write(
            &Envelope {
                date: &date,
                persistence,
                head_only,
            },
            |_| (),
            &mut out,
        );
        String::from_utf8(out)
            .unwrap()
            .strip_prefix("before|")
            .unwrap()
            .to_owned()
    }

    const HELLO: Response<'_> = Response {
        status: 200,
        content_type: JSON,
        fields: &[],
        body: b"{\"a\":1}",
    };

    #[test]
    fn one_response_whole() {
        assert_eq!(
            written(&HELLO, Persistence::Implied, false),
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\
             date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n{\"a\":1}"
        );
    }

    #[test]
    fn head_has_every_field_and_no_body() {
        let get = written(&HELLO, Persistence::Implied, false);
        let head = written(&HELLO, Persistence::Implied, true);
        assert_eq!(get, head + "{\"a\":1}");
    }

    #[test]
    fn persistence_is_said_where_it_has_to_be() {
        let connection = |persistence| {
            let text = written(&HELLO, persistence, false);
            text.lines()
                .find_map(|line| line.strip_prefix("connection: ").map(str::to_owned))
        };
        assert_eq!(connection(Persistence::Implied), None);
        assert_eq!(
            connection(Persistence::KeepAlive).as_deref(),
            Some("keep-alive")
        );
        assert_eq!(connection(Persistence::Close).as_deref(), Some("close"));
    }

    #[test]
    fn statuses_without_content() {
        for status in [204, 304] {
            let text = written(&Response { status, ..HELLO }, Persistence::Implied, false);
            assert!(!text.contains("content-"), "{text}");
            assert!(text.ends_with("GMT\r\n\r\n"), "{text}");
        }
        let empty = Response {
            status: 200,
            content_type: "",
            body: b"",
            ..HELLO
        };
        assert!(written(&empty, Persistence::Implied, false).contains("content-length: 0\r\n"));
        let fields = Response {
            fields: &[("allow", b"GET, HEAD")],
            status: 204,
            ..HELLO
        };
        assert!(
            written(&fields, Persistence::Implied, false).ends_with("\r\nallow: GET, HEAD\r\n\r\n")
        );
    }

    #[test]
    fn every_status_line_has_its_own_code() {
        for status in 200..=999u16 {
            let text = written(&Response { status, ..HELLO }, Persistence::Close, false);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let mut parsed = httparse::Response::new(&mut fields);
            assert!(parsed.parse(text.as_bytes()).unwrap().is_complete());
            assert_eq!(parsed.code, Some(status));
        }
    }

    #[test]
    fn interim_response() {
        let mut out = Vec::new();
        continue_100(&mut out);
        assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn error_bodies() {
        let mut body = ErrorBody {
            error: "User not found",
            code: 404,
            request_id: "r-1",
            details: None,
        };
        let mut out = Vec::new();
        body.append(&mut out);
        assert_eq!(
            out,
            br#"{"error":"User not found","code":404,"request_id":"r-1"}"#
        );
        out.clear();
        body.code = 422;
        body.details = Some(br#"[{"msg":"m"}]"#);
        body.append(&mut out);
        assert!(out.ends_with(br#""code":422,"request_id":"r-1","details":[{"msg":"m"}]}"#));
    }

    proptest! {
        #[test]
        fn error_bodies_say_any_text(error in any::<String>(), request_id in any::<String>()) {
            use sonic_rs::JsonValueTrait;
            let mut out = Vec::new();
            ErrorBody { error: &error, code: 400, request_id: &request_id, details: None }.append(&mut out);
            let value: sonic_rs::Value = sonic_rs::from_slice(&out).unwrap();
            prop_assert_eq!(value["error"].as_str(), Some(error.as_str()));
            prop_assert_eq!(value["request_id"].as_str(), Some(request_id.as_str()));
        }

        #[test]
        fn no_field_reaches_past_its_line(
            name in "[xyz\r\n: ]{0,6}",
            value in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..20),
        ) {
            let response = Response { fields: &[(&name, &value)], body: b"", ..HELLO };
            let date = imf_fixdate(0);
            let mut out = Vec::new();
            let envelope = Envelope { date: &date, persistence: Persistence::Implied, head_only: false };
            response.write(&envelope, |_| (), &mut out);
            let mut fields = [httparse::EMPTY_HEADER; 8];
            let mut parsed = httparse::Response::new(&mut fields);
            prop_assert_eq!(parsed.parse(&out), Ok(httparse::Status::Complete(out.len())));
            let token = !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_lowercase());
            prop_assert_eq!(parsed.headers.len(), 3 + usize::from(token));
        }
    }
}
