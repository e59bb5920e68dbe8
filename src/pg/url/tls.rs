//! What a connection string says about TLS, as libpq reads it (PostgreSQL §34.1.2 and §34.19).

use std::path::{Path, PathBuf};

use super::conninfo::Settings;
use super::{Error, is_one_of};

/// How sessions are encrypted and whose certificates are believed. Unix sockets are never encrypted,
/// whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether there is TLS, and what is verified of the server.
    pub mode: Mode,
    /// TLS begins at once, without asking for it in Postgres's protocol (`sslnegotiation=direct`).
    pub direct: bool,
    /// Who may have issued the server's certificate.
    pub roots: Roots,
    /// The lists of revoked certificates.
    pub revocation: Revocation,
    /// The client's certificate; `None` where none is ever to be sent.
    pub certificate: Option<Certificate>,
    /// The session is to fail unless a client certificate was sent (`sslcertmode=require`).
    pub certificate_required: bool,
    /// The server is told by which name it is addressed (`sslsni`).
    pub sni: bool,
    /// Which versions of the protocol will do.
    pub versions: Versions,
    /// The server's certificate is to be part of the authentication (`channel_binding`).
    pub channel_binding: ChannelBinding,
}

/// `sslmode`, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Never TLS.
    Disable,
    /// TLS if the server refuses a session without.
    Allow,
    /// TLS unless the server has none or refuses a session with it.
    Prefer,
    /// Only TLS.
    Require,
    /// And the server's certificate has to be of a known issuer.
    VerifyCa,
    /// And it has to be for the host.
    VerifyFull,
}

/// Where the certificates of the issuers are (`sslrootcert`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The machine's own trust store.
    System,
    /// A file, if it exists.
    File(File),
    /// There is no home directory that could have one.
    Nowhere,
}

/// A file that a keyword names, or that lies at the keyword's default place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the user has named it.
    pub named: bool,
}

/// `sslcrl` and `sslcrldir`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocation {
    /// A file of lists, if it exists.
    pub file: Option<File>,
    /// A directory of lists, as `openssl rehash` names them.
    pub directory: Option<PathBuf>,
}

/// `sslcert` and `sslkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The client's certificate and those of its issuers, if it exists.
    pub chain: File,
    /// Its key; `None` without a home directory that could have one.
    pub key: Option<PathBuf>,
}

/// The range of `ssl_min_protocol_version` to `ssl_max_protocol_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// TLS 1.2 may be spoken.
    pub tls12: bool,
    /// TLS 1.3 may be spoken.
    pub tls13: bool,
}

/// `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server does it too.
    Prefer,
    /// The session fails without.
    Require,
}

impl Tls {
    /// Checks the settings. The files are not looked at here.
    pub(super) fn new(settings: &Settings, home: Option<&Path>) -> Result<Tls, Error> {
        let text = |keyword: &str| settings.get(keyword).map(String::as_str);
        let from_system = text("sslrootcert") == Some("system");
        let mode = mode(text("sslmode"), from_system)?;
        let direct = match text("sslnegotiation") {
            None | Some("postgres") => false,
            Some("direct") if mode < Mode::Require => {
                return Err(Error::Needs {
                    setting: "sslnegotiation=direct",
                    needed: "sslmode=require, verify-ca or verify-full",
                });
            }
            Some("direct") => true,
            Some(_) => return Err(value("sslnegotiation", "postgres or direct")),
        };
        let certificate_mode = text("sslcertmode").unwrap_or("allow");
        if !is_one_of(certificate_mode, &["disable", "allow", "require"]) {
            return Err(value("sslcertmode", "disable, allow or require"));
        }
        let place = |keyword, name| place(text(keyword), home, name);
        let chain = place("sslcert", "postgresql.crt");
        Ok(Tls {
            mode,
            direct,
            roots: match place("sslrootcert", "root.crt") {
                _ if from_system => Roots::System,
                Some(file) => Roots::File(file),
                None => Roots::Nowhere,
            },
            revocation: Revocation {
                // The default file counts only where nothing else is named.
                file: match text("sslcrldir") {
                    Some(_) => text("sslcrl").and_then(|_| place("sslcrl", "")),
                    None => place("sslcrl", "root.crl"),
                },
                directory: text("sslcrldir").map(PathBuf::from),
            },
            certificate: chain
                .filter(|_| certificate_mode != "disable")
                .map(|chain| {
                    let key = place("sslkey", "postgresql.key").map(|key| key.path);
                    Certificate { chain, key }
                }),
            certificate_required: certificate_mode == "require",
            sni: match text("sslsni") {
                None | Some("1") => true,
                Some("0") => false,
                Some(_) => return Err(value("sslsni", "0 or 1")),
            },
            versions: versions(settings)?,
            channel_binding: match text("channel_binding") {
                None | Some("prefer") => ChannelBinding::Prefer,
                Some("disable") => ChannelBinding::Disable,
                Some("require") => ChannelBinding::Require,
                Some(_) => return Err(value("channel_binding", "disable, prefer or require")),
            },
        })
    }
}

fn mode(text: Option<&str>, from_system: bool) -> Result<Mode, Error> {
    let mode = match text {
        // Names of the whole world's servers are worth nothing unless they are compared.
        None if from_system => Mode::VerifyFull,
        None | Some("prefer") => Mode::Prefer,
        Some("disable") => Mode::Disable,
        Some("allow") => Mode::Allow,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some(_) => {
            let expected = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(value("sslmode", expected));
        }
    };
    match from_system && mode < Mode::VerifyFull {
        true => Err(Error::Needs {
            setting: "sslrootcert=system",
            needed: "sslmode=verify-full",
        }),
        false => Ok(mode),
    }
}

fn place(named: Option<&str>, home: Option<&Path>, name: &str) -> Option<File> {
    Some(File {
        named: named.is_some(),
        path: match named {
            Some(path) => PathBuf::from(path),
            None => home?.join(".postgresql").join(name),
        },
    })
}

fn versions(settings: &Settings) -> Result<Versions, Error> {
    const KNOWN: [&str; 4] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
    let version = |keyword: &'static str, default: usize| match settings.get(keyword) {
        None => Ok(default),
        Some(text) => KNOWN
            .iter()
            .position(|known| known.eq_ignore_ascii_case(text))
            .ok_or(value(keyword, "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")),
    };
    let least = version("ssl_min_protocol_version", 2)?;
    let most = version("ssl_max_protocol_version", 3)?;
    if most < least {
        let expected = "no less than ssl_min_protocol_version, which is TLSv1.2 unless it is set";
        return Err(value("ssl_max_protocol_version", expected));
    }
    if most < 2 {
        return Err(Error::Refused {
            keyword: "ssl_max_protocol_version below TLSv1.2",
            reason: "older versions are broken and not spoken",
        });
    }
    Ok(Versions {
        tls12: least <= 2,
        tls13: most >= 3,
    })
}

fn value(keyword: &'static str, expected: &'static str) -> Error {
    Error::Value { keyword, expected }
}

#[cfg(test)]
mod tests;
