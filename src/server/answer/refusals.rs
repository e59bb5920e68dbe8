//! The answers of requests that get nowhere, and of those that Postgres did not answer.

use super::super::reply::Reply;
use crate::api::{BindFault, Detail};
use crate::error::Failure;
use crate::guard::RequestId;
use crate::guard::auth::Refused;
use crate::http::{Method, Request};

/// The answer to OPTIONS, and to a method that the path does not know: both say which it does.
pub(super) fn allowing(allow: &str, options: bool, id: &RequestId) -> Reply {
    let mut reply = match options {
        true => Reply::empty(),
        false => Reply::error(405, "Method not allowed", id, None),
    };
    reply.field("allow", allow);
    reply
}

/// The answer to what could not be asked of Postgres, or came to nothing there.
pub(super) fn failed(failure: &Failure, id: &RequestId) -> Reply {
    let (status, message) = failure.answer();
    tracing::debug!(request_id = %id, status, "failed");
    let mut reply = Reply::error(status, &message, id, None);
    if let Some(seconds) = failure.retry_after() {
        reply.field("retry-after", seconds.to_string());
    }
    reply
}

/// The answer to whom the route is not for. Whatever the reason is, the client sees the same.
pub(super) fn unauthorized(refused: &Refused, route: &str, id: &RequestId) -> Reply {
    tracing::debug!(route, request_id = %id, reason = %refused.reason, "refused");
    let message = match refused.status {
        403 => "Forbidden",
        _ => "Unauthorized",
    };
    let mut reply = Reply::error(refused.status, message, id, None);
    for challenge in &refused.challenges {
        reply.field("www-authenticate", *challenge);
    }
    reply
}

/// The answer to values that are not what the route declares.
pub(super) fn unbound(fault: &BindFault, id: &RequestId) -> Reply {
    match fault {
        BindFault::MediaType => {
            let mut reply = Reply::error(415, "The body has to be application/json", id, None);
            reply.field("accept", "application/json");
            reply
        }
        BindFault::ContentCoding => {
            let message = "The body must not have a content coding";
            let mut reply = Reply::error(415, message, id, None);
            // Says that it is the coding and not the type (RFC 9110 §12.5.3).
            reply.field("accept-encoding", "identity");
            reply
        }
        // Only of a route whose identity is known, which is answered before.
        BindFault::Claims(_) => Reply::error(403, "Forbidden", id, None),
        BindFault::Malformed(message) => Reply::error(400, message, id, None),
        BindFault::Invalid(details) => {
            let mut list = Vec::new();
            Detail::write_all(details, &mut list);
            Reply::error(422, "Validation failed", id, Some(&list))
        }
    }
}

/// The answer to what a request asks on conditions that can't hold here. No representation has an
/// entity tag, so none has the one that an If-Match names, and the method must not be performed
/// (RFC 9110 §13.1.1); what a part of a representation would replace is not known (§14.5).
pub(super) fn unmet(request: &Request<'_>, id: &RequestId) -> Option<Reply> {
    let (status, message) = if request.wants_entity_tag() {
        (
            412,
            "There are no entity tags here that If-Match could name",
        )
    } else if request.method() == Method::Put && request.header("content-range").is_some() {
        (400, "A PUT replaces the whole: it has no Content-Range")
    } else {
        return None;
    };
    Some(Reply::error(status, message, id, None))
}
