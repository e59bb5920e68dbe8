//! Taking one request after the other out of a connection's input.

use super::handler::{Handled, Handler, guarded};
use super::reply::Reply;
use super::transport::Transport;
use crate::config::Limits;
use crate::http::{
    BodyDecoder, Fault, Framing, Head, Method, Parsed, Persistence, Progress, Request, continue_100,
};

/// How far the current request has been read.
#[derive(Default)]
pub struct Reading {
    head: Head,
    /// Unread bytes that have been looked at and did not suffice.
    seen: usize,
    /// These are empty lines, which begin no request.
    blank: bool,
    body: Option<Body>,
    /// The request that was taken last may change what the next one sees.
    after_unsafe: bool,
    /// The head of a request is there, and waits until every earlier answer has been written.
    held: bool,
}

/// A request whose body has not arrived whole.
struct Body {
    /// The head's bytes, as the input goes on without them.
    head_bytes: Vec<u8>,
    decoder: BodyDecoder,
    bytes: Vec<u8>,
    /// The client waits for a 100 (RFC 9110 §10.1.1) which must come after earlier answers.
    continue_due: bool,
}

/// What came of looking at the input.
pub enum Taken {
    /// More bytes are needed.
    Nothing,
    /// A whole request, which the handler has begun to answer.
    Request {
        /// Its answer.
        handled: Handled,
        /// Whether the connection goes on, as far as the request is concerned.
        persistence: Persistence,
        /// Answered without a body.
        head_only: bool,
    },
    /// No request, or one that is not let in: answer and close.
    Refused {
        /// The answer.
        reply: Reply,
        /// Answered without a body.
        head_only: bool,
    },
}

impl Reading {
    /// Bytes that have been looked at: only more than these are of use.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Nothing of a request has been read.
    pub fn is_idle(&self) -> bool {
        (self.seen == 0 || self.blank) && self.body.is_none()
    }

    /// The head is complete and the body is not.
    pub fn in_body(&self) -> bool {
        self.body.is_some()
    }

    /// A request that is there has to wait for earlier answers: only safe ones may overlap (RFC 9112
    /// §9.3.2).
    pub fn holds_back(&self) -> bool {
        self.held
    }

    /// The client is not expected to send the body yet, as the 100 has to wait for earlier answers.
    pub fn holds_back_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.continue_due)
    }

    /// The request that is being read is HEAD, as far as is known: no answer to it has a body.
    pub fn is_of_head(&self) -> bool {
        self.head.method() == Method::Head
    }

    /// The request whose body has not arrived whole.
    pub fn request(&self) -> Option<Request<'_>> {
        let body = self.body.as_ref()?;
        Some(self.head.request(&body.head_bytes))
    }

    /// Takes one request. `company`: earlier ones whose answers have not been written.
    pub fn take<T: Transport, H: Handler>(
        &mut self,
        transport: &T,
        handler: &H,
        limits: &Limits,
        company: usize,
    ) -> Taken {
        let taken = match self.body.take() {
            None => self.take_head(transport, handler, limits, company),
            Some(body) => Ok(self.take_body(body, transport, handler, company)),
        };
        taken.unwrap_or_else(|fault| Taken::Refused {
            reply: handler.fault(None, fault.status(), fault.message()),
            head_only: self.is_of_head(),
        })
    }

    fn take_head<T: Transport, H: Handler>(
        &mut self,
        transport: &T,
        handler: &H,
        limits: &Limits,
        company: usize,
    ) -> Result<Taken, Fault> {
        let unread = transport.unread();
        let first_in_line = company == 0;
        let worth_a_look = match self.held {
            true => first_in_line,
            false => unread > self.seen,
        };
        if !worth_a_look {
            return Ok(Taken::Nothing);
        }
        self.held = false;
        let head = &mut self.head;
        let (taken, consumed) = transport.with_input(|input| -> Result<_, Fault> {
            match head.parse(input, &limits.head)? {
                Parsed::Partial => {
                    self.blank = input.iter().all(|octet| b"\r\n".contains(octet));
                    return Ok((None, 0));
                }
                Parsed::Complete => {}
            }
            let is_safe = head.method().is_safe();
            if !first_in_line && (self.after_unsafe || !is_safe) {
                (self.held, self.blank) = (true, false);
                return Ok((None, 0));
            }
            self.after_unsafe = !is_safe;
            if head.framing() == Framing::None {
                let handled = guarded(handler, &head.request(input), b"", company);
                return Ok((Some(begun(head, handled)), head.len()));
            }
            let (decoder, bytes, progress) = match begin_body(head, input, handler, limits) {
                Ok(begun) => begun,
                Err(refused) => return Ok((Some(refused), head.len())),
            };
            let consumed = head.len() + progress.consumed;
            if progress.done {
                let handled = guarded(handler, &head.request(input), &bytes, company);
                return Ok((Some(begun(head, handled)), consumed));
            }
            self.body = Some(Body {
                head_bytes: input[..head.len()].to_vec(),
                decoder,
                bytes,
                continue_due: head.expects_continue(),
            });
            Ok((None, consumed))
        })?;
        transport.consume(consumed);
        match taken {
            Some(taken) => {
                self.seen = 0;
                self.head.reset();
                Ok(taken)
            }
            None if self.body.is_some() => {
                self.seen = 0;
                self.continue_if_due(transport, company);
                Ok(Taken::Nothing)
            }
            None => {
                self.seen = unread;
                Ok(Taken::Nothing)
            }
        }
    }

    fn take_body<T: Transport, H: Handler>(
        &mut self,
        mut body: Body,
        transport: &T,
        handler: &H,
        company: usize,
    ) -> Taken {
        let decoder = &mut body.decoder;
        let progress = match transport.with_input(|input| decoder.decode(input, &mut body.bytes)) {
            Ok(progress) => progress,
            Err(fault) => return refused(&self.head, &body.head_bytes, handler, fault),
        };
        transport.consume(progress.consumed);
        if !progress.done {
            self.body = Some(body);
            self.continue_if_due(transport, company);
            return Taken::Nothing;
        }
        let head = &self.head;
        let request = head.request(&body.head_bytes);
        let handled = guarded(handler, &request, &body.bytes, company);
        let taken = begun(head, handled);
        self.head.reset();
        taken
    }

    fn continue_if_due<T: Transport>(&mut self, transport: &T, company: usize) {
        if let Some(body) = &mut self.body
            && company == 0
            && std::mem::take(&mut body.continue_due)
        {
            transport.write(continue_100);
        }
    }
}

fn begun(head: &Head, handled: Handled) -> Taken {
    Taken::Request {
        handled,
        persistence: head.persistence(false),
        head_only: head.method() == Method::Head,
    }
}

/// Reads what is there of the body behind a head, unless the request is refused for its head alone or for
/// this body.
fn begin_body<H: Handler>(
    head: &Head,
    input: &[u8],
    handler: &H,
    limits: &Limits,
) -> Result<(BodyDecoder, Vec<u8>, Progress), Taken> {
    let refused = |fault| refused(head, input, handler, fault);
    let mut decoder = BodyDecoder::new(head.framing(), limits.body_bytes).map_err(refused)?;
    // Asked of those alone who wait for it: whether the body of another is here already, and so whether
    // the connection goes on, would be the network's choice.
    if head.expects_continue()
        && let Some(reply) = handler.refuse_early(&head.request(input))
    {
        let head_only = head.method() == Method::Head;
        return Err(Taken::Refused { reply, head_only });
    }
    let mut bytes = Vec::new();
    let progress = decoder
        .decode(&input[head.len()..], &mut bytes)
        .map_err(refused)?;
    Ok((decoder, bytes, progress))
}

/// The answer to a body whose end can't be known, or that is too large.
fn refused<H: Handler>(head: &Head, head_bytes: &[u8], handler: &H, fault: Fault) -> Taken {
    let request = head.request(head_bytes);
    Taken::Refused {
        reply: handler.fault(Some(&request), fault.status(), fault.message()),
        head_only: head.method() == Method::Head,
    }
}
