//! What the server tells of the use of its keys, over real sockets: why reads have missed, which
//! keys are hot or big, what each prefix costs.

mod hotkeys;
mod keys;
mod misses;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;
use support::Client;

/// Waits until something is so.
#[track_caller]
fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(support::eventually(Duration::from_secs(20), condition), "{what}");
}

/// A figure of INFO.
#[track_caller]
fn info(client: &mut Client, field: &str) -> u64 {
    let text = client.run("INFO everything").text();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let value = line.unwrap_or_else(|| panic!("{field} is not in INFO"));
    value.parse().unwrap_or_else(|_| panic!("{field} is {value}"))
}
