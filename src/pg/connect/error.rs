//! Why there is no connection, in words for the operator and kinds for the program.

use std::fmt;

use super::super::wire::Wire;

/// Why there is no connection, without anything secret.
#[derive(Debug)]
pub enum Error {
    /// The server can't be reached, or went away: trying again may help.
    Unreachable(String),
    /// The server answered, and refused: its SQLSTATE and message.
    Refused {
        /// Postgres appendix A.
        state: String,
        /// Postgres's words.
        message: String,
    },
    /// The server is not of the kind that `target_session_attrs` asks for.
    WrongKind(&'static str),
    /// The session is not as secure as the settings want it.
    Insecure {
        /// What is wrong, and what helps.
        reason: String,
        /// Whether trying again may help.
        moment: bool,
    },
    /// Neither with TLS nor without, where the settings leave it open.
    Both {
        /// What came first.
        first: Box<Error>,
        /// What came of the other way.
        second: Box<Error>,
        /// How the second was tried.
        way: &'static str,
    },
}

impl Error {
    /// Whether the settings are at fault rather than the moment: a wrong password, an unknown
    /// user or database. Waiting doesn't mend these.
    pub fn is_configuration(&self) -> bool {
        match self {
            Error::Refused { state, .. } => state.starts_with("28") || state == "3D000",
            Error::Insecure { moment, .. } => !moment,
            Error::Both { first, second, .. } => {
                first.is_configuration() || second.is_configuration()
            }
            Error::Unreachable(_) | Error::WrongKind(_) => false,
        }
    }

    /// Whether the server's rules (pg_hba.conf) or the password are against the session: another one
    /// may be taken.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Error::Refused { state, .. } if state.starts_with("28"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unreachable(reason) => formatter.write_str(reason),
            Error::Refused { state, message } => write!(formatter, "{message} ({state})"),
            Error::WrongKind(wanted) => write!(formatter, "the server is not {wanted}"),
            Error::Insecure { reason, .. } => formatter.write_str(reason),
            Error::Both { first, second, way } => write!(formatter, "{first}; {way}: {second}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(refusal) => Error::Refused {
                state: refusal.code().code().to_owned(),
                message: refusal.message().to_owned(),
            },
            None if asks_for_password(&error) => Error::Refused {
                state: "28P01".to_owned(),
                message: NO_PASSWORD.to_owned(),
            },
            None if is_unbound(&error) => Error::Insecure {
                reason: NOT_BOUND.to_owned(),
                moment: false,
            },
            None => Error::Unreachable(chain(&error)),
        }
    }
}

const NO_PASSWORD: &str = "Postgres asks for a password: give it in the database URL, in \
                           PGPASSWORD or in ~/.pgpass";

const NOT_BOUND: &str = "channel_binding=require, but the server did not bind the session to its \
                         certificate: that takes TLS and scram-sha-256";

/// The driver's own fault when it has no password to give, which has no kind that could be asked for.
fn asks_for_password(error: &tokio_postgres::Error) -> bool {
    is_caused_by(error, "password missing")
}

/// The same for a session without channel binding.
fn is_unbound(error: &tokio_postgres::Error) -> bool {
    is_caused_by(error, "server did not use channel binding")
}

fn is_caused_by(error: &tokio_postgres::Error, words: &str) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.to_string() == words)
}

pub(super) fn insecure(reason: &str) -> Error {
    Error::Insecure {
        reason: reason.to_owned(),
        moment: false,
    }
}

/// Why the session did not begin: what the driver says, unless it only saw the wire end.
pub(super) fn start_error(error: tokio_postgres::Error, wire: &Wire) -> Error {
    match wire.ended() {
        Some(words) if error.is_closed() && wire.is_refused() => insecure(&words),
        Some(words) if error.is_closed() => Error::Unreachable(words.to_string()),
        _ => error.into(),
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !line.ends_with(&words) {
            line = format!("{line}: {words}");
        }
        cause = next.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_the_settings_fault_and_a_full_server_is_not() {
        let refused = |state: &str| Error::Refused {
            state: state.to_owned(),
            message: String::new(),
        };
        assert!(refused("28P01").is_configuration());
        assert!(refused("3D000").is_configuration());
        assert!(!refused("53300").is_configuration());
        assert!(!Error::Unreachable(String::new()).is_configuration());
    }
}
