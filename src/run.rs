//! The commands, from checked settings to an exit code.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use tracing::Level;

use crate::api::{self, Api, Resolved};
use crate::check;
use crate::cli::{self, ApiFlags, Check, Cli, Command, Demo, Serve, Upgrade};
use crate::config::Config;
use crate::demo;
use crate::guard::auth::jwt::Source;
use crate::guard::rate_limit;
use crate::log;
use crate::metrics::Snapshot;
use crate::pg::connect;
use crate::pg::url::{self, Target};
use crate::report;
use crate::ring;
use crate::server::{self, Noted, Reread};
use crate::upgrade;

/// A fault that ends the program, in words for whoever started it.
type Fault = Box<dyn std::error::Error>;

/// Runs one command. 0: a clean stop; 1: a fault of the configuration or at start-up, told on
/// stderr. (Faults of usage, 2, end in the parser.)
pub fn run(cli: Cli) -> ExitCode {
    let _last = log::FlushAtEnd;
    let outcome = match cli.command {
        Command::Serve(serve) => run_serve(&serve),
        Command::Demo(demo) => run_demo(&demo),
        Command::Check(check) => run_check(&check),
        Command::Upgrade(upgrade) => run_upgrade(&upgrade),
        Command::Report(report) => run_report(report),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Diagnostics begin with their own place and word.
            let text = connect::chain(fault.as_ref());
            let prefix = if text.starts_with("error") {
                ""
            } else {
                "error: "
            };
            log::say(Level::ERROR, &format!("{prefix}{}", text.trim_end()));
            ExitCode::FAILURE
        }
    }
}

fn run_serve(flags: &Serve) -> Result<(), Fault> {
    let noted = note_requests()?;
    let config = Config::new(&flags.machine)?;
    log::start(&config.log, config.log_format)?;
    let api = load(&flags.api.routes)?;
    let target = target(&flags.api)?;
    let routes = flags.api.routes.clone();
    let settings = config.clone();
    let reread = move || reread(&routes, &settings).map_err(|fault| fault.to_string());
    serve(config, api, target, Some(Arc::new(reread)), &noted)
}

fn run_demo(flags: &Demo) -> Result<(), Fault> {
    if flags.print_routes || flags.print_schema {
        let routes = flags.print_routes.then_some(demo::ROUTES);
        let schema = flags.print_schema.then_some(demo::SCHEMA);
        for text in [routes, schema].into_iter().flatten() {
            print(text)?;
        }
        return Ok(());
    }
    let config = Config::new(&flags.machine)?;
    log::start(&config.log, config.log_format)?;
    let api = api::load("shop.toml", demo::ROUTES)?;
    let installation = demo::postgres::find_binaries(flags.postgres.as_deref())?;
    let environment = |name: &str| std::env::var(name).ok();
    let data_dir = match &flags.data_dir {
        Some(dir) => dir.clone(),
        None => demo::default_data_dir(&environment)
            .ok_or("there is no home directory for the demo's data: give --data-dir")?,
    };
    let options = demo::postgres::Options {
        installation,
        data_dir,
        fresh: flags.fresh,
    };
    let noted = take_signals()?;
    run_shop(&options, config, api, &noted)
}

/// The shop over its private Postgres, which is stopped however this ends.
fn run_shop(
    options: &demo::postgres::Options,
    config: Config,
    api: Api,
    noted: &Noted,
) -> Result<(), Fault> {
    let started = demo::postgres::Cluster::start(options);
    let Some(mut cluster) = unless(&noted.stop, started)? else {
        return Ok(());
    };
    let url = cluster.url();
    log::say(Level::INFO, &format!("postgres: {url}"));
    let run = || {
        let loaded = cluster.ensure_loaded(demo::SCHEMA);
        if unless(&noted.stop, loaded)?.is_none() {
            return Ok(());
        }
        let api = with_tokens(api, &options.data_dir)?;
        let target = url::parse(&url, &|_| None, None)?;
        serve(config, api, target, None, noted)
    };
    let outcome = run();
    let stopped = cluster.stop();
    outcome?;
    Ok(stopped?)
}

/// The shop with a secret of this demo, whose tokens are printed: one for each tenant.
fn with_tokens(mut api: Api, data_dir: &Path) -> Result<Api, Fault> {
    let (path, secret) = demo::tokens::secret(data_dir)
        .map_err(|error| format!("no secret for tokens in {}: {error}", data_dir.display()))?;
    if let Some(jwt) = &mut api.guards.auth.jwt {
        jwt.source = Source::SecretFile(path);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    for tenant in demo::tokens::TENANTS {
        let token = demo::tokens::token(&secret, tenant, now);
        log::say(Level::INFO, &format!("token for {tenant}: {token}"));
    }
    Ok(api)
}

/// The outcome of a step of the demo's start, or `None` for one that failed because of a signal: at
/// a terminal Ctrl-C reaches initdb and psql as well, and that they end then is no fault.
fn unless<T>(
    interrupted: &AtomicBool,
    outcome: Result<T, demo::postgres::Error>,
) -> Result<Option<T>, Fault> {
    match outcome {
        Err(_) if interrupted.load(Ordering::Acquire) => Ok(None),
        outcome => Ok(Some(outcome?)),
    }
}

/// From now on SIGINT and SIGTERM are only noted, so that the demo's Postgres is never left behind:
/// whoever waits for long looks at the flag, and the server takes the signals when it runs.
fn take_signals() -> Result<Noted, Fault> {
    let noted = Noted::default();
    note([(SIGINT, noted.stop.clone()), (SIGTERM, noted.stop.clone())])?;
    Ok(noted)
}

/// From now on signals that ask a server for something do not end the program, which is what they do to one that
/// does not know them: while it waits for Postgres they may come as well. The server takes the signals when it
/// runs.
fn note_requests() -> Result<Noted, Fault> {
    let noted = Noted::default();
    note([
        (SIGHUP, noted.reload.clone()),
        (SIGUSR1, Arc::default()),
        (SIGUSR2, Arc::default()),
    ])?;
    Ok(noted)
}

fn note<const N: usize>(signals: [(i32, Arc<AtomicBool>); N]) -> Result<(), Fault> {
    for (signal, flag) in signals {
        signal_hook::flag::register(signal, flag)
            .map_err(|error| format!("signals can't be taken: {error}"))?;
    }
    Ok(())
}

fn run_upgrade(flags: &Upgrade) -> Result<(), Fault> {
    let pid = upgrade::upgrade(flags.pid, flags.timeout)?;
    Ok(print(&format!("process {pid} serves now\n"))?)
}

fn run_check(flags: &Check) -> Result<(), Fault> {
    server::prepare()?;
    ring::probe(&ring::Options::default())?;
    let api = Arc::new(load(&flags.api.routes)?);
    let target = target(&flags.api)?;
    for warning in &target.warnings {
        eprintln!("warning: {warning}");
    }
    let checked = check::resolve(&api, &Arc::new(target))?;
    for warning in &checked.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(print(&api::table(&api, &checked.routes))?)
}

/// Prints what dumps say; a target that is missed is a fault.
fn run_report(flags: cli::Report) -> Result<(), Fault> {
    let (printed, missed) = report::run(&flags.into())?;
    print(&printed)?;
    match missed.len() {
        0 => Ok(()),
        count => {
            let targets = if count == 1 { "target" } else { "targets" };
            let lines = missed.join("\n  ");
            Err(format!("{count} {targets} missed\n  {lines}").into())
        }
    }
}

/// Checks the routes against the database, unless it is away, and serves them; not if it was
/// interrupted meanwhile.
fn serve(
    config: Config,
    api: Api,
    target: Target,
    reread: Option<Reread>,
    noted: &Noted,
) -> Result<(), Fault> {
    check_redis(&config, &api)?;
    check_access_log(&config, &api)?;
    let (mut api, target) = (Arc::new(api), Arc::new(target));
    server::prepare()?;
    // Before the first ring is used, so that a machine that can't have one is told why.
    ring::probe(&server::ring_options(&config))?;
    for warning in &target.warnings {
        tracing::warn!("{warning}");
    }
    let mut resolved = resolve(&api, &target)?;
    if let Some(reread) = &reread {
        while noted.reload.swap(false, Ordering::AcqRel) {
            tracing::info!("SIGHUP: reading the routes file again before it is served");
            api = reread()?;
            resolved = resolve(&api, &target)?;
        }
    }
    if noted.stop.load(Ordering::Acquire) {
        return Ok(());
    }
    tracing::info!(routes = api.routes.len(), database = %target, "serving {}", api.title);
    server::serve(config, &api, &target, reread, resolved, noted)?;
    Ok(())
}

/// What Postgres says of the routes; `None` where it is away.
fn resolve(api: &Arc<Api>, target: &Arc<Target>) -> Result<Option<Vec<Resolved>>, Fault> {
    match check::resolve(api, target) {
        Ok(checked) => {
            for warning in &checked.warnings {
                tracing::warn!("{warning}");
            }
            Ok(Some(checked.routes))
        }
        Err(check::Error::Connect(error)) if !error.is_configuration() => {
            tracing::warn!(%error, "Postgres is away: starting without it");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The API as its file declares it now; the database has not been asked about it.
fn reread(path: &Path, config: &Config) -> Result<Arc<Api>, Fault> {
    let api = load(path)?;
    check_redis(config, &api)?;
    check_access_log(config, &api)?;
    Ok(Arc::new(api))
}

/// What is counted in Redis needs to know where it is. That it is there at the start is not asked for.
fn check_redis(config: &Config, api: &Api) -> Result<(), Fault> {
    match (&config.redis, rate_limit::in_redis(&api.guards.rate_limits)) {
        (None, Some(rule)) => {
            let name = &rule.name;
            Err(format!("[rate_limit.{name}]: store = \"redis\" needs --redis-url").into())
        }
        (Some(redis), Some(_)) if redis.target.is_encrypted() => {
            redis.tls.load()?;
            Ok(())
        }
        (Some(_), None) => {
            tracing::warn!("--redis-url: no rate limit has store = \"redis\"");
            Ok(())
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// Routes that the access log names have to be there.
fn check_access_log(config: &Config, api: &Api) -> Result<(), Fault> {
    let names = Snapshot::names(api.routes.iter().map(|route| &*route.name));
    let access = config.request_log.access.as_ref();
    let checked = access.map_or(Ok(()), |access| access.check(&names));
    checked.map_err(|fault| format!("--access-log: {fault}").into())
}

fn load(path: &Path) -> Result<Api, Fault> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("can't read the routes file {}: {error}", path.display()))?;
    Ok(api::load(&path.to_string_lossy(), &text)?)
}

fn target(flags: &ApiFlags) -> Result<Target, Fault> {
    let environment = |name: &str| std::env::var(name).ok();
    let home = environment("HOME").map(std::path::PathBuf::from);
    url::parse(&flags.database_url, &environment, home.as_deref())
        .map_err(|error| format!("--database-url: {error}").into())
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no fault.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
