//! One connection's life: opened, prepared, used, noticed dead at once, opened again.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio_postgres::AsyncMessage;

use super::Database;
use super::batch;
use super::connect::{self, Connected, Session};
use super::lane::Lane;
use super::mend::Preparation;
use super::statements::{self, Prepared};
use crate::limits;
use crate::random::random;
use crate::ring::Ring;

/// How often the silence of connections is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// A place for a connection: empty while it is down.
pub struct Link {
    open: RefCell<Option<Open>>,
    in_flight: Cell<u32>,
    /// When the connection last answered, or began to have something to answer.
    heard: Cell<Instant>,
    /// When it was last opened.
    opened: Cell<Instant>,
    /// To be replaced: nothing new is sent, what is in flight is waited for.
    retiring: Cell<bool>,
    /// The server is being asked after, as the connection is silent.
    in_doubt: Cell<bool>,
    /// To be closed now, whatever is in flight, for this reason.
    killed: RefCell<Option<String>>,
    driver: RefCell<Option<Waker>>,
    /// Statements that are being prepared again, by route.
    preparations: RefCell<Vec<(usize, Rc<Preparation>)>>,
}

struct Open {
    session: Rc<Session>,
    /// By route; only those of the link's lane.
    statements: Vec<Option<Rc<Prepared>>>,
}

impl Link {
    pub(super) fn new(now: Instant) -> Rc<Link> {
        Rc::new(Link {
            open: RefCell::default(),
            in_flight: Cell::new(0),
            heard: Cell::new(now),
            opened: Cell::new(now),
            retiring: Cell::new(false),
            in_doubt: Cell::new(false),
            killed: RefCell::default(),
            driver: RefCell::default(),
            preparations: RefCell::default(),
        })
    }

    /// Whether a statement may be sent.
    pub(super) fn usable(&self) -> bool {
        // A connection that has ended is still here until its keeper has looked.
        let open = |open: &Option<Open>| open.as_ref().is_some_and(|o| !o.session.is_ended());
        !self.retiring.get() && !self.is_killed() && open(&self.open.borrow())
    }

    /// Statements sent, or about to be, and not answered.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    /// Whether few statements are in flight and the one in front is not a slow one.
    pub(super) fn is_swift(&self, now: Instant) -> bool {
        self.in_flight() < limits::COMPANY_MAX && self.silent(now) < limits::COMPANY_SILENCE_MAX
    }

    /// How long nothing has been heard of what is in flight.
    pub(super) fn silent(&self, now: Instant) -> Duration {
        match self.in_flight() {
            0 => Duration::ZERO,
            _ => now.saturating_duration_since(self.heard.get()),
        }
    }

    /// When the statement that is answered now came to be the first in line, if it was sent at `sent`.
    pub(super) fn begun(&self, sent: Instant) -> Instant {
        self.heard.get().max(sent)
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

    pub(super) fn session(&self) -> Option<Rc<Session>> {
        self.open.borrow().as_ref().map(|open| open.session.clone())
    }

    pub(super) fn statement(&self, route: usize) -> Option<Rc<Prepared>> {
        let open = self.open.borrow();
        open.as_ref()?.statements[route].clone()
    }

    /// Puts a statement in the place of the present one, if `session` is still the connection.
    pub(super) fn replace_statement(
        &self,
        session: &Rc<Session>,
        route: usize,
        prepared: Rc<Prepared>,
    ) {
        let replaced = match &mut *self.open.borrow_mut() {
            Some(open) if Rc::ptr_eq(&open.session, session) => {
                open.statements[route].replace(prepared)
            }
            _ => None,
        };
        drop(replaced); // closes the statement on the server, once nobody runs it
    }

    /// The preparation of a route's statement that is under way.
    pub(super) fn preparation(&self, route: usize) -> Option<Rc<Preparation>> {
        let preparations = self.preparations.borrow();
        let mut running = preparations.iter();
        running
            .find(|(of, _)| *of == route)
            .map(|(_, preparation)| preparation.clone())
    }

    pub(super) fn add_preparation(&self, route: usize, preparation: Rc<Preparation>) {
        self.preparations.borrow_mut().push((route, preparation));
    }

    pub(super) fn remove_preparation(&self, route: usize) {
        self.preparations
            .borrow_mut()
            .retain(|(of, _)| *of != route);
    }

    /// Whether a statement is in flight on the connection that `session` belongs to.
    pub(super) fn runs_on(&self, session: &Rc<Session>) -> bool {
        let present = self.session();
        self.in_flight() > 0 && present.is_some_and(|present| Rc::ptr_eq(&present, session))
    }

    /// Lets the connection finish what is in flight and be opened anew.
    pub(super) fn retire(&self) {
        self.retiring.set(true);
        self.wake_driver();
    }

    /// The same, unless it has only just been opened.
    pub(super) fn retire_if_old(&self, now: Instant) {
        let age = now.saturating_duration_since(self.opened.get());
        if age > limits::READ_ONLY_AGE_MIN {
            self.retire();
        }
    }

    /// Ends the connection now.
    pub(super) fn kill(&self, reason: &str) {
        let mut killed = self.killed.borrow_mut();
        if killed.is_none() {
            *killed = Some(reason.to_owned());
        }
        drop(killed);
        self.wake_driver();
    }

    /// Ends the connection that `session` belongs to, if it is still that of the link.
    pub(super) fn lose(&self, session: &Rc<Session>, reason: &str) {
        let present = self.session();
        if present.is_some_and(|present| Rc::ptr_eq(&present, session)) {
            self.kill(reason);
        }
    }

    fn is_killed(&self) -> bool {
        self.killed.borrow().is_some()
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
            Ok(connected) => match serve(&database, &lane, &link, connected).await {
                End::Replaced => {
                    pause = limits::RECONNECT_MIN;
                    continue; // on purpose: open the next one at once
                }
                End::Lost(reason) => {
                    pause = limits::RECONNECT_MIN;
                    reason
                }
                End::Stillborn(reason) => reason,
            },
        };
        if lane.link_down(&reason) {
            match lane.down() {
                Some(_) => tracing::warn!(lane = lane.name, reason, "no connection to Postgres"),
                None => {
                    tracing::warn!(lane = lane.name, reason, "a connection to Postgres is down");
                }
            }
        }
        ring.sleep(jitter(pause)).await;
        pause = (pause * 2).min(limits::RECONNECT_MAX);
    }
}

/// How a connection ended.
enum End {
    /// It was retired.
    Replaced,
    /// It served, and was lost for this reason.
    Lost(String),
    /// It never came to serve, for this reason.
    Stillborn(String),
}

/// One connection from its first statement to its end.
async fn serve(
    database: &Rc<Database>,
    lane: &Rc<Lane>,
    link: &Rc<Link>,
    (session, connection): Connected,
) -> End {
    link.retiring.set(false);
    link.killed.take();
    let session = Rc::new(session);
    let ended: Rc<RefCell<Option<String>>> = Rc::default();
    let watcher: Rc<RefCell<Option<Waker>>> = Rc::default();
    database.ring.spawn({
        let link = link.clone();
        let telling = Telling {
            ended: ended.clone(),
            watcher: watcher.clone(),
        };
        async move {
            let reason = drive(&link, connection).await;
            telling.ended.replace(Some(reason));
        }
    });
    let statements = match prepare(database, lane, &session).await {
        Ok(statements) => statements,
        Err(reason) => {
            link.kill("the statements could not be prepared");
            return End::Stillborn(reason);
        }
    };
    if ended.borrow().is_none() {
        let session = session.clone();
        link.opened.set(database.ring.now());
        link.open.replace(Some(Open {
            session,
            statements,
        }));
        tracing::debug!(lane = lane.name, "connected to Postgres");
        if lane.link_up() {
            tracing::info!(lane = lane.name, "connected to Postgres again");
        }
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
    // Where Postgres's last words came in answer to a statement, the driver has not heard them.
    let words = session.wire.ended().map(|words| words.to_string());
    let reason = words.unwrap_or(reason);
    match link.retiring.get() && !link.is_killed() {
        true => End::Replaced,
        false => End::Lost(reason),
    }
}

/// Tells how a connection ended once its task is over, also when that panicked.
struct Telling {
    ended: Rc<RefCell<Option<String>>>,
    watcher: Rc<RefCell<Option<Waker>>>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        let mut ended = self.ended.borrow_mut();
        ended.get_or_insert_with(|| "its task panicked".to_owned());
        drop(ended);
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }
}

/// The lane's statements on a new connection, or why there are none.
async fn prepare(
    database: &Rc<Database>,
    lane: &Lane,
    session: &Session,
) -> Result<Vec<Option<Rc<Prepared>>>, String> {
    let client = &session.client;
    let unbounded = lane.statement_timeout.is_zero();
    // Postgres ends each Parse at the statement timeout. Where there is none, a table that is locked would
    // keep the connection from all other routes.
    let bound = limits::CONNECT_TIMEOUT;
    let preparing = async {
        if unbounded {
            let set = format!("set statement_timeout = {}", bound.as_millis());
            client.batch_execute(&set).await?;
        }
        let statements = statements::prepare_all(database, lane, client).await?;
        if unbounded {
            client.batch_execute("reset statement_timeout").await?;
        }
        Ok::<_, connect::Error>(statements)
    };
    let timeout = if unbounded {
        bound
    } else {
        lane.statement_timeout
    };
    let patience = timeout + limits::SILENCE_GRACE;
    match unless_silent(&database.ring, session, patience, preparing).await {
        Some(Ok(statements)) => Ok(statements),
        Some(Err(error @ connect::Error::Refused { .. })) => Err(error.to_string()),
        // The driver knows only that there is no more.
        Some(Err(error)) => Err(match session.wire.ended() {
            Some(words) => words.to_string(),
            None => error.to_string(),
        }),
        None => Err(format!(
            "Postgres was silent for {patience:?} while statements were prepared"
        )),
    }
}

/// The outcome of what a connection is busy with; `None` once nothing has come on it for so long.
pub async fn unless_silent<T>(
    ring: &Rc<Ring>,
    session: &Session,
    patience: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut silent = Duration::ZERO;
    while silent < patience {
        let heard = session.wire.heard();
        let outcome = connect::within(ring, WATCH_INTERVAL, work.as_mut()).await;
        if outcome.is_some() {
            return outcome;
        }
        // Counted in looks and not by the clock: a core that stood still has not listened meanwhile.
        silent = match session.wire.heard() == heard {
            true => silent + WATCH_INTERVAL,
            false => Duration::ZERO,
        };
    }
    None
}

/// Drives the connection until it ends, is killed, or is retired and idle; why.
async fn drive(link: &Link, connection: impl Drive) -> String {
    let mut connection = std::pin::pin!(connection);
    poll_fn(|context| {
        link.driver.replace(Some(context.waker().clone()));
        if let Some(reason) = &*link.killed.borrow() {
            return Poll::Ready(reason.clone());
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
/// statement may run: the server is frozen or the network is cut. Refuses requests that have waited for
/// too long behind them.
pub(super) async fn watch(database: Rc<Database>, lane: Rc<Lane>) {
    let ring = &database.ring;
    loop {
        let before = ring.now();
        ring.sleep(WATCH_INTERVAL).await;
        lane.refuse_waiting();
        database.log_sheds(&lane);
        // A core that stood still has not heard what has arrived meanwhile: it will by the next look.
        if ring.now() - before > 4 * WATCH_INTERVAL {
            continue;
        }
        for &route in &lane.routes {
            database.routes[route].batcher.refuse_late(ring.now());
            batch::relieve(&database, route);
        }
        for link in lane.links() {
            let silent = link.silent(ring.now());
            if lane.statement_timeout.is_zero() {
                if silent > limits::SILENCE_ASKED_AFTER && !link.in_doubt.replace(true) {
                    ring.spawn(ask_after(database.clone(), link.clone()));
                }
            } else if silent > lane.statement_timeout + limits::SILENCE_GRACE {
                link.kill(SILENT);
            }
        }
    }
}

/// Why a connection is given up that may be open for all that the kernel knows.
const SILENT: &str = "the connection was silent for too long";

/// Asks the server of a silent connection for another one. A statement may run for as long as it likes
/// where there is no timeout, but a server that doesn't answer even this is frozen or out of reach.
async fn ask_after(database: Rc<Database>, link: Rc<Link>) {
    let ring = &database.ring;
    while let Some(session) = link.session() {
        let answers = connect::answers(ring, &database.target, &session.host).await;
        // It may have been heard of meanwhile, or replaced.
        if link.silent(ring.now()) <= limits::SILENCE_ASKED_AFTER {
            break;
        }
        if !answers {
            link.lose(&session, SILENT);
            break;
        }
        drop(session);
        ring.sleep(limits::SILENCE_ASKED_AFTER).await;
    }
    link.in_doubt.set(false);
}

/// Between half of `pause` and all of it, so that many links don't come back in step.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + (random() % 1024) as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_between_half_and_all_of_its_length_and_varies() {
        let pause = Duration::from_millis(800);
        let pauses: Vec<Duration> = (0..1000).map(|_| jitter(pause)).collect();
        assert!(pauses.iter().all(|it| (pause / 2..pause).contains(it)));
        let (least, most) = (pauses.iter().min(), pauses.iter().max());
        assert!(least < Some(&(pause * 5 / 8)) && most > Some(&(pause * 7 / 8)));
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }
}
