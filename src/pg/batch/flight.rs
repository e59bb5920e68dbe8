//! A batch on its way: its keys, and whose each row is.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::{Alone, Member, Outcome, finish_all};
use crate::api::Bound;
use crate::error::Failure;
use crate::limits;
use crate::pg::execute::Answered;
use crate::pg::message::{self, append_parameters};
use crate::pg::rows::{Rows, Shape};
use crate::pg::session::Session;
use crate::pg::statements::{Prepared, PreparedBatch};
use crate::pg::wire::{Answer, End, Receiver};

/// A batch on its way.
pub(super) struct Flight {
    /// Held so that its statements are not closed while they run.
    prepared: Rc<Prepared>,
    shape: Shape,
    /// None where there is one key alone: the route's own statement serves it.
    keyed: Option<Rc<PreparedBatch>>,
    /// What Postgres is told of all of its requests.
    pub(super) session: Option<Rc<Session>>,
    groups: RefCell<Vec<Group>>,
    /// Bytes of all rows.
    bytes: Cell<usize>,
    sent: Instant,
    pub(super) answer: Answer,
}

/// The requests of one key, which is fetched once.
struct Group {
    first: Rc<Member>,
    /// Mostly none.
    others: Vec<Rc<Member>>,
    rows: Rows,
}

impl Group {
    fn finish(self, outcome: impl Fn() -> Outcome) {
        finish_all(self.others, &outcome);
        self.first.finish(outcome());
    }
}

impl Flight {
    /// The batch of those members that the statement suits; the others go alone. They are of one session.
    pub(super) fn new(
        prepared: &Rc<Prepared>,
        shape: Shape,
        members: Vec<Rc<Member>>,
        sent: Instant,
    ) -> Option<Rc<Flight>> {
        let session = members.first().and_then(|member| member.session.clone());
        debug_assert!(members.iter().all(|member| member.session == session));
        let now = &prepared.description;
        let suits = |member: &Rc<Member>| {
            Rc::ptr_eq(&member.description, now) || member.description.binds_like(now)
        };
        let (members, others): (Vec<_>, Vec<_>) = members.into_iter().partition(suits);
        finish_all(others, Outcome::alone);
        let groups = group(&members, prepared);
        let keyed = match (groups.len(), &prepared.keyed) {
            (0, _) => return None,
            (1, _) => None,
            (_, Some(keyed)) => Some(keyed.clone()),
            (_, None) => {
                groups
                    .into_iter()
                    .for_each(|group| group.finish(Outcome::alone));
                return None;
            }
        };
        Some(Rc::new(Flight {
            prepared: prepared.clone(),
            shape,
            keyed,
            session,
            groups: RefCell::new(groups),
            bytes: Cell::new(0),
            sent,
            answer: Answer::default(),
        }))
    }

    pub(super) fn bind_head(&self) -> &[u8] {
        match &self.keyed {
            Some(keyed) => &keyed.bind_head,
            None => &self.prepared.bind_head,
        }
    }

    pub(super) fn append_parameters(&self, out: &mut Vec<u8>) {
        let groups = self.groups.borrow();
        let keys: Vec<&Bound> = groups.iter().map(|group| &group.first.bound).collect();
        match &self.keyed {
            Some(keyed) => {
                let appended = keyed.batch.append_parameters(&keys, out);
                appended.expect("BATCH_BYTES_MAX is far below what an array can hold");
            }
            None => keys.iter().for_each(|key| append_parameters(key, out)),
        }
    }

    /// Gives every request its answer.
    fn answer_all(&self) {
        for mut group in self.groups.take() {
            // Alone it gets the same fault again, with what belongs to it.
            if group.rows.fault.is_some() {
                group.finish(Outcome::alone);
                continue;
            }
            group.rows.close(self.shape, &self.prepared);
            let Rows { count, body, .. } = group.rows;
            let asked = Some((self.sent, self.sent));
            let answered = |body| {
                let rows = count;
                Outcome::Answered(Answered { rows, body, asked })
            };
            finish_all(group.others, || answered(body.clone()));
            group.first.finish(answered(body));
        }
    }

    pub(super) fn finish_all(&self, outcome: impl Fn() -> Outcome) {
        for group in self.groups.take() {
            group.finish(&outcome);
        }
    }
}

impl Drop for Flight {
    /// None is left but after a panic: whoever waits is told.
    fn drop(&mut self) {
        self.finish_all(|| Outcome::Failed(Failure::Internal));
    }
}

impl Receiver for Flight {
    fn row(&self, body: &[u8]) {
        let mut groups = self.groups.borrow_mut();
        let index = match &self.keyed {
            Some(_) => {
                message::last_int8(body).and_then(|ord| usize::try_from(ord).ok()?.checked_sub(1))
            }
            None => Some(0),
        };
        let Some(group) = index.and_then(|index| groups.get_mut(index)) else {
            drop(groups);
            return self.row_too_long(); // one that belongs to nobody: trust none
        };
        if self.bytes.get() > limits::RESPONSE_BYTES_MAX {
            group.rows.take_too_long();
            return;
        }
        let before = group.rows.body.len();
        let columns = &self.prepared.description.plan.columns;
        group.rows.take(self.shape, columns, message::columns(body));
        let taken = group.rows.body.len() - before;
        self.bytes.set(self.bytes.get() + taken);
    }

    fn row_too_long(&self) {
        for group in self.groups.borrow_mut().iter_mut() {
            group.rows.take_too_long();
        }
    }

    fn end(&self, end: End) {
        match &end {
            End::Complete => self.answer_all(),
            // Its requests have had their time.
            End::Refused(_, refusal) if refusal.is_timeout() => {
                self.finish_all(|| Outcome::Refused(refusal.failure(), self.sent));
            }
            End::Refused(..) => self.finish_all(Outcome::alone),
            End::Lost(_) => self.finish_all(|| {
                Outcome::Alone(Alone {
                    lost: true,
                    ..Alone::default()
                })
            }),
        }
        self.answer.end(end);
    }
}

/// The members by their keys, in the order of each key's first.
fn group(members: &[Rc<Member>], prepared: &Prepared) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::with_capacity(members.len());
    let mut known: HashMap<&Bound, usize> = HashMap::with_capacity(members.len());
    for member in members {
        let index = *known.entry(&member.bound).or_insert(groups.len());
        match groups.get_mut(index) {
            Some(group) => group.others.push(member.clone()),
            None => groups.push(Group {
                first: member.clone(),
                others: Vec::new(),
                rows: Rows::with_room(prepared),
            }),
        }
    }
    groups
}
