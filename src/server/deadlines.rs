//! How long a client may take for each thing. Each time is a total: it goes on whatever trickles in
//! or out meanwhile, and stands still only while the server itself reads nothing from the client.
//!
//! | time | begins | ends |
//! |---|---|---|
//! | keep-alive | with the connection; with each answer after which none is to come | with the first byte of a request (empty lines begin none) |
//! | header | with that byte | with the empty line after the head |
//! | body | with that line, or with the 100 that the client waits for | with the last byte of the body |
//! | write | when something is written and nothing was left unsent | when nothing is left unsent |
//! | linger | when the last answer has been sent | with the client's end |
//!
//! An answer that is waited for has no time here: it has the acquire and the statement timeout.

use std::time::{Duration, Instant};

use super::transport::Transport;
use crate::config::Timeouts;
use crate::limits;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    KeepAlive,
    Header,
    Body,
    Write,
    Linger,
}

/// See the head of this file.
pub(super) struct Deadlines {
    timeouts: Timeouts,
    /// What the client is to send, and until when.
    input: Option<(Wait, Instant)>,
    /// Since when nothing is read from the client.
    held_since: Option<Instant>,
    /// Until when all that was written has to be sent.
    output: Option<Instant>,
    /// What the transport was told.
    told: Option<Instant>,
}

impl Deadlines {
    pub(super) fn new(timeouts: Timeouts) -> Deadlines {
        Deadlines {
            timeouts,
            input: None,
            held_since: None,
            output: None,
            told: None,
        }
    }

    /// The client is to send something. A wait that goes on keeps its time.
    pub(super) fn expect(&mut self, wait: Option<Wait>, now: Instant) {
        let held = self.held_since.take();
        self.input = wait.map(|wait| match self.input {
            Some((before, by)) if before == wait => {
                (wait, by + held.map_or(Duration::ZERO, |since| now - since))
            }
            _ => (wait, now + self.time(wait)),
        });
    }

    /// Nothing is read from the client for now.
    pub(super) fn hold(&mut self, now: Instant) {
        self.held_since.get_or_insert(now);
    }

    /// What was expected has come: the next wait has the whole time again.
    pub(super) fn received(&mut self) {
        self.input = None;
    }

    /// Something was written.
    pub(super) fn written(&mut self, now: Instant) {
        self.output.get_or_insert(now + self.timeouts.write);
    }

    /// Nothing is left unsent.
    pub(super) fn sent(&mut self) {
        self.output = None;
    }

    /// Half of the time for what was written is over. More must not be written before it is sent,
    /// or a client that always reads a little less than it asks for would be cut off in the end.
    pub(super) fn is_pressing(&self, now: Instant) -> bool {
        self.output
            .is_some_and(|by| by.saturating_duration_since(now) <= self.timeouts.write / 2)
    }

    /// Tells the transport what comes first, if that is something new.
    pub(super) fn set<T: Transport>(&mut self, transport: &T, now: Instant) {
        let input = self.input.filter(|_| self.held_since.is_none());
        let first = match (input, self.output) {
            (Some((_, input)), Some(output)) => Some(input.min(output)),
            (Some((_, by)), None) | (None, Some(by)) => Some(by),
            (None, None) => None,
        };
        if self.told != first {
            self.told = first;
            transport.set_deadline(first.map(|by| by.saturating_duration_since(now)));
        }
    }

    /// What has run out of time, if anything: where nobody looked whether it had come, the deadline
    /// that has passed may be that of something that has.
    pub(super) fn expire<T: Transport>(&mut self, transport: &T, now: Instant) -> Option<Wait> {
        // The next one may be at the same time, and the transport fails until it is told.
        self.told = None;
        transport.set_deadline(None);
        if self.output.is_some_and(|by| by <= now) {
            return Some(Wait::Write);
        }
        self.input
            .filter(|(_, by)| self.held_since.is_none() && *by <= now)
            .map(|(wait, _)| wait)
    }

    fn time(&self, wait: Wait) -> Duration {
        match wait {
            Wait::KeepAlive => self.timeouts.keep_alive,
            Wait::Header => self.timeouts.header,
            Wait::Body => self.timeouts.body,
            Wait::Write => self.timeouts.write,
            Wait::Linger => limits::LINGER,
        }
    }
}
