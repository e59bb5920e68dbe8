//! Postgres on one core: its own pipelined connections, prepared statements and bounds.
//!
//! Reading order: `url` says where Postgres is, `connect` opens one connection over the core's
//! ring (`tls` encrypts it, `channel` is either), `wire` carries its bytes (`message` knows them),
//! `statements` prepares the routes on it
//! (`judgement` asks `eligible` once which are batched), `link` keeps one connection alive, `gate` says
//! who is let in (`sheds` counts the others), `lane` is a group of links with a bounded queue in front,
//! `batch` gathers requests, `execute` runs one request's statement, `rows`
//! makes JSON of its rows, `mend` prepares again what DDL changed, `told` keeps the log from being told
//! of one cause for each request.

mod batch;
pub mod connect;
pub mod eligible;
pub mod execute;
mod gate;
mod judgement;
pub mod lane;
pub mod link;
mod mend;
mod message;
pub mod roles;
mod rows;
mod session;
mod sheds;
mod signal;
pub mod statements;
pub mod tls;
mod told;
pub mod url;
mod wire;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::{Api, BatchMode};
use crate::config;
use crate::error::Failure;
use crate::limits;
use crate::metrics::{Gauges, Places, Recorder};
use crate::ring::Ring;
use crate::told::Told;

use batch::Batcher;
pub use gate::Admitted;
use gate::Gate;
use lane::Lane;
pub use session::{Session, Value};
pub use sheds::Cause;
use signal::Signal;
pub use statements::Description;
use statements::Prepared;
use url::Target;

/// One core's side of Postgres.
pub struct Database {
    ring: Rc<Ring>,
    api: Arc<Api>,
    target: Arc<Target>,
    lanes: Vec<Rc<Lane>>,
    /// By route.
    routes: Vec<Route>,
    told: Told<usize>,
    recorder: Rc<Recorder>,
    /// Where it counts each route.
    places: Places,
    /// All connections may be opened.
    opening: Signal,
    /// All is over.
    closing: Signal,
}

/// How many connections are opened at the start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// All of them.
    All,
    /// One of each lane; the others with [`Database::open_all`].
    OneEach,
}

struct Route {
    /// Which of `lanes` carries the route.
    lane: usize,
    /// What the route's statement looked like when it was last prepared.
    known: RefCell<Known>,
    batcher: Rc<Batcher>,
    /// A request has come while the statement does not prepare.
    wanted: Cell<bool>,
    /// When a request was last refused for what may be known no longer.
    doubted: Cell<Option<Instant>>,
    /// How long one statement takes, in the mean of the last ones: each counts an eighth.
    takes: Cell<Duration>,
}

/// What a statement is taken to take as long as nothing is known: not a little.
const TAKES_AT_FIRST: Duration = Duration::from_millis(10);

/// How often it is looked whether connections are up.
const SETTLE_INTERVAL: Duration = Duration::from_millis(5);

/// What is known of a route's statement.
enum Known {
    /// It has not been prepared yet.
    Nothing,
    Described(Rc<Description>),
    /// Postgres refused it, with these words.
    Fault(String),
}

impl Route {
    fn is_swift(&self) -> bool {
        self.takes.get() < limits::SWIFT_MAX
    }

    fn note_time(&self, taken: Duration) {
        self.takes.set((self.takes.get() * 7 + taken) / 8);
    }
}

impl Database {
    /// Starts to connect; returns at once. Whoever asks meanwhile waits or is refused.
    pub fn start(
        ring: &Rc<Ring>,
        api: Arc<Api>,
        target: Arc<Target>,
        settings: &config::Postgres,
        (recorder, places): (Rc<Recorder>, Places),
        opening: Opening,
    ) -> Rc<Database> {
        let groups = lane::groups(&api, settings);
        let lanes: Vec<Rc<Lane>> = groups
            .iter()
            .map(|group| Lane::new(ring, group, settings))
            .collect();
        let lane_of = |route: usize| {
            groups
                .iter()
                .position(|group| group.routes.contains(&route))
                .expect("every route is in a group")
        };
        let routes = api.routes.iter().enumerate().map(|(index, route)| {
            let lane = lane_of(index);
            Route {
                lane,
                known: RefCell::new(Known::Nothing),
                batcher: Batcher::new(index, route, lanes[lane].clone(), settings, ring.now()),
                wanted: Cell::new(false),
                doubted: Cell::new(None),
                takes: Cell::new(TAKES_AT_FIRST),
            }
        });
        let routes = routes.collect();
        let database = Rc::new(Database {
            ring: ring.clone(),
            api,
            target,
            lanes,
            routes,
            told: Told::default(),
            recorder,
            places,
            opening: Signal::default(),
            closing: Signal::default(),
        });
        if opening == Opening::All {
            database.open_all();
        }
        database.start_lanes();
        database.start_batching();
        database
    }

    fn start_lanes(self: &Rc<Self>) {
        for lane in &self.lanes {
            for (index, link) in lane.links().iter().enumerate() {
                let of = (self.clone(), lane.clone(), link.clone());
                self.spawn_lasting(move || {
                    let (database, lane, link) = of.clone();
                    async move {
                        if index > 0 {
                            database.opening.wait().await;
                        }
                        link::keep(database, lane, link).await;
                    }
                });
            }
            let of = (self.clone(), lane.clone());
            self.spawn_lasting(move || link::watch(of.0.clone(), of.1.clone()));
            let of = (self.clone(), lane.clone());
            self.spawn_lasting(move || mend::keep_prepared(of.0.clone(), of.1.clone()));
        }
        let of = self.clone();
        self.spawn_lasting(move || told::keep_telling(of.clone()));
    }

    fn start_batching(self: &Rc<Self>) {
        for (index, route) in self.routes.iter().enumerate() {
            let declared = &self.api.routes[index];
            if declared.batch.mode == BatchMode::Off || !declared.read_only {
                continue;
            }
            for sender in 0..=declared.batch.in_flight_max {
                let full = sender == declared.batch.in_flight_max;
                let of = (self.clone(), route.batcher.clone());
                self.spawn_lasting(move || batch::send(of.0.clone(), of.1.clone(), full));
            }
        }
    }

    /// Runs what `make` makes as long as there is this database.
    fn spawn_lasting<F>(self: &Rc<Self>, mut make: impl FnMut() -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let database = self.clone();
        self.ring.spawn_lasting(move || {
            let (work, database) = (make(), database.clone());
            async move { database.closing.until(work).await }
        });
    }

    /// Opens the connections that were held back, if any.
    pub fn open_all(&self) {
        self.opening.give();
    }

    /// Waits until each lane has a connection on which its statements were prepared, or, where `is_strict` is
    /// not asked for, has tried to get one. An error says why there is none after `patience`.
    pub async fn settled(&self, patience: Duration, is_strict: bool) -> Result<(), String> {
        let start = self.ring.now();
        let lacks = |lane: &&Rc<Lane>| match is_strict {
            true => lane.is_down(),
            false => lane.is_down() && !lane.has_tried(),
        };
        loop {
            let Some(reason) = self.lanes.iter().find(lacks).and_then(|it| it.down()) else {
                return Ok(());
            };
            if self.ring.now() - start >= patience {
                return Err(reason);
            }
            self.ring.sleep(SETTLE_INTERVAL).await;
        }
    }

    /// Ends all tasks and connections. What is still in flight fails.
    pub fn close(&self) {
        self.tell_repeated();
        self.closing.give();
        for route in &self.routes {
            route.batcher.close();
        }
        for lane in &self.lanes {
            lane.links().iter().for_each(|link| link.close());
        }
    }

    /// How the route's parameters are bound, once its statement has been prepared.
    pub fn description(&self, route: usize) -> Option<Rc<Description>> {
        let route = &self.routes[route];
        match &*route.known.borrow() {
            Known::Described(description) => Some(description.clone()),
            Known::Nothing | Known::Fault(_) => {
                route.wanted.set(true);
                None
            }
        }
    }

    /// Lets a request of a route in, before anything is done for it, or refuses it because it would wait for
    /// too long. `company` are the requests before it on its client's connection that are not answered yet.
    pub fn admit(
        &self,
        route: usize,
        description: &Description,
        company: usize,
    ) -> Result<Admitted, Failure> {
        let (now, batched) = (self.ring.now(), description.is_batched());
        let gate = self.gate(route, batched);
        let Route { lane, batcher, .. } = &self.routes[route];
        let lane = &self.lanes[*lane];
        if lane.is_down() {
            // How long that is waited for is not for the gate to say, nor what piles up meanwhile.
            gate.reset(now);
            return Ok(gate.let_in());
        }
        let admitted = gate.admit(now, company);
        match gate.take_excess() {
            0 => {}
            excess if batched => batcher.refuse_excess(excess),
            excess => lane.refuse_excess(excess),
        }
        admitted
    }

    /// A request that was let in has ended, with this failure or with an answer.
    pub fn leave(&self, admitted: Admitted, failure: Option<&Failure>) {
        admitted.end(self.ring.now(), failure);
    }

    /// Counts a request of a route that was refused elsewhere.
    pub fn count_shed(&self, route: usize, description: &Description, cause: Cause) {
        let gate = self.gate(route, description.is_batched());
        gate.sheds().count(cause);
    }

    fn gate(&self, route: usize, batched: bool) -> &Rc<Gate> {
        let Route { lane, batcher, .. } = &self.routes[route];
        match batched {
            true => batcher.gate(),
            false => self.lanes[*lane].gate(),
        }
    }

    /// Tells the log how many requests of a lane were refused for want of room, if there is news.
    fn log_sheds(&self, lane: &Lane) {
        let now = self.ring.now();
        if let Some(refused) = lane.gate().sheds().news(now) {
            tracing::warn!(lane = lane.name, refused, "too many requests");
        }
        for &route in &lane.routes {
            if let Some(refused) = self.routes[route].batcher.gate().sheds().news(now) {
                let name = &self.api.routes[route].name;
                tracing::warn!(route = name, refused, "too many requests");
            }
        }
    }

    /// Tells the log what has not been told at the stop: how large the batches of each route were, and
    /// what failed again.
    pub fn log_summary(&self) {
        self.tell_repeated();
        for (route, declared) in self.routes.iter().zip(&self.api.routes) {
            let sizes = route.batcher.sizes();
            if sizes.count() > 0 {
                let name = &declared.name;
                tracing::debug!(route = name, "{sizes}");
            }
        }
    }

    /// Fills in what it has at the moment.
    pub fn gauge(&self, gauges: &mut Gauges) {
        for lane in &self.lanes {
            let batched = |&route: &usize| self.routes[route].batcher.waiting();
            let waiting = lane.waiting() + lane.routes.iter().map(batched).sum::<usize>();
            gauges.queued.push((lane.name.clone(), waiting as u64));
            let open = lane.links().iter().filter(|link| link.usable()).count();
            gauges.postgres_open += open as u64;
            gauges.postgres_opening += (lane.links().len() - open) as u64;
        }
        let broken = (0..self.routes.len()).filter(|&route| self.is_at_fault(route));
        gauges.broken_routes = broken.count() as u64;
    }

    /// Why this core can't answer some route now; empty when it can answer all.
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = Vec::new();
        for lane in &self.lanes {
            if let Some(reason) = lane.down() {
                let fault = format!("postgres: {reason}");
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            let name = &self.api.routes[index].name;
            match &*route.known.borrow() {
                Known::Fault(reason) => faults.push(format!("route {name}: {reason}")),
                Known::Nothing if faults.is_empty() => {
                    faults.push(format!("route {name}: not prepared yet"));
                }
                Known::Nothing | Known::Described(_) => {}
            }
        }
        faults
    }

    /// Takes note of what a statement looks like now. One description serves all connections on
    /// which it looks the same, so that to compare them is to compare pointers.
    fn learn(&self, route: usize, mut prepared: Prepared) -> Prepared {
        let mut known = self.routes[route].known.borrow_mut();
        match &*known {
            Known::Described(description) if description.is_like(&prepared.description) => {
                prepared.description = description.clone();
            }
            _ => {
                if let Known::Fault(_) = &*known {
                    let name = &self.api.routes[route].name;
                    tracing::info!(route = name, "the route's statement prepares again");
                }
                *known = Known::Described(prepared.description.clone());
            }
        }
        prepared
    }

    /// Whether the route is refused because its statement does not prepare.
    fn is_at_fault(&self, route: usize) -> bool {
        matches!(&*self.routes[route].known.borrow(), Known::Fault(_))
    }

    fn learn_fault(&self, route: usize, reason: String) {
        self.routes[route].known.replace(Known::Fault(reason));
    }
}
