//! HTTP/1.1 as pure code over bytes (RFC 9110, RFC 9112): no sockets, no clocks.
//!
//! In: [`Head::parse`] reads a request head from the unread bytes of a connection, [`Head::request`]
//! shows it, [`BodyDecoder`] takes the framing off the body that follows. "More bytes are needed"
//! is an outcome of both, never a failure. Out: [`Response::write`].
//!
//! Strict by construction: where two readers of the same bytes could disagree about where a request
//! ends, there is a [`Fault`] and nothing after it is read.

mod body;
mod chunk_line;
mod date;
mod decode;
mod fault;
mod head;
mod headers;
mod method;
mod request;
mod response;
mod syntax;
mod target;

pub use body::{BodyDecoder, Framing, Progress};
pub use date::{DATE_BYTES, imf_fixdate};
pub use decode::{DecodeFault, QueryPairs, decode_query_part, decode_segment, normalize_path};
pub use fault::Fault;
pub use head::{Head, HeadLimits, Parsed};
pub use method::{Method, Version};
pub use request::Request;
pub use response::{Envelope, ErrorBody, JSON, Persistence, Response, continue_100, write_head};

#[cfg(test)]
mod tests;
