//! A run from its start to its verdict.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::clients::Clients;
use crate::fault::{Event, Fault, timetable};
use crate::faults::{Injector, is_ready};
use crate::guards::{self, Limit};
use crate::identity::Identity;
use crate::ledger::{Ledger, Outcome};
use crate::picture::Picture;
use crate::samples::Sampler;
use crate::schema::{ADMITTED, FLAGS, ROUTES, SCHEMA, USER};
use crate::settings::Settings;
use crate::starvation::Starvation;
use crate::support::cluster::Cluster;
use crate::support::process::{descriptors, descriptors_if_any};
use crate::support::proxy::Proxy;
use crate::support::{PATIENCE, Server, Signal};
use crate::ways::Ways;
use crate::windows::Windows;
use crate::writes::Writes;
use crate::{Item, Soak};

const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// How long clients go on before and after the server is told to stop in the end.
const BEFORE_DRAIN: Duration = Duration::from_millis(700);

/// Runs the soak; true when nothing was wrong.
pub fn run(settings: &Settings) -> bool {
    let interrupted = Arc::<AtomicBool>::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone()).expect("a signal handler");
    }
    let events = timetable(settings.seed, settings.duration);
    let minutes = settings.duration.as_secs_f64() / 60.0;
    println!(
        "soak: seed {}, {minutes:.1} minutes, {} faults",
        settings.seed,
        events.len()
    );
    // In the order in which they are to be stopped, from the last to the first.
    let mut identity = Identity::new();
    let mut postgres = postgres(&identity);
    let proxy = Proxy::to(postgres.address().into());
    let (server, ways) = server(&proxy, &identity);
    let soak = Arc::new(Soak {
        ways,
        seed: settings.seed,
        items: items(&postgres),
        windows: Windows::default(),
        starvation: Starvation::default(),
        ledger: Ledger::new(settings.seed),
        writes: Writes::default(),
        limit: Limit::default(),
        over: AtomicBool::new(false),
        draining: AtomicBool::new(false),
        interrupted,
    });
    until_ready(&soak);
    check_encryption(&soak, &postgres);
    let baseline = descriptors(server.pid());

    let start = Instant::now();
    let (sampler, recoveries) = under_faults(
        &soak,
        settings,
        &events,
        (&mut postgres, &proxy, &mut identity, server.pid()),
    );
    let mut report = String::new();
    if !soak.is_interrupted() {
        check_left_overs(&soak, &server, &postgres, baseline);
        let (memory, flat) = sampler.judge_memory();
        let _ = writeln!(report, "{memory}");
        if !flat {
            soak.ledger.wrong_fact(&memory);
        }
        guards::check_burst(&soak);
        drain(&soak, server);
        verify(&soak, &postgres, &mut report);
    }
    describe(&soak, &recoveries, &mut report);
    finish(&soak, settings, start, &sampler, &report)
}

/// One that lets the server in over TLS alone.
fn postgres(identity: &Identity) -> Cluster {
    let postgres = Cluster::on_tcp("jit = off\n", SCHEMA);
    postgres.admit(ADMITTED);
    postgres.encrypt(&identity.issue());
    postgres
}

/// One that speaks plainly on one port and TLS on another.
fn server(proxy: &Proxy, identity: &Identity) -> (Server, Ways) {
    let [root, certificate, key] = identity.files();
    let url = format!(
        "postgres://{USER}@{}/postgres?sslmode=verify-full&channel_binding=require&sslrootcert={root}",
        proxy.address
    );
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let routes = ROUTES.replace("SECRET", &identity.secret());
    let plain = ["--listen", "http://127.0.0.1:0"];
    let mut server = Server::start(&routes, &url, &[FLAGS, &tls, &plain].concat());
    let [plain, tls] = ["http", "https"].map(|scheme| server.listens_on(scheme));
    let ways = Ways::new(plain, tls, &identity.roots());
    (server, ways)
}

/// The server's sessions with Postgres have to be what the soak is about.
fn check_encryption(soak: &Soak, postgres: &Cluster) {
    let kinds = postgres.sql(
        "select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) \
         where usename = 'soak'",
    );
    if kinds != "t" {
        let what = format!("sessions with Postgres are encrypted: {kinds:?}");
        soak.ledger.wrong_fact(&what);
    }
}

/// Waits for every core.
fn until_ready(soak: &Soak) {
    let start = Instant::now();
    while !is_ready(soak.ways.plain) && !soak.is_interrupted() {
        assert!(start.elapsed() < PATIENCE, "not all cores get ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn items(postgres: &Cluster) -> Vec<Item> {
    let rows = postgres.sql("select slug, tag, mark from items order by id");
    let item = |row: &str| {
        let mut columns = row.split('|').map(str::to_owned);
        let mut column = || columns.next().expect("three columns");
        Item {
            slug: column(),
            tag: column(),
            mark: column(),
        }
    };
    rows.lines().map(item).collect()
}

type Recoveries = Vec<(Fault, Duration)>;

/// All clients, and the faults of the timetable, until the time is over.
fn under_faults(
    soak: &Arc<Soak>,
    settings: &Settings,
    events: &[Event],
    (postgres, proxy, identity, server): (&mut Cluster, &Proxy, &mut Identity, u32),
) -> (Sampler, Recoveries) {
    let mut sampler = Sampler::start(server);
    let start = Instant::now();
    let clients = Clients::start(soak);
    let recoveries = std::thread::scope(|scope| {
        let injector = Injector {
            soak,
            postgres,
            proxy,
            identity,
            server,
        };
        let injector = scope.spawn(move || injector.run(events));
        scope.spawn(|| soak.starvation.watch(server, || soak.goes_on()));
        let mut next_progress = PROGRESS_INTERVAL;
        while start.elapsed() < settings.duration && soak.goes_on() {
            std::thread::sleep(SAMPLE_INTERVAL);
            if sampler.take(soak).is_none() {
                soak.ledger.wrong_fact("the server is gone");
                break;
            }
            if start.elapsed() >= next_progress {
                next_progress += PROGRESS_INTERVAL;
                print_progress(soak, &sampler);
            }
        }
        soak.over.store(true, Ordering::SeqCst);
        injector.join()
    });
    clients.join(soak);
    let recoveries = recoveries.unwrap_or_else(|_| {
        soak.ledger.wrong_fact("the injector panicked");
        Vec::new()
    });
    (sampler, recoveries)
}

fn print_progress(soak: &Soak, sampler: &Sampler) {
    let Some(last) = sampler.samples.last() else {
        return;
    };
    let per_interval = (PROGRESS_INTERVAL.as_millis() / SAMPLE_INTERVAL.as_millis()) as usize;
    let recent = &sampler.samples[sampler.samples.len().saturating_sub(per_interval)..];
    let mean = |rate: fn(&crate::samples::Sample) -> f64| {
        recent.iter().map(rate).sum::<f64>() / recent.len() as f64
    };
    let now = Instant::now();
    let active = soak.windows.between(now, now);
    let names: Vec<&str> = active.iter().map(|fault| fault.name()).collect();
    println!(
        "{:5.0} s: {:7} checked, {:5.0}/s right, {:4.0}/s excused, {} wrong, {} lost; \
         {:3} faults{}{}; {:.1} MiB, {} descriptors",
        last.at.as_secs_f64(),
        soak.ledger.checked(),
        mean(|it| it.right_rate),
        mean(|it| it.excused_rate),
        soak.ledger.wrong(),
        soak.ledger.lost(),
        soak.windows.all().len(),
        if names.is_empty() { "" } else { ", now " },
        names.join(", "),
        last.resident_kib as f64 / 1024.0,
        last.descriptors
    );
}

/// With all clients gone, nothing of them may be left.
fn check_left_overs(soak: &Soak, server: &Server, postgres: &Cluster, baseline: usize) {
    let start = Instant::now();
    let mut open = 0;
    let mut busy = String::new();
    while start.elapsed() < PATIENCE && !soak.is_interrupted() {
        open = descriptors_if_any(server.pid()).unwrap_or(0);
        busy = postgres.sql(
            "select count(*) from pg_stat_activity where usename = 'soak' and state <> 'idle'",
        );
        if open <= baseline && busy == "0" {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let what = format!("left over: {open} descriptors of {baseline}, {busy} statements of 0");
    soak.ledger.wrong_fact(&what);
}

/// Stops the server in order while clients are at work.
fn drain(soak: &Arc<Soak>, mut server: Server) {
    soak.over.store(false, Ordering::SeqCst);
    let clients = Clients::start(soak);
    soak.pause(BEFORE_DRAIN);
    soak.draining.store(true, Ordering::SeqCst);
    server.signal(Signal::TERM);
    soak.pause(BEFORE_DRAIN);
    soak.over.store(true, Ordering::SeqCst);
    clients.join(soak);
    server.wait_for_line("stopped");
    let panics = server.log().iter().filter(|line| line.contains("panicked"));
    let panics: Vec<String> = panics.cloned().collect();
    for line in panics {
        soak.ledger.wrong_fact(&line);
    }
    let status = server.exit();
    if !status.success() {
        soak.ledger
            .wrong_fact(&format!("the server ended with {status}"));
    }
}

fn verify(soak: &Soak, postgres: &Cluster, report: &mut String) {
    let (writes, done) = soak.writes.totals();
    let compared = soak.writes.verify(postgres, &soak.ledger);
    soak.limit.verify(&soak.ledger);
    let _ = writeln!(
        report,
        "{writes} writes, {done} acknowledged; {compared} facts compared with the database"
    );
}

fn describe(soak: &Soak, recoveries: &Recoveries, report: &mut String) {
    let ledger = &soak.ledger;
    let _ = writeln!(
        report,
        "{} right, {} excused by a fault, {} ended by the client; /health took {:?} at the most \
         beside hogs and stops",
        ledger.counted(Outcome::Right),
        ledger.counted(Outcome::Excused),
        ledger.counted(Outcome::Ended),
        ledger.health_slowest()
    );
    let (admitted, refused) = soak.limit.counts();
    let _ = writeln!(
        report,
        "{admitted} let in by the limit that is reached, {refused} refused"
    );
    let (full, resumed) = soak.ways.handshakes();
    let _ = writeln!(
        report,
        "{full} TLS sessions begun, {resumed} taken up again"
    );
    let _ = writeln!(
        report,
        "the machine gave the server no time for {:.1?}",
        soak.starvation.total()
    );
    for (words, count) in ledger.excuses() {
        let _ = writeln!(report, "  excused {count:7} × {words}");
    }
    for fault in Fault::ALL {
        let of_it = recoveries.iter().filter(|(known, _)| *known == fault);
        let times: Vec<Duration> = of_it.map(|(_, time)| *time).collect();
        if let Some(longest) = times.iter().max() {
            let (count, name) = (times.len(), fault.name());
            let _ = writeln!(
                report,
                "  {count:3} × {name}: ready again after {longest:?} at the most"
            );
        }
    }
}

/// Writes everything down, and prints the verdict as the last line.
fn finish(
    soak: &Soak,
    settings: &Settings,
    start: Instant,
    sampler: &Sampler,
    report: &str,
) -> bool {
    let ledger = &soak.ledger;
    let verdict = verdict(ledger);
    let faults: Vec<(Fault, f64, f64)> = soak
        .windows
        .all()
        .iter()
        .map(|window| {
            let seconds = |at: Instant| at.saturating_duration_since(start).as_secs_f64();
            let until = window.until.unwrap_or_else(Instant::now);
            (window.fault, seconds(window.from), seconds(until))
        })
        .collect();
    let picture = Picture {
        title: format!(
            "Soak, seed {}: {} faults, {verdict}",
            settings.seed,
            faults.len()
        ),
        samples: &sampler.samples,
        faults: &faults,
    };
    let out = &settings.out;
    std::fs::create_dir_all(out).expect("the directory for what comes out");
    let write = |name: &str, text: &str| {
        std::fs::write(out.join(name), text).expect("a file");
    };
    write("soak.svg", &picture.svg());
    write("samples.csv", &sampler.table());
    write("faulty.txt", &ledger.shown().join("\n"));
    write("verdict.txt", &format!("{report}{verdict}\n"));
    println!("{report}picture: {}", out.join("soak.svg").display());
    println!("seed {}", settings.seed);
    if soak.is_interrupted() {
        println!("interrupted");
    }
    println!("{verdict}");
    ledger.wrong() + ledger.lost() == 0 && !soak.is_interrupted()
}

fn verdict(ledger: &Ledger) -> String {
    let (checked, wrong, lost) = (ledger.checked(), ledger.wrong(), ledger.lost());
    format!("{checked} checked, {wrong} wrong, {lost} lost")
}
