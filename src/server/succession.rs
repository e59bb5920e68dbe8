//! What a core serves, and how another API takes the place of the one that it serves.
//!
//! The other one is prepared beside: guards, sessions and Postgres connections of its own. When all cores
//! have it ready, each is told to serve it, and does from one request to the next: those in flight end under
//! the old one, whose Postgres connections are closed when the last of them has ended. Connections of
//! clients know nothing of it.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::News;
use super::answer::Core;
use super::jwks::Asker;
use super::rate_limit::{Limiter, Numbers};
use super::reporting::Books;
use crate::api::Api;
use crate::channel::Sender;
use crate::check;
use crate::config::Config;
use crate::guard::auth::Keys;
use crate::limits;
use crate::log::RequestLog;
use crate::metrics::{Places, Recorder};
use crate::pg::url::Target;
use crate::pg::{Database, Opening};
use crate::ring::Ring;

/// How often it is looked whether the last request of the old API has ended.
const RETIRE_INTERVAL: Duration = Duration::from_millis(5);

/// How often a core looks whether it may accept.
const OPEN_INTERVAL: Duration = Duration::from_millis(1);

/// What is served now.
pub struct Current {
    core: RefCell<Rc<Core>>,
    books: Books,
    dismisses: Cell<bool>,
}

impl Current {
    /// From now on connections end that ask for nothing.
    pub fn dismiss(&self) {
        self.dismisses.set(true);
    }

    /// Whether they do.
    pub fn dismisses(&self) -> bool {
        self.dismisses.get()
    }

    /// What is served now; whoever awaits something is to clone it.
    pub fn core(&self) -> Ref<'_, Rc<Core>> {
        self.core.borrow()
    }

    /// What the core records its work with, whatever it serves.
    pub fn recorder(&self) -> &Recorder {
        &self.books.recorder
    }

    /// What the core tells the log of requests with.
    pub fn request_log(&self) -> &RequestLog {
        &self.books.log
    }
}

/// An API with what belongs to it, as every core is given it.
#[derive(Clone)]
pub struct Served {
    /// Counts the APIs that were to be served.
    pub number: u64,
    /// What is served.
    pub api: Arc<Api>,
    /// What identities are proved with.
    pub keys: Keys,
    /// Whom to ask for keys that are not known.
    pub asker: Option<Asker>,
    /// Of its rate limits.
    pub rules: Numbers,
    /// Where its routes are counted.
    pub places: Places,
}

/// What the control thread has a core do.
pub enum Order {
    /// To ask Postgres about an API; the answer is [`News::Checked`]. For one core only.
    Check(u64, Arc<Api>),
    /// To accept connections, as this process has taken over.
    Open,
    /// To get an API ready; the answer is [`News::Prepared`].
    Prepare(Served),
    /// To serve the one of this number from now on.
    Serve(u64),
    /// To forget the one of this number.
    Forget(u64),
}

/// What a core has, whatever it serves.
pub struct Premises {
    /// Its ring.
    pub ring: Rc<Ring>,
    /// The settings.
    pub config: Arc<Config>,
    /// Where the data is.
    pub target: Arc<Target>,
    /// What it keeps of its own work.
    pub books: Books,
    /// How it reaches the control thread.
    pub(super) news: Sender<News>,
}

/// One core's way from one API to the next.
pub struct Succession {
    premises: Premises,
    /// What is served now.
    pub current: Rc<Current>,
    /// What may be served next.
    next: RefCell<Option<(u64, Rc<Core>)>>,
    /// How many APIs have been replaced whose last request has not ended.
    retiring: Cell<usize>,
    /// See [`Order::Open`].
    is_open: Cell<bool>,
}

impl Succession {
    /// Begins to serve the first API.
    pub fn start(premises: Premises, limiter: Limiter, first: Served) -> Rc<Succession> {
        let core = premises.found(limiter, first, Opening::All);
        let current = Rc::new(Current {
            core: RefCell::new(core),
            books: premises.books.clone(),
            dismisses: Cell::new(false),
        });
        Rc::new(Succession {
            premises,
            current,
            next: RefCell::default(),
            retiring: Cell::new(0),
            is_open: Cell::new(false),
        })
    }

    /// Waits until this core may accept: when it has its connections to Postgres, so that nobody is refused
    /// because he came early, and, if another process serves, when it is told to.
    pub async fn open(self: Rc<Self>, takes_over: bool) {
        let database = self.current.core().parts().1.clone();
        let patience = match takes_over {
            true => limits::SUCCESSION_PATIENCE,
            false => limits::DOWN_PATIENCE,
        };
        // It serves without Postgres, too.
        let _ = database.settled(patience, false).await;
        if !takes_over {
            return;
        }
        let _ = self.premises.news.send(News::Settled);
        // Whoever was accepted before could not be given back, should it not come to that.
        while !self.is_open.get() {
            self.premises.ring.sleep(OPEN_INTERVAL).await;
        }
    }

    /// Does what the control thread says. True when what is served now is another API.
    pub fn follow(self: &Rc<Self>, order: Order) -> bool {
        match order {
            Order::Check(number, api) => self.check(number, api),
            Order::Open => self.is_open.set(true),
            Order::Prepare(served) => self.prepare(served),
            Order::Serve(number) => {
                if let Some(next) = self.take_next(number) {
                    self.serve(next);
                    return true;
                }
            }
            Order::Forget(number) => {
                if let Some(next) = self.take_next(number) {
                    next.parts().1.close();
                }
            }
        }
        false
    }

    fn take_next(&self, number: u64) -> Option<Rc<Core>> {
        let mut next = self.next.borrow_mut();
        let found = next.take_if(|(known, _)| *known == number);
        found.map(|(_, core)| core)
    }

    fn check(&self, number: u64, api: Arc<Api>) {
        let (ring, target) = (self.premises.ring.clone(), self.premises.target.clone());
        let news = self.premises.news.clone();
        self.premises.ring.spawn(async move {
            let checked = check::resolve_over(ring, api, target).await;
            let outcome = checked
                .map(|checked| checked.warnings)
                .map_err(|error| error.to_string());
            // The control thread may be at its end.
            let _ = news.send(News::Checked(number, outcome));
        });
    }

    fn prepare(&self, served: Served) {
        let (number, news) = (served.number, self.premises.news.clone());
        if self.retiring.get() >= limits::SUCCESSION_RETIRING_MAX {
            let fault = "requests of several earlier APIs are still in flight";
            drop(news.send(News::Prepared(number, Err(fault.to_owned()))));
            return;
        }
        let office = self.current.core().parts().0.clone();
        let limiter = office.limiter(&served.api, &served.rules);
        // Postgres may have no room for all connections of both at a time.
        let core = self.premises.found(limiter, served, Opening::OneEach);
        let database = core.parts().1.clone();
        self.next.replace(Some((number, core)));
        self.premises.ring.spawn(async move {
            let outcome = database.settled(limits::SUCCESSION_PATIENCE, true).await;
            let outcome = outcome.map_err(|fault| format!("no connection to Postgres: {fault}"));
            let _ = news.send(News::Prepared(number, outcome));
        });
    }

    fn serve(self: &Rc<Self>, next: Rc<Core>) {
        let old = self.current.core.replace(next.clone());
        self.premises.books.log.rename(next.names());
        let succession = self.clone();
        self.retiring.set(self.retiring.get() + 1);
        self.premises.ring.spawn(async move {
            let Premises { ring, config, .. } = &succession.premises;
            let (start, patience) = (ring.now(), config.timeouts.drain);
            // Requests in flight hold it.
            while Rc::strong_count(&old) > 1 && ring.now() - start < patience {
                if ring.now() - start > limits::SUCCESSION_OVERLAP {
                    next.parts().1.open_all();
                }
                ring.sleep(RETIRE_INTERVAL).await;
            }
            old.log_summary();
            old.parts().1.close();
            next.parts().1.open_all();
            succession.retiring.set(succession.retiring.get() - 1);
        });
    }
}

impl Premises {
    /// Makes all that serves an API on this core.
    fn found(&self, limiter: Limiter, served: Served, opening: Opening) -> Rc<Core> {
        let Served {
            api,
            keys,
            asker,
            places,
            ..
        } = served;
        let database = Database::start(
            &self.ring,
            api.clone(),
            self.target.clone(),
            &self.config.postgres,
            (self.books.recorder.clone(), places.clone()),
            opening,
        );
        let core = Core::new(
            &self.ring,
            api,
            limiter,
            database,
            (self.books.clone(), places),
            self.config.limits.in_flight,
            asker,
        );
        core.replace_keys(&keys);
        Rc::new(core)
    }
}
