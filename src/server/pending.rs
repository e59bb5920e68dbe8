//! The answers of one connection that are not written yet, in the order of their requests.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Instant;

use super::handler::{Handled, Later};
use super::reply::Reply;
use crate::http::Persistence;
use crate::limits;

/// Places that an idle connection keeps.
const KEPT: usize = 4;

/// See the head of this file.
#[derive(Default)]
pub(super) struct Pending {
    queue: VecDeque<Entry>,
    /// The sum of those of the entries.
    bytes: usize,
}

struct Entry {
    answer: Answer,
    manner: Manner,
    /// Of the answer, or expected of it.
    bytes: usize,
}

enum Answer {
    Ready(Reply),
    Coming(Later),
}

/// What a request says about its answer.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) persistence: Persistence,
    pub(super) head_only: bool,
    /// When the request's first byte was read.
    pub(super) first: Instant,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.is_empty()
            || self.queue.len() < limits::PIPELINED_MAX && self.bytes < limits::PENDING_BYTES_MAX
    }

    pub(super) fn push(&mut self, handled: Handled, manner: Manner) {
        let (answer, bytes) = match handled {
            Handled::Now(reply) => {
                let bytes = reply.body.len();
                (Answer::Ready(reply), bytes)
            }
            Handled::Later(later) => {
                let bytes = later.bytes;
                (Answer::Coming(later), bytes)
            }
        };
        self.bytes += bytes;
        self.queue.push_back(Entry {
            answer,
            manner,
            bytes,
        });
    }

    /// Polls the answers to come.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        for entry in &mut self.queue {
            if let Answer::Coming(later) = &mut entry.answer
                && let Poll::Ready(reply) = later.future.as_mut().poll(context)
            {
                let bytes = reply.body.len();
                self.bytes = self.bytes - entry.bytes + bytes;
                entry.bytes = bytes;
                entry.answer = Answer::Ready(reply);
            }
        }
    }

    /// Whether the first is ready.
    pub(super) fn is_ready(&self) -> bool {
        let first = self.queue.front();
        first.is_some_and(|entry| matches!(entry.answer, Answer::Ready(_)))
    }

    /// Takes the first, if it is ready.
    pub(super) fn pop_ready(&mut self) -> Option<(Reply, Manner)> {
        if !self.is_ready() {
            return None;
        }
        let entry = self.queue.pop_front()?;
        self.bytes -= entry.bytes;
        if self.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        match entry.answer {
            Answer::Ready(reply) => Some((reply, entry.manner)),
            Answer::Coming(_) => None,
        }
    }

    /// Tells those that want to know it that the client has gone.
    pub(super) fn abandon(&mut self) {
        for entry in &mut self.queue {
            if let Answer::Coming(later) = &mut entry.answer
                && let Some(abandon) = later.abandon.take()
            {
                abandon();
            }
        }
    }

    /// Waits for what is to come, for nobody.
    pub(super) fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll(context);
        self.queue
            .retain(|entry| matches!(entry.answer, Answer::Coming(_)));
        match self.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}
