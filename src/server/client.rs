//! Who answers the requests of one connection: what its core serves at that time, which is told where they
//! come from.

use std::rc::Rc;
use std::time::Instant;

use super::handler::{Handled, Handler};
use super::reply::Reply;
use super::succession::Current;
use crate::guard::Peer;
use crate::http::{DATE_BYTES, Request};
use crate::log::RequestLog;
use crate::metrics::Recorder;

/// The client of one connection.
pub struct Client {
    current: Rc<Current>,
    peer: Peer,
}

impl Client {
    /// A client that has connected to the core.
    pub fn new(current: Rc<Current>, peer: Peer) -> Rc<Client> {
        Rc::new(Client { current, peer })
    }
}

impl Handler for Client {
    fn handle(&self, request: &Request<'_>, body: &[u8], company: usize) -> Handled {
        self.current
            .core()
            .handle(self.peer, request, body, company)
    }

    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply> {
        self.current.core().refuse_early(self.peer, request)
    }

    fn fault(&self, request: Option<&Request<'_>>, status: u16, message: &str) -> Reply {
        self.current
            .core()
            .fault(self.peer, request, status, message)
    }

    fn recorder(&self) -> &Recorder {
        self.current.recorder()
    }

    fn request_log(&self) -> &RequestLog {
        self.current.request_log()
    }

    fn draining(&self) -> bool {
        self.current.core().draining()
    }

    fn dismisses(&self) -> bool {
        self.current.dismisses()
    }

    fn now(&self) -> Instant {
        self.current.core().now()
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        self.current.core().date()
    }
}
