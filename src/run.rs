//! The commands, from checked settings to an exit code.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use crate::api::{self, Api};
use crate::check;
use crate::cli::{ApiFlags, Check, Cli, Command, Demo, LogFormat, Serve};
use crate::config::Config;
use crate::demo;
use crate::pg::url::{self, Target};
use crate::server;

/// A fault that ends the program, in words for whoever started it.
type Fault = Box<dyn std::error::Error>;

/// Runs one command. 0: a clean stop; 1: a fault of the configuration or at start-up, told on
/// stderr. (Faults of usage, 2, end in the parser.)
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(serve) => run_serve(&serve),
        Command::Demo(demo) => run_demo(&demo),
        Command::Check(check) => run_check(&check),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            // Diagnostics begin with their own place and word.
            let text = fault.to_string();
            let prefix = if text.starts_with("error") {
                ""
            } else {
                "error: "
            };
            eprintln!("{prefix}{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run_serve(flags: &Serve) -> Result<(), Fault> {
    let config = Config::new(&flags.machine)?;
    start_log(&config)?;
    let api = load(&flags.api.routes)?;
    let target = target(&flags.api)?;
    serve(config, api, target)
}

fn run_demo(flags: &Demo) -> Result<(), Fault> {
    if flags.print_routes || flags.print_schema {
        let mut out = std::io::stdout().lock();
        if flags.print_routes {
            out.write_all(demo::ROUTES.as_bytes())?;
        }
        if flags.print_schema {
            out.write_all(demo::SCHEMA.as_bytes())?;
        }
        return Ok(());
    }
    let config = Config::new(&flags.machine)?;
    start_log(&config)?;
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
    let mut cluster = demo::postgres::Cluster::start(&options)?;
    let url = cluster.url();
    eprintln!("postgres: {url}");
    let outcome = cluster
        .ensure_loaded(demo::SCHEMA)
        .map_err(Fault::from)
        .and_then(|_| Ok(url::parse(&url, &|_| None, None)?))
        .and_then(|target| serve(config, api, target));
    cluster.stop()?;
    outcome
}

fn run_check(flags: &Check) -> Result<(), Fault> {
    server::prepare()?;
    let api = Arc::new(load(&flags.api.routes)?);
    let plans = check::resolve(&api, &Arc::new(target(&flags.api)?))?;
    print!("{}", api::table(&api, &plans));
    Ok(())
}

/// Checks the routes against the database, unless it is away, and serves them.
fn serve(config: Config, api: Api, target: Target) -> Result<(), Fault> {
    let (api, target) = (Arc::new(api), Arc::new(target));
    server::prepare()?;
    for warning in &target.warnings {
        tracing::warn!("{warning}");
    }
    match check::resolve(&api, &target) {
        Ok(_) => {}
        Err(check::Error::Connect(error)) if !error.is_configuration() => {
            tracing::warn!(%error, "Postgres is away: starting without it");
        }
        Err(error) => return Err(error.into()),
    }
    tracing::info!(routes = api.routes.len(), database = %target, "serving {}", api.title);
    server::serve(config, &api, &target)?;
    Ok(())
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

fn start_log(config: &Config) -> Result<(), Fault> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| format!("--log {}: {error}", config.log))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_target(false)
            .init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
