//! The command line as typed: raw flags only. `config.rs` checks them and turns them into settings.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::report::target::{self, Bound};
use crate::{duration, limits};

/// Postgres on the web as a JSON API, one pinned io_uring executor per CPU core.
#[derive(Debug, Parser)]
#[command(name = "pinion", version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One flag with what was said of it, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `--name`.
    pub flag: String,
    /// The environment variable that says the same.
    pub environment: Option<String>,
    /// Several values with a comma between them; `None` where nobody said anything.
    pub value: Option<String>,
    /// Who said it: `flag`, `environment`, `default` or `none`.
    pub source: &'static str,
    /// The value is not to be shown.
    pub is_secret: bool,
}

impl Cli {
    /// From the arguments and the environment of this process. Faults of usage end it.
    pub fn from_command_line() -> Cli {
        let command = Cli::command();
        let matches = command.clone().get_matches();
        let mut cli = match Cli::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(error) => error.exit(),
        };
        let machine = match &mut cli.command {
            Command::Serve(serve) => &mut serve.machine,
            Command::Demo(demo) => &mut demo.machine,
            _ => return cli,
        };
        machine.settings = settings(&command, &matches);
        cli
    }
}

/// What was said of each flag of the command that was given.
fn settings(command: &clap::Command, matches: &ArgMatches) -> Vec<Setting> {
    let Some((name, matches)) = matches.subcommand() else {
        return Vec::new();
    };
    let arguments = command
        .find_subcommand(name)
        .into_iter()
        .flat_map(clap::Command::get_arguments);
    let setting = |argument: &clap::Arg| {
        let id = argument.get_id().as_str();
        // Of what says nothing to the machine, as --help.
        let flag = format!("--{}", argument.get_long()?);
        let environment = argument.get_env()?.to_string_lossy().into_owned();
        let values = matches.get_raw(id);
        let value = values.map(|values| {
            let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
            values.join(",")
        });
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) => "default",
            None => "none",
        };
        Some(Setting {
            flag,
            environment: Some(environment),
            value,
            source,
            is_secret: argument.is_hide_env_values_set(),
        })
    };
    arguments.filter_map(setting).collect()
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a declared API from your own database
    Serve(Serve),
    /// Start a private Postgres with the example shop and serve it
    Demo(Demo),
    /// Check a routes file against a database and print what it resolves to
    Check(Check),
    /// Start a running server's program again in its place, without a request that is lost
    Upgrade(Upgrade),
    /// Say what dumps of histograms have: percentiles by route, as a table or a page
    Report(Report),
}

/// `pinion serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where the API is declared and where its data is.
    #[command(flatten)]
    pub api: ApiFlags,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// `pinion check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Where the API is declared and where its data is.
    #[command(flatten)]
    pub api: ApiFlags,
}

/// `pinion upgrade`.
#[derive(Debug, Args)]
pub struct Upgrade {
    /// The server's process id
    pub pid: u32,
    /// How long to wait until the old process has ended
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "2m")]
    pub timeout: Duration,
}

/// `pinion report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Dumps, logs (.hlog) in them, or directories of dumps; cores, hosts and times are merged
    #[arg(value_name = "DUMP", required = true)]
    pub dumps: Vec<PathBuf>,
    /// Dumps to compare with; repeatable
    #[arg(long, value_name = "DUMP")]
    pub against: Vec<PathBuf>,
    /// Only this route; repeatable
    #[arg(long, value_name = "NAME")]
    pub route: Vec<String>,
    /// Write a page with plots that needs nothing but a browser
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Print CSV instead of a table
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// What the p50 of each route may be, or of one: [ROUTE=]TIME; missed, the exit code is 1
    #[arg(long, value_name = "BOUND", value_parser = target::bound, help_heading = "Targets")]
    pub p50: Vec<Bound>,
    /// The same of the p90
    #[arg(long, value_name = "BOUND", value_parser = target::bound, help_heading = "Targets")]
    pub p90: Vec<Bound>,
    /// The same of the p99: --p99 5ms --p99 list_products=50ms
    #[arg(long, value_name = "BOUND", value_parser = target::bound, help_heading = "Targets")]
    pub p99: Vec<Bound>,
    /// The same of the p99.9
    #[arg(long = "p99.9", value_name = "BOUND", value_parser = target::bound, help_heading = "Targets")]
    pub p999: Vec<Bound>,
    /// The same of the p99.99
    #[arg(long = "p99.99", value_name = "BOUND", value_parser = target::bound, help_heading = "Targets")]
    pub p9999: Vec<Bound>,
}

/// Where the API is declared and where its data is.
#[derive(Debug, Args)]
pub struct ApiFlags {
    /// The routes file (TOML)
    #[arg(long, env = "PINION_ROUTES", value_name = "FILE")]
    pub routes: PathBuf,
    /// The database, in any form that libpq takes; PGHOST, PGPASSWORD, ~/.pgpass … apply
    #[arg(
        long,
        env = "PINION_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub database_url: String,
}

/// `pinion demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Where the private Postgres keeps its data
    #[arg(long, env = "PINION_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Start over: remove the data of an earlier demo first
    #[arg(long)]
    pub fresh: bool,
    /// The directory of the Postgres programs (initdb, postgres); found by itself otherwise
    #[arg(long, env = "PINION_POSTGRES", value_name = "BIN_DIR")]
    pub postgres: Option<PathBuf>,
    /// Print the shop's routes file and stop
    #[arg(long)]
    pub print_routes: bool,
    /// Print the shop's schema and stop
    #[arg(long)]
    pub print_schema: bool,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// Flags that tune the machine; the routes file declares the API.
#[derive(Debug, Args)]
pub struct Machine {
    /// All flags as they were typed; empty unless they came from the command line.
    #[arg(skip)]
    pub settings: Vec<Setting>,
    /// Address to serve on, `HOST:PORT` or `unix:PATH`; repeatable. With --tls-cert HTTPS is
    /// spoken there, unless it is written `http://HOST:PORT`
    #[arg(
        long,
        env = "PINION_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_delimiter = ',',
        help_heading = "Sockets"
    )]
    pub listen: Vec<String>,
    /// Address of the admin port (health, metrics, live page), `HOST:PORT` or `unix:PATH`, or `off`.
    /// Whoever reaches it may read all of it
    #[arg(
        long,
        env = "PINION_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090",
        help_heading = "Sockets"
    )]
    pub admin: String,
    /// Connections that may wait to be accepted, per core (net.core.somaxconn caps it)
    #[arg(
        long,
        env = "PINION_BACKLOG",
        value_name = "N",
        default_value_t = 65535,
        help_heading = "Sockets"
    )]
    pub backlog: u32,
    /// Which core a connection goes to
    #[arg(
        long,
        env = "PINION_STEER",
        value_name = "HOW",
        default_value = "hash",
        help_heading = "Sockets"
    )]
    pub steer: Steer,
    /// Receive buffer of every client socket, e.g. 16m [default: kernel autotuning]
    #[arg(long, env = "PINION_RECV_BUFFER", value_name = "BYTES", value_parser = bytes,
          help_heading = "Sockets")]
    pub recv_buffer: Option<usize>,
    /// Send buffer of every client socket, e.g. 16m [default: kernel autotuning]
    #[arg(long, env = "PINION_SEND_BUFFER", value_name = "BYTES", value_parser = bytes,
          help_heading = "Sockets")]
    pub send_buffer: Option<usize>,
    /// Send small answers at once (TCP_NODELAY)
    #[arg(long, env = "PINION_TCP_NODELAY", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
          help_heading = "Sockets")]
    pub tcp_nodelay: bool,

    /// Certificate to serve HTTPS with, and those between it and its root (PEM); read again on SIGHUP
    #[arg(
        long,
        env = "PINION_TLS_CERT",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted); read again on SIGHUP
    #[arg(
        long,
        env = "PINION_TLS_KEY",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub tls_key: Option<PathBuf>,
    /// Who issues the certificates that clients have to show (PEM); read again on SIGHUP
    #[arg(
        long,
        env = "PINION_TLS_CLIENT_CA",
        value_name = "FILE",
        help_heading = "TLS"
    )]
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients have to show a certificate [default: required, with --tls-client-ca]
    #[arg(
        long,
        env = "PINION_TLS_CLIENT_AUTH",
        value_name = "WHETHER",
        help_heading = "TLS"
    )]
    pub tls_client_auth: Option<ClientAuth>,
    /// Oldest version of TLS that is spoken [default: 1.2]
    #[arg(
        long,
        env = "PINION_TLS_MIN_VERSION",
        value_name = "VERSION",
        help_heading = "TLS"
    )]
    pub tls_min_version: Option<TlsVersion>,

    /// Cores to use, e.g. 0-3,6 [default: every core that this process may use]
    #[arg(
        long,
        env = "PINION_CORES",
        value_name = "LIST",
        help_heading = "Cores"
    )]
    pub cores: Option<String>,
    /// Submission entries of each core's ring, a power of two
    #[arg(
        long,
        env = "PINION_RING_DEPTH",
        value_name = "N",
        default_value_t = 1024,
        help_heading = "Cores"
    )]
    pub ring_depth: u32,
    /// Microseconds that an idle core polls before it sleeps in the kernel
    #[arg(
        long,
        env = "PINION_SPIN_US",
        value_name = "US",
        default_value_t = 0,
        help_heading = "Cores"
    )]
    pub spin_us: u64,

    /// Postgres connections of each core's default lane
    #[arg(long, env = "PINION_CONNECTIONS_PER_CORE", value_name = "N",
          default_value_t = limits::CONNECTIONS_PER_CORE, help_heading = "Postgres")]
    pub connections_per_core: usize,
    /// How long a statement may run, unless its route says otherwise; 0s for no limit
    #[arg(long, env = "PINION_STATEMENT_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "500ms", help_heading = "Postgres")]
    pub statement_timeout: Duration,
    /// How long a request may wait for a place on a connection
    #[arg(long, env = "PINION_ACQUIRE_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "1s", help_heading = "Postgres")]
    pub acquire_timeout: Duration,
    /// How long a request may wait for Postgres during an overload; past it 503; 0s for no such bound
    #[arg(long, env = "PINION_QUEUE_TARGET", value_name = "TIME", value_parser = duration::parse,
          default_value = "20ms", help_heading = "Postgres")]
    pub queue_target: Duration,
    /// Age at which a Postgres connection is replaced; 0s for never
    #[arg(long, env = "PINION_RECYCLE", value_name = "TIME", value_parser = duration::parse,
          default_value = "1h", help_heading = "Postgres")]
    pub recycle: Duration,

    /// Redis or Valkey, where rate limits with `store = "redis"` are counted:
    /// redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix:///PATH
    #[arg(
        long,
        env = "PINION_REDIS_URL",
        value_name = "URL",
        hide_env_values = true,
        help_heading = "Redis"
    )]
    pub redis_url: Option<String>,
    /// How long a request may wait for Redis; then `on_store_failure` of its rate limit decides
    #[arg(long, env = "PINION_REDIS_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "5ms", help_heading = "Redis")]
    pub redis_timeout: Duration,
    /// Who issues the certificate of Redis (PEM) [default: whoever this machine trusts]
    #[arg(
        long,
        env = "PINION_REDIS_CA",
        value_name = "FILE",
        help_heading = "Redis"
    )]
    pub redis_ca: Option<PathBuf>,
    /// Certificate to show to Redis, and those between it and its root (PEM)
    #[arg(
        long,
        env = "PINION_REDIS_CERT",
        value_name = "FILE",
        help_heading = "Redis"
    )]
    pub redis_cert: Option<PathBuf>,
    /// Its private key (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted)
    #[arg(
        long,
        env = "PINION_REDIS_KEY",
        value_name = "FILE",
        help_heading = "Redis"
    )]
    pub redis_key: Option<PathBuf>,

    /// Open client connections, over all cores
    #[arg(long, env = "PINION_MAX_CONNECTIONS", value_name = "N",
          default_value_t = limits::CONNECTIONS_MAX, help_heading = "Limits")]
    pub max_connections: usize,
    /// Requests being answered from Postgres at a time, over all cores; past it 503
    #[arg(long, env = "PINION_MAX_IN_FLIGHT", value_name = "N",
          default_value_t = limits::IN_FLIGHT_MAX, help_heading = "Limits")]
    pub max_in_flight: usize,
    /// Bytes of a request head; past it 431
    #[arg(long, env = "PINION_MAX_HEAD_BYTES", value_name = "BYTES", value_parser = bytes,
          default_value = "16k", help_heading = "Limits")]
    pub max_head_bytes: usize,
    /// Bytes of a request body; past it 413
    #[arg(long, env = "PINION_MAX_BODY_BYTES", value_name = "BYTES", value_parser = bytes,
          default_value = "1m", help_heading = "Limits")]
    pub max_body_bytes: usize,

    /// How long an idle connection is kept: from its last answer, or its start, to the first byte of
    /// a request
    #[arg(long, env = "PINION_KEEP_ALIVE", value_name = "TIME", value_parser = duration::parse,
          default_value = "75s", help_heading = "Timeouts")]
    pub keep_alive: Duration,
    /// How long a request head may take from its first byte to its last
    #[arg(long, env = "PINION_HEADER_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "10s", help_heading = "Timeouts")]
    pub header_timeout: Duration,
    /// How long a request body may take, from the end of its head (or the 100 that its client waits
    /// for) to its last byte
    #[arg(long, env = "PINION_BODY_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "30s", help_heading = "Timeouts")]
    pub body_timeout: Duration,
    /// How long a client may take to read an answer to its last byte; then the connection is reset
    #[arg(long, env = "PINION_WRITE_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "30s", help_heading = "Timeouts")]
    pub write_timeout: Duration,
    /// How long a stop waits for what is in flight
    #[arg(long, env = "PINION_DRAIN_TIMEOUT", value_name = "TIME", value_parser = duration::parse,
          default_value = "30s", help_heading = "Timeouts")]
    pub drain_timeout: Duration,

    /// Where histograms of latencies are dumped: on SIGUSR1, at each interval and at the stop
    #[arg(
        long,
        env = "PINION_HISTOGRAM_DIR",
        value_name = "DIR",
        help_heading = "Histograms"
    )]
    pub histogram_dir: Option<PathBuf>,
    /// How often, if anything has happened; 0s for only on SIGUSR1 and at the stop [default: 1m]
    #[arg(long, env = "PINION_HISTOGRAM_INTERVAL", value_name = "TIME", value_parser = duration::parse,
          help_heading = "Histograms")]
    pub histogram_interval: Option<Duration>,
    /// How many dumps are kept [default: 1440, a day of minutes]
    #[arg(
        long,
        env = "PINION_HISTOGRAM_KEEP",
        value_name = "N",
        help_heading = "Histograms"
    )]
    pub histogram_keep: Option<usize>,
    /// How long dumps are kept, 0s for as long as there is room by their number [default: 7d]
    #[arg(long, env = "PINION_HISTOGRAM_MAX_AGE", value_name = "TIME", value_parser = duration::parse_long,
          help_heading = "Histograms")]
    pub histogram_max_age: Option<Duration>,

    /// What to log: error, warn, info, debug, trace, or by module, e.g. info,pinion::pg=debug
    #[arg(
        long,
        env = "PINION_LOG",
        value_name = "FILTER",
        default_value = "info",
        help_heading = "Logs"
    )]
    pub log: String,
    /// How log lines look, on stderr
    #[arg(
        long,
        env = "PINION_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Logs"
    )]
    pub log_format: LogFormat,
    /// Which requests have a line in the log: off, or of these, with commas: all; errors (from 400,
    /// or errors=STATUS); sample=RATE, decided by the request's id; route=NAME, except=NAME; query,
    /// to have it beside the path
    #[arg(
        long,
        env = "PINION_ACCESS_LOG",
        value_name = "WHICH",
        default_value = "off",
        help_heading = "Logs"
    )]
    pub access_log: String,
    /// How long a request may take, once it is there whole, before the log is told of it; 0s for never
    #[arg(long, env = "PINION_SLOW_LOG", value_name = "TIME", value_parser = duration::parse,
          default_value = "1s", help_heading = "Logs")]
    pub slow_log: Duration,
    /// Tell path, query and body of slow requests as well: all that clients send there, their
    /// secrets included, is then in the log
    #[arg(long, env = "PINION_SLOW_LOG_PARAMS", value_name = "BOOL", default_value_t = false,
          action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true",
          help_heading = "Logs")]
    pub slow_log_params: bool,
}

/// Which core a connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Steer {
    /// To any: the kernel spreads connections evenly, by addresses and ports
    Hash,
    /// All of one client address to one core, which then counts it without asking another one. Not for
    /// clients that are few, or behind a proxy: they would have few cores
    Ip,
    /// To the core that the network card gave its first packet to
    Cpu,
}

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// Without one there is no connection
    Required,
    /// One that is shown has to be good
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsVersion {
    /// RFC 5246
    #[value(name = "1.2")]
    Tls12,
    /// RFC 8446
    #[value(name = "1.3")]
    Tls13,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// A count of bytes: a whole number, optionally with k, m or g (powers of 1024).
fn bytes(text: &str) -> Result<usize, String> {
    let (number, scale) = match text.to_ascii_lowercase().strip_suffix(['k', 'm', 'g']) {
        None => (text.to_owned(), 1),
        Some(number) => {
            let scale = match text.as_bytes()[number.len()].to_ascii_lowercase() {
                b'k' => 1 << 10,
                b'm' => 1 << 20,
                _ => 1 << 30,
            };
            (number.to_owned(), scale)
        }
    };
    number
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(scale))
        .ok_or_else(|| "a number of bytes, optionally with k, m or g".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_machine_has_its_environment_variable() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for argument in serve.get_arguments() {
            let Some(long) = argument.get_long().filter(|long| *long != "help") else {
                continue;
            };
            let expected = format!("PINION_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().unwrap(), expected.as_str());
        }
    }

    #[test]
    fn each_flag_says_where_its_value_comes_from_and_whether_it_may_be_shown() {
        let line = ["pinion", "serve", "--routes", "x", "--listen", "a:1,b:2"];
        let command = Cli::command();
        let settings = settings(&command, &command.clone().get_matches_from(line));
        let of = |flag: &str| {
            settings
                .iter()
                .find(|setting| setting.flag == flag)
                .unwrap()
        };
        assert_eq!(of("--listen").value.as_deref(), Some("a:1,b:2"));
        assert_eq!(of("--listen").source, "flag");
        assert_eq!(of("--admin").source, "default");
        assert_eq!(
            (of("--cores").value.as_deref(), of("--cores").source),
            (None, "none")
        );
        let secret = settings.iter().filter(|setting| setting.is_secret);
        let secret: Vec<&str> = secret.map(|setting| setting.flag.as_str()).collect();
        assert_eq!(secret, ["--database-url", "--redis-url"]);
    }

    #[test]
    fn byte_counts() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("16k"), Ok(16 << 10));
        assert_eq!(bytes("16M"), Ok(16 << 20));
        assert_eq!(bytes("1g"), Ok(1 << 30));
        for wrong in ["", "k", "-1", "1kb", "1.5m", "99999999999999999999g"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
