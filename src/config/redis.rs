//! The flags of Redis.

use super::Error;
use crate::cli::Machine;
use crate::limits;
use crate::redis::Settings;
use crate::redis::url::Target;
use crate::tls::{ClientTls, Identity};

/// The flags of Redis, which stand or fall with its URL.
pub(super) fn from_flags(flags: &Machine) -> Result<Option<Settings>, Error> {
    let needs = |flag: &str, other: &str| Err(Error(format!("{flag}: needs {other}")));
    let timeout = flags.redis_timeout;
    if timeout.is_zero() || timeout > limits::REDIS_TIMEOUT_MAX {
        let most = limits::REDIS_TIMEOUT_MAX;
        let message = format!("--redis-timeout: longer than zero, and at most {most:?}");
        return Err(Error(message));
    }
    let files = [
        ("--redis-ca", flags.redis_ca.is_some()),
        ("--redis-cert", flags.redis_cert.is_some()),
        ("--redis-key", flags.redis_key.is_some()),
    ];
    let file = files.iter().find(|(_, given)| *given);
    // An empty one, as in an environment that sets it for others, is none.
    let Some(url) = flags.redis_url.as_deref().filter(|url| !url.is_empty()) else {
        return match file {
            Some((flag, _)) => needs(flag, "--redis-url"),
            None => Ok(None),
        };
    };
    let target = Target::parse(url).map_err(|error| Error(format!("--redis-url: {error}")))?;
    if let Some((flag, _)) = file
        && !target.is_encrypted()
    {
        return needs(flag, "TLS, which is --redis-url rediss://…");
    }
    let identity = match (&flags.redis_cert, &flags.redis_key) {
        (Some(certificate), Some(key)) => Some(Identity {
            certificate: ("--redis-cert", certificate.clone()),
            key: ("--redis-key", key.clone()),
        }),
        (Some(_), None) => return needs("--redis-cert", "--redis-key"),
        (None, Some(_)) => return needs("--redis-key", "--redis-cert"),
        (None, None) => None,
    };
    let ca = flags.redis_ca.clone().map(|path| ("--redis-ca", path));
    Ok(Some(Settings {
        target,
        timeout,
        tls: ClientTls { ca, identity },
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::config;
    use super::*;

    #[test]
    fn redis_is_there_if_its_url_is() {
        assert_eq!(config(&[]).unwrap().redis, None);
        assert_eq!(config(&["--redis-url", ""]).unwrap().redis, None);
        let redis = config(&["--redis-url", "redis://h/1"]).unwrap().redis;
        let redis = redis.unwrap();
        assert_eq!(redis.timeout, limits::REDIS_TIMEOUT);
        assert_eq!(redis.target.to_string(), "redis://h:6379/1");
        let tls = [
            "--redis-url",
            "rediss://h",
            "--redis-ca",
            "a",
            "--redis-timeout",
            "20ms",
        ];
        let redis = config(&tls).unwrap().redis.unwrap();
        assert_eq!(redis.timeout, Duration::from_millis(20));
        assert_eq!(redis.tls.ca, Some(("--redis-ca", "a".into())));
    }

    #[test]
    fn each_fault_names_its_flag() {
        let encrypted = ["--redis-url", "rediss://h"];
        for (flags, fault) in [
            (&["--redis-url", "h:6379"][..], "--redis-url: "),
            (&["--redis-timeout", "0ms"], "--redis-timeout: "),
            (&["--redis-timeout", "10001ms"], "--redis-timeout: "),
            (&["--redis-ca", "a"], "--redis-ca: needs --redis-url"),
            (
                &["--redis-url", "redis://h", "--redis-ca", "a"],
                "--redis-ca: needs TLS",
            ),
            (
                &[&encrypted[..], &["--redis-cert", "c"]].concat(),
                "--redis-cert: needs --redis-key",
            ),
            (
                &[&encrypted[..], &["--redis-key", "k"]].concat(),
                "--redis-key: needs --redis-cert",
            ),
        ] {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.starts_with(fault), "{error}");
        }
        assert!(config(&["--redis-timeout", "10s"]).is_ok());
        let url = ["--redis-url", "redis://:hunter2@host/x"];
        let error = config(&url).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
