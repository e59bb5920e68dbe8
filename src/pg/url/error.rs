//! The faults of a connection string.

use std::fmt;
use std::path::PathBuf;

use super::hosts::SOCKET_PATH_BYTES_MAX;

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
    /// A setting that goes only with some values of another.
    Needs {
        /// The setting.
        setting: &'static str,
        /// The others that it goes with.
        needed: &'static str,
    },
    /// A file of certificates or keys that can't be used.
    File(crate::pg::tls::Fault),
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
            Error::Needs { setting, needed } => write!(f, "{setting} needs {needed}"),
            Error::File(fault) => write!(f, "{fault}"),
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
