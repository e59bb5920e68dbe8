//! What may be answered, and when: the one table that the soak judges by.
//!
//! The right answer is always allowed, and is the only one allowed unless the table below names a
//! fault that was active at some moment between the first byte sent and the last byte received. A 500
//! is never allowed. Beside the table:
//!
//! | what happened | what is expected |
//! |---|---|
//! | a malformed head or framing | exactly its 4xx or 5xx, `connection: close`, then the end; nothing that follows is answered |
//! | a value, document or media type that is refused | exactly its 422, 400 or 415; the connection goes on |
//! | a route that runs past its timeout | 504, for each request |
//! | a deadlock | 409; nothing was changed |
//! | no token, or one that does not hold, where one is asked for | 401; nothing was done |
//! | more than a rate limit admits | 429, and exactly as many are let in as it says |
//! | a rate limit while its core stands still | 503 with `Retry-After`, if it says so |
//! | anything while others have the server's cores (`starvation.rs`) | the right answer, any refusal, or the end |
//! | a head or body that takes longer than its time | 408 and the end, not before that time |
//! | an idle connection | the end without a word, not before its time |
//! | a client that does not read past the write timeout | right answers, then the end anywhere |
//! | a client that resets, leaves, or waits for too long between two bytes | the end |
//! | half-closed, or `connection: close` was asked for | all answers, then the end |
//! | over TLS, any end but after a reset or in the drain | it is said (close_notify) before |
//! | a handshake that does not go on | the end without a word, not before the time of a head |
//! | something else where TLS is expected | an alert, a 400 or nothing, then the end |
//! | in the drain | right answers, then the end between two answers |
//!
//! What an answer says of a write, and what the database has to hold in the end:
//!
//! | answer | done |
//! |---|---|
//! | success | once |
//! | 4xx, 504 | never |
//! | 503 with `Retry-After` | never |
//! | 503 without | once or never |
//! | none, because the client left | once or never |

use crate::fault::Fault;

/// What a request needs to be answered rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Only the server: `/health`, what is not found, faults of framing.
    Local,
    /// The route's description, a place in flight and no overload, but no connection: faults of values.
    Bound,
    /// A connection of the default lane; may be run again.
    Read,
    /// The same, of the table that DDL is done to.
    Changing,
    /// The same, of the table that is locked.
    Counter,
    /// A connection of the slow lane; may be run again.
    Slow,
    /// A connection of the default lane, once.
    Write,
    /// The same, of the table that is locked.
    CounterWrite,
    /// A connection of the lane for locks, once.
    Transfer,
    /// Every lane and every route: `/ready`.
    Ready,
}

/// How a request may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 503 with Retry-After: nothing was done.
    Unavailable,
    /// The same, because too many wait already ([`OVERLOADED`]).
    Overloaded,
    /// 503 without it: it may have been done.
    Unknown,
    /// 504: it was ended, and nothing was done.
    TimedOut,
}

/// The words of a refusal at the gate.
pub const OVERLOADED: &str = "Too many requests at present";

/// Whether a refusal is allowed to a request of that class while that fault is active.
pub fn is_allowed(fault: Fault, class: Class, refusal: Refusal) -> bool {
    match refusal {
        Refusal::Overloaded => class != Class::Local && holds_up(fault),
        _ => allowed(fault, class).contains(&refusal),
    }
}

/// Whether statements may wait for each other for half a second because of that fault: then it is an
/// overload while it lasts, and who comes is refused before anything is looked at.
fn holds_up(fault: Fault) -> bool {
    !matches!(
        fault,
        Fault::EndOne
            | Fault::CutOne
            | Fault::AddColumn
            | Fault::ChangeType
            | Fault::RenameTable
            | Fault::Crowd
            | Fault::Renewal
    )
}

/// How else a request of that class may be refused while that fault is active.
fn allowed(fault: Fault, class: Class) -> &'static [Refusal] {
    use Class::{Bound, Changing, Counter, CounterWrite, Local, Ready, Transfer, Write};
    use Refusal::{TimedOut, Unavailable, Unknown};
    let is_write = matches!(class, Write | CounterWrite | Transfer);
    match (fault, class) {
        (_, Local) => &[],
        // It tells of each lane and each route that is not whole, whatever the reason.
        (_, Ready) => &[Unavailable],

        // The next connection takes over: a read is run again there, and only what was being
        // written on the one that is lost is in doubt.
        (Fault::EndOne | Fault::CutOne, Write | CounterWrite | Transfer) => &[Unavailable, Unknown],
        (Fault::EndOne | Fault::CutOne, _) => &[],

        // No connection is left, or none for a read that was lost to be run again on.
        (
            Fault::EndAll | Fault::Crash | Fault::Restart | Fault::TooMany | Fault::CutMany,
            Bound,
        ) => &[],
        (Fault::EndAll | Fault::Crash | Fault::Restart | Fault::TooMany | Fault::CutMany, _) => {
            match is_write {
                true => &[Unavailable, Unknown],
                false => &[Unavailable],
            }
        }

        // What is shorter than a statement may take is sat out.
        (Fault::FreezeShort | Fault::LockShort | Fault::Hog | Fault::Halt, _) => &[],

        // Open connections go on with what they have agreed on.
        (Fault::Renewal, _) => &[],

        // What is longer makes statements late, those behind them wait in vain, and connections that
        // have been silent for too long are given up.
        (Fault::FreezeLong | Fault::FreezeOne, Bound) => &[],
        (Fault::FreezeLong | Fault::FreezeOne, _) => match is_write {
            true => &[Unavailable, Unknown, TimedOut],
            false => &[Unavailable, TimedOut],
        },

        // Statements of the locked table end at their timeout. Others share their connections, so
        // they may wait in vain; those of other lanes do not.
        (Fault::LockLong, Counter | CounterWrite) => &[Unavailable, TimedOut],
        (Fault::LockLong, Class::Read | Changing | Write) => &[Unavailable],
        (Fault::LockLong, _) => &[],

        // A statement is prepared again and run, unless the table changes once more meanwhile or is
        // away. Nobody else is concerned.
        (Fault::AddColumn | Fault::ChangeType | Fault::RenameTable, Changing) => &[Unavailable],
        (Fault::AddColumn | Fault::ChangeType | Fault::RenameTable, _) => &[],

        // Refused at once, before anything was done.
        (Fault::Overload, _) => &[Unavailable],

        // New connections wait; those that are open go on.
        (Fault::Crowd, _) => &[],

        // A connection to Postgres that is replaced or lost can't be opened again.
        (Fault::Descriptors, Bound) => &[],
        (Fault::Descriptors, _) => &[Unavailable],
    }
}
