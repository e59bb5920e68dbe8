//! Where the database is and how to reach it: connection strings as libpq reads them.
//!
//! Both forms of libpq are understood, URLs and `keyword=value` pairs, with its environment
//! variables, its password file and its defaults (PostgreSQL documentation, "Database Connection
//! Control Functions"). What libpq knows and Pinion doesn't do is refused by name, never ignored.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conninfo::Settings;

mod conninfo;
mod passfile;

/// Bytes of a socket's path: `sun_path` of unix(7) is 108 with its closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where the distributions (the first two) and Postgres itself put the socket.
const SOCKET_DIRS: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

const PORT_DEFAULT: u16 = 5432;

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
    /// What the operator should know, for the log: a password file that was passed over.
    pub warnings: Vec<String>,
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its address.
    pub address: Address,
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

/// A fault of a connection string. No variant holds a value, so no message can show a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Neither of the two forms.
    Scheme,
    /// The string is not well-formed.
    Syntax {
        /// What is wrong.
        what: &'static str,
    },
    /// A keyword that libpq does not know.
    Unknown {
        /// The keyword.
        keyword: String,
    },
    /// A keyword that libpq knows and Pinion does not support.
    Refused {
        /// The keyword.
        keyword: &'static str,
        /// Why, or what to do instead.
        reason: &'static str,
    },
    /// A value that its keyword can't have.
    Value {
        /// The keyword.
        keyword: &'static str,
        /// What it can have.
        expected: &'static str,
    },
    /// A session without TLS is not allowed by the string.
    Tls,
    /// The lists of hosts and of something else have different lengths.
    Count {
        /// The keyword of the other list.
        keyword: &'static str,
        /// Its length.
        found: usize,
        /// The number of hosts.
        hosts: usize,
    },
    /// No user was named anywhere.
    User,
    /// A socket's path is longer than the kernel allows.
    SocketPath(PathBuf),
}

/// Reads a connection string.
///
/// `environment` looks up an environment variable and `home` is the user's home directory, where
/// the password file `.pgpass` lies unless `passfile` or PGPASSFILE names another.
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
    refuse_tls(&settings)?;
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
    // Pinion brings no TLS along yet; not asking for it saves a round trip where it is optional.
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
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
    Ok(Target {
        config,
        hosts: hosts.into_iter().map(|host| host.host).collect(),
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
        warnings,
    })
}

impl Target {
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Scheme => {
                write!(
                    f,
                    "a database URL starts with postgres:// or postgresql://, nothing else"
                )
            }
            Error::Syntax { what } => write!(f, "the database URL is not well-formed: {what}"),
            Error::Unknown { keyword } => {
                write!(f, "the database URL has an unknown keyword: {keyword}")
            }
            Error::Refused { keyword, reason } => write!(f, "{keyword} is not supported: {reason}"),
            Error::Value { keyword, expected } => {
                write!(f, "the database URL's {keyword} must be {expected}")
            }
            Error::Tls => write!(
                f,
                "TLS to Postgres is not supported yet: use sslmode=disable or prefer over a trusted network"
            ),
            Error::Count {
                keyword,
                found,
                hosts,
            } => write!(
                f,
                "the database URL has {found} of {keyword} for {hosts} hosts: give one for each host"
            ),
            Error::User => write!(
                f,
                "the database URL names no user, and USER and PGUSER are not set"
            ),
            Error::SocketPath(path) => write!(
                f,
                "the socket's path is longer than {SOCKET_PATH_BYTES_MAX} bytes: {}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {}

/// A password, hidden from `Debug`.
#[derive(Clone, PartialEq, Eq)]
struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(hidden)")
    }
}

/// A host with what a line of a password file may call it.
#[derive(Debug)]
struct NamedHost {
    host: Host,
    names: Vec<String>,
    port: u16,
}

/// Fails where the string allows no session without TLS or without GSSAPI encryption.
fn refuse_tls(settings: &Settings) -> Result<(), Error> {
    let text = |keyword: &str| settings.get(keyword).map(String::as_str);
    match text("sslmode") {
        None | Some("disable" | "allow" | "prefer") => {}
        Some("require" | "verify-ca" | "verify-full") => return Err(Error::Tls),
        Some(_) => {
            let expected = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(Error::Value {
                keyword: "sslmode",
                expected,
            });
        }
    }
    // Each of these implies sslmode=require or more.
    let implies_tls = text("sslnegotiation") == Some("direct")
        || text("sslrootcert") == Some("system")
        || text("sslcertmode") == Some("require")
        || text("channel_binding") == Some("require");
    if implies_tls {
        return Err(Error::Tls);
    }
    if text("gssencmode") == Some("require") {
        let reason = "sessions are not encrypted by GSSAPI";
        return Err(Error::Refused {
            keyword: "gssencmode",
            reason,
        });
    }
    Ok(())
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

/// Pairs the lists of hosts, numeric addresses and ports.
fn hosts(settings: &Settings, exists: &dyn Fn(&Path) -> bool) -> Result<Vec<NamedHost>, Error> {
    let list = |keyword: &str| -> Vec<&str> {
        settings
            .get(keyword)
            .map(|list| list.split(',').map(str::trim).collect())
            .unwrap_or_default()
    };
    let (names, numeric, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(numeric.len()).max(1);
    if !numeric.is_empty() && !names.is_empty() && numeric.len() != names.len() {
        let (found, hosts) = (numeric.len(), names.len());
        return Err(Error::Count {
            keyword: "hostaddr",
            found,
            hosts,
        });
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::Count {
            keyword: "port",
            found: ports.len(),
            hosts: count,
        });
    }
    let mut hosts = Vec::new();
    for index in 0..count {
        // A single port is that of every host.
        let port = ports
            .get(index)
            .or(ports.first())
            .copied()
            .unwrap_or_default();
        let port = if port.is_empty() {
            PORT_DEFAULT
        } else {
            parse_port(port)?
        };
        let name = names.get(index).copied().unwrap_or_default();
        match (numeric.get(index).copied().unwrap_or_default(), name) {
            ("", "") => hosts.extend(default_hosts(port, exists)?),
            ("", name) if name.starts_with('/') => hosts.push(unix_host(name, port)?),
            ("", name) if name.starts_with('@') => {
                let expected =
                    "a name, an address or a directory; abstract sockets are not supported";
                return Err(Error::Value {
                    keyword: "host",
                    expected,
                });
            }
            ("", name) => hosts.push(tcp_host(name, name, port)),
            (address, name) => {
                let expected = "a numeric address";
                let _: IpAddr = address.parse().map_err(|_| Error::Value {
                    keyword: "hostaddr",
                    expected,
                })?;
                // The address is where to connect, the name is what the password file knows.
                hosts.push(tcp_host(
                    address,
                    if name.is_empty() { address } else { name },
                    port,
                ));
            }
        }
    }
    Ok(hosts)
}

/// Where to look for a server when no host is named.
fn default_hosts(port: u16, exists: &dyn Fn(&Path) -> bool) -> Result<Vec<NamedHost>, Error> {
    let sockets = SOCKET_DIRS.map(|directory| (Path::new(directory), unix_host(directory, port)));
    let mut later = Vec::new();
    for (directory, socket) in sockets {
        let socket = socket?;
        match &socket.host.address {
            Address::Unix(path) if exists(path) => return Ok(vec![socket]),
            // On most machines /tmp exists and has nothing to do with Postgres.
            _ if exists(directory) && directory != Path::new("/tmp") => later.push(socket),
            _ => {}
        }
    }
    later.push(tcp_host("localhost", "localhost", port));
    Ok(later)
}

fn unix_host(directory: &str, port: u16) -> Result<NamedHost, Error> {
    let path = Path::new(directory).join(format!(".s.PGSQL.{port}"));
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(Error::SocketPath(path));
    }
    let mut names = vec![directory.to_owned()];
    // In a password file, localhost is also the socket in the default directory.
    if SOCKET_DIRS.contains(&directory.trim_end_matches('/')) {
        names.push(String::from("localhost"));
    }
    Ok(NamedHost {
        host: Host {
            address: Address::Unix(path),
            password: None,
        },
        names,
        port,
    })
}

fn tcp_host(address: &str, name: &str, port: u16) -> NamedHost {
    let address = Address::Tcp {
        host: address.to_owned(),
        port,
    };
    NamedHost {
        host: Host {
            address,
            password: None,
        },
        names: vec![name.to_owned()],
        port,
    }
}

fn find_passwords(file: &str, hosts: &mut [NamedHost], database: &str, user: &str) {
    for host in hosts {
        let names: Vec<&str> = host.names.iter().map(String::as_str).collect();
        let wanted = passfile::Wanted {
            hosts: &names,
            port: host.port,
            database,
            user,
        };
        host.host.password = passfile::find(file, &wanted).map(Password);
    }
}

fn parse_port(text: &str) -> Result<u16, Error> {
    match text.parse() {
        Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
        _ => Err(Error::Value {
            keyword: "port",
            expected: "a number from 1 to 65535",
        }),
    }
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
