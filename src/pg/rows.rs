//! Rows as they arrive → the JSON of one answer.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::message;
use super::statements::Prepared;
use super::wire::{Answer, End, Receiver};
use crate::api::{ResultKind, Route};
use crate::json::Columns;
use crate::limits;

/// Memory that an answer is given beforehand, at the most.
const ROOM_BYTES_MAX: usize = 16 * 1024;

/// What a route's answer looks like.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    kind: ResultKind,
    /// Rows at the most.
    rows_max: usize,
}

/// The rows of one answer.
#[derive(Default)]
pub(super) struct Rows {
    /// Their JSON.
    pub(super) body: Vec<u8>,
    /// How many have come.
    pub(super) count: usize,
    /// What was wrong with the first that could not be taken; what follows it is only counted.
    pub(super) fault: Option<RowFault>,
}

/// Why rows are no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowFault {
    /// More of them, or longer ones, than the route allows.
    TooLarge,
    /// They are not of the types that the statement was prepared with, in these words.
    Misread(String),
}

impl Shape {
    pub(super) fn of(route: &Route) -> Shape {
        let kind = route.result;
        let list = matches!(kind, ResultKind::Many | ResultKind::Exec);
        let rows_max = if list { route.max_rows } else { 1 };
        Shape { kind, rows_max }
    }

    fn is_list(self) -> bool {
        matches!(self.kind, ResultKind::Many | ResultKind::Exec)
    }
}

impl Rows {
    /// With memory for as much as the statement's last answer had.
    pub(super) fn with_room(prepared: &Prepared) -> Rows {
        Rows {
            body: Vec::with_capacity(prepared.body_bytes.get()),
            ..Rows::default()
        }
    }

    /// Appends one row: its columns from the left.
    pub(super) fn take<'a>(
        &mut self,
        shape: Shape,
        columns: &Columns,
        row: impl Iterator<Item = Option<&'a [u8]>>,
    ) {
        self.count += 1;
        if self.fault.is_some() {
            return;
        }
        if self.count > shape.rows_max || self.body.len() > limits::RESPONSE_BYTES_MAX {
            self.fault = Some(RowFault::TooLarge);
            return;
        }
        if shape.is_list() {
            self.body.push(if self.count == 1 { b'[' } else { b',' });
        }
        let body = &mut self.body;
        let encoded = catch_unwind(AssertUnwindSafe(|| match shape.kind {
            ResultKind::Scalar => columns.encode_scalar(row, body),
            _ => columns.encode_object(row, body),
        }));
        self.fault = match encoded {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(RowFault::Misread(fault.to_string())),
            Err(_) => Some(RowFault::Misread("the encoder panicked".to_owned())),
        };
    }

    /// A row that was too long to be kept.
    pub(super) fn take_too_long(&mut self) {
        self.count += 1;
        self.fault.get_or_insert(RowFault::TooLarge);
    }

    /// There are no more rows.
    pub(super) fn close(&mut self, shape: Shape, prepared: &Prepared) {
        if shape.is_list() {
            let end: &[u8] = if self.count == 0 { b"[]" } else { b"]" };
            self.body.extend_from_slice(end);
        }
        prepared.body_bytes.set(self.body.len().min(ROOM_BYTES_MAX));
    }
}

/// Takes the answer to one request's own statement.
pub(super) struct Single {
    /// Held so that the statement is not closed while it runs.
    prepared: Rc<Prepared>,
    shape: Shape,
    rows: RefCell<Rows>,
    answer: Answer,
}

impl Single {
    pub(super) fn new(prepared: Rc<Prepared>, shape: Shape) -> Rc<Single> {
        Rc::new(Single {
            shape,
            rows: RefCell::new(Rows::with_room(&prepared)),
            prepared,
            answer: Answer::default(),
        })
    }

    /// Waits for the answer; its rows are worth something only if it is complete.
    pub(super) async fn wait(&self) -> (End, Rows) {
        let end = self.answer.wait().await;
        let mut rows = self.rows.take();
        rows.close(self.shape, &self.prepared);
        (end, rows)
    }
}

impl Receiver for Single {
    fn row(&self, body: &[u8]) {
        let columns = &self.prepared.description.plan.columns;
        let row = message::columns(body);
        self.rows.borrow_mut().take(self.shape, columns, row);
    }

    fn row_too_long(&self) {
        self.rows.borrow_mut().take_too_long();
    }

    fn end(&self, end: End) {
        self.answer.end(end);
    }
}
