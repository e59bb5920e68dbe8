//! Connection strings in the two forms of libpq, taken apart into keywords and values.
//!
//! Written to libpq's rules (PostgreSQL documentation, "Connection Strings") and not on
//! `tokio_postgres::Config`'s parser, because that one fills in a port where none was given, so that
//! PGPORT would have no effect, and does not know half of the keywords.

use std::collections::BTreeMap;

use super::Error;

/// The values that are set, by keyword; an empty value counts as not set.
pub(super) type Settings = BTreeMap<&'static str, String>;

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It has its effect here.
    Taken,
    /// It has no effect here: it only shapes GSSAPI sessions, of which there are none, or says what
    /// holds anyway.
    Moot,
    /// Not supported, for the reason given. Ignoring it could surprise or be unsafe.
    Refused(&'static str),
}

use Use::{Moot, Refused, Taken};

/// The keywords of libpq up to Postgres 18, the environment variable of each, and its use.
const KEYWORDS: &[(&str, &str, Use)] = &[
    ("host", "PGHOST", Taken),
    ("hostaddr", "PGHOSTADDR", Taken),
    ("port", "PGPORT", Taken),
    ("dbname", "PGDATABASE", Taken),
    ("user", "PGUSER", Taken),
    ("password", "PGPASSWORD", Taken),
    ("passfile", "PGPASSFILE", Taken),
    ("options", "PGOPTIONS", Taken),
    ("application_name", "PGAPPNAME", Taken),
    ("fallback_application_name", "", Taken),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Taken),
    ("client_encoding", "PGCLIENTENCODING", Taken),
    ("keepalives", "", Taken),
    ("keepalives_idle", "", Taken),
    ("keepalives_interval", "", Taken),
    ("keepalives_count", "", Taken),
    ("tcp_user_timeout", "", Taken),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Taken),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Taken),
    ("sslmode", "PGSSLMODE", Taken),
    ("sslnegotiation", "PGSSLNEGOTIATION", Taken),
    ("sslrootcert", "PGSSLROOTCERT", Taken),
    ("sslcertmode", "PGSSLCERTMODE", Taken),
    ("channel_binding", "PGCHANNELBINDING", Taken),
    ("gssencmode", "PGGSSENCMODE", Taken),
    ("sslcert", "PGSSLCERT", Taken),
    ("sslkey", "PGSSLKEY", Taken),
    ("sslcrl", "PGSSLCRL", Taken),
    ("sslcrldir", "PGSSLCRLDIR", Taken),
    ("sslsni", "PGSSLSNI", Taken),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Taken),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Taken),
    // Libraries have stopped compressing, as it told secrets by their length.
    ("sslcompression", "PGSSLCOMPRESSION", Moot),
    // An encrypted key, which it would be for, is told when it is read.
    ("sslpassword", "", Moot),
    (
        "sslkeylogfile",
        "",
        Refused("the secrets of sessions are not written to a file"),
    ),
    ("krbsrvname", "PGKRBSRVNAME", Moot),
    ("gsslib", "PGGSSLIB", Moot),
    ("gssdelegation", "PGGSSDELEGATION", Moot),
    // What is negotiated is the protocol 3.0, which every range that libpq accepts includes.
    ("min_protocol_version", "PGMINPROTOCOLVERSION", Moot),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION", Moot),
    (
        "service",
        "PGSERVICE",
        Refused("service files are not read: write out the settings"),
    ),
    (
        "requirepeer",
        "PGREQUIREPEER",
        Refused("the server process's owner is not checked"),
    ),
    (
        "require_auth",
        "PGREQUIREAUTH",
        Refused("the authentication method is not checked"),
    ),
    (
        "replication",
        "",
        Refused("a replication connection answers no queries"),
    ),
    ("scram_client_key", "", Refused("give the password instead")),
    ("scram_server_key", "", Refused("give the password instead")),
    ("oauth_issuer", "", Refused("OAuth is not supported")),
    ("oauth_client_id", "", Refused("OAuth is not supported")),
    ("oauth_client_secret", "", Refused("OAuth is not supported")),
    ("oauth_scope", "", Refused("OAuth is not supported")),
];

/// Takes a connection string apart and adds what the environment sets where the string says nothing.
pub(super) fn parse(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Error> {
    let mut settings = Settings::new();
    match text.split_once("://") {
        Some(("postgres" | "postgresql", rest)) => parse_url(rest, &mut settings)?,
        // A scheme, unless the "://" is part of some value.
        Some((scheme, _)) if !scheme.contains('=') => return Err(Error::Scheme),
        _ => parse_pairs(text, &mut settings)?,
    }
    let environment = |variable: &str| match (environment(variable), variable) {
        (None, "PGSSLMODE") => require_by_old_variable(environment),
        (value, _) => value,
    };
    for (keyword, variable, used) in KEYWORDS {
        let given = settings.get(keyword).is_some_and(|value| !value.is_empty());
        if !given {
            settings.remove(keyword);
            let set = if variable.is_empty() {
                None
            } else {
                environment(variable)
            };
            if let Some(value) = set.filter(|value| !value.is_empty()) {
                settings.insert(keyword, value);
            }
        }
        if let (Refused(reason), true) = (used, settings.contains_key(keyword)) {
            return Err(Error::Refused { keyword, reason });
        }
        if *used == Moot {
            settings.remove(keyword);
        }
    }
    Ok(settings)
}

/// PGREQUIRESSL of Postgres 7, which libpq still reads where PGSSLMODE is not set.
fn require_by_old_variable(environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    environment("PGREQUIRESSL")
        .filter(|value| value.starts_with('1'))
        .map(|_| String::from("require"))
}

/// `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`, what follows the scheme.
fn parse_url(rest: &str, settings: &mut Settings) -> Result<(), Error> {
    let mut rest = rest;
    // As libpq does: an @ before the first slash ends the credentials, and the first such one.
    if let Some(end) = rest
        .find(['@', '/'])
        .filter(|end| rest[*end..].starts_with('@'))
    {
        let (user, password) = rest[..end].split_once(':').unwrap_or((&rest[..end], ""));
        set(settings, "user", percent_decode(user)?)?;
        set(settings, "password", percent_decode(password)?)?;
        rest = &rest[end + 1..];
    }
    // A host in brackets has neither of the two either.
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    parse_hosts(authority, settings)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    set(
        settings,
        "dbname",
        percent_decode(path.strip_prefix('/').unwrap_or(path))?,
    )?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or(Error::Syntax {
            what: "a parameter after the ? has no =",
        })?;
        let (keyword, value) = (percent_decode(keyword)?, percent_decode(value)?);
        match (keyword.as_str(), value.as_str()) {
            // What JDBC writes; libpq takes it as well.
            ("ssl", "true") => set(settings, "sslmode", String::from("require"))?,
            _ => set(settings, &keyword, value)?,
        }
    }
    Ok(())
}

/// `host[:port],…`, where a host may be an IPv6 address in brackets.
fn parse_hosts(authority: &str, settings: &mut Settings) -> Result<(), Error> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for host_port in authority.split(',') {
        let (host, port) = match host_port.strip_prefix('[') {
            Some(bracketed) => {
                let (host, rest) = bracketed.split_once(']').ok_or(Error::Syntax {
                    what: "the bracket of an IPv6 address is not closed",
                })?;
                if host.is_empty() || !(rest.is_empty() || rest.starts_with(':')) {
                    return Err(Error::Syntax {
                        what: "an IPv6 address is written [address] or [address]:port",
                    });
                }
                (host, rest.strip_prefix(':').unwrap_or_default())
            }
            None => host_port.split_once(':').unwrap_or((host_port, "")),
        };
        hosts.push(host);
        ports.push(port);
    }
    if hosts.iter().any(|host| !host.is_empty()) {
        set(settings, "host", percent_decode(&hosts.join(","))?)?;
    }
    if ports.iter().any(|port| !port.is_empty()) {
        set(settings, "port", percent_decode(&ports.join(","))?)?;
    }
    Ok(())
}

/// `keyword = value …`: blanks around the =, quotes around values, backslashes in both kinds of value.
fn parse_pairs(text: &str, settings: &mut Settings) -> Result<(), Error> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c == '=' || c.is_ascii_whitespace())
            .unwrap_or(rest.len());
        let (keyword, after) = rest.split_at(end);
        // The word itself is not shown: it may be the rest of a password that lacks its quotes.
        let after = after.trim_start().strip_prefix('=').ok_or(Error::Syntax {
            what: "a word without = (a value with blanks needs quotes: 'a b'; \
                   a URL starts with postgres://)",
        })?;
        let (value, after) = parse_value(after.trim_start())?;
        set(settings, keyword, value)?;
        rest = after.trim_start();
    }
    Ok(())
}

/// One value, quoted or not, and what follows it.
fn parse_value(text: &str) -> Result<(String, &str), Error> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[index + 1..])),
            c if !quoted && c.is_ascii_whitespace() => return Ok((value, &text[index..])),
            c => value.push(c),
        }
    }
    if quoted {
        return Err(Error::Syntax {
            what: "the quote of a value is not closed",
        });
    }
    Ok((value, ""))
}

/// Sets a keyword, the last value winning as in libpq.
fn set(settings: &mut Settings, keyword: &str, value: String) -> Result<(), Error> {
    // The name that tokio-postgres gives to libpq's keyword.
    let keyword = if keyword == "keepalives_retries" {
        "keepalives_count"
    } else {
        keyword
    };
    // The keyword of Postgres 7, which libpq still takes for what it means today.
    let (keyword, value) = match (keyword, value.starts_with('1')) {
        ("requiressl", true) => ("sslmode", String::from("require")),
        ("requiressl", false) => ("sslmode", String::from("prefer")),
        (keyword, _) => (keyword, value),
    };
    let known = KEYWORDS.iter().find(|(name, ..)| *name == keyword);
    let Some((name, ..)) = known else {
        return Err(Error::Unknown {
            keyword: keyword.to_owned(),
        });
    };
    if value.contains('\0') {
        return Err(Error::Value {
            keyword: name,
            expected: "no zero byte",
        });
    }
    settings.insert(name, value);
    Ok(())
}

/// Decodes `%xx`. Unlike in a form, `+` is itself; a stray % is a fault and no text.
fn percent_decode(text: &str) -> Result<String, Error> {
    let broken = text.split('%').skip(1).any(|after| {
        let digits = after.as_bytes();
        digits.len() < 2 || !digits[..2].iter().all(u8::is_ascii_hexdigit)
    });
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if !broken => Ok(decoded.into_owned()),
        _ => Err(Error::Syntax {
            what: "a % must be followed by two hexadecimal digits, and together be UTF-8 \
                   (a % itself is written %25)",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(&'static str, String)> {
        parse(text, &|_| None).unwrap().into_iter().collect()
    }

    fn pairs(expected: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<_> = expected
            .iter()
            .map(|(k, v)| (*k, String::from(*v)))
            .collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn urls_are_taken_apart_as_libpq_does() {
        for (url, expected) in [
            ("postgresql://", &[][..]),
            ("postgres://localhost", &[("host", "localhost")]),
            (
                "postgres://localhost:5433",
                &[("host", "localhost"), ("port", "5433")],
            ),
            (
                "postgres://localhost/mydb",
                &[("host", "localhost"), ("dbname", "mydb")],
            ),
            (
                "postgres://user@localhost",
                &[("user", "user"), ("host", "localhost")],
            ),
            (
                "postgres://u:p@localhost",
                &[("user", "u"), ("password", "p"), ("host", "localhost")],
            ),
            (
                "postgres://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
                &[
                    ("user", "other"),
                    ("host", "localhost"),
                    ("dbname", "otherdb"),
                    ("connect_timeout", "10"),
                    ("application_name", "myapp"),
                ],
            ),
            (
                "postgres://host1:123,host2:456/somedb?target_session_attrs=any",
                &[
                    ("host", "host1,host2"),
                    ("port", "123,456"),
                    ("dbname", "somedb"),
                    ("target_session_attrs", "any"),
                ],
            ),
            (
                "postgres://h1,h2:5433",
                &[("host", "h1,h2"), ("port", ",5433")],
            ),
            (
                "postgres:///mydb?host=localhost&port=5433",
                &[("dbname", "mydb"), ("host", "localhost"), ("port", "5433")],
            ),
            (
                "postgres://[2001:db8::1234]/db",
                &[("host", "2001:db8::1234"), ("dbname", "db")],
            ),
            (
                "postgres://[::1]:5433,b",
                &[("host", "::1,b"), ("port", "5433,")],
            ),
            (
                "postgres://%2Frun%2Fpg/db",
                &[("host", "/run/pg"), ("dbname", "db")],
            ),
            (
                "postgres://user@/db?host=/socket/dir&port=5433",
                &[
                    ("user", "user"),
                    ("dbname", "db"),
                    ("host", "/socket/dir"),
                    ("port", "5433"),
                ],
            ),
            (
                "postgres://u%40x:p%3A%2F%3F@h/d%20b",
                &[
                    ("user", "u@x"),
                    ("password", "p:/?"),
                    ("host", "h"),
                    ("dbname", "d b"),
                ],
            ),
            (
                "postgres://u:a:b@h",
                &[("user", "u"), ("password", "a:b"), ("host", "h")],
            ),
            (
                "postgres://h?options=-c%20geqo%3Doff",
                &[("host", "h"), ("options", "-c geqo=off")],
            ),
            (
                "postgres://h?options=-c%20geqo=off",
                &[("host", "h"), ("options", "-c geqo=off")],
            ),
            (
                "postgres://h?ssl=true",
                &[("host", "h"), ("sslmode", "require")],
            ),
            ("postgres://a?host=b", &[("host", "b")]),
            ("postgres://h/a+b", &[("host", "h"), ("dbname", "a+b")]),
            ("postgres://h/d?", &[("host", "h"), ("dbname", "d")]),
        ] {
            assert_eq!(parsed(url), pairs(expected), "{url}");
        }
    }

    #[test]
    fn pairs_are_taken_apart_as_libpq_does() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ", &[]),
            (
                "host=localhost port=5432 dbname=mydb",
                &[("host", "localhost"), ("port", "5432"), ("dbname", "mydb")],
            ),
            (" host = a\n\tport\t=\t1 ", &[("host", "a"), ("port", "1")]),
            (
                r"password='it\'s a \\' user=b",
                &[("password", r"it's a \"), ("user", "b")],
            ),
            (r"password=a\ b\'c", &[("password", "a b'c")]),
            ("password='' user=b", &[("user", "b")]),
            ("user=a user=b", &[("user", "b")]),
            ("options='-c geqo=off'", &[("options", "-c geqo=off")]),
            ("password=a://b", &[("password", "a://b")]),
            ("keepalives_retries=3", &[("keepalives_count", "3")]),
            // The blanks after an = are skipped: so libpq reads this too.
            ("host= port=1", &[("host", "port=1")]),
        ] {
            assert_eq!(parsed(text), pairs(expected), "{text:?}");
        }
    }

    #[test]
    fn the_environment_fills_in_what_is_not_said() {
        let environment = |name: &str| match name {
            "PGHOST" => Some(String::from("from-environment")),
            "PGPORT" => Some(String::from("5433")),
            "PGUSER" => Some(String::new()),
            _ => None,
        };
        let settings = parse("postgres://said/", &environment).unwrap();
        assert_eq!(settings["host"], "said");
        assert_eq!(settings["port"], "5433");
        assert!(!settings.contains_key("user"));
        // An empty value is no value.
        assert_eq!(
            parse("host=''", &environment).unwrap()["host"],
            "from-environment"
        );
    }

    #[test]
    fn faults_are_told_and_never_show_a_value() {
        for (text, expected) in [
            ("postgresql+asyncpg://secret@h", "starts with postgres://"),
            ("http://secret", "starts with postgres://"),
            ("postgres://[::1", "not closed"),
            ("postgres://[]", "[address]"),
            ("postgres://[::1]secret", "[address]"),
            ("postgres://u:secret%@h", "two hexadecimal digits"),
            ("postgres://u:secret%4@h", "two hexadecimal digits"),
            ("postgres://u:secret%4g@h", "two hexadecimal digits"),
            ("postgres://u:secret%ff@h", "UTF-8"),
            ("postgres://u:secret%00@h", "no zero byte"),
            ("postgres://h?secret", "no ="),
            ("postgres://h?colour=secret", "colour"),
            ("password=a secret", "quotes"),
            ("secret", "postgres://"),
            ("password='secret", "not closed"),
            ("colour=secret", "colour"),
            ("service=secret", "service files"),
            ("requirepeer=secret", "requirepeer"),
            ("require_auth=secret", "require_auth"),
        ] {
            let message = parse(text, &|_| None).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains("secret"), "{text}: {message}");
        }
        let environment = |name: &str| (name == "PGSERVICE").then(|| String::from("production"));
        assert!(parse("host=a", &environment).is_err());
    }

    #[test]
    fn what_only_shapes_gssapi_has_no_effect() {
        assert_eq!(parsed("sslcompression=1 krbsrvname=c gsslib=d"), pairs(&[]));
    }

    #[test]
    fn the_forms_of_postgres_7_ask_for_tls() {
        assert_eq!(parsed("requiressl=1"), pairs(&[("sslmode", "require")]));
        assert_eq!(parsed("requiressl=0"), pairs(&[("sslmode", "prefer")]));
        let mode = |variables: &[(&str, &str)]| {
            let environment = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| String::from(*value))
            };
            let settings = parse("host=a", &environment).unwrap();
            settings.get("sslmode").cloned()
        };
        assert_eq!(mode(&[("PGREQUIRESSL", "1")]).as_deref(), Some("require"));
        assert_eq!(mode(&[("PGREQUIRESSL", "0")]), None);
        let both = [("PGREQUIRESSL", "1"), ("PGSSLMODE", "allow")];
        assert_eq!(mode(&both).as_deref(), Some("allow"));
    }
}
