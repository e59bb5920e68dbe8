//! One connection's life: opened, prepared, used, noticed dead at once, opened again.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio_postgres::{AsyncMessage, Client};

use super::Database;
use super::connect::{self, Connected};
use super::lane::Lane;
use super::statements::{self, Prepared};
use crate::limits;
use crate::ring::Ring;

/// How often the silence of connections is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A place for a connection: empty while it is down.
pub struct Link {
    open: RefCell<Option<Open>>,
    in_flight: Cell<u32>,
    /// When the connection last answered, or began to have something to answer.
    heard: Cell<Instant>,
    /// To be replaced: nothing new is sent, what is in flight is waited for.
    retiring: Cell<bool>,
    /// To be closed now, whatever is in flight.
    killed: Cell<bool>,
    driver: RefCell<Option<Waker>>,
}

struct Open {
    client: Rc<Client>,
    /// By route; only those of the link's lane.
    statements: Vec<Option<Rc<Prepared>>>,
}

impl Link {
    pub(super) fn new(now: Instant) -> Rc<Link> {
        Rc::new(Link {
            open: RefCell::default(),
            in_flight: Cell::new(0),
            heard: Cell::new(now),
            retiring: Cell::new(false),
            killed: Cell::new(false),
            driver: RefCell::default(),
        })
    }

    /// Whether a statement may be sent.
    pub(super) fn usable(&self) -> bool {
        !self.retiring.get() && !self.killed.get() && self.open.borrow().is_some()
    }

    /// Statements sent, or about to be, and not answered.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    pub(super) fn enter(&self, now: Instant) {
        if self.in_flight.get() == 0 {
            self.heard.set(now);
        }
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn leave(&self, now: Instant) {
        self.in_flight.set(self.in_flight.get() - 1);
        self.heard.set(now);
        if self.retiring.get() && self.in_flight.get() == 0 {
            self.wake_driver();
        }
    }

    pub(super) fn client(&self) -> Option<Rc<Client>> {
        self.open.borrow().as_ref().map(|open| open.client.clone())
    }

    pub(super) fn statement(&self, route: usize) -> Option<Rc<Prepared>> {
        let open = self.open.borrow();
        open.as_ref()?.statements[route].clone()
    }

    pub(super) fn replace_statement(&self, route: usize, prepared: Rc<Prepared>) {
        if let Some(open) = &mut *self.open.borrow_mut() {
            open.statements[route] = Some(prepared);
        }
    }

    /// Lets the connection finish what is in flight and be opened anew.
    pub(super) fn retire(&self) {
        self.retiring.set(true);
        self.wake_driver();
    }

    /// Ends the connection now.
    pub(super) fn kill(&self) {
        self.killed.set(true);
        self.wake_driver();
    }

    fn wake_driver(&self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }
}

/// Keeps one link connected for ever.
pub(super) async fn keep(database: Rc<Database>, lane: Rc<Lane>, link: Rc<Link>) {
    let ring = database.ring.clone();
    let mut pause = limits::RECONNECT_MIN;
    loop {
        let reason = match connect::connect(&ring, &database.target, lane.statement_timeout).await {
            Err(error) => error.to_string(),
            Ok(connected) => {
                let reason = serve(&database, &lane, &link, connected).await;
                pause = limits::RECONNECT_MIN;
                match reason {
                    None => continue, // replaced on purpose: open the next one at once
                    Some(reason) => reason,
                }
            }
        };
        if lane.link_down(&reason) {
            tracing::warn!(lane = lane.name, reason, "no connection to Postgres");
        }
        ring.sleep(jitter(pause)).await;
        pause = (pause * 2).min(limits::RECONNECT_MAX);
    }
}

/// One connection from its first statement to its end; why it ended, or `None` when it was retired.
async fn serve(
    database: &Rc<Database>,
    lane: &Rc<Lane>,
    link: &Rc<Link>,
    (client, connection): Connected,
) -> Option<String> {
    link.retiring.set(false);
    link.killed.set(false);
    let client = Rc::new(client);
    let ended: Rc<RefCell<Option<String>>> = Rc::default();
    let watcher: Rc<RefCell<Option<Waker>>> = Rc::default();
    database.ring.spawn({
        let (link, ended, watcher) = (link.clone(), ended.clone(), watcher.clone());
        async move {
            let reason = drive(&link, connection).await;
            ended.replace(Some(reason));
            if let Some(waker) = watcher.take() {
                waker.wake();
            }
        }
    });
    let statements = match statements::prepare_all(database, lane, &client).await {
        Ok(statements) => statements,
        Err(error) => {
            link.kill();
            return Some(connect::Error::from(error).to_string());
        }
    };
    if ended.borrow().is_none() {
        link.open.replace(Some(Open { client, statements }));
        tracing::debug!(lane = lane.name, "connected to Postgres");
        lane.link_up();
    }
    let recycled = database.ring.sleep(match lane.recycle.is_zero() {
        true => Duration::from_secs(u64::from(u32::MAX)),
        false => lane.recycle.mul_f64(0.9) + jitter(lane.recycle.mul_f64(0.1)),
    });
    let mut recycled = std::pin::pin!(recycled);
    let reason = poll_fn(|context| {
        if let Some(reason) = ended.take() {
            return Poll::Ready(reason);
        }
        watcher.replace(Some(context.waker().clone()));
        if !link.retiring.get() && recycled.as_mut().poll(context).is_ready() {
            link.retire();
        }
        Poll::Pending
    })
    .await;
    link.open.take();
    lane.serve_waiting();
    (!link.retiring.get() || link.killed.get()).then_some(reason)
}

/// Drives the connection until it ends, is killed, or is retired and idle; why.
async fn drive(link: &Link, connection: impl Drive) -> String {
    let mut connection = std::pin::pin!(connection);
    poll_fn(|context| {
        link.driver.replace(Some(context.waker().clone()));
        if link.killed.get() {
            return Poll::Ready("the connection was silent for too long".to_owned());
        }
        if link.retiring.get() && link.in_flight() == 0 {
            return Poll::Ready("replaced".to_owned());
        }
        connection.as_mut().poll_end(context)
    })
    .await
}

/// tokio-postgres's connection, whose stream type is of no interest here.
trait Drive {
    fn poll_end(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<String>;
}

impl<S, T> Drive for tokio_postgres::Connection<S, T>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    fn poll_end(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<String> {
        loop {
            match std::task::ready!(self.poll_message(context)) {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(message = notice.message(), "notice from Postgres");
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(connect::Error::from(error).to_string()),
                None => return Poll::Ready("Postgres closed the connection".to_owned()),
            }
        }
    }
}

/// Ends connections that have statements in flight and have been silent for far longer than a
/// statement may run: the server is frozen or the network is cut.
pub(super) async fn watch(ring: Rc<Ring>, lane: Rc<Lane>) {
    loop {
        ring.sleep(WATCH_INTERVAL).await;
        lane.refuse_waiting();
        if lane.statement_timeout.is_zero() {
            continue;
        }
        let patience = lane.statement_timeout + limits::SILENCE_GRACE;
        for link in lane.links() {
            let silent = ring.now().saturating_duration_since(link.heard.get());
            if link.in_flight() > 0 && silent > patience && !link.killed.get() {
                link.kill();
            }
        }
    }
}

/// Between half of `pause` and all of it, so that many links don't come back in step.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + (connect::random() % 1024) as f64 / 2048.0)
}
