//! What one connection has to say for the record: when its requests came, when the kernel had their
//! answers, and why it ended.

use std::time::Instant;

use super::connection::UNSENT_MAX;
use super::handler::Handler;
use super::pending::Manner;
use super::reply::Reply;
use crate::guard::Trail;
use crate::log::Answer;
use crate::metrics::{Closed, Record, Timing};

/// See the head of this file.
pub(super) struct Accounts {
    /// When the first byte of the request that is being read came.
    first: Option<Instant>,
    /// All that is unsent was written in this pass, so the next one hands it to the kernel.
    fresh: bool,
    /// Answers of which the kernel does not have the last byte yet.
    unrecorded: Vec<(Record, Option<Answer>)>,
    /// Why the connection ends.
    closed: Closed,
}

impl Accounts {
    /// Of a connection that has just been accepted.
    pub(super) fn new() -> Accounts {
        Accounts {
            first: None,
            fresh: false,
            unrecorded: Vec::new(),
            closed: Closed::Client,
        }
    }

    /// A pass has begun.
    pub(super) fn begin_pass(&mut self) {
        self.fresh = false;
    }

    /// There are bytes of a request, the first of which came at `first`.
    pub(super) fn reading(&mut self, first: Instant) {
        self.first.get_or_insert(first);
    }

    /// The request has been taken, or what came instead of one: when its first byte had come.
    pub(super) fn take_first(&mut self, now: Instant) -> Instant {
        self.first.take().unwrap_or(now)
    }

    /// Nothing is unsent before what is written now.
    pub(super) fn nothing_unsent(&mut self) {
        self.fresh = true;
    }

    /// An answer has been written, and so many bytes are unsent.
    pub(super) fn written<H: Handler>(
        &mut self,
        handler: &H,
        manner: Manner,
        reply: &mut Reply,
        unsent: usize,
    ) {
        if reply.panicked {
            handler.recorder().count(|counters| counters.panics += 1);
        }
        let bytes = if manner.head_only {
            0
        } else {
            reply.body.len()
        };
        let trail = reply.trail.as_deref_mut();
        let record = Record {
            route: trail.as_ref().and_then(|trail| trail.route),
            status: reply.status,
            timing: Timing {
                first: manner.first,
                whole: trail.as_ref().map_or(manner.first, |trail| trail.begun()),
                asked: reply.asked,
            },
        };
        let told = |trail: &mut Trail| Answer {
            record,
            bytes,
            id: trail.id,
            note: trail.note.take(),
            took: trail.took(),
        };
        let log = handler.request_log();
        if self.fresh && unsent <= UNSENT_MAX {
            handler.recorder().written(record);
            if let Some(trail) = trail
                && log.concerns(trail.note.is_some(), trail.begun(), handler.now())
            {
                log.written(told(trail));
            }
        } else {
            let told = trail.filter(|_| log.is_on()).map(told);
            self.unrecorded.push((record, told));
        }
    }

    /// Whether the kernel does not have every answer yet, as far as is known.
    pub(super) fn are_open(&self) -> bool {
        !self.unrecorded.is_empty()
    }

    /// The kernel has all that was written.
    #[inline]
    pub(super) fn handed<H: Handler>(&mut self, handler: &H) {
        if self.are_open() {
            self.record(handler);
        }
    }

    fn record<H: Handler>(&mut self, handler: &H) {
        let now = handler.now();
        // An idle connection keeps no memory for them.
        for (record, told) in std::mem::take(&mut self.unrecorded) {
            handler.recorder().record(&record, now);
            if let Some(answer) = told {
                handler.request_log().answered(&answer, now, true);
            }
        }
    }

    /// The connection is to end, for this reason.
    pub(super) fn ends(&mut self, why: Closed) {
        self.closed = why;
    }

    /// Nobody has said yet why it is to end.
    pub(super) fn end_is_open(&self) -> bool {
        self.closed == Closed::Client
    }

    /// The connection has ended.
    pub(super) fn end<H: Handler>(self, handler: &H) {
        handler.recorder().closed(self.closed);
        let untold = self.unrecorded.iter().filter_map(|(_, told)| told.as_ref());
        for answer in untold {
            let log = handler.request_log();
            log.answered(answer, handler.now(), false);
        }
    }
}
