//! Keeps a link connected: opens, prepares, drives until the end, and opens again.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio_postgres::AsyncMessage;

use super::super::Database;
use super::super::connect::{self, Connected, Session};
use super::super::lane::Lane;
use super::super::session;
use super::super::statements::{self, Prepared};
use super::{Link, Open, WATCH_INTERVAL};
use crate::limits;
use crate::random::jitter;
use crate::ring::Ring;

/// Keeps one link connected for ever.
pub(in crate::pg) async fn keep(database: Rc<Database>, lane: Rc<Lane>, link: Rc<Link>) {
    let ring = database.ring.clone();
    let mut pause = limits::RECONNECT_MIN;
    loop {
        let reason = match connect::connect(&ring, &database.target, lane.statement_timeout).await {
            Err(error) => {
                database
                    .recorder
                    .count(|counters| counters.postgres_refused += 1);
                error.to_string()
            }
            Ok(connected) => match serve(&database, &lane, &link, connected).await {
                End::Replaced => {
                    pause = limits::RECONNECT_MIN;
                    continue; // on purpose: open the next one at once
                }
                End::Lost(reason) => {
                    database
                        .recorder
                        .count(|counters| counters.postgres_lost += 1);
                    pause = limits::RECONNECT_MIN;
                    reason
                }
                End::Stillborn(reason) => {
                    database
                        .recorder
                        .count(|counters| counters.postgres_refused += 1);
                    reason
                }
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
    let (statements, settings) = match prepare(database, lane, &session).await {
        Ok(prepared) => prepared,
        Err(reason) => {
            link.kill("the statements could not be prepared");
            return End::Stillborn(reason);
        }
    };
    if ended.borrow().is_none() {
        let session = session.clone();
        link.opened.set(database.ring.now());
        database
            .recorder
            .count(|counters| counters.postgres_opened += 1);
        link.open.replace(Some(Open {
            session,
            statements,
            settings,
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

/// The lane's statements on a new connection and those that make its requests' settings, or why there are
/// none.
async fn prepare(
    database: &Rc<Database>,
    lane: &Lane,
    session: &Session,
) -> Result<(Vec<Option<Rc<Prepared>>>, Rc<[session::Prepared]>), String> {
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
        let settings = session::prepare_all(client, &lane.settings).await?;
        let statements = statements::prepare_all(database, lane, client).await?;
        if unbounded {
            client.batch_execute("reset statement_timeout").await?;
        }
        Ok::<_, connect::Error>((statements, settings))
    };
    let timeout = if unbounded {
        bound
    } else {
        lane.statement_timeout
    };
    let patience = timeout + limits::SILENCE_GRACE;
    match unless_silent(&database.ring, session, patience, preparing).await {
        Some(Ok(prepared)) => Ok(prepared),
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
                    tracing::debug!(words = notice.message(), "notice from Postgres");
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(connect::Error::from(error).to_string()),
                None => return Poll::Ready("Postgres closed the connection".to_owned()),
            }
        }
    }
}
