//! What can be wrong with the bytes of a request: a variant per fault.

/// A fault in the bytes of a request, found by the head parser or the body decoder.
///
/// After any of them the end of the request is not known for certain: the server answers with
/// [`status`](Fault::status), closes, and never interprets what follows (RFC 9112 §11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// More empty lines before the request line than are skipped (RFC 9112 §2.2).
    EmptyLines,
    /// A CR that no LF follows (RFC 9112 §2.2).
    BareCarriageReturn,
    /// An LF that no CR precedes. RFC 9112 §2.2 lets a recipient take it; two that differ can be split.
    BareLineFeed,
    /// The method is not a token followed by one space (RFC 9112 §3).
    MalformedMethod,
    /// The method is none that this server knows, or CONNECT or TRACE (RFC 9110 §9.1): 501.
    UnknownMethod,
    /// An empty target, or an octet in it that no URI has (RFC 9112 §3.2).
    MalformedTarget,
    /// `#` in the target: fragments are never sent (RFC 9112 §3.2, RFC 9110 §7.1).
    FragmentInTarget,
    /// Neither origin-form, nor absolute-form of http, nor `*` with OPTIONS (RFC 9112 §3.2).
    UnsupportedTargetForm,
    /// An https target on a connection that is not secured (RFC 9110 §7.4): 421.
    MisdirectedTarget,
    /// The target is longer than the limit (RFC 9110 §15.5.15): 414.
    TargetTooLong,
    /// The request line ends after the target: HTTP/0.9 (RFC 9112 §3).
    MissingVersion,
    /// What follows the target is not exactly `HTTP/d.d` and CRLF (RFC 9112 §2.3).
    MalformedVersion,
    /// A major version other than 1, the HTTP/2 preface among them (RFC 9110 §15.6.6): 505.
    UnsupportedVersion,
    /// A field line without a name, without a colon, or with an octet in the name that is no `tchar`.
    MalformedFieldName,
    /// Whitespace between field name and colon (RFC 9112 §5.1).
    WhitespaceBeforeColon,
    /// A line that begins with whitespace (RFC 9112 §2.2 after the request line, §5.2 after a field).
    FoldedLine,
    /// A control octet in a field value (RFC 9110 §5.5).
    MalformedFieldValue,
    /// More fields than the limit (RFC 6585 §5): 431.
    TooManyFields,
    /// A head longer than the limit (RFC 6585 §5): 431.
    HeadTooLarge,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    MissingHost,
    /// More than one Host (RFC 9112 §3.2).
    RepeatedHost,
    /// A Host, or an authority of the target, that is not `uri-host [ ":" port ]` (RFC 9110 §7.2).
    InvalidHost,
    /// A Content-Length that is not digits only, or past 64 bits (RFC 9112 §6.3).
    InvalidContentLength,
    /// More than one Content-Length, even an equal one. RFC 9112 §6.3 would let equal ones pass.
    RepeatedContentLength,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1): how requests are smuggled.
    AmbiguousLength,
    /// A Transfer-Encoding in which `chunked` is not last and once (RFC 9112 §6.3), or in HTTP/1.0.
    InvalidTransferEncoding,
    /// Another transfer coding under `chunked` (RFC 9112 §6.1): 501.
    UnsupportedTransferCoding,
    /// An Expect other than `100-continue` (RFC 9110 §10.1.1): 417.
    UnknownExpectation,
    /// A chunk size that is not hexadecimal digits only, or past 64 bits (RFC 9112 §7.1).
    InvalidChunkSize,
    /// A chunk extension outside its grammar (RFC 9112 §7.1.1).
    InvalidChunkExtension,
    /// A chunk-size line, or the extensions of all chunks together, past the limit (RFC 9112 §7.1.1).
    ChunkLineTooLong,
    /// Chunk data that does not end with CRLF after its size (RFC 9112 §7.1).
    InvalidChunkEnd,
    /// A trailer section longer than the limit (RFC 6585 §5): 431.
    TrailersTooLarge,
    /// A body, declared or received, longer than the limit (RFC 9110 §15.5.14): 413.
    BodyTooLarge,
}

impl Fault {
    /// The status code to answer with before closing.
    pub fn status(self) -> u16 {
        match self {
            Fault::BodyTooLarge => 413,
            Fault::TargetTooLong => 414,
            Fault::UnknownExpectation => 417,
            Fault::MisdirectedTarget => 421,
            Fault::TooManyFields | Fault::HeadTooLarge | Fault::TrailersTooLarge => 431,
            Fault::UnknownMethod | Fault::UnsupportedTransferCoding => 501,
            Fault::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// One line for the error body: says what is wrong, never echoes what was sent.
    pub fn message(self) -> &'static str {
        match self {
            Fault::EmptyLines => "Too many empty lines before the request line",
            Fault::BareCarriageReturn => "CR without LF",
            Fault::BareLineFeed => "LF without CR",
            Fault::MalformedMethod => "Malformed method",
            Fault::UnknownMethod => "Method not implemented",
            Fault::MalformedTarget => "Malformed request target",
            Fault::FragmentInTarget => "Fragment in request target",
            Fault::UnsupportedTargetForm => "Unsupported form of request target",
            Fault::MisdirectedTarget => "This connection is not secured, as https has to be",
            Fault::TargetTooLong => "Request target too long",
            Fault::MissingVersion => "Request line without HTTP version",
            Fault::MalformedVersion => "Malformed HTTP version",
            Fault::UnsupportedVersion => "HTTP version not supported",
            Fault::MalformedFieldName => "Malformed header field name",
            Fault::WhitespaceBeforeColon => "Whitespace between header field name and colon",
            Fault::FoldedLine => "Header line begins with whitespace",
            Fault::MalformedFieldValue => "Control character in header field value",
            Fault::TooManyFields => "Too many header fields",
            Fault::HeadTooLarge => "Request header fields too large",
            Fault::MissingHost => "Host header field missing",
            Fault::RepeatedHost => "Host header field repeated",
            Fault::InvalidHost => "Invalid host",
            Fault::InvalidContentLength => "Invalid Content-Length",
            Fault::RepeatedContentLength => "Content-Length repeated",
            Fault::AmbiguousLength => "Content-Length together with Transfer-Encoding",
            Fault::InvalidTransferEncoding => "Invalid Transfer-Encoding",
            Fault::UnsupportedTransferCoding => "Transfer coding not implemented",
            Fault::UnknownExpectation => "Expectation failed",
            Fault::InvalidChunkSize => "Invalid chunk size",
            Fault::InvalidChunkExtension => "Invalid chunk extension",
            Fault::ChunkLineTooLong => "Chunk size line too long",
            Fault::InvalidChunkEnd => "Chunk data without CRLF",
            Fault::TrailersTooLarge => "Trailer fields too large",
            Fault::BodyTooLarge => "Request body too large",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for Fault {}
