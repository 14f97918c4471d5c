//! CLIENT TRACKING over real sockets. What is expected of a conversation of several clients is what
//! redis-server says, where it is installed; the rest stands in the tests.

mod caches;
mod lifetime;
mod reference;
mod scenario;
#[path = "../support/mod.rs"]
mod support;
mod waiting;

use std::time::Duration;

/// Waits until something is so.
#[track_caller]
fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(support::eventually(Duration::from_secs(20), condition), "{what}");
}
