//! What a handler answers, before it is known how the connection goes on.

use std::time::Instant;

use crate::guard::{RequestId, Trail};
use crate::http::{Envelope, ErrorBody, JSON, Response};

/// One answer: status, fields and body.
#[derive(Debug)]
pub struct Reply {
    /// RFC 9110 §15.
    pub status: u16,
    /// Empty for none.
    pub content_type: &'static str,
    /// Further fields.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// The content.
    pub body: Body,
    /// What is said beside the answer.
    pub trail: Option<Box<Trail>>,
    /// Its statement was sent, and Postgres' answer had come, or was given up; both the latter where it has only
    /// waited.
    pub asked: Option<(Instant, Instant)>,
    /// Nothing that follows on this connection may be read.
    pub close: bool,
    /// It was made in place of the one whose making panicked.
    pub panicked: bool,
}

/// The content of a reply.
#[derive(Debug)]
pub enum Body {
    /// Known before any request.
    Static(&'static [u8]),
    /// Made for this request.
    Owned(Vec<u8>),
}

impl Body {
    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Body::Static(body) => body,
            Body::Owned(body) => body,
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }
}

impl Reply {
    /// A JSON document that never changes.
    pub fn fixed(status: u16, body: &'static [u8]) -> Reply {
        Reply {
            status,
            content_type: JSON,
            fields: Vec::new(),
            body: Body::Static(body),
            trail: None,
            asked: None,
            close: false,
            panicked: false,
        }
    }

    /// A JSON document made for this request.
    pub fn json(status: u16, body: Vec<u8>) -> Reply {
        Reply {
            body: Body::Owned(body),
            ..Reply::fixed(status, b"")
        }
    }

    /// No content (204).
    pub fn empty() -> Reply {
        Reply {
            content_type: "",
            ..Reply::fixed(204, b"")
        }
    }

    /// The error body of every fault: `{"error": …, "code": …, "request_id": …}`, and `details`,
    /// an encoded JSON array, where there are any.
    pub fn error(status: u16, message: &str, id: &RequestId, details: Option<&[u8]>) -> Reply {
        let mut body = Vec::with_capacity(128);
        ErrorBody {
            error: message,
            code: status,
            request_id: id.as_str(),
            details,
        }
        .append(&mut body);
        Reply::json(status, body)
    }

    /// Adds a field.
    pub fn field(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.fields.push((name, value.into()));
    }

    /// The answer is there: now it is known how long it took.
    pub(super) fn ended(mut self, mut trail: Box<Trail>) -> Reply {
        trail.end(Instant::now());
        self.trail = Some(trail);
        self
    }

    /// Marks the reply as one in place of a panic.
    pub fn panicked(mut self) -> Reply {
        self.panicked = true;
        self
    }

    /// Marks the reply as the last of its connection.
    pub fn closing(mut self) -> Reply {
        self.close = true;
        self
    }

    /// Appends the whole response to `out`.
    pub fn write(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
        let fields: Vec<(&str, &[u8])> = self
            .fields
            .iter()
            .map(|(name, value)| (*name, value.as_slice()))
            .collect();
        let response = Response {
            status: self.status,
            content_type: self.content_type,
            fields: &fields,
            body: self.body.as_slice(),
        };
        response.write(envelope, |out| self.append_trail(out), out);
    }

    fn append_trail(&self, out: &mut Vec<u8>) {
        if let Some(trail) = &self.trail {
            trail.append(out);
        }
    }
}
