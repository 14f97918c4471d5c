//! What clients see who do much at the same time.

mod garbage;
mod keys;
#[path = "../support/linear.rs"]
mod linear;
#[path = "../support/mod.rs"]
mod support;
