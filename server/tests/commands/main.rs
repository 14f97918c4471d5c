//! Commands over a socket, where the differential test cannot compare or the reference does not know them.

mod clients;
mod dump;
mod field_expiry;
mod generic;
mod hyperloglog;
mod lists_and_sorted_sets;
mod migrate;
mod newer_strings;
mod server;
mod sets_and_hashes;
mod sort;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use support::Value;

/// The elements of a reply.
fn texts(reply: &Value) -> Vec<String> {
    reply.items().iter().map(Value::text).collect()
}
