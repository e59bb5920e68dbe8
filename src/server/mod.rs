//! The server: one thread per core that shares no request state with any other, and the control
//! thread that starts and stops them.

mod accounts;
mod answer;
mod client;
mod connection;
mod deadlines;
mod dumps;
mod handler;
mod handover;
mod jwks;
mod keys;
pub(crate) mod listener;
mod machine;
mod notify;
mod pending;
mod rate_limit;
mod reading;
mod reload;
mod reply;
mod reporting;
mod secure;
mod session;
mod shard;
mod steering;
mod succession;
mod supervise;
mod telling;
mod transport;
mod upgrade;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::admin::{self, Subject};
use crate::api::{Api, Resolved};
use crate::channel::{Sender, channel};
use crate::config::Config;
use crate::guard::auth::JwtKeys;
use crate::limits;
use crate::metrics::{Places, Snapshot};
use crate::pg::url::Target;
use crate::ring;
use crate::tls::{self, ServerTls};

use dumps::Dumps;
use handover::{Inheritance, Shares};
use keys::KeyStore;
use listener::Bound;
use notify::{Manager, Schedule};
use rate_limit::Numbers;
pub use reload::Reread;
use reload::{Checked, Read, Reloads};
use reporting::Deliver;
use shard::{Control, Shard};
use succession::Served;
use upgrade::{Program, Successor, Upgrades};
use watch::Watch;

pub use machine::prepare;
pub use shard::ring_options;

/// Why the server did not start, or ended by itself.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn of_handover(error: &io::Error) -> Error {
        Error(format!("listening sockets can't be handed over: {error}"))
    }
}

/// What the control thread hears.
enum News {
    /// To stop.
    Signal,
    /// To read routes, certificates and keys again.
    Reload,
    /// To have another process take over.
    Upgrade,
    /// It is ready, or why there is none.
    Upgraded(Box<Result<Successor, String>>),
    /// A core that is to take over can serve.
    Settled,
    /// What was read for the reload of this number.
    Read(u64, Box<Read>),
    /// What Postgres said of it.
    Checked(u64, Checked),
    /// A core is ready to serve what was read for this reload, or will not be.
    Prepared(u64, Result<(), String>),
    /// Keys that an issuer has published, by their source.
    Keys(u64, Arc<JwtKeys>),
    /// To dump histograms, and whom to tell of it.
    Dump(Option<mpsc::Sender<dumps::Outcome>>),
    /// What a core has done.
    Snapshot(Box<Snapshot>),
    /// A core has ended, well or not.
    Ended(usize, Result<(), String>),
}

/// Signals that came before the server took them.
#[derive(Default)]
pub struct Noted {
    /// SIGTERM or SIGINT.
    pub stop: Arc<AtomicBool>,
    /// SIGHUP.
    pub reload: Arc<AtomicBool>,
}

/// Serves until SIGTERM or SIGINT, then drains. On SIGHUP the API is what `reread` gives, if there is
/// anything to read. `resolved`: what Postgres has said of the routes, unless it was away. The calling thread
/// is the control thread.
pub fn serve(
    config: Config,
    api: &Arc<Api>,
    target: &Arc<Target>,
    reread: Option<Reread>,
    resolved: Option<Vec<Resolved>>,
    noted: &Noted,
) -> Result<(), Error> {
    let config = Arc::new(config);
    ring::probe(&ring_options(&config)).map_err(|error| Error(error.to_string()))?;
    let tls = config.tls.as_ref().map(ServerTls::load).transpose()?;
    let (sender, news) = channel();
    listen_to_signals(sender.clone())?;
    noted.tell(&sender);
    // A fetch may take seconds: a signal that comes meanwhile is not lost.
    let keys = load_keys(api, &sender)?;
    let mut inheritance = Inheritance::take().map_err(|error| Error::of_handover(&error))?;
    let mut none = Shares::default();
    let given = inheritance.as_mut().map_or(&mut none, |it| &mut it.shares);
    let mut bound = listener::bind(&config, given)?;
    let admin = telling::bind(&config, given)?;
    let rules = Numbers::default().of_next(&api.guards.rate_limits);
    let places = Places::of_first(api.routes.iter().map(|route| route.name.as_str()));
    let reloads = Reloads::new(reread, (rules.clone(), places.clone()), sender.clone());
    let served = Served {
        number: 0,
        api: api.clone(),
        keys: keys.keys().clone(),
        asker: keys.asker(),
        rules,
        places: places.clone(),
    };
    // A demo would start a second Postgres on its data.
    let upgradable = match reloads.is_of_file() {
        true => Some((
            Program::of_this_process().map_err(|error| Error::of_handover(&error))?,
            shares(&bound, admin.as_ref()).map_err(|error| Error::of_handover(&error))?,
        )),
        false => None,
    };
    let manager = Manager::of_environment();
    let mut cores = Cores {
        schedule: Schedule::new(manager.watchdog(), Instant::now()),
        manager,
        dumps: Dumps::new(config.histograms.as_ref())?,
        watch: Watch::new(&config.cores, places.names.clone(), limits::BATCH_KEYS_MAX),
        controls: Vec::new(),
        tls,
        keys,
        reloads,
        upgrades: Upgrades::new(upgradable),
        inheritance,
        drain_timeout: config.timeouts.drain,
        admin: None,
    };
    cores
        .watch
        .with_ledger(|ledger| ledger.is_dumped = config.histograms.is_some());
    cores.start(&config, &served, target, &mut bound, &sender)?;
    for address in &bound.addresses {
        tracing::info!(cores = cores.controls.len(), "listening on {address}");
    }
    cores.claim(&news)?;
    if let Some(admin) = admin {
        let asked = (api, target, resolved);
        cores.tell(admin, config, &bound, asked, &sender)?;
    }
    cores.supervise(&news, &sender, &mut bound)
}

/// What another process may take over.
fn shares(bound: &Bound, admin: Option<&admin::Bound>) -> io::Result<Shares> {
    let mut shares = bound.shares()?;
    if let Some(admin) = admin {
        admin.share(|name, socket| shares.add(name, vec![socket]))?;
    }
    Ok(shares)
}

/// The keys of `[auth]`; those that are fetched later are news.
fn load_keys(api: &Api, sender: &Sender<News>) -> Result<KeyStore, Error> {
    let sender = sender.clone();
    let deliver = move |keys| {
        // Nobody listens any more once the server stops.
        let _ = sender.send(News::Keys(0, keys));
    };
    let none = KeyStore::empty();
    none.next(&api.guards.auth, 0, deliver)
        .map_err(|error| Error(error.to_string()))
}

/// The running cores.
struct Cores {
    watch: Watch,
    dumps: Dumps,
    controls: Vec<Control>,
    tls: Option<ServerTls>,
    keys: KeyStore,
    manager: Manager,
    schedule: Schedule,
    reloads: Reloads,
    upgrades: Upgrades,
    /// What this process has been given by the one that it takes over from.
    inheritance: Option<Inheritance>,
    drain_timeout: Duration,
    /// The admin port, and what it tells of.
    admin: Option<(admin::Bound, Arc<Subject>)>,
}

impl Cores {
    fn start(
        &mut self,
        config: &Arc<Config>,
        served: &Served,
        target: &Arc<Target>,
        bound: &mut Bound,
        sender: &Sender<News>,
    ) -> Result<(), Error> {
        let seats = rate_limit::seats(config.cores.len())
            .map_err(|error| Error(format!("no way from core to core: {error}")))?;
        for (&cpu, seat) in config.cores.iter().zip(seats) {
            let io_error = |error: io::Error| Error(format!("core {cpu}: {error}"));
            let control = Control::new().map_err(io_error)?;
            let shard = Shard {
                cpu,
                listeners: bound.take_core(),
                takes_over: self.inheritance.is_some(),
                config: config.clone(),
                tls: self.tls.as_ref().map(ServerTls::config),
                served: served.clone(),
                target: target.clone(),
                control: control.clone(),
                seat,
                deliver: deliver_snapshots(sender.clone()),
                news: sender.clone(),
            };
            let sender = sender.clone();
            thread::Builder::new()
                .name(format!("core-{cpu}"))
                .spawn(move || {
                    let run = std::panic::AssertUnwindSafe(|| shard.run());
                    let outcome = match std::panic::catch_unwind(run) {
                        Ok(outcome) => outcome.map_err(|error| error.to_string()),
                        Err(_) => Err("it panicked".to_owned()),
                    };
                    // The control thread may have given up on this core already.
                    let _ = sender.send(News::Ended(cpu, outcome));
                })
                .map_err(io_error)?;
            self.watch.add(cpu, control.clone());
            self.controls.push(control);
        }
        Ok(())
    }
}

fn deliver_snapshots(sender: Sender<News>) -> Deliver {
    Box::new(move |snapshot| {
        // The control thread may have given up on this core already.
        let _ = sender.send(News::Snapshot(snapshot));
    })
}

impl Noted {
    /// From now on signals are heard of otherwise as well: one that is told of twice is as good as once.
    fn tell(&self, sender: &Sender<News>) {
        let signals = [(&self.stop, News::Signal), (&self.reload, News::Reload)];
        for (flag, news) in signals {
            if flag.load(Ordering::Acquire) {
                // The receiver is this thread's.
                let _ = sender.send(news);
            }
        }
    }
}

/// Signals are the control thread's: the cores block them.
fn listen_to_signals(sender: Sender<News>) -> Result<(), Error> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
        .map_err(|error| Error(format!("signals can't be taken: {error}")))?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                let news = match signal {
                    SIGHUP => News::Reload,
                    SIGUSR1 => News::Dump(None),
                    SIGUSR2 => News::Upgrade,
                    _ => News::Signal,
                };
                if sender.send(news).is_err() {
                    return;
                }
            }
        })
        .map_err(|error| Error(format!("no thread for signals: {error}")))?;
    Ok(())
}

impl From<admin::Error> for Error {
    fn from(error: admin::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<tls::Error> for Error {
    fn from(error: tls::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<listener::Error> for Error {
    fn from(error: listener::Error) -> Error {
        Error(error.to_string())
    }
}
