//! Many requests of one route as one statement.
//!
//! Requests of a route that only reads are gathered and sent as one statement, made from the declared SQL:
//!
//! ```sql
//! select r.*, k.ord
//!   from rows from (unnest($1::int8[]), unnest($2::text[])) with ordinality as k(p1, p2, ord)
//!  cross join lateral (select * from ( …the declared SQL, k.p1 where $1 stood… ) as s offset 0) as r
//!  where k.ord between 1 and 2147483647
//! ```
//!
//! Each request is a key, a row of `k`; `ord` says whose answer a row belongs to.
//!
//! **`offset 0`** keeps Postgres from merging the declared SQL into the join. Without it
//! `select * from totals where user_id = k.p1`, with a view `totals` that groups, becomes a join with the
//! whole of the view. With it the SQL is planned as it is alone, a key being a constant to it. Nothing is
//! skipped at run time: Postgres drops an offset of 0 from the plan.
//!
//! **Order.** What refers to `k` and isn't merged can only be joined by a loop over `k`, so rows come key by
//! key, and within a key in the order that the declared SQL alone would give. Nothing above the loop sorts
//! or hashes. [`judge`](crate::pg::eligible::judge) looks whether the plan is such a loop.
//!
//! **`between`** is true of every key and is there for the planner, which takes `unnest` of an unknown array
//! for ten rows, and this condition for one that few pass: it counts on one key. Otherwise the plan for any
//! array would look dearer than one made for the few keys of a small batch, and Postgres would plan each
//! small batch anew (of 40 batches of one key all 40, with the condition the first five).
//!
//! **Names.** `k` is the only name that the declared SQL gets to see, so it is one that does not occur in it.
//! A name without a qualifier is looked for in the SQL itself first, where it is found, as it was alone.

use std::fmt::Write;

use tokio_postgres::types::{Kind, Type};

use super::bind::Bound;
use super::diagnostics::Diagnostic;
use super::file::Api;
use super::lexer::{self, Lexer};
use super::route::{ResultKind, Route};
use super::tree::Faults;

/// Whether and how a route's requests are batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// What the file says.
    pub mode: BatchMode,
    /// Requests in one batch.
    pub keys_max: usize,
    /// Batches of the route on their way at a time, on one core.
    pub in_flight_max: usize,
}

/// Who decides whether a route is batched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchMode {
    /// The file says nothing: where it can be done and pays.
    Automatic,
    /// `batch = true` or its bounds: what can't be batched is a fault.
    On,
    /// `batch = false`.
    Off,
}

/// What serves a batch of a route's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchStatement {
    /// The route has no parameters: its own statement, run once for all that wait.
    Shared,
    /// A statement of its own that takes each parameter as an array.
    Keyed(Keyed),
}

/// A statement for many keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// What is prepared, without any types given.
    pub text: String,
    /// What the text calls its keys.
    pub(crate) alias: String,
    /// The types of the single statement's parameters.
    elements: Vec<Type>,
    /// The single statement's columns; here `ord` follows.
    columns: Vec<(String, Type)>,
}

/// The values of a batch are more than an array can hold (2 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl BatchStatement {
    /// Makes the statement of a route from its description, or says why it can't be batched. Whether it
    /// may and should be is for the database to say.
    pub fn of(
        route: &Route,
        params: &[Type],
        columns: &[(String, Type)],
    ) -> Result<BatchStatement, String> {
        if route.batch.mode == BatchMode::Off {
            return Err("batch = false".to_owned());
        }
        if let Some(reason) = unfit(route) {
            return Err(reason.to_owned());
        }
        if params.is_empty() {
            return Ok(BatchStatement::Shared);
        }
        for (name, ty) in route.statement.params.iter().zip(params) {
            if let Some(kind) = not_scalar(ty) {
                return Err(format!(":{name} is {kind}"));
            }
        }
        let alias = unused_name(&route.statement.text);
        Ok(BatchStatement::Keyed(Keyed {
            text: keyed_text(&route.statement.text, params, &alias),
            alias,
            elements: params.to_vec(),
            columns: columns.to_vec(),
        }))
    }
}

impl Keyed {
    /// Whether the prepared text takes and returns what was meant: arrays of the single statement's
    /// parameters; its columns, then the number of the key, from 1, as int8. Otherwise the difference.
    ///
    /// Names matter because `:a::int4`, which alone is a column called `int4`, is called `p1` here; the SQL
    /// might sort by it.
    pub fn check(&self, params: &[Type], columns: &[(String, Type)]) -> Result<(), String> {
        let takes_arrays = params.len() == self.elements.len()
            && params
                .iter()
                .zip(&self.elements)
                .all(|(array, element)| matches!(array.kind(), Kind::Array(of) if of == element));
        if !takes_arrays {
            return Err("a batch takes other parameters".to_owned());
        }
        let Some(((_, Type::INT8), columns)) = columns.split_last() else {
            return Err("a batch has no number of the key".to_owned());
        };
        if columns.len() != self.columns.len() {
            return Err("a batch has other columns".to_owned());
        }
        for ((name, ty), (single_name, single_ty)) in columns.iter().zip(&self.columns) {
            if ty != single_ty {
                return Err(format!(
                    "column \"{single_name}\" is {ty} in a batch, not {single_ty}"
                ));
            }
            if name != single_name {
                return Err(format!(
                    "column \"{single_name}\" has another name in a batch; name it: … as {single_name}"
                ));
            }
        }
        Ok(())
    }

    /// Appends the statement's parameters as Bind wants them (Postgres §54.7): for each its length in four
    /// bytes and the array of all members' values in binary form. After a fault `out` is as it was.
    pub fn append_parameters(&self, members: &[&Bound], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let start = out.len();
        for (index, element) in self.elements.iter().enumerate() {
            let values = members.iter().map(|member| member.value(index));
            if append_array(element.oid(), values, out).is_err() {
                out.truncate(start);
                return Err(TooLarge);
            }
        }
        Ok(())
    }
}

impl Route {
    /// The fault for a route that is to be batched and can't be.
    pub fn batch_fault(&self, api: &Api, reason: &str) -> Diagnostic {
        Diagnostic::new(&api.source, self.batch_span.clone(), fault(reason)).help(HELP)
    }
}

const HELP: &str = "take \"batch\" out, or set it to false";

fn fault(reason: &str) -> String {
    format!("this route can't be batched: {reason}")
}

/// What the file alone can tell against `batch = true`.
pub(super) fn check_declared(faults: &mut Faults<'_>, route: &Route) {
    if route.batch.mode == BatchMode::On
        && let Some(reason) = unfit(route)
    {
        faults.add_with_help(route.batch_span.clone(), fault(reason), HELP);
    }
}

fn unfit(route: &Route) -> Option<&'static str> {
    match route.result {
        _ if !route.read_only => Some("it is not read-only"),
        _ if !can_be_shared(route) => Some(
            "its \"settings\" are others for each request, as \"claims\" and \"method\" are not",
        ),
        _ if route.cancel => Some("its statements are cancelled with their clients"),
        ResultKind::Exec => Some("its result is \"exec\""),
        ResultKind::One | ResultKind::Many | ResultKind::Scalar => None,
    }
}

/// Whether requests of one who asks are alike for Postgres.
fn can_be_shared(route: &Route) -> bool {
    let transaction = route.transaction.as_ref();
    transaction.is_none_or(|transaction| transaction.settings.can_be_shared())
}

/// What a type is, if an array of it can't be unnested into one column of it: there are no arrays of arrays,
/// and a row becomes a column for each of its members.
fn not_scalar(ty: &Type) -> Option<&'static str> {
    match ty.kind() {
        Kind::Array(_) => Some("an array"),
        Kind::Composite(_) => Some("a row"),
        Kind::Domain(base) => not_scalar(base),
        _ => None,
    }
}

/// A name that occurs nowhere in the text, in whichever case.
fn unused_name(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let mut name = "pinion_key".to_owned();
    while text.contains(&name) {
        name.push('_');
    }
    name
}

fn keyed_text(single: &str, params: &[Type], alias: &str) -> String {
    let mut text = format!("select r.*, {alias}.ord\nfrom rows from (");
    // Writing to a String can't fail.
    for (index, ty) in params.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        let (number, ty) = (index + 1, quoted(ty));
        let _ = write!(text, "{comma}pg_catalog.unnest(${number}::{ty}[])");
    }
    let _ = write!(text, ") with ordinality as {alias}(");
    for number in 1..=params.len() {
        let _ = write!(text, "p{number}, ");
    }
    text.push_str("ord)\ncross join lateral (select * from (\n");
    push_with_columns(single, alias, &mut text);
    // A line of its own, as the SQL might end in a comment.
    let _ = write!(
        text,
        "\n) as s offset 0) as r\nwhere {alias}.ord between 1 and {}",
        i32::MAX
    );
    text
}

/// Appends the single statement with `alias.p1` for `$1`.
fn push_with_columns(single: &str, alias: &str, text: &mut String) {
    let mut lexer = Lexer::new(single);
    let mut copied = 0;
    // A statement that was read once is read again without a fault.
    while let Ok(Some(token)) = lexer.next() {
        if token.kind == lexer::Kind::Positional {
            text.push_str(&single[copied..token.span.start]);
            let _ = write!(
                text,
                "{alias}.p{}",
                &single[token.span.start + 1..token.span.end]
            );
            copied = token.span.end;
        }
    }
    text.push_str(&single[copied..]);
}

/// A type's name as SQL that means this type, whatever the search path.
fn quoted(ty: &Type) -> String {
    let quote = |name: &str| name.replace('"', "\"\"");
    format!("\"{}\".\"{}\"", quote(ty.schema()), quote(ty.name()))
}

/// Bytes of a binary array of one dimension before its first element.
const ARRAY_HEAD_BYTES: usize = 20;

/// Appends the length and the array: dimensions, whether there is a NULL, the type of the elements; the
/// length and the lower bound of the only dimension; each element with its length, -1 for NULL
/// (`array_recv`).
fn append_array<'v>(
    element: u32,
    values: impl ExactSizeIterator<Item = Option<&'v [u8]>> + Clone,
    out: &mut Vec<u8>,
) -> Result<(), TooLarge> {
    let has_null = values.clone().any(|value| value.is_none());
    let bytes: usize = values.clone().flatten().map(<[u8]>::len).sum();
    let length = int4(ARRAY_HEAD_BYTES + 4 * values.len() + bytes)?;
    let count = int4(values.len())?;
    out.extend_from_slice(&length);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&i32::from(has_null).to_be_bytes());
    out.extend_from_slice(&element.to_be_bytes());
    out.extend_from_slice(&count);
    out.extend_from_slice(&1i32.to_be_bytes());
    for value in values {
        match value {
            None => out.extend_from_slice(&(-1i32).to_be_bytes()),
            Some(bytes) => {
                out.extend_from_slice(&int4(bytes.len())?);
                out.extend_from_slice(bytes);
            }
        }
    }
    Ok(())
}

fn int4(number: usize) -> Result<[u8; 4], TooLarge> {
    i32::try_from(number)
        .map(i32::to_be_bytes)
        .map_err(|_| TooLarge)
}

#[cfg(test)]
mod tests;
