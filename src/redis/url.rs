//! Where Redis is: the URLs that its clients take.
//!
//! `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` for TLS, `redis+unix:///PATH` or
//! `unix:///PATH`, and the same with `valkey` in place of `redis`. The database may also be `?db=N`; over
//! a unix socket the user and the password are `?user=` and `?password=`.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The port of a server whose URL names none.
const PORT: u16 = 6379;

/// Where Redis is and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub address: Address,
    /// The number of the database.
    pub database: u32,
    /// Who asks; nobody where the server wants nobody's name.
    pub credentials: Option<Credentials>,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// A name or a numeric address, without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// Whether TLS is spoken.
        encrypted: bool,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// A name of the server's list (ACL); without one it is the default user.
    pub user: Option<String>,
    /// Never shown.
    pub password: String,
}

impl Target {
    /// Reads a URL. A fault is in words that show nothing of it, as it may hold a password.
    pub fn parse(text: &str) -> Result<Target, String> {
        const FORM: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or \
                            unix:///PATH";
        let url = redis::parse_redis_url(text).ok_or_else(|| {
            format!(
                "it is not {FORM} (in a user and a password, other than letters and digits as %XX)"
            )
        })?;
        if url.fragment().is_some() {
            return Err(
                "it has a fragment (#): nothing is known by that here, and a password has # \
                        as %23"
                    .to_owned(),
            );
        }
        let mut query = Query::default();
        for (name, value) in url.query_pairs() {
            query.take(&name, value.into_owned())?;
        }
        let scheme = url.scheme();
        let path = decoded(url.path())?;
        let (address, database) = if scheme.ends_with("unix") {
            if url.has_host() || path.len() < 2 {
                return Err("a unix socket is three slashes and its path: unix:///PATH".to_owned());
            }
            (Address::Unix(path.into()), None)
        } else {
            let host = url.host_str().unwrap_or_default();
            let host = decoded(host.trim_start_matches('[').trim_end_matches(']'))?;
            if host.is_empty() {
                return Err(format!("the host is missing: {FORM}"));
            }
            let address = Address::Tcp {
                host,
                port: url.port().unwrap_or(PORT),
                encrypted: scheme.ends_with('s') && scheme != "redis",
            };
            (address, path_database(&path)?)
        };
        if database.is_some() && query.database.is_some() {
            return Err("it names its database twice".to_owned());
        }
        let userinfo = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) => {
                return Err("it has a user without a password: a password alone is \
                            :PASSWORD@HOST"
                    .to_owned());
            }
            (user, Some(password)) => Some((decoded(user)?, decoded(password)?)),
        };
        Ok(Target {
            address,
            database: database.or(query.database).unwrap_or(0),
            credentials: credentials(userinfo, query.user, query.password)?,
        })
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.address, Address::Tcp { encrypted, .. } if encrypted)
    }
}

/// What may stand behind the question mark.
#[derive(Default)]
struct Query {
    database: Option<u32>,
    user: Option<String>,
    password: Option<String>,
}

impl Query {
    fn take(&mut self, name: &str, value: String) -> Result<(), String> {
        let is_new = match name {
            "db" => self.database.replace(number(&value)?).is_none(),
            "user" | "username" => self.user.replace(value).is_none(),
            "pass" | "password" => self.password.replace(value).is_none(),
            _ => {
                return Err(
                    "of what may stand behind the ? only db, user and password are known"
                        .to_owned(),
                );
            }
        };
        match is_new {
            true => Ok(()),
            false => Err("something stands behind its ? twice".to_owned()),
        }
    }
}

fn credentials(
    userinfo: Option<(String, String)>,
    user: Option<String>,
    password: Option<String>,
) -> Result<Option<Credentials>, String> {
    let (user, password) = match (userinfo, user, password) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err("it names its user or password twice".to_owned());
        }
        (None, Some(_), None) => return Err("it has a user without a password".to_owned()),
        (Some((user, password)), ..) => (Some(user), password),
        (None, user, Some(password)) => (user, password),
        (None, None, None) => return Ok(None),
    };
    Ok(Some(Credentials {
        user: user.filter(|user| !user.is_empty()),
        password,
    }))
}

/// `/`, or nothing, or `/N`.
fn path_database(path: &str) -> Result<Option<u32>, String> {
    match path.trim_start_matches('/') {
        "" => Ok(None),
        text => number(text).map(Some),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| "the database is a number, such as /0".to_owned())
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "its %XX are not UTF-8")?;
    Ok(decoded.into_owned())
}

/// Without user and password.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp {
                host,
                port,
                encrypted,
            } => {
                let scheme = if *encrypted { "rediss" } else { "redis" };
                match host.contains(':') {
                    true => write!(formatter, "{scheme}://[{host}]:{port}")?,
                    false => write!(formatter, "{scheme}://{host}:{port}")?,
                }
                write!(formatter, "/{}", self.database)
            }
            Address::Unix(path) => {
                write!(formatter, "unix://{}?db={}", path.display(), self.database)
            }
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, encrypted: bool) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
            encrypted,
        }
    }

    fn parse(text: &str) -> Target {
        Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn places() {
        for (text, address, database) in [
            ("redis://localhost", tcp("localhost", 6379, false), 0),
            ("redis://localhost/", tcp("localhost", 6379, false), 0),
            ("redis://10.0.0.1:7000/15", tcp("10.0.0.1", 7000, false), 15),
            (
                "redis://cache.example?db=3",
                tcp("cache.example", 6379, false),
                3,
            ),
            ("rediss://[::1]:6380/2", tcp("::1", 6380, true), 2),
            ("valkey://h", tcp("h", 6379, false), 0),
            ("valkeys://h:1", tcp("h", 1, true), 0),
            (
                "unix:///run/redis.sock",
                Address::Unix("/run/redis.sock".into()),
                0,
            ),
            ("redis+unix:///a%20b?db=4", Address::Unix("/a b".into()), 4),
            ("valkey+unix:///v", Address::Unix("/v".into()), 0),
        ] {
            let target = parse(text);
            assert_eq!(
                (&target.address, target.database),
                (&address, database),
                "{text}"
            );
            assert_eq!(target.credentials, None, "{text}");
        }
    }

    #[test]
    fn users_and_passwords() {
        for (text, user, password) in [
            ("redis://:secret@h", None, "secret"),
            ("redis://me:secret@h:1/2", Some("me"), "secret"),
            ("redis://:p%40%2F%3A%23@h", None, "p@/:#"),
            ("redis://h?password=s%26t", None, "s&t"),
            ("unix:///s?user=me&password=secret", Some("me"), "secret"),
            ("unix:///s?username=me&pass=secret", Some("me"), "secret"),
        ] {
            let target = parse(text);
            let found = target.credentials.clone().expect("credentials");
            assert_eq!(
                (found.user.as_deref(), found.password.as_str()),
                (user, password)
            );
            for shown in [target.to_string(), format!("{target:?} {found:?}")] {
                assert!(
                    !shown.contains(password) && !shown.contains("me"),
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn faults_show_nothing_of_the_url() {
        for wrong in [
            "",
            "hunter2",
            "hunter2:6379",
            "http://hunter2",
            "redis:hunter2",
            "redis://",
            "redis:///0",
            "redis://:hunter2@",
            "redis://hunter2@host",
            "redis://:hunter2@host:99999",
            "redis://:hunter2@host:port",
            "redis://host/hunter2",
            "redis://host/-1",
            "redis://host/+1",
            "redis://host/99999999999",
            "redis://host/1?db=1",
            "redis://host?db=",
            "redis://host?hunter2=1",
            "redis://host?db=1&db=2",
            "redis://host?user=hunter2",
            "redis://:hunter2@host?password=hunter2",
            "rediss://:x@host/#insecure",
            "redis://:hunter%ff@host",
            "unix://",
            "unix:///",
            "unix://host/path",
        ] {
            let error = Target::parse(wrong).expect_err(wrong);
            assert!(!error.contains("hunter"), "{wrong}: {error}");
        }
    }

    #[test]
    fn how_it_is_shown() {
        for text in [
            "redis://h:1/2",
            "rediss://[::1]:6380/0",
            "unix:///run/r?db=1",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }
}
