//! Connections of clients that speak TLS: the handshake, and then the same as without.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use rustls::{ServerConfig, ServerConnection};

use super::client::Client;
use super::connection::Connection;
use super::succession::Current;
use crate::config::{Limits, Timeouts};
use crate::guard::Peer;
use crate::limits::HANDSHAKE_FAULTS_INTERVAL;
use crate::metrics::Closed;
use crate::ring::{Ring, Stream};
use crate::tls::{TlsStream, Turns, handshake_in_turn};

/// TLS on one core.
pub struct Secure {
    ring: Rc<Ring>,
    config: RefCell<Arc<ServerConfig>>,
    turns: Turns,
    faults: Faults,
}

/// Handshakes that failed. Each is only of interest to whoever looks for it; that there are many is
/// to others as well.
#[derive(Default)]
struct Faults {
    untold: Cell<u64>,
    told_at: Cell<Option<Instant>>,
}

/// What the first bytes of a connection are.
enum Hello {
    Tls,
    PlainHttp,
}

impl Secure {
    /// TLS as `config` says.
    pub fn new(ring: &Rc<Ring>, config: Arc<ServerConfig>) -> Secure {
        Secure {
            ring: ring.clone(),
            config: RefCell::new(config),
            turns: Turns::new(ring),
            faults: Faults::default(),
        }
    }

    /// Handshakes that begin from now on use `config`; what has begun goes on as it was.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.replace(config);
    }

    /// Serves one connection from its first byte to its end. The handshake has the time of a head.
    pub async fn serve(
        &self,
        stream: Stream,
        current: Rc<Current>,
        mut peer: Peer,
        mut limits: Limits,
        timeouts: Timeouts,
    ) {
        stream.set_deadline(Some(timeouts.header));
        let hello = match unless_dismissed(&current, first_byte(&stream)).await {
            Some(Ok(hello)) => hello,
            Some(Err(error)) => return self.note_fault(&current, &error),
            None => return current.recorder().closed(Closed::Drain),
        };
        if let Hello::PlainHttp = hello {
            let message = "Plain HTTP request sent to an HTTPS port";
            let connection = Connection::new(stream, Client::new(current, peer), limits, timeouts);
            return Box::pin(connection.refusing(400, message).run()).await;
        }
        // Each in a box of its own, so that what only a handshake needs is gone after it.
        let shaken = Box::pin(unless_dismissed(&current, self.shake_hands(stream))).await;
        match shaken {
            Some(Ok(stream)) => {
                limits.head.secured = true;
                peer.encrypted = true;
                let client = Client::new(current.clone(), peer);
                Box::pin(Connection::new(stream, client, limits, timeouts).run()).await;
            }
            Some(Err(error)) => self.note_fault(&current, &error),
            None => current.recorder().closed(Closed::Drain),
        }
    }

    async fn shake_hands(&self, stream: Stream) -> io::Result<TlsStream> {
        let config = self.config.borrow().clone();
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        handshake_in_turn(stream, session, &self.turns).await
    }

    fn note_fault(&self, current: &Current, error: &io::Error) {
        current.recorder().closed(Closed::Handshake);
        tracing::debug!(%error, "a TLS handshake failed");
        let count = self.faults.untold.get() + 1;
        let now = self.ring.now();
        let told_at = self.faults.told_at.get();
        if told_at.is_some_and(|at| now - at < HANDSHAKE_FAULTS_INTERVAL) {
            return self.faults.untold.set(count);
        }
        self.faults.untold.set(0);
        self.faults.told_at.set(Some(now));
        tracing::info!(
            count,
            "TLS handshakes have failed (each is told at --log debug)"
        );
    }
}

/// What `work` gives, or nothing if the server stops meanwhile: nobody has asked for anything yet.
async fn unless_dismissed<T>(current: &Current, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context: &mut Context<'_>| {
        if current.dismisses() {
            return Poll::Ready(None);
        }
        work.as_mut().poll(context).map(Some)
    })
    .await
}

/// Tells by the first byte. A record of TLS begins with its type, 22 for the first (RFC 8446 §5.1),
/// a request with its method, in capital letters.
async fn first_byte(stream: &Stream) -> io::Result<Hello> {
    match poll_fn(|context| stream.poll_fill(context, 0)).await? {
        true => Ok(match stream.with_input(|input| input[0]) {
            b'A'..=b'Z' => Hello::PlainHttp,
            _ => Hello::Tls,
        }),
        false => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the peer closed the connection before the TLS handshake",
        )),
    }
}
