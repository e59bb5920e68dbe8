//! More requests than Postgres can answer: the server keeps answering as many as it can, in the time
//! that it takes at other times, and refuses the others at once.

mod support;

#[path = "overload/bursts.rs"]
mod bursts;
#[path = "overload/fixture.rs"]
mod fixture;
#[path = "overload/open_loop.rs"]
mod open_loop;
#[path = "overload/slow.rs"]
mod slow;
