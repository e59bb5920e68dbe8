//! The injector: one thread that goes through the timetable, does each fault, takes it back, and waits
//! until the server is itself again.

mod crowds;
mod machine;

use std::any::Any;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Soak;
use crate::asks::Asks;
use crate::fault::{Event, Fault};
use crate::identity::Identity;
use crate::support::cluster::Cluster;
use crate::support::process::Frozen;
use crate::support::proxy::{Harm, How, Proxy, When};
use crate::support::{PATIENCE, Signal, send_signal};
use crate::ways::Way;
use crate::wire::Line;
use machine::{Hogs, Shortage};

/// How long after it is ready again the server may still show traces of a fault.
const RECOVERY: Duration = Duration::from_secs(1);

/// Fresh connections on which `/ready` has to be 200, so that every core is met by one of them: with
/// two cores, all of twelve are on the same one once in two thousand times.
const READY_CONNECTIONS: usize = 12;

/// The cores of [`FLAGS`](crate::schema::FLAGS).
const CORES: &[usize] = &[0, 1];

/// What the injector works on.
pub struct Injector<'a> {
    pub soak: &'a Soak,
    pub postgres: &'a mut Cluster,
    pub proxy: &'a Proxy,
    pub identity: &'a mut Identity,
    pub server: u32,
}

impl Injector<'_> {
    /// Goes through the timetable; returns each fault with the time that recovery took.
    pub fn run(mut self, events: &[Event]) -> Vec<(Fault, Duration)> {
        let mut asks = Asks::new(self.soak, "injector", Way::Plain);
        let start = Instant::now();
        let mut recoveries = Vec::new();
        for event in events {
            self.soak.pause(event.at.saturating_sub(start.elapsed()));
            if !self.soak.goes_on() {
                break;
            }
            let company = event.company.map(|fault| {
                self.soak.windows.open(fault);
                self.begin(fault, &mut asks)
            });
            self.soak.windows.open(event.fault);
            self.inject(event, &mut asks);
            drop(company);
            let over = Instant::now();
            let recovered = self.wait_until_ready();
            self.soak.windows.close(Instant::now() + RECOVERY);
            if recovered {
                recoveries.push((event.fault, over.elapsed()));
            }
        }
        recoveries
    }

    /// Does a fault and takes it back.
    fn inject(&mut self, event: &Event, asks: &mut Asks<'_>) {
        let Event { fault, lasts, .. } = *event;
        let soak = self.soak;
        match fault {
            Fault::EndOne => self.end_backends(&[self.one_backend(asks)]),
            Fault::EndAll => self.end_backends(&self.backends()),
            Fault::Crash => {
                self.postgres.stop_immediately();
                soak.pause(lasts);
                self.postgres.launch();
            }
            Fault::Restart => {
                self.postgres.stop_fast();
                soak.pause(lasts);
                self.postgres.launch();
            }
            Fault::FreezeShort | Fault::FreezeLong => {
                let _frozen = Frozen::freeze(self.postgres.processes());
                soak.pause(lasts);
            }
            Fault::FreezeOne => {
                let _frozen = Frozen::freeze(vec![self.one_backend(asks)]);
                soak.pause(lasts);
            }
            Fault::TooMany => {
                let sql = "alter role soak connection limit";
                self.postgres.sql(&format!("{sql} 5"));
                self.end_backends(&self.backends());
                soak.pause(lasts);
                self.postgres.sql(&format!("{sql} -1"));
            }
            Fault::LockShort | Fault::LockLong => {
                let seconds = lasts.as_secs_f64();
                self.postgres.sql(&format!(
                    "begin; lock table counters in access exclusive mode; \
                     select pg_sleep({seconds}); commit"
                ));
            }
            Fault::AddColumn => self.alter(
                "alter table changing add column extra int4",
                "alter table changing drop column extra",
                lasts,
            ),
            Fault::ChangeType => self.alter(
                "alter table changing alter column id type int8",
                "alter table changing alter column id type int4",
                lasts,
            ),
            Fault::RenameTable => self.alter(
                "alter table changing rename to away",
                "alter table away rename to changing",
                lasts,
            ),
            Fault::CutOne => self.cut(1, asks, lasts),
            Fault::CutMany => self.cut(asks.random.between(10, 60), asks, lasts),
            Fault::Overload => crowds::overload(soak, asks, lasts),
            Fault::Crowd => crowds::crowd(soak, asks, lasts),
            Fault::Hog | Fault::Descriptors | Fault::Halt => {
                let _lasting = self.begin(fault, asks);
                soak.pause(lasts);
            }
            Fault::Renewal => {
                self.identity.renew();
                send_signal(self.server, Signal::HUP);
                self.wait_until_renewed(asks);
            }
        }
    }

    /// Begins a fault of the machine, which lasts until it is dropped.
    fn begin(&self, fault: Fault, asks: &mut Asks<'_>) -> Box<dyn Any> {
        match fault {
            Fault::Hog => Box::new(Hogs::start(CORES, asks.random.between(1, 3))),
            Fault::Descriptors => {
                let spare = asks.random.between(0, 3) as u64;
                Box::new(Shortage::begin(self.server, spare))
            }
            Fault::Halt => Box::new(Frozen::freeze(vec![self.server])),
            other => unreachable!("{other:?} does not last by itself"),
        }
    }

    fn alter(&self, there: &str, back: &str, lasts: Duration) {
        self.postgres.sql(there);
        self.soak.pause(lasts);
        self.postgres.sql(back);
    }

    fn end_backends(&self, pids: &[u32]) {
        // One that has ended by itself meanwhile is told of in a warning.
        let sql =
            format!("select pg_terminate_backend(pid) from unnest(array{pids:?}::int4[]) pid");
        self.postgres.sql(&sql);
    }

    fn backends(&self) -> Vec<u32> {
        let sql = "select pid from pg_stat_activity where usename = 'soak' order by backend_start";
        let pids = self.postgres.sql(sql);
        let pids = pids.lines().map(|pid| pid.parse().expect("a process id"));
        pids.collect()
    }

    fn one_backend(&self, asks: &mut Asks<'_>) -> u32 {
        *asks.random.pick(&self.backends())
    }

    /// Cuts replies anywhere until all are cut, or nobody has asked for so many in a while.
    fn cut(&self, replies: usize, asks: &mut Asks<'_>, lasts: Duration) {
        let cuts: Vec<Harm> = (0..replies)
            .map(|_| Harm {
                when: When::Within(asks.random.number() as u8),
                how: How::Close,
            })
            .collect();
        self.proxy.harm_next(cuts);
        let start = Instant::now();
        while !self.proxy.has_harmed() && start.elapsed() < lasts.max(RECOVERY) {
            self.soak.pause(Duration::from_millis(5));
        }
        self.proxy.harm_next([]);
    }

    /// Waits until fresh connections to every core see the certificate of now.
    fn wait_until_renewed(&self, asks: &mut Asks<'_>) {
        let ways = &self.soak.ways;
        let mut sees_it = || {
            let mut line = Line::connect(ways.tls).ok()?;
            line.encrypt(ways.session(&mut asks.random)).ok()?;
            let certificate = line.session()?.certificate()?;
            Some(self.identity.is(certificate))
        };
        let start = Instant::now();
        while !(0..READY_CONNECTIONS).all(|_| sees_it() == Some(true)) {
            if start.elapsed() > PATIENCE {
                let what = format!("not the new certificate after {PATIENCE:?}");
                return self.soak.ledger.wrong_fact(&what);
            }
            if self.soak.is_interrupted() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every core can answer every route; how long that takes is the server's to answer for.
    fn wait_until_ready(&self) -> bool {
        let start = Instant::now();
        while !is_ready(self.soak.ways.plain) {
            if start.elapsed() > PATIENCE {
                let what = format!("not ready {PATIENCE:?} after a fault was over");
                self.soak.ledger.wrong_fact(&what);
                return false;
            }
            if self.soak.is_interrupted() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// Whether every core can answer every route.
pub fn is_ready(address: SocketAddr) -> bool {
    let ask = b"GET /ready HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n";
    (0..READY_CONNECTIONS).all(|_| {
        let Ok(mut line) = Line::connect(address) else {
            return false;
        };
        line.send(ask) && line.response(false).is_ok_and(|it| it.status == 200)
    })
}
