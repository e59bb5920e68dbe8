//! The runtime under what a machine withholds: processor time, room in the queues, descriptors. The
//! real binary, seen from outside.

mod support;

#[path = "runtime/scarce.rs"]
mod scarce;
#[path = "runtime/starvation.rs"]
mod starvation;
