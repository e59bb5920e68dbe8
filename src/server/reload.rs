//! Reloading, as the control thread does it on SIGHUP: certificates, the routes file, keys.
//!
//! What the files say now is read by a thread of its own and checked beside what is served: one core asks
//! Postgres about each statement, as is done at a start. Then each core gets it ready (`succession.rs`), and
//! when all of them have, all serve it. Whatever is wrong on the way, the API stays as it was, and the log is told why.
//!
//! Certificates, and keys where the rest can't be taken, are loaded for themselves: a certificate that runs
//! out must not wait for a routes file that is being edited, nor a key that is withdrawn.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::keys::KeyStore;
use super::rate_limit::Numbers;
use super::shard::Control;
use super::succession::{Order, Served};
use super::{Cores, News};
use crate::api::Api;
use crate::channel::Sender;
use crate::guard::auth::JwtKeys;
use crate::limits;
use crate::metrics::Places;

/// Reads the API again from where it came from and checks it; else says all that is wrong with it.
pub type Reread = Arc<dyn Fn() -> Result<Arc<Api>, String> + Send + Sync>;

/// What came of reading everything again.
pub type Read = Result<(Arc<Api>, KeyStore), String>;

/// What Postgres says of what was read: warnings, or what is wrong.
pub type Checked = Result<Vec<String>, String>;

/// How long all statements may take to be checked: each has a time of its own, so this is for a core that stands
/// still.
const CHECK_PATIENCE: Duration = Duration::from_secs(120);

/// How much longer than they may take the cores get to say that an API is ready.
const GRACE: Duration = Duration::from_secs(5);

/// The control thread's side of reloading.
pub struct Reloads {
    reread: Option<Reread>,
    stage: Stage,
    /// Somebody has asked for one more meanwhile.
    again: bool,
    /// What has gone wrong in this one.
    faults: Vec<String>,
    /// Of the API that is served, or is to be.
    number: u64,
    /// Of the API that is served.
    rules: Numbers,
    places: Places,
    news: Sender<News>,
    /// Why the last one that has ended changed nothing, or not all that it should.
    last_fault: Option<String>,
}

enum Stage {
    Idle,
    /// A thread reads.
    Reading,
    /// A core asks Postgres.
    Checking {
        api: Arc<Api>,
        keys: Box<KeyStore>,
        since: Instant,
    },
    /// The cores get ready.
    Preparing {
        served: Box<Served>,
        keys: Box<KeyStore>,
        waiting: usize,
        since: Instant,
    },
}

/// How far a reload has come.
pub enum Step {
    /// Nowhere new.
    None,
    /// All cores serve what was read.
    Taken(Box<Taken>),
    /// All stays as it was, for this reason.
    Failed(String),
}

/// An API that all cores have begun to serve.
pub struct Taken {
    /// What is served.
    pub api: Arc<Api>,
    /// What its routes are recorded by.
    pub names: Arc<[String]>,
    /// Its keys.
    pub keys: KeyStore,
}

impl Reloads {
    /// None so far: this is what the cores begin with.
    pub fn new(
        reread: Option<Reread>,
        (rules, places): (Numbers, Places),
        news: Sender<News>,
    ) -> Reloads {
        Reloads {
            reread,
            stage: Stage::Idle,
            again: false,
            faults: Vec::new(),
            number: 0,
            rules,
            places,
            news,
            last_fault: None,
        }
    }

    /// What was wrong with the last one that has ended.
    pub fn last_fault(&self) -> Option<&str> {
        self.last_fault.as_deref()
    }

    /// Whether the API comes from a file.
    pub fn is_of_file(&self) -> bool {
        self.reread.is_some()
    }

    /// Whether one may begin; if not, one will when the one that is under way has ended.
    fn may_begin(&mut self) -> bool {
        let idle = matches!(self.stage, Stage::Idle);
        self.again |= !idle;
        idle
    }

    /// Whether one has been asked for meanwhile and may begin now.
    fn is_due(&mut self) -> bool {
        matches!(self.stage, Stage::Idle) && std::mem::take(&mut self.again)
    }

    /// Takes note of something that stays as it was.
    fn note(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Begins to read the API again, beside `keys` that are served with the present one. False if it is one
    /// that can't be.
    fn begin(&mut self, keys: &KeyStore) -> bool {
        let Some(reread) = self.reread.clone() else {
            return false;
        };
        self.number += 1;
        let (number, keys, news) = (self.number, keys.clone(), self.news.clone());
        let deliver = {
            let news = news.clone();
            // Nobody listens any more once the server stops.
            move |jwt| drop(news.send(News::Keys(number, jwt)))
        };
        let read = move || {
            let api = reread()?;
            let keys = keys.next(&api.guards.auth, number, deliver);
            Ok((api, keys.map_err(|fault| fault.to_string())?))
        };
        let thread = thread::Builder::new().name("reload".to_owned());
        let spawned = thread.spawn(move || {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
            let outcome = caught.unwrap_or_else(|_| Err("reading it panicked".to_owned()));
            let _ = news.send(News::Read(number, Box::new(outcome)));
        });
        match spawned {
            Ok(_) => self.stage = Stage::Reading,
            Err(error) => {
                tracing::error!(%error, "the API stays as it was: no thread to read it");
                self.note(format!("no thread to read the routes file: {error}"));
                return false;
            }
        }
        true
    }

    /// What has been read is there: Postgres is to be asked about it.
    pub fn read(&mut self, number: u64, read: Read, cores: &[Control]) -> Step {
        if number != self.number || !matches!(self.stage, Stage::Reading) {
            return Step::None;
        }
        let (api, keys) = match read {
            Ok(read) => read,
            Err(fault) => return self.give_up(fault, cores),
        };
        if let Some(first) = cores.first() {
            first.order(Order::Check(number, api.clone()));
        }
        self.stage = Stage::Checking {
            api,
            keys: Box::new(keys),
            since: Instant::now(),
        };
        Step::None
    }

    /// Postgres has been asked: the cores are to get it ready.
    pub fn checked(&mut self, number: u64, checked: Checked, cores: &[Control]) -> Step {
        if number != self.number || !matches!(self.stage, Stage::Checking { .. }) {
            return Step::None;
        }
        let warnings = match checked {
            Ok(warnings) => warnings,
            Err(fault) => return self.give_up(fault, cores),
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        let Stage::Checking { api, keys, .. } = stage else {
            return Step::None;
        };
        let served = Served {
            number,
            keys: keys.keys().clone(),
            asker: keys.asker(),
            rules: self.rules.of_next(&api.guards.rate_limits),
            places: self
                .places
                .of_next(api.routes.iter().map(|route| route.name.as_str())),
            api,
        };
        for core in cores {
            core.order(Order::Prepare(served.clone()));
        }
        self.stage = Stage::Preparing {
            served: Box::new(served),
            keys,
            waiting: cores.len(),
            since: Instant::now(),
        };
        Step::None
    }

    /// A core is ready, or will not be. When all are, all serve.
    pub fn prepared(
        &mut self,
        number: u64,
        outcome: Result<(), String>,
        cores: &[Control],
    ) -> Step {
        let Stage::Preparing { waiting, .. } = &mut self.stage else {
            return Step::None;
        };
        if number != self.number {
            return Step::None;
        }
        if let Err(fault) = outcome {
            return self.give_up(fault, cores);
        }
        *waiting -= 1;
        if *waiting > 0 {
            return Step::None;
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        let Stage::Preparing { served, keys, .. } = stage else {
            return Step::None;
        };
        for core in cores {
            core.order(Order::Serve(number));
        }
        self.rules = served.rules;
        self.places = served.places;
        Step::Taken(Box::new(Taken {
            api: served.api,
            names: self.places.names.clone(),
            keys: *keys,
        }))
    }

    /// Gives up if a core takes too long; asked from time to time.
    pub fn look(&mut self, cores: &[Control]) -> Step {
        let overdue = match &self.stage {
            Stage::Idle | Stage::Reading => false,
            Stage::Checking { since, .. } => since.elapsed() > CHECK_PATIENCE,
            Stage::Preparing { since, .. } => since.elapsed() > limits::SUCCESSION_PATIENCE + GRACE,
        };
        match overdue {
            true => self.give_up("a core does not answer".to_owned(), cores),
            false => Step::None,
        }
    }

    fn give_up(&mut self, fault: String, cores: &[Control]) -> Step {
        for core in cores {
            core.order(Order::Forget(self.number));
        }
        self.stage = Stage::Idle;
        Step::Failed(fault)
    }

    /// It has ended.
    fn end(&mut self) {
        let faults = std::mem::take(&mut self.faults);
        self.last_fault = (!faults.is_empty()).then(|| faults.join("\n"));
    }
}

impl Cores {
    /// Reads everything again, as far as it was read from files.
    pub(super) fn reload(&mut self) {
        if !self.reloads.may_begin() {
            return tracing::info!("SIGHUP: once more when the reload that is under way has ended");
        }
        self.manager.reloading();
        tracing::info!("SIGHUP: reading the routes file, certificates and keys again");
        self.reload_certificates();
        if !self.reloads.begin(&self.keys) {
            self.reload_keys();
            self.end_reload();
        }
    }

    /// Goes on with a reload, as far as it has come.
    pub(super) fn go_on(&mut self, step: Step) {
        match step {
            Step::None => return,
            Step::Taken(taken) => {
                self.keys = taken.keys;
                self.watch.rename(taken.names);
                self.share_keys();
                if !self.keys.is_empty() {
                    tracing::info!("the keys of [auth] have been loaded again");
                }
                let routes = taken.api.routes.len();
                self.tell_served(taken.api);
                tracing::info!(routes, "the routes file has been loaded again");
            }
            Step::Failed(fault) => {
                tracing::error!("the API stays as it was: {fault}");
                self.reloads.note(fault);
                self.reload_keys();
            }
        }
        self.end_reload();
    }

    fn end_reload(&mut self) {
        self.reloads.end();
        self.tell_reload(self.reloads.last_fault());
        match self.reloads.is_due() {
            true => self.reload(),
            false => self.tell_reloaded(),
        }
    }

    /// Handshakes that begin from now on use what the files say now; whatever is wrong with it, the server
    /// goes on with what it has.
    fn reload_certificates(&mut self) {
        let Some(tls) = &mut self.tls else {
            return;
        };
        match tls.reload() {
            Ok(()) => {
                for control in &self.controls {
                    control.replace_tls(tls.config());
                }
                tracing::info!("certificate and key have been loaded again");
            }
            Err(error) => {
                tracing::error!(%error, "certificate and key stay as they were");
                self.reloads.note(error.to_string());
            }
        }
    }

    fn reload_keys(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let faults = self.keys.reload();
        for error in &faults {
            tracing::error!(%error, "keys stay as they were");
            self.reloads.note(error.to_string());
        }
        if faults.is_empty() {
            tracing::info!("the keys of [auth] have been loaded again");
        }
        self.share_keys();
    }

    /// Keys have been fetched by this source of keys.
    pub(super) fn take_keys(&mut self, source: u64, jwt: Arc<JwtKeys>) {
        match &mut self.reloads.stage {
            Stage::Checking { keys, .. } | Stage::Preparing { keys, .. } => {
                keys.take(source, jwt.clone());
            }
            Stage::Idle | Stage::Reading => {}
        }
        if self.keys.take(source, jwt) {
            self.share_keys();
        }
    }

    fn share_keys(&self) {
        for control in &self.controls {
            control.replace_keys(self.keys.keys().clone());
        }
    }
}
