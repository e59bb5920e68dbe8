//! Keeps a core's connection to Redis: opens it, reads the replies, ends the patience of those who wait,
//! and opens it again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redis::Value;

use super::codec::{Codec, Garbage};
use super::connect::{self, Session, UNEXPECTED};
use super::pipeline::{Pipeline, Taken};
use super::{Open, Store, Unavailable};
use crate::limits;
use crate::random::jitter;
use crate::ring::Sleep;
use crate::tls::Channel;

/// Keeps the connection for ever.
pub(super) async fn keep(store: Rc<Store>) {
    // A task that panicked may have left one.
    store.close();
    let ring = store.ring.clone();
    let mut pause = limits::RECONNECT_MIN;
    let mut told = None;
    loop {
        let (reason, has_served) = match connect::connect(&ring, &store.settings).await {
            Ok(session) => {
                match told.take() {
                    Some(_) => tracing::info!("connected to Redis again"),
                    None => tracing::debug!("connected to Redis"),
                }
                let opened = ring.now();
                let reason = serve(&store, session).await;
                (reason, ring.now() - opened > limits::RECONNECT_MAX)
            }
            Err(error) => (error.to_string(), false),
        };
        if told.as_ref() != Some(&reason) {
            let redis = &store.settings.target;
            tracing::warn!(%redis, reason, "no connection to Redis");
            told = Some(reason);
        }
        if has_served {
            // It may be there again already: those who ask meanwhile get no decision.
            pause = limits::RECONNECT_MIN;
            continue;
        }
        ring.sleep(jitter(pause)).await;
        pause = (pause * 2).min(limits::RECONNECT_MAX);
    }
}

/// Tells the log from time to time.
pub(super) async fn keep_telling(store: Rc<Store>) {
    loop {
        store.ring.sleep(limits::TELL_AGAIN).await;
        store.tell_repeated();
    }
}

/// One connection from its opening to its end; why it ended.
async fn serve(store: &Store, session: Session) -> String {
    let Session {
        channel,
        codec,
        hash,
    } = session;
    store.silent.set(false);
    store.open.replace(Some(Open {
        channel: Rc::new(channel),
        pipeline: Pipeline::new(hash),
    }));
    let mut reader = Reader {
        store,
        codec,
        alarm: None,
    };
    let reason = poll_fn(|context| reader.poll(context)).await;
    store.close();
    reason
}

impl Store {
    /// Ends the connection, if there is one, for all who wait.
    fn close(&self) {
        let mut woken = Vec::new();
        let open = self.open.take();
        if let Some(mut open) = open {
            open.pipeline.end(&mut woken);
        }
        self.waiting.take();
        self.silent.set(false);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Reads the replies of one connection, and watches the time of those who wait.
struct Reader<'a> {
    store: &'a Store,
    codec: Codec,
    alarm: Option<(Instant, Sleep)>,
}

impl Reader<'_> {
    /// Ready with the reason once the connection has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let store = self.store;
        store.reader.replace(Some(context.waker().clone()));
        let mut woken = Vec::new();
        // First what has come, then who has waited for too long: what has come in time is never late.
        let read = self.read(context, &mut woken);
        store.refuse_late(&mut woken);
        woken.into_iter().for_each(Waker::wake);
        if let Err(reason) = read {
            return Poll::Ready(reason);
        }
        let end = store.silence_ends();
        if end.is_some_and(|end| end <= store.ring.now()) {
            return Poll::Ready("it does not answer any more".to_owned());
        }
        if let Some(at) = store.first_deadline().into_iter().chain(end).min() {
            self.set_alarm(at, context);
        }
        Poll::Pending
    }

    /// Has the reader woken at `at`, which is to come, or before.
    fn set_alarm(&mut self, at: Instant, context: &mut Context<'_>) {
        // One that is early does no harm, and moving it with every reply would cost.
        if let Some((set, alarm)) = &mut self.alarm
            && *set <= at
            && Pin::new(alarm).poll(context).is_pending()
        {
            return;
        }
        let mut alarm = self.store.ring.sleep(at - self.store.ring.now());
        if Pin::new(&mut alarm).poll(context).is_ready() {
            context.waker().wake_by_ref(); // never, as it is to come
        }
        self.alarm = Some((at, alarm));
    }

    /// Takes what has come; an error is the reason why the connection has ended.
    fn read(&mut self, context: &mut Context<'_>, woken: &mut Vec<Waker>) -> Result<(), String> {
        loop {
            let Some(channel) = self.store.channel() else {
                return Err("it was closed".to_owned());
            };
            match channel.poll_fill(context, 0) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Err("it closed the connection".to_owned()),
                Poll::Ready(Err(error)) => return Err(error.to_string()),
                Poll::Pending => return Ok(()),
            }
            let mut replies = Vec::new();
            let decoded = channel.with_input(|input| self.codec.decode(input, &mut replies));
            channel.consume(channel.unread());
            for reply in &replies {
                self.store.take(reply, woken)?;
            }
            decoded.map_err(|Garbage| UNEXPECTED.to_owned())?;
        }
    }
}

impl Store {
    fn channel(&self) -> Option<Rc<Channel>> {
        let open = self.open.borrow();
        open.as_ref().map(|open| open.channel.clone())
    }

    /// Takes one reply; an error is the reason why the connection is to end.
    fn take(&self, reply: &Value, woken: &mut Vec<Waker>) -> Result<(), String> {
        self.heard.set(self.ring.now());
        if self.silent.replace(false) {
            tracing::info!("Redis answers again");
        }
        let mut open = self.open.borrow_mut();
        let Some(Open { channel, pipeline }) = &mut *open else {
            return Ok(());
        };
        match pipeline.take(reply, woken) {
            Taken::Settled => {}
            Taken::Again(command) => {
                channel.write_later(|output| command.write_packed_command(output));
            }
            Taken::Refused(words) => self.tell(&words),
            Taken::Hopeless(words) => return Err(words),
            Taken::Unexpected => return Err(UNEXPECTED.to_owned()),
        }
        Ok(())
    }

    /// Settles those who have waited for long enough.
    fn refuse_late(&self, woken: &mut Vec<Waker>) {
        let (now, patience) = (self.ring.now(), self.settings.timeout);
        let mut waiting = self.waiting.borrow_mut();
        while let Some(ask) = waiting.front() {
            if ask.is_settled() {
                waiting.pop_front();
                continue;
            }
            let deadline = ask.deadline.get();
            if now < deadline {
                break;
            }
            // It has only just been sent, or the alarm is so late that the core must have stood still: Redis
            // has had no time to answer, or the core none to hear it. Once.
            let is_cores = self.pass() <= ask.pass + 1 || now > deadline + patience;
            if is_cores && !ask.pardoned.get() {
                for ask in waiting.iter().filter(|ask| !ask.pardoned.replace(true)) {
                    ask.deadline.set(now + patience);
                }
                continue;
            }
            ask.settle(Err(Unavailable::Late), woken);
            if self.heard.get() <= ask.asked {
                self.silent.set(true); // nothing has come since it was asked
            }
            self.tell(&Unavailable::Late.to_string());
            waiting.pop_front();
        }
    }

    /// When the first of those who wait will have waited for long enough. Nobody before it will.
    fn first_deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.borrow();
        waiting.front().map(|ask| ask.deadline.get())
    }

    /// When a connection with something in flight is given up unless something comes.
    fn silence_ends(&self) -> Option<Instant> {
        let open = self.open.borrow();
        let is_busy = open.as_ref().is_some_and(|open| open.pipeline.len() > 0);
        is_busy.then(|| self.heard.get() + self.settings.timeout + limits::REDIS_SILENCE_MAX)
    }
}
