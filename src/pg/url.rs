//! Where the database is and how to reach it: connection strings as libpq reads them.
//!
//! Both forms of libpq are understood, URLs and `keyword=value` pairs, with its environment
//! variables, its password file and its defaults (PostgreSQL documentation, "Database Connection
//! Control Functions"). What libpq knows and Pinion doesn't do is refused by name, never ignored.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config;

use super::tls::Source;
use conninfo::Settings;
pub use error::Error;
use hosts::{find_passwords, hosts};

mod conninfo;
mod error;
mod hosts;
mod passfile;
pub mod tls;

/// A database to connect to: who, which, where, and how patiently.
#[derive(Clone, Debug)]
pub struct Target {
    config: tokio_postgres::Config,
    /// The places to try, in this order; at least one.
    pub hosts: Vec<Host>,
    /// How long one attempt at one address may take; `None` where the string sets no limit.
    pub connect_timeout: Option<Duration>,
    /// What to set on a TCP socket. Means nothing to a unix socket.
    pub tcp: TcpOptions,
    /// Which servers of `hosts` will do.
    pub target_session_attrs: TargetSessionAttrs,
    /// Whether `hosts` are to be tried in a random order (`load_balance_hosts=random`).
    pub load_balance_hosts: bool,
    /// How sessions over TCP are encrypted.
    pub tls: Arc<Source>,
    /// What the operator should know, for the log: a password file that was passed over.
    pub warnings: Vec<String>,
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its address.
    pub address: Address,
    /// What the user calls it, where it is not a unix socket: who a certificate has to be for.
    pub name: Option<String>,
    /// The password that the password file has for it, where the string gives none.
    password: Option<Password>,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The full path of a unix socket, as in `/run/postgresql/.s.PGSQL.5432`.
    Unix(PathBuf),
    /// A host name, still to be resolved, or a numeric address without brackets.
    Tcp {
        /// Name or numeric address.
        host: String,
        /// Port, never 0.
        port: u16,
    },
}

/// Socket options of a TCP connection, named as in libpq; `None` is the system's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Whether keepalives are sent at all (SO_KEEPALIVE); on unless the string says `keepalives=0`.
    pub keepalives: bool,
    /// Silence before the first keepalive (TCP_KEEPIDLE).
    pub keepalives_idle: Option<Duration>,
    /// Time between keepalives (TCP_KEEPINTVL).
    pub keepalives_interval: Option<Duration>,
    /// Unanswered keepalives until the connection counts as dead (TCP_KEEPCNT).
    pub keepalives_count: Option<u32>,
    /// How long sent data may stay unacknowledged (TCP_USER_TIMEOUT).
    pub user_timeout: Option<Duration>,
}

/// Which servers will do, as libpq's `target_session_attrs` names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Every one.
    #[default]
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not write.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby if there is one, otherwise any.
    PreferStandby,
}

/// Reads a connection string.
///
/// `environment` looks up an environment variable and `home` is the user's home directory, where
/// the password file `.pgpass` lies unless `passfile` or PGPASSFILE names another, and the files for
/// TLS in `.postgresql`. The files are read here for the first time, so that their faults are told at
/// the start; where TLS is optional these are warnings, as the session does without.
///
/// Defaults as in libpq, with three differences: the user is that of USER or LOGNAME before that of
/// the process; the application name is `pinion`; and without a host the first of the usual sockets
/// that exists is taken, otherwise every usual directory is tried and then localhost, so that
/// a server that starts later than Pinion is found.
pub fn parse(
    url: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    home: Option<&Path>,
) -> Result<Target, Error> {
    let settings = conninfo::parse(url, environment)?;
    if settings.get("gssencmode").map(String::as_str) == Some("require") {
        let reason = "sessions are not encrypted by GSSAPI";
        return Err(Error::Refused {
            keyword: "gssencmode",
            reason,
        });
    }
    let tls = tls::Tls::new(&settings, home)?;
    let text = |keyword: &str| settings.get(keyword).map(String::as_str);

    let user = match text("user") {
        Some(user) => user.to_owned(),
        None => system_user(environment).ok_or(Error::User)?,
    };
    let database = text("dbname").unwrap_or(&user).to_owned();
    let mut hosts = hosts(&settings, &|path| path.exists())?;
    let mut warnings = Vec::new();
    let mut config = tokio_postgres::Config::new();
    config.user(&user).dbname(&database);
    config.channel_binding(match tls.channel_binding {
        tls::ChannelBinding::Disable => config::ChannelBinding::Disable,
        tls::ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        tls::ChannelBinding::Require => config::ChannelBinding::Require,
    });
    config.application_name(
        text("application_name")
            .or(text("fallback_application_name"))
            .unwrap_or("pinion"),
    );
    if let Some(options) = text("options") {
        config.options(options);
    }
    match text("password") {
        Some(password) => {
            config.password(password);
        }
        None => {
            let path = text("passfile").map(PathBuf::from);
            let path = path.or_else(|| Some(home?.join(".pgpass")));
            match path.as_deref().map_or(Ok(None), passfile::read) {
                Ok(Some(file)) => find_passwords(&file, &mut hosts, &database, &user),
                Ok(None) => {}
                Err(warning) => warnings.push(warning),
            }
        }
    }
    if text("client_encoding").is_some_and(|value| !is_one_of(value, &["auto", "utf8", "utf-8"])) {
        return Err(Error::Value {
            keyword: "client_encoding",
            expected: "UTF8: JSON is UTF-8",
        });
    }
    let hosts: Vec<Host> = hosts.into_iter().map(|host| host.host).collect();
    let tls = Source::new(tls);
    read_files(&tls, &hosts, &mut warnings)?;
    Ok(Target {
        config,
        hosts,
        connect_timeout: seconds(&settings, "connect_timeout")?,
        tcp: tcp_options(&settings)?,
        target_session_attrs: target_session_attrs(text("target_session_attrs"))?,
        load_balance_hosts: match text("load_balance_hosts") {
            None | Some("disable") => false,
            Some("random") => true,
            Some(_) => {
                let expected = "disable or random";
                return Err(Error::Value {
                    keyword: "load_balance_hosts",
                    expected,
                });
            }
        },
        tls: Arc::new(tls),
        warnings,
    })
}

/// Reads the files for TLS, if any session may be encrypted.
fn read_files(tls: &Source, hosts: &[Host], warnings: &mut Vec<String>) -> Result<(), Error> {
    let is_tcp = |host: &Host| matches!(host.address, Address::Tcp { .. });
    if tls.settings.mode == tls::Mode::Disable || !hosts.iter().any(is_tcp) {
        return Ok(());
    }
    match tls.material() {
        Ok(material) => warnings.extend_from_slice(material.warnings()),
        Err(fault) if tls.settings.mode >= tls::Mode::Require => return Err(Error::File(fault)),
        Err(fault) => warnings.push(format!("no TLS to Postgres: {fault}")),
    }
    Ok(())
}

impl Target {
    /// Whether a server that takes no writes is not to be used.
    pub fn wants_writes(&self) -> bool {
        self.target_session_attrs == TargetSessionAttrs::ReadWrite
    }

    /// What `connect_raw` needs for a connection to `host`: user, database, password, options.
    ///
    /// It depends on the host because a password file has a password for each.
    pub fn config(&self, host: &Host) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        if let Some(Password(password)) = &host.password {
            config.password(password);
        }
        config
    }
}

/// For logs and messages: `shop as alice at /run/postgresql/.s.PGSQL.5432, [::1]:5432`; no password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: Option<&str>| name.unwrap_or_default().to_owned();
        write!(
            f,
            "{} as {} at ",
            name(self.config.get_dbname()),
            name(self.config.get_user())
        )?;
        for (index, host) in self.hosts.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", host.address)?;
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A password, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(hidden)")
    }
}

/// The user that libpq would take: the one who runs this process.
fn system_user(environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let named = |variable| environment(variable).filter(|user| !user.is_empty());
    named("USER").or_else(|| named("LOGNAME")).or_else(|| {
        // Containers often set neither.
        let uid = rustix::process::geteuid().as_raw().to_string();
        let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        })
    })
}

fn tcp_options(settings: &Settings) -> Result<TcpOptions, Error> {
    let user_timeout_ms = integer(settings, "tcp_user_timeout")?.filter(|ms| *ms > 0);
    let count = integer(settings, "keepalives_count")?.filter(|count| *count > 0);
    Ok(TcpOptions {
        keepalives: integer(settings, "keepalives")? != Some(0),
        keepalives_idle: seconds(settings, "keepalives_idle")?,
        keepalives_interval: seconds(settings, "keepalives_interval")?,
        keepalives_count: count.map(i32::unsigned_abs),
        user_timeout: user_timeout_ms.map(|ms| Duration::from_millis(ms.unsigned_abs().into())),
    })
}

/// A number of seconds; zero and less mean "not set", as in libpq.
fn seconds(settings: &Settings, keyword: &'static str) -> Result<Option<Duration>, Error> {
    let seconds = integer(settings, keyword)?.filter(|seconds| *seconds > 0);
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs().into())))
}

fn integer(settings: &Settings, keyword: &'static str) -> Result<Option<i32>, Error> {
    let Some(text) = settings.get(keyword) else {
        return Ok(None);
    };
    let number = text.trim().parse();
    number.map(Some).map_err(|_| Error::Value {
        keyword,
        expected: "a whole number",
    })
}

fn target_session_attrs(value: Option<&str>) -> Result<TargetSessionAttrs, Error> {
    match value {
        None | Some("any") => Ok(TargetSessionAttrs::Any),
        Some("read-write") => Ok(TargetSessionAttrs::ReadWrite),
        Some("read-only") => Ok(TargetSessionAttrs::ReadOnly),
        Some("primary") => Ok(TargetSessionAttrs::Primary),
        Some("standby") => Ok(TargetSessionAttrs::Standby),
        Some("prefer-standby") => Ok(TargetSessionAttrs::PreferStandby),
        Some(_) => {
            let expected = "any, read-write, read-only, primary, standby or prefer-standby";
            Err(Error::Value {
                keyword: "target_session_attrs",
                expected,
            })
        }
    }
}

fn is_one_of(value: &str, list: &[&str]) -> bool {
    list.iter().any(|known| value.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
