//! The `dunlin` program.
use mimalloc as _;
fn main() {}
