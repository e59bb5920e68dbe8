//! Who answers the requests of one connection: its core, which is told where they come from.

use std::rc::Rc;
use std::time::Instant;

use super::answer::Core;
use super::handler::{Handled, Handler};
use super::reply::Reply;
use crate::guard::Peer;
use crate::http::{DATE_BYTES, Request};
use crate::log::RequestLog;
use crate::metrics::Recorder;

/// The client of one connection.
pub struct Client {
    core: Rc<Core>,
    peer: Peer,
}

impl Client {
    /// A client that has connected to `core`.
    pub fn new(core: Rc<Core>, peer: Peer) -> Rc<Client> {
        Rc::new(Client { core, peer })
    }
}

impl Handler for Client {
    fn handle(&self, request: &Request<'_>, body: &[u8], company: usize) -> Handled {
        self.core.handle(self.peer, request, body, company)
    }

    fn refuse_early(&self, request: &Request<'_>) -> Option<Reply> {
        self.core.refuse_early(self.peer, request)
    }

    fn fault(&self, request: Option<&Request<'_>>, status: u16, message: &str) -> Reply {
        self.core.fault(self.peer, request, status, message)
    }

    fn recorder(&self) -> &Recorder {
        self.core.recorder()
    }

    fn request_log(&self) -> &RequestLog {
        self.core.request_log()
    }

    fn draining(&self) -> bool {
        self.core.draining()
    }

    fn now(&self) -> Instant {
        self.core.now()
    }

    fn date(&self) -> [u8; DATE_BYTES] {
        self.core.date()
    }
}
