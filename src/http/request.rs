//! A complete request head with its texts.

use super::body::Framing;
use super::decode::QueryPairs;
use super::head::Head;
use super::headers::{Field, Span};
use super::method::{Method, Version};
use super::syntax::trim;

/// A view of a complete [`Head`] over the bytes in which it was found.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    head: &'a Head,
    bytes: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn new(head: &'a Head, input: &'a [u8]) -> Request<'a> {
        Request {
            head,
            bytes: &input[..head.len()],
        }
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method {
        self.head.method()
    }

    /// The protocol version.
    #[inline]
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// How the end of the body is found.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.head.framing()
    }

    /// The path as sent, still percent-encoded: begins with `/`, or is `*` (OPTIONS only).
    #[inline]
    pub fn path(&self) -> &'a str {
        match self.text(self.head.target.path) {
            // RFC 9112 §3.2.4: an absolute-form of OPTIONS without a path is about the server.
            "" if self.method() == Method::Options && self.head.target.query.is_none() => "*",
            "" => "/",
            path => path,
        }
    }

    /// What stands after the first `?` of the target, as sent; `None` where there is no `?`.
    #[inline]
    pub fn query(&self) -> Option<&'a str> {
        self.head.target.query.map(|query| self.text(query))
    }

    /// The parameters of the query, decoded one by one.
    #[inline]
    pub fn query_pairs(&self) -> QueryPairs<'a> {
        QueryPairs::new(self.query().unwrap_or(""))
    }

    /// Host and port that the request is for (RFC 9112 §3.3): of an absolute-form target, else of
    /// the Host field. `None` only in HTTP/1.0.
    #[inline]
    pub fn host(&self) -> Option<&'a str> {
        let host = self.head.target.authority.or(self.head.facts.host);
        host.map(|host| self.text(host))
    }

    /// Value of the (first) Content-Type field.
    #[inline]
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.head
            .facts
            .content_type
            .map(|value| value.of(self.bytes))
    }

    /// Type and subtype of the Content-Type, without parameters; compare it ignoring case
    /// (RFC 9110 §8.3.1).
    #[inline]
    pub fn media_type(&self) -> Option<&'a [u8]> {
        let content_type = self.content_type()?;
        content_type.split(|&octet| octet == b';').next().map(trim)
    }

    /// Value of the Origin field (RFC 6454 §7); empty, as no origin is, where there are several.
    #[inline]
    pub fn origin(&self) -> Option<&'a [u8]> {
        self.head.facts.origin.map(|value| value.of(self.bytes))
    }

    /// Whether the request is only for a representation that has one of some entity tags: an
    /// If-Match other than `*` (RFC 9110 §13.1.1).
    #[inline]
    pub fn wants_entity_tag(&self) -> bool {
        self.head.facts.wants_entity_tag
    }

    /// Value of the first field named `name`, ignoring case, without the whitespace around it.
    #[inline]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let matches = |field: &&Field| {
            field
                .name
                .of(self.bytes)
                .eq_ignore_ascii_case(name.as_bytes())
        };
        self.head
            .fields
            .iter()
            .find(matches)
            .map(|field| field.value.of(self.bytes))
    }

    /// Every field in order: name as sent (ASCII), value without the whitespace around it.
    #[inline]
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let request = *self;
        request
            .head
            .fields
            .iter()
            .map(move |field| (request.text(field.name), field.value.of(request.bytes)))
    }

    #[inline]
    fn text(&self, span: Span) -> &'a str {
        std::str::from_utf8(span.of(self.bytes))
            .expect("names, targets and hosts pass the parser in ASCII only")
    }
}
