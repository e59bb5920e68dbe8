//! Asking the core that owns a key.
//!
//! What is asked of one core in a pass goes to it in one message, and comes back in one. While it is there,
//! the next questions gather: so each core has at most one message of questions at each other one, which
//! is what bounds the mailboxes, and a busy core pays for a message and a wake once for many requests. A
//! mailbox is a bounded channel, in which nobody waits for anybody and no lock is taken.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Outcome;
use super::ledger::Ledger;
use crate::limits;
use crate::ring::{Event, EventWaker, Ring};

/// How often a core that has finished looks whether the others have.
const FINISH_INTERVAL: Duration = Duration::from_millis(5);

/// A core's mailbox, and its ways to those of all cores.
pub struct Post {
    inbox: Receiver<Message>,
    waker: EventWaker,
    /// By core.
    peers: Vec<Peer>,
    /// Cores that may still ask.
    asking: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Peer {
    mailbox: SyncSender<Message>,
    waker: EventWaker,
}

/// Questions of one core, or the answers to them in the same order.
struct Message {
    from: usize,
    answered: bool,
    questions: Vec<Question>,
}

struct Question {
    /// The number of the rule.
    rule: usize,
    key: u128,
    outcome: Outcome,
}

/// The other cores, as one of them sees them.
pub struct Owners {
    ring: Rc<Ring>,
    core: usize,
    ledger: Rc<Ledger>,
    inbox: Receiver<Message>,
    waker: EventWaker,
    peers: Vec<Peer>,
    asking: Arc<AtomicUsize>,
    /// By core.
    lines: Vec<RefCell<Line>>,
    /// There is something to send.
    to_send: Bell,
    /// There is something to wait for.
    to_watch: Bell,
}

/// The way to one other core.
#[derive(Default)]
struct Line {
    /// What goes to it next, and who asks it.
    questions: Vec<Question>,
    waiting: Vec<Rc<Place>>,
    /// Who waits for the message that is there.
    asked: Vec<Rc<Place>>,
    /// When that went; `None` while there is none.
    asked_at: Option<Instant>,
}

/// Where one outcome is waited for.
#[derive(Default)]
struct Place {
    outcome: Cell<Option<Outcome>>,
    waker: RefCell<Option<Waker>>,
}

/// An outcome to come; it does within twice [`limits::RATE_PATIENCE`].
pub struct Answer(Rc<Place>);

/// The mailboxes of all cores.
pub fn posts(cores: usize) -> io::Result<Vec<Post>> {
    // Of each core one message of questions and one of answers.
    let mailboxes = (0..cores).map(|_| sync_channel(2 * cores));
    let (senders, inboxes): (Vec<_>, Vec<_>) = mailboxes.unzip();
    let peers = senders.into_iter().map(|mailbox| {
        let waker = EventWaker::new()?;
        Ok(Peer { mailbox, waker })
    });
    let peers: Vec<Peer> = peers.collect::<io::Result<_>>()?;
    let asking = Arc::new(AtomicUsize::new(cores));
    let posts = inboxes.into_iter().zip(&peers).map(|(inbox, own)| Post {
        inbox,
        waker: own.waker.clone(),
        peers: peers.clone(),
        asking: asking.clone(),
    });
    Ok(posts.collect())
}

impl Owners {
    /// Begins to ask and to answer.
    pub fn start(ring: &Rc<Ring>, core: usize, post: Post, ledger: Rc<Ledger>) -> Rc<Owners> {
        let owners = Rc::new(Owners {
            ring: ring.clone(),
            core,
            ledger,
            inbox: post.inbox,
            waker: post.waker,
            lines: post.peers.iter().map(|_| RefCell::default()).collect(),
            peers: post.peers,
            asking: post.asking,
            to_send: Bell::default(),
            to_watch: Bell::default(),
        });
        let receiver = owners.clone();
        ring.spawn_lasting(move || receiver.clone().receive());
        let sender = owners.clone();
        ring.spawn_lasting(move || sender.clone().send());
        let watcher = owners.clone();
        ring.spawn_lasting(move || watcher.clone().watch());
        owners
    }

    /// Asks another core. The question goes once all connections that this pass has woken have asked
    /// theirs, as tasks run in the order in which they were woken.
    pub fn ask(&self, owner: usize, rule: usize, key: u128) -> Answer {
        let place = Rc::new(Place::default());
        let mut line = self.lines[owner].borrow_mut();
        if line.is_silent(self.ring.now()) {
            place.end(None);
        } else {
            line.questions.push(Question {
                rule,
                key,
                outcome: None,
            });
            line.waiting.push(place.clone());
            self.to_send.strike();
        }
        Answer(place)
    }

    /// This core asks no more. It goes on answering while others may ask, until `end`: what they still have
    /// to answer is to be decided on, too.
    pub async fn finish(&self, end: Instant) {
        self.asking.fetch_sub(1, Ordering::AcqRel);
        while self.asking.load(Ordering::Acquire) > 0 && self.ring.now() < end {
            self.ring.sleep(FINISH_INTERVAL).await;
        }
    }

    /// Sends what has been asked.
    async fn send(self: Rc<Self>) {
        loop {
            self.to_send.struck().await;
            for owner in 0..self.lines.len() {
                self.send_to(owner);
            }
        }
    }

    fn send_to(&self, owner: usize) {
        let mut line = self.lines[owner].borrow_mut();
        if line.asked_at.is_some() || line.questions.is_empty() {
            return;
        }
        let message = Message {
            from: self.core,
            answered: false,
            questions: mem::take(&mut line.questions),
        };
        let waiting = mem::take(&mut line.waiting);
        if self.deliver(owner, message) {
            line.asked = waiting;
            line.asked_at = Some(self.ring.now());
            self.to_watch.strike();
        } else {
            drop(line);
            waiting.iter().for_each(|place| place.end(None));
        }
    }

    /// False if the other core is not there any more.
    fn deliver(&self, to: usize, message: Message) -> bool {
        let peer = &self.peers[to];
        let delivered = peer.mailbox.try_send(message).is_ok();
        peer.waker.wake();
        delivered
    }

    /// Answers, and takes answers.
    async fn receive(self: Rc<Self>) {
        let event = Event::listen(&self.ring, &self.waker);
        loop {
            while let Ok(message) = self.inbox.try_recv() {
                match message.answered {
                    true => self.take_answers(message),
                    false => self.answer(message),
                }
            }
            event.woken().await;
        }
    }

    fn answer(&self, mut message: Message) {
        for question in &mut message.questions {
            question.outcome = self.ledger.decide(question.rule, question.key);
        }
        let to = mem::replace(&mut message.from, self.core);
        message.answered = true;
        // Nobody waits for it who is not there.
        self.deliver(to, message);
    }

    fn take_answers(&self, mut message: Message) {
        let owner = message.from;
        let mut line = self.lines[owner].borrow_mut();
        line.asked_at = None;
        let asked = mem::take(&mut line.asked);
        let outcomes: Vec<Outcome> = message.questions.drain(..).map(|one| one.outcome).collect();
        if line.questions.capacity() == 0 {
            line.questions = message.questions; // its room is used again
        }
        drop(line);
        // None of them, if they have given up.
        for (place, outcome) in asked.iter().zip(outcomes) {
            place.end(outcome);
        }
        self.send_to(owner);
    }

    /// Gives up on cores that do not answer, until they do.
    async fn watch(self: Rc<Self>) {
        loop {
            self.to_watch.struck().await;
            while self.lines.iter().any(|line| line.borrow().is_waited_for()) {
                self.ring.sleep(limits::RATE_PATIENCE / 4).await;
                let now = self.ring.now();
                for line in &self.lines {
                    let given_up = line.borrow_mut().give_up(now);
                    given_up.iter().for_each(|place| place.end(None));
                }
            }
        }
    }
}

impl Line {
    /// The core has had a message for too long.
    fn is_silent(&self, now: Instant) -> bool {
        let overdue = |at| now.saturating_duration_since(at) >= limits::RATE_PATIENCE;
        self.asked_at.is_some_and(overdue)
    }

    fn is_waited_for(&self) -> bool {
        !self.asked.is_empty() || !self.waiting.is_empty()
    }

    /// Those who have waited in vain.
    fn give_up(&mut self, now: Instant) -> Vec<Rc<Place>> {
        if !self.is_silent(now) {
            return Vec::new();
        }
        self.questions.clear();
        let mut places = mem::take(&mut self.asked);
        places.append(&mut self.waiting);
        places
    }
}

impl Place {
    fn end(&self, outcome: Outcome) {
        self.outcome.set(Some(outcome));
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Answer {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.0.outcome.get() {
            return Poll::Ready(outcome);
        }
        self.0.waker.replace(Some(context.waker().clone()));
        Poll::Pending
    }
}

/// Wakes one task, or tells it when it next looks.
#[derive(Default)]
struct Bell {
    struck: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Bell {
    fn strike(&self) {
        self.struck.set(true);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn struck(&self) {
        poll_fn(|context| {
            if self.struck.take() {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests;
