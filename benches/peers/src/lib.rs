//! What the peers have in common, so that each file of `bin/` shows its framework and little else:
//! the command line, the shop's statements and rows, and the body of a failure.

pub mod arguments;
pub mod failure;
pub mod shop;
