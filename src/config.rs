//! The flags, checked once and turned into settings that never change again.

mod histograms;
mod redis;
mod tls;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{LogFormat, Machine, Setting, Steer};
use crate::duration;
use crate::http::HeadLimits;
use crate::log::{self, Access};
pub use histograms::Histograms;
pub use tls::{ClientAuth, Tls, TlsClient, TlsVersion};

/// Everything that the flags of `serve` and `demo` tune.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to serve.
    pub listen: Vec<Address>,
    /// The admin port, if there is one.
    pub admin: Option<AdminAddress>,
    /// The cores that serve, by the kernel's number; never empty.
    pub cores: Vec<usize>,
    /// How sockets are made.
    pub sockets: Sockets,
    /// Which core a connection goes to.
    pub steer: Steer,
    /// Of the addresses that are served encrypted; there are some if it is given.
    pub tls: Option<Tls>,
    /// Submission entries of each ring.
    pub ring_depth: u32,
    /// How long an idle core polls.
    pub spin: Duration,
    /// Bounds of one core.
    pub limits: Limits,
    /// Client-side waits.
    pub timeouts: Timeouts,
    /// Postgres, per core.
    pub postgres: Postgres,
    /// Redis, if there is one.
    pub redis: Option<crate::redis::Settings>,
    /// Dumps of histograms, if there are to be any.
    pub histograms: Option<Histograms>,
    /// Log filter.
    pub log: String,
    /// Log form.
    pub log_format: LogFormat,
    /// Which requests the log is told of.
    pub request_log: log::Settings,
    /// What all of that was made of.
    pub settings: Vec<Setting>,
}

/// Where the admin port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Every address that the host has, and its name if it was given as one.
    Tcp(Vec<SocketAddr>, Option<String>),
    /// A unix stream socket.
    Unix(PathBuf),
}

/// Where to serve: a TCP address or the path of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6.
    Tcp(SocketAddr),
    /// The same, encrypted.
    Tls(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

/// How client sockets are made.
#[derive(Clone, Copy, Debug)]
pub struct Sockets {
    /// Length of the queue of connections that wait to be accepted.
    pub backlog: u32,
    /// Bytes; `None` leaves it to the kernel.
    pub recv_buffer: Option<usize>,
    /// Bytes; `None` leaves it to the kernel.
    pub send_buffer: Option<usize>,
    /// TCP_NODELAY.
    pub nodelay: bool,
}

/// Bounds of one core: the flags give those of the whole server, split evenly.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open client connections.
    pub connections: usize,
    /// Requests being answered from Postgres.
    pub in_flight: usize,
    /// Of a request head.
    pub head: HeadLimits,
    /// Bytes of a request body.
    pub body_bytes: usize,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the last answer, or the start, to the first byte of a request.
    pub keep_alive: Duration,
    /// For a head, from its first byte.
    pub header: Duration,
    /// For a body.
    pub body: Duration,
    /// To read an answer, or all that is written before it has been read.
    pub write: Duration,
    /// For what is in flight when the server stops.
    pub drain: Duration,
}

/// Postgres, per core.
#[derive(Clone, Copy, Debug)]
pub struct Postgres {
    /// Connections of the default lane.
    pub connections: usize,
    /// Zero for no limit.
    pub statement_timeout: Duration,
    /// Wait for a place on a connection.
    pub acquire_timeout: Duration,
    /// Wait for Postgres during an overload; zero for no such bound.
    pub queue_target: Duration,
    /// Age at which a connection is replaced; zero for never.
    pub recycle: Duration,
}

/// A flag that can't be used, with the reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl Config {
    /// Checks the flags against each other and against this machine.
    pub fn new(flags: &Machine) -> Result<Config, Error> {
        let cores = cores(flags.cores.as_deref(), &usable_cores())?;
        let tls = tls::from_flags(flags)?;
        let listen = flags
            .listen
            .iter()
            .map(|text| address(text, tls.is_some()))
            .collect::<Result<Vec<_>, _>>()?
            .concat();
        if tls.is_some() && !listen.iter().any(Address::is_encrypted) {
            return Err(Error(
                "--tls-cert: no --listen address is served with it".to_owned(),
            ));
        }
        if !flags.ring_depth.is_power_of_two() || !(8..=32768).contains(&flags.ring_depth) {
            return Err(Error(
                "--ring-depth: a power of two from 8 to 32768".to_owned(),
            ));
        }
        if flags.connections_per_core == 0 {
            return Err(Error("--connections-per-core: at least 1".to_owned()));
        }
        let timeout = flags.statement_timeout;
        if !timeout.is_zero() && !duration::is_whole_milliseconds(timeout) {
            return Err(Error(
                "--statement-timeout: whole milliseconds, or 0s for none".to_owned(),
            ));
        }
        Ok(Config {
            listen,
            admin: admin(&flags.admin)?,
            sockets: Sockets {
                backlog: flags.backlog.clamp(1, i32::MAX as u32),
                recv_buffer: flags.recv_buffer,
                send_buffer: flags.send_buffer,
                nodelay: flags.tcp_nodelay,
            },
            steer: flags.steer,
            tls,
            ring_depth: flags.ring_depth,
            spin: Duration::from_micros(flags.spin_us),
            limits: limits(flags, cores.len())?,
            cores,
            timeouts: timeouts(flags)?,
            postgres: Postgres {
                connections: flags.connections_per_core,
                statement_timeout: flags.statement_timeout,
                acquire_timeout: flags.acquire_timeout,
                queue_target: flags.queue_target,
                recycle: flags.recycle,
            },
            redis: redis::from_flags(flags)?,
            histograms: histograms::from_flags(flags)?,
            log: flags.log.clone(),
            log_format: flags.log_format,
            request_log: request_log(flags)?,
            settings: flags.settings.clone(),
        })
    }
}

impl Address {
    /// TLS is spoken there.
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Address::Tls(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(formatter, "http://{address}"),
            Address::Tls(address) => write!(formatter, "https://{address}"),
            Address::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

fn limits(flags: &Machine, cores: usize) -> Result<Limits, Error> {
    if flags.max_connections < cores {
        return Err(Error(format!(
            "--max-connections: at least one per core ({cores})"
        )));
    }
    if flags.max_in_flight < cores {
        return Err(Error(format!(
            "--max-in-flight: at least one per core ({cores})"
        )));
    }
    if !(256..=1 << 20).contains(&flags.max_head_bytes) {
        return Err(Error("--max-head-bytes: from 256 to 1m".to_owned()));
    }
    if flags.max_body_bytes > 1 << 30 {
        return Err(Error("--max-body-bytes: at most 1g".to_owned()));
    }
    Ok(Limits {
        connections: flags.max_connections / cores,
        in_flight: flags.max_in_flight / cores,
        head: HeadLimits {
            head_bytes_max: flags.max_head_bytes,
            target_bytes_max: crate::limits::TARGET_BYTES_MAX.min(flags.max_head_bytes),
            headers_max: crate::limits::HEADERS_MAX,
            secured: false,
        },
        body_bytes: flags.max_body_bytes,
    })
}

fn timeouts(flags: &Machine) -> Result<Timeouts, Error> {
    let named = [
        ("--keep-alive", flags.keep_alive),
        ("--header-timeout", flags.header_timeout),
        ("--body-timeout", flags.body_timeout),
        ("--write-timeout", flags.write_timeout),
        ("--acquire-timeout", flags.acquire_timeout),
    ];
    if let Some((name, _)) = named.iter().find(|(_, value)| value.is_zero()) {
        return Err(Error(format!("{name}: longer than zero")));
    }
    Ok(Timeouts {
        keep_alive: flags.keep_alive,
        header: flags.header_timeout,
        body: flags.body_timeout,
        write: flags.write_timeout,
        drain: flags.drain_timeout,
    })
}

fn request_log(flags: &Machine) -> Result<log::Settings, Error> {
    let text = &flags.access_log;
    let access = Access::parse(text);
    let access = access.map_err(|fault| Error(format!("--access-log {text}: {fault}")))?;
    if flags.slow_log_params && flags.slow_log.is_zero() {
        return Err(Error("--slow-log-params: needs --slow-log".to_owned()));
    }
    Ok(log::Settings {
        access,
        slow: Some(flags.slow_log).filter(|threshold| !threshold.is_zero()),
        slow_params: flags.slow_log_params,
    })
}

/// `HOST:PORT` (a name may mean several addresses), after `http://` or `https://` if it is not to be
/// what the others are, or `unix:PATH`.
fn address(text: &str, encrypted: bool) -> Result<Vec<Address>, Error> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(Error("--listen: `unix:` needs a path".to_owned()));
        }
        return Ok(vec![Address::Unix(path.into())]);
    }
    let (encrypted, host) = match text.split_once("://") {
        Some(("http", host)) => (false, host),
        Some(("https", _)) if !encrypted => {
            return Err(Error(format!(
                "--listen {text}: HTTPS needs --tls-cert and --tls-key"
            )));
        }
        Some(("https", host)) => (true, host),
        _ => (encrypted, text),
    };
    let kind = if encrypted {
        Address::Tls
    } else {
        Address::Tcp
    };
    let found: Vec<Address> = host
        .to_socket_addrs()
        .map_err(|error| Error(format!("--listen {text}: {error} (HOST:PORT or unix:PATH)")))?
        .map(kind)
        .collect();
    Ok(found)
}

/// `HOST:PORT`, `unix:PATH` or `off`.
fn admin(text: &str) -> Result<Option<AdminAddress>, Error> {
    if text == "off" {
        return Ok(None);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            return Err(Error("--admin: `unix:` needs a path".to_owned()));
        }
        return Ok(Some(AdminAddress::Unix(path.into())));
    }
    let addresses: Vec<SocketAddr> = text
        .to_socket_addrs()
        .map_err(|error| {
            Error(format!(
                "--admin {text}: {error} (HOST:PORT, unix:PATH or off)"
            ))
        })?
        .collect();
    let is_name = text.parse::<SocketAddr>().is_err();
    let name = text
        .rsplit_once(':')
        .map(|(name, _)| name.to_ascii_lowercase());
    Ok(Some(AdminAddress::Tcp(addresses, name.filter(|_| is_name))))
}

/// The cores named by `list`, or all usable ones.
fn cores(list: Option<&str>, usable: &[usize]) -> Result<Vec<usize>, Error> {
    let Some(list) = list else {
        return Ok(usable.to_vec());
    };
    let malformed = || Error(format!("--cores {list}: numbers and ranges, such as 0-3,6"));
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| malformed())?;
        let last: usize = last.trim().parse().map_err(|_| malformed())?;
        if first > last || last > 65535 {
            return Err(malformed());
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    cores.dedup();
    if let Some(core) = cores.iter().find(|core| !usable.contains(core)) {
        return Err(Error(format!(
            "--cores {list}: this process may not use core {core} (it may use {usable:?})"
        )));
    }
    Ok(cores)
}

/// The cores of this process's affinity mask (which cgroup cpusets shrink), and no more of them
/// than a cgroup CPU quota pays for.
fn usable_cores() -> Vec<usize> {
    let mut cores: Vec<usize> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(|core| core.id)
        .collect();
    cores.sort_unstable();
    if let Ok(quota) = std::thread::available_parallelism() {
        cores.truncate(quota.get());
    }
    if cores.is_empty() { vec![0] } else { cores }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    pub(super) fn config(arguments: &[&str]) -> Result<Config, Error> {
        let mut line = vec!["pinion", "serve", "--routes", "x.toml"];
        line.extend(arguments);
        match Cli::try_parse_from(line).expect("usage").command {
            Command::Serve(serve) => Config::new(&serve.machine),
            _ => unreachable!(),
        }
    }

    #[test]
    fn core_lists() {
        let usable = [0, 1, 2, 3, 6];
        assert_eq!(cores(None, &usable).unwrap(), usable);
        assert_eq!(cores(Some("0-2,6"), &usable).unwrap(), [0, 1, 2, 6]);
        assert_eq!(cores(Some("3,0,3"), &usable).unwrap(), [0, 3]);
        for wrong in ["", "x", "2-1", "0-", "4", "0-3,7", "0-99999999"] {
            assert!(cores(Some(wrong), &usable).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses() {
        let listen = |text: &str| config(&["--listen", text]).map(|config| config.listen);
        assert_eq!(
            listen("127.0.0.1:80,[::1]:81").unwrap(),
            [
                Address::Tcp("127.0.0.1:80".parse().unwrap()),
                Address::Tcp("[::1]:81".parse().unwrap())
            ]
        );
        assert_eq!(
            listen("unix:/tmp/x").unwrap(),
            [Address::Unix("/tmp/x".into())]
        );
        for wrong in ["unix:", "127.0.0.1", "127.0.0.1:99999", "nowhere"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_admin_port() {
        let admin = |text: &str| config(&["--admin", text]).map(|config| config.admin);
        let tcp = |address: &str| AdminAddress::Tcp(vec![address.parse().unwrap()], None);
        assert_eq!(config(&[]).unwrap().admin, Some(tcp("127.0.0.1:9090")));
        assert_eq!(admin("[::1]:0").unwrap(), Some(tcp("[::1]:0")));
        assert_eq!(
            admin("unix:/x").unwrap(),
            Some(AdminAddress::Unix("/x".into()))
        );
        assert_eq!(admin("off").unwrap(), None);
        let Some(AdminAddress::Tcp(addresses, name)) = admin("Localhost:1").unwrap() else {
            panic!("an address");
        };
        assert!(!addresses.is_empty() && name.as_deref() == Some("localhost"));
        for wrong in ["unix:", "127.0.0.1", "", "OFF", "nowhere"] {
            let error = admin(wrong).unwrap_err().to_string();
            assert!(error.starts_with("--admin"), "{error}");
        }
    }

    #[test]
    fn with_a_certificate_tcp_is_encrypted_unless_said_otherwise() {
        let tls = ["--tls-cert", "c", "--tls-key", "k", "--listen"];
        let listen = |text: &str| config(&[&tls[..], &[text]].concat()).map(|made| made.listen);
        let plain = Address::Tcp("127.0.0.1:80".parse().unwrap());
        let encrypted = Address::Tls("127.0.0.1:80".parse().unwrap());
        assert_eq!(
            listen("127.0.0.1:80,http://127.0.0.1:80,https://127.0.0.1:80,unix:/x").unwrap(),
            [
                encrypted.clone(),
                plain.clone(),
                encrypted,
                Address::Unix("/x".into())
            ]
        );
        let without = config(&["--listen", "http://127.0.0.1:80"]).unwrap();
        assert_eq!((without.listen, without.tls), (vec![plain], None));
        for wrong in ["ftp://127.0.0.1:80", "https://", "https://127.0.0.1"] {
            assert!(listen(wrong).is_err(), "{wrong}");
        }
        // Nothing to use it for.
        let error = listen("unix:/x").unwrap_err().to_string();
        assert!(error.starts_with("--tls-cert: no --listen"), "{error}");
        assert!(listen("http://127.0.0.1:80").is_err());
    }

    #[test]
    fn bounds_of_a_core_are_its_share_and_never_zero() {
        let config1 = config(&[
            "--cores",
            "0",
            "--max-connections",
            "1",
            "--max-in-flight",
            "1",
        ]);
        let limits = config1.unwrap().limits;
        assert_eq!((limits.connections, limits.in_flight), (1, 1));
        assert!(config(&["--cores", "0", "--max-connections", "0"]).is_err());
        assert!(config(&["--cores", "0", "--max-in-flight", "0"]).is_err());
    }

    #[test]
    fn defaults_are_those_of_limits() {
        let config = config(&[]).unwrap();
        assert_eq!(
            config.limits.head.head_bytes_max,
            crate::limits::HEAD_BYTES_MAX
        );
        assert_eq!(config.limits.body_bytes, crate::limits::BODY_BYTES_MAX);
        assert_eq!(
            config.postgres.statement_timeout,
            crate::limits::STATEMENT_TIMEOUT
        );
        assert_eq!(
            config.postgres.connections,
            crate::limits::CONNECTIONS_PER_CORE
        );
    }

    #[test]
    fn values_of_slow_requests_need_a_log_of_them() {
        assert!(config(&["--slow-log-params"]).is_ok());
        assert!(config(&["--slow-log", "0s"]).is_ok());
        let error = config(&["--slow-log-params", "--slow-log", "0s"]).unwrap_err();
        assert_eq!(error.to_string(), "--slow-log-params: needs --slow-log");
    }

    #[test]
    fn each_fault_names_its_flag() {
        for (flag, value) in [
            ("--ring-depth", "1000"),
            ("--ring-depth", "4"),
            ("--connections-per-core", "0"),
            ("--max-head-bytes", "255"),
            ("--max-body-bytes", "2g"),
            ("--statement-timeout", "500us"),
            ("--keep-alive", "0s"),
            ("--acquire-timeout", "0s"),
            ("--access-log", "sample=2"),
        ] {
            let error = config(&[flag, value]).unwrap_err();
            assert!(error.to_string().starts_with(flag), "{error}");
        }
    }
}
