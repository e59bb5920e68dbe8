//! What a core measures of its own work, and what the control thread makes of it.
//!
//! A core records into memory of its own ([`Recorder`]) and gives it away whole as a [`Snapshot`] when the
//! control thread asks, for an empty one that it is given in its place: nobody shares, nobody waits, and
//! nothing is copied. The control thread adds up what it is given in its [`Ledger`], from which dumps,
//! the metrics of the admin port and its live page are made.

mod batch_sizes;
mod counters;
pub mod dump;
pub mod expose;
mod latencies;
mod ledger;
mod places;
mod recorder;
mod snapshot;

#[cfg(test)]
mod tests;

pub use batch_sizes::BatchSizes;
pub use counters::{Closed, Counters, Gauges};
pub use latencies::{Latencies, STAGES, Stage, empty_histogram};
pub use ledger::{CoreView, Ledger, RouteTotals};
pub use places::Places;
pub use recorder::{Record, Recorder, Timing};
pub use snapshot::{RouteInterval, Snapshot, Statuses};
