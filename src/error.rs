//! Why a request was not answered as its route promises: every fault of the database and of our
//! own, and the one place where each becomes a status and the words that a client sees.
//!
//! Database text never leaks to a client unless the SQL raised it on purpose (P0001). Faults of the
//! peer's bytes are `http::Fault`, of its values `api::BindFault`.

use std::borrow::Cow;

/// A fault past the point where the request was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Postgres refused the statement: its SQLSTATE, and its message if the SQL raised it
    /// (`RAISE EXCEPTION`, P0001).
    Sql {
        /// Five characters (Postgres appendix A).
        state: String,
        /// Only of P0001.
        raised: Option<String>,
    },
    /// No connection to Postgres.
    Unavailable,
    /// The connection was lost while a write was in flight: it may or may not have happened.
    OutcomeUnknown,
    /// Past `--max-in-flight` or the bound of the lane's queue.
    Busy,
    /// It would have waited for longer than `--queue-target`: more is asked than can be answered.
    Overloaded {
        /// In how many seconds there may be room.
        seconds: u32,
    },
    /// No place on a connection within `--acquire-timeout`.
    AcquireTimeout,
    /// The route's statement does not prepare on this database, or no longer has the types that
    /// the request was bound to.
    NotPrepared,
    /// More rows than the route's `max_rows`, or a body over the bound.
    TooLarge,
    /// A fault of ours; the log has it.
    Internal,
}

/// Seconds that a client should wait before it tries again (RFC 9110 §10.2.3).
const RETRY_AFTER_SECONDS: u32 = 1;

impl Failure {
    /// The status of the answer (RFC 9110 §15) and the words for the client.
    pub fn answer(&self) -> (u16, Cow<'static, str>) {
        match self {
            Failure::Sql {
                raised: Some(message),
                ..
            } => (400, message.clone().into()),
            Failure::Sql { state, .. } => sql_answer(state),
            Failure::Unavailable => (503, "Database unavailable".into()),
            Failure::OutcomeUnknown => (
                503,
                "Database connection lost: it is not known whether the change was made".into(),
            ),
            Failure::Busy => (503, "Too many requests in flight".into()),
            Failure::Overloaded { .. } => (503, "Too many requests at present".into()),
            Failure::AcquireTimeout => (503, "No database connection became free in time".into()),
            Failure::NotPrepared => (503, "Not available on the present database".into()),
            Failure::TooLarge => (500, "Result too large".into()),
            Failure::Internal => (500, "Internal server error".into()),
        }
    }

    /// Whether it was refused for want of room.
    pub fn is_shed(&self) -> bool {
        matches!(
            self,
            Failure::Busy | Failure::Overloaded { .. } | Failure::AcquireTimeout
        )
    }

    /// Seconds for `Retry-After`, where trying again may help.
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Failure::Overloaded { seconds } => Some(*seconds),
            // An outcome that is not known must not be repeated blindly.
            Failure::OutcomeUnknown => None,
            _ => (self.answer().0 == 503).then_some(RETRY_AFTER_SECONDS),
        }
    }
}

/// SQLSTATE → status (Postgres appendix A). What is not named here is a fault of the route: 500.
fn sql_answer(state: &str) -> (u16, Cow<'static, str>) {
    let (status, words) = match state {
        "23505" => (409, "Conflict: it exists already"),
        "23503" => (409, "Conflict: a related record is missing or still in use"),
        "23514" | "23502" => (422, "A value is not acceptable"),
        "40001" | "40P01" => (409, "Conflict with a concurrent change: try again"),
        "42501" => (403, "Forbidden"),
        "57014" => (504, "The database did not answer in time"),
        // A primary that became a standby, or was made read-only because its disk is full.
        "25006" => (503, "The database takes no changes now"),
        // A lock that was not to be waited for (NOWAIT, lock_timeout).
        "55P03" => (503, "The database is busy"),
        // A full disk, no memory, no connection: of the moment, unlike a limit of the settings (53400).
        "53000" | "53100" | "53200" | "53300" => (503, "Database unavailable"),
        _ if state.starts_with("57P") => (503, "Database unavailable"),
        _ if state.starts_with("22") => (422, "A value is not acceptable"),
        _ if state.starts_with("08") => (503, "Database unavailable"),
        _ => (500, "Internal server error"),
    };
    (status, words.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_status() {
        let rows = [
            ("23505", 409),
            ("23503", 409),
            ("23514", 422),
            ("23502", 422),
            ("22003", 422),
            ("22P02", 422),
            ("40001", 409),
            ("40P01", 409),
            ("42501", 403),
            ("57014", 504),
            ("53300", 503),
            ("57P03", 503),
            ("57P05", 503),
            ("25006", 503),
            ("55P03", 503),
            ("53100", 503),
            ("53200", 503),
            ("53400", 500),
            ("58030", 500),
            ("XX001", 500),
            ("08006", 503),
            ("42P01", 500),
            ("XX000", 500),
            ("P0002", 500),
        ];
        for (state, status) in rows {
            let failure = Failure::Sql {
                state: state.to_owned(),
                raised: None,
            };
            assert_eq!(failure.answer().0, status, "{state}");
            assert_eq!(failure.retry_after().is_some(), status == 503, "{state}");
        }
    }

    #[test]
    fn only_what_the_sql_raised_is_told() {
        let raised = Failure::Sql {
            state: "P0001".to_owned(),
            raised: Some("the shop is closed".to_owned()),
        };
        assert_eq!(raised.answer(), (400, "the shop is closed".into()));
    }

    #[test]
    fn an_unknown_outcome_is_not_to_be_repeated() {
        assert_eq!(Failure::OutcomeUnknown.answer().0, 503);
        assert_eq!(Failure::OutcomeUnknown.retry_after(), None);
        assert_eq!(Failure::Busy.retry_after(), Some(1));
        assert_eq!(Failure::Overloaded { seconds: 3 }.retry_after(), Some(3));
    }
}
